// SPDX-License-Identifier: MIT
#include "fetch.hpp"

#include "body_file.hpp"
#include "job_log.hpp"

#include <muster/http.hpp>
#include <muster/run.hpp>

#include <fmt/core.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>
#include <system_error>
#include <utility>

namespace tool {

namespace {

namespace http = muster::http;

http::client_options client_options_for(const fetch_options& o) {
    http::client_options options;
    options.user_agent(
        fmt::format("muster/{}.{}.{}", muster::version_major, muster::version_minor, muster::version_patch));
    options.body_limit(o.max_size.value_or(http::no_limit));
    // Connections that are kept for later give way to those that are needed now.
    options.connections(o.limit);
    if (o.timeout)
        options.timeout(*o.timeout);
    return options;
}

class fetch_batch final : public batch {
public:
    fetch_batch(const fetch_options& options, line_source& source, ledger& counts, job_log* log)
        : batch("fetch", options, source, counts), options_(options), log_(log), client_(client_options_for(options)) {}

private:
    muster::task<> attempt(job& j) override {
        j.status = 0;
        j.bytes = 0;
        if (j.line.too_long)
            throw http::url_error(j.line.text.substr(0, 100),
                fmt::format("the line is longer than {} bytes", line_source::longest_line));
        body_file file(options_.output, j.line);
        auto ask = http::request(j.line.text);
        ask.body_to([&](std::string_view piece) {
            j.bytes += piece.size();
            file.write(piece);
        });
        auto reply = co_await client_.send(std::move(ask));
        j.status = reply.status;
        j.bytes = reply.body_size;
        reply.throw_if_error();
        file.finish();
    }

    [[nodiscard]] bool worth_a_retry(const std::exception_ptr& error) const override {
        if (const auto* e = muster::get_if<http::status_error>(error))
            return e->status() >= 500 || e->status() == 429;
        return muster::is_a<http::connect_error>(error) || muster::is_a<http::reset_error>(error) ||
               muster::is_a<muster::timeout_error>(error);
    }

    void ended(job&& j, verdict&& v) override {
        counts().add(j, v);
        if (log_ != nullptr)
            log_->add_url(j, v);
    }

    const fetch_options& options_;
    job_log* log_;
    http::client client_;
};

/// *Returns* whether there is a URL in a file on disk, without taking it.
bool has_a_url(const std::string& file) {
    line_source trial(file, line_rules::urls());
    input_line line;
    return trial.try_take(line) == line_source::took::line;
}

std::string no_urls_in(const std::string& name) {
    return fmt::format("there is no URL in {}: give one a line", name);
}

} // namespace

batch_end fetch_all(const fetch_options& options, line_source& source, ledger& counts, job_log* log,
    std::function<void(const batch_end&)> at_end) {
    fetch_batch b(options, source, counts, log);
    return run_batch(b, muster::run_options().interrupt_signals({SIGINT, SIGTERM}), std::move(at_end));
}

int fetch(const fetch_options& asked) {
    fetch_options options = asked;
    const bool from_input = options.urls == std::vector<std::string>{"-"};
    if (options.urls.empty() && options.file.empty())
        throw usage_error("there is nothing to fetch: give URLs, -f FILE, or - for standard input");
    if (!options.urls.empty() && !options.file.empty())
        throw usage_error("give URLs or -f FILE, not both");
    if (!from_input && std::ranges::find(options.urls, "-") != options.urls.end())
        throw usage_error("- stands for standard input and can't be mixed with URLs");
    const std::string file = from_input ? "-" : options.file;
    auto source = file.empty() ? std::make_unique<line_source>(options.urls, line_rules::urls())
                               : std::make_unique<line_source>(file, line_rules::urls());
    if (!file.empty() && source->is_finite() && file != "-" && !has_a_url(file))
        throw usage_error(no_urls_in(source->name()));
    if (std::error_code no_matter; std::filesystem::equivalent(file, options.jsonl, no_matter))
        throw usage_error(fmt::format("--jsonl: {} is the input: name another file", options.jsonl));
    // A request has a connection and a file, or looks up a name, which takes more.
    options.limit = limit_in_reach(options, "requests");
    if (!options.output.empty())
        require_folder(options.output);
    std::optional<job_log> log;
    if (!options.jsonl.empty())
        log.emplace(options.jsonl);

    ledger counts;
    bool all_well = true;
    const auto at_end = [&](const batch_end& how) {
        if (log)
            log->close();
        if (source->taken() != 0 || !source->exhausted() || how.interrupted())
            all_well = conclude(how, counts, *source, !log || !log->to_standard_output(), options.quiet,
                {source->failure(), log ? log->failure() : std::string()});
    };
    const batch_end end = fetch_all(options, *source, counts, log ? &*log : nullptr, at_end);
    if (source->taken() == 0 && source->exhausted() && !end.interrupted())
        throw usage_error(no_urls_in(source->name()));
    return end.status(all_well);
}

} // namespace tool
