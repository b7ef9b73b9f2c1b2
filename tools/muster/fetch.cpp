// SPDX-License-Identifier: MIT
// This file defines the jobs of muster fetch and the order of things in that command. request_maker turns a line into a
// URL, a request and a file name; stall_guard puts off its time limit as bytes arrive; fetch_batch makes the attempts
// and decides which failures are worth another. fetch() checks the options, opens the input, the log and the folder,
// runs the batch and prints the end.
#include "fetch.hpp"

#include "body_file.hpp"
#include "earlier_run.hpp"
#include "job_log.hpp"
#include "stop_signals.hpp"
#include "url_template.hpp"
#include "writer.hpp"

#include <muster/http.hpp>
#include <muster/sleep.hpp>
#include <muster/timeout.hpp>

#include <fmt/core.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>
#include <system_error>
#include <utility>

#include <unistd.h>

namespace tool {

namespace {

namespace http = muster::http;

http::client_options client_options_for(const fetch_options& o) {
    http::client_options options = o.client;
    options.body_limit(o.max_size.value_or(http::no_limit));
    // Connections that are kept for later give way to those that are needed now.
    options.connections(o.limit);
    if (o.timeout)
        options.timeout(*o.timeout);
    return options;
}

std::string as_it_is(std::string_view input) { return std::string(input); }

/// Makes of a line its URL, its request, and the name of its file.
class request_maker {
public:
    /// *Errors*: usage_error if the options say what is no request.
    explicit request_maker(const fetch_options& o) : options_(o) {
        if (is_template(o))
            template_.emplace(o.urls.front());
        if (!o.name.empty())
            name_.emplace(o.name);
        // The key in the log is a hash of these options and the URL, so --resume skips a line only if both are the
        // same.
        common_ = o.method + '\n' + o.data.value_or("") + '\n' + o.data_file;
        for (const auto& [name, value] : o.headers)
            common_ += '\n' + name + ':' + value;
        if (o.user)
            common_ += '\n' + o.user->first + ':' + o.user->second;
        try {
            static_cast<void>(make("http://localhost/"));
        } catch (const std::invalid_argument& e) {
            throw usage_error(e.what());
        }
    }

    /// *Returns* whether the URL that was given is a template for the inputs.
    static bool is_template(const fetch_options& o) {
        return o.urls.size() == 1 && (o.inputs || (!o.file.empty() && url_template(o.urls.front()).has_places()));
    }

    [[nodiscard]] std::string url(const input_line& line) const {
        if (!template_)
            return line.text;
        return template_->make(line.text, line.index + 1, options_.encode ? &percent_encode : &as_it_is);
    }
    [[nodiscard]] std::string key(const std::string& url) const { return log_key(common_ + '\n' + url); }
    [[nodiscard]] std::string file_name(const input_line& line, const std::string& url) const {
        return name_ ? name_->make(line.text, line.index + 1, &safe_text) : safe_name(line.index, url);
    }
    [[nodiscard]] http::request make(const std::string& url) const {
        http::request ask(url);
        if (!options_.method.empty())
            ask.method(options_.method);
        for (const auto& [name, value] : options_.headers)
            ask.header(name, value);
        if (options_.user)
            ask.basic_auth(options_.user->first, options_.user->second);
        if (options_.data)
            ask.body(*options_.data);
        if (!options_.data_file.empty())
            ask.body_file(options_.data_file);
        return ask;
    }

private:
    const fetch_options& options_;
    std::optional<url_template> template_;
    std::optional<url_template> name_;
    std::string common_;
};

/// Ends a request whose answer makes no progress: fewer than so many bytes of the body within the time. Time in which
/// the request waits to be sent does not count: there are as many connections as requests at once.
class stall_guard {
public:
    explicit stall_guard(const fetch_options& o) : options_(o) {}

    muster::task<http::response> run(muster::task<http::response> sending) {
        if (!options_.stall_time) {
            auto reply = co_await std::move(sending);
            co_return reply;
        }
        // A body that is sent from a file may take its time: the guard begins with the answer.
        if (options_.data_file.empty())
            scope_.emplace(*options_.stall_time);
        else
            scope_.emplace();
        auto in_time = scope_->run([&sending]() -> muster::task<http::response> {
            auto reply = co_await std::move(sending);
            co_return reply;
        });
        try {
            auto reply = co_await std::move(in_time);
            co_return reply;
        } catch (const muster::timeout_error&) {
            if (!scope_->expired())
                throw;
            throw muster::timeout_error(fmt::format("fewer than {} came within {} (--stall-timeout)",
                show_size(options_.stall_bytes), show_duration(*options_.stall_time)));
        }
    }
    void received(std::size_t bytes) {
        received_ += bytes;
        if (!scope_ || scope_->expired() || received_ < options_.stall_bytes)
            return;
        received_ = 0;
        scope_->reschedule(muster::loop_clock::now() + *options_.stall_time);
    }

private:
    const fetch_options& options_;
    std::optional<muster::timeout_scope> scope_;
    std::uint64_t received_ = 0;
};

class fetch_batch final : public batch {
public:
    fetch_batch(const fetch_options& options, line_source& source, printed_ledger& ledger, writer& out,
        output_folder& folder, job_log* log)
        : batch("fetch", options, source, ledger, out),
          options_(options),
          maker_(options),
          safe_to_repeat_(maker_.make("http://localhost/").is_idempotent()),
          folder_(folder),
          log_(log),
          client_(client_options_for(options)) {}

    /// From now on nothing is asked for: the text says why.
    void refuse(std::string why) { refused_ = std::move(why); }

private:
    muster::task<> attempt(job& j) override {
        j.status = 0;
        j.bytes = 0;
        if (!refused_.empty()) {
            stop(refused_);
            throw std::runtime_error(refused_);
        }
        if (j.line.too_long)
            throw http::url_error(
                j.line.text.substr(0, 100), fmt::format("the line is longer than {} bytes", line_source::longest_line));
        const auto url = maker_.url(j.line);
        body_file file(
            folder_, folder_.is_open() ? maker_.file_name(j.line, url) : std::string(), !options_.name.empty());
        auto ask = maker_.make(url);
        stall_guard guard(options_);
        ask.body_to([&](std::string_view piece) {
            j.bytes += piece.size();
            guard.received(piece.size());
            file.write(piece);
        });
        auto sending = guard.run(client_.send(std::move(ask)));
        auto reply = co_await std::move(sending);
        j.status = reply.status;
        j.bytes = reply.body_size;
        reply.throw_if_error();
        file.finish();
    }

    /// Only what is safe to repeat is repeated.
    [[nodiscard]] bool worth_a_retry(const std::exception_ptr& error) const override {
        // Nothing of it was sent.
        if (muster::is_a<http::connect_error>(error) || muster::is_a<http::resolve_error>(error))
            return true;
        if (!safe_to_repeat_)
            return false;
        if (const auto* e = muster::get_if<http::status_error>(error))
            return (e->status() >= 500 || e->status() == 429 || e->status() == 408) &&
                   e->retry_after().value_or(std::chrono::seconds(0)) <= longest_retry_after;
        return muster::is_a<http::reset_error>(error) || muster::is_a<muster::timeout_error>(error);
    }
    [[nodiscard]] std::chrono::nanoseconds least_pause(const std::exception_ptr& error) const override {
        const auto* e = muster::get_if<http::status_error>(error);
        return e != nullptr ? e->retry_after().value_or(std::chrono::seconds(0)) : std::chrono::seconds(0);
    }

    void job_over(job&& j, verdict&& v) override {
        count(j, v);
        // After refuse() the log belongs to another list of URLs, so nothing but a success is added.
        if (log_ == nullptr || (!refused_.empty() && v.state != muster::outcome_state::value))
            return;
        const auto url = maker_.url(j.line);
        log_->add_url(j, v, url, maker_.key(url));
    }

    static constexpr std::chrono::seconds longest_retry_after = std::chrono::minutes(2);

    const fetch_options& options_;
    request_maker maker_;
    bool safe_to_repeat_;
    std::string refused_;
    output_folder& folder_;
    job_log* log_;
    http::client client_;
};

/// *Returns* whether there is a line in a file on disk, without taking it.
bool has_a_line(const std::string& file, const line_rules& rules) {
    line_source trial(file, rules);
    input_line line;
    return trial.try_take(line) == line_source::took::line;
}

std::string nothing_in(const line_source& source) {
    return fmt::format("there is no {} in {}: give one a line", source.rules().thing, source.name());
}

void check(const fetch_options& o) {
    for (const auto& url : o.urls) {
        if (url.size() > 1 && url.front() == '-')
            throw usage_error(fmt::format("there is no option '{}'\nSee muster fetch --help", url));
    }
    const bool from_input = o.urls == std::vector<std::string>{"-"};
    if (o.urls.empty() && o.file.empty())
        throw usage_error("there is nothing to fetch: give URLs, -f FILE, or - for standard input");
    if (o.inputs && !o.file.empty())
        throw usage_error("give inputs after ::: or -f FILE, not both");
    if (o.inputs && o.urls.size() != 1)
        throw usage_error("before ::: there must be one URL, with {} where the inputs go");
    if (o.inputs && !url_template(o.urls.front()).has_places())
        throw usage_error(fmt::format("{} has no place for the inputs: put {{}} into it, or {{#}} for their numbers",
            http::without_password(o.urls.front())));
    if (!o.urls.empty() && !o.file.empty() && !request_maker::is_template(o))
        throw usage_error("give URLs or -f FILE, not both; or one URL with {} in it, and the inputs for it in FILE");
    if (!from_input && std::ranges::find(o.urls, "-") != o.urls.end())
        throw usage_error("- stands for standard input and can't be mixed with URLs");
    if (o.resume && (o.jsonl.empty() || o.jsonl == "-"))
        throw usage_error("--resume needs --jsonl FILE, with the log of the earlier run");
    if (o.data && !o.data_file.empty())
        throw usage_error("give one body: --data or --data-file, not both");
    if (!o.data_file.empty() && ::access(o.data_file.c_str(), R_OK) != 0)
        throw usage_error(
            fmt::format("the body can't be read: {}: {}", o.data_file, std::generic_category().message(errno)));
    if (!o.name.empty() && o.output.empty())
        throw usage_error("--name says how the files are called that -o DIR writes: give that, too");
    if (!o.name.empty() && !url_template(o.name).has_number())
        throw usage_error("--name: without {#}, the number of the input, two bodies could have one name");
    if (o.name.find('/') != std::string::npos || o.name.starts_with('.'))
        throw usage_error("--name: a name has no slash in it, and no dot at its beginning");
}

std::string file_of(const fetch_options& o) { return o.urls == std::vector<std::string>{"-"} ? "-" : o.file; }

std::unique_ptr<line_source> open_source(const fetch_options& o) {
    const auto rules = request_maker::is_template(o) ? line_rules::inputs('\n') : line_rules::urls();
    if (o.inputs)
        return std::make_unique<line_source>(*o.inputs, rules);
    const auto file = file_of(o);
    return file.empty() ? std::make_unique<line_source>(o.urls, rules) : std::make_unique<line_source>(file, rules);
}

} // namespace

void fetch_all(const fetch_options& options, line_source& source, printed_ledger& ledger, writer& out,
    stop_signals& signals, std::function<void(const batch&)> at_end) {
    output_folder nowhere({});
    fetch_batch b(options, source, ledger, out, nowhere, nullptr);
    run_batch(b, signals);
    at_end(b);
    signals.end_listening();
}

int fetch(const fetch_options& asked) {
    fetch_options options = asked;
    check(options);
    const std::string file = file_of(options);
    const auto source = open_source(options);
    const request_maker maker(options);
    if (!file.empty() && source->is_finite() && file != "-" && !has_a_line(file, source->rules()))
        throw usage_error(nothing_in(*source));
    if (std::error_code no_matter; std::filesystem::equivalent(file, options.jsonl, no_matter))
        throw usage_error(fmt::format("--jsonl: {} is the input: name another file", options.jsonl));
    output_folder folder(options.output);
    writer out;
    std::optional<job_log> log;
    if (!options.jsonl.empty())
        log.emplace(out, options.jsonl);
    const auto before = options.resume
                            ? earlier_run(log->descriptor_to_resume(), options.jsonl, "fetch", "URL or request")
                            : earlier_run();
    // A body that is not where it is to be now is fetched again.
    const auto is_done = [&](const input_line& line) {
        const auto url = maker.url(line);
        return before.succeeded(line, maker.key(url)) &&
               (!folder.is_open() || folder.has_file(maker.file_name(line, url)));
    };
    if (options.resume && file != "-" && source->is_finite())
        source->expect(before.look_ahead(*open_source(options), is_done));
    // A request has a connection and a file, or looks up a name, which takes more.
    options.limit = limit_in_reach(options, "requests");
    begin_log(log, options, before, "that URL is asked for again");

    printed_ledger ledger;
    fetch_batch b(options, *source, ledger, out, folder, log ? &*log : nullptr);
    if (options.resume)
        pass_over_what_is_done(
            *source, is_done, [](const input_line&) {}, [&](const std::string& why) { b.refuse(why); });
    // Made last: it refers to the batch and the writer until it is gone.
    stop_signals signals;
    run_batch(b, signals);
    out.drain();
    if (log)
        log->close();
    if (source->taken() == 0 && source->exhausted() && b.signal() == 0)
        throw usage_error(nothing_in(*source));
    return b.status(print_end(b, out, ledger, *source, !log || !log->to_standard_output(), options.quiet,
        {source->failure(), log ? log->failure() : std::string()}));
}

} // namespace tool
