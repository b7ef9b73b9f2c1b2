// SPDX-License-Identifier: MIT
#include "fetch.hpp"

#include "body_file.hpp"
#include "job_log.hpp"
#include "pacer.hpp"
#include "progress.hpp"
#include "streams.hpp"

#include <muster/http.hpp>
#include <muster/map.hpp>
#include <muster/run.hpp>
#include <muster/sleep.hpp>
#include <muster/task_handle.hpp>
#include <muster/timeout.hpp>

#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <iterator>
#include <memory>
#include <optional>
#include <random>
#include <ranges>
#include <string_view>
#include <system_error>
#include <unordered_map>
#include <utility>

#include <unistd.h>

namespace tool {

namespace {

using namespace std::chrono_literals;
namespace http = muster::http;

/// What may be different the next time.
bool worth_a_retry(const std::exception_ptr& error) {
    if (const auto* e = muster::get_if<http::status_error>(error))
        return e->status() >= 500 || e->status() == 429;
    return muster::is_a<http::connect_error>(error) || muster::is_a<http::reset_error>(error) ||
           muster::is_a<muster::timeout_error>(error);
}

/// A place in the map: with its line, or with the right to wait for the next one.
struct ticket {
    ticket() {}
    std::uint64_t number = 0;
    std::optional<input_line> line;
};

/// The input of the map. A source that has nothing yet gives tickets without a line, which wait for theirs as tasks:
/// the map itself can't wait.
class tickets {
public:
    explicit tickets(url_source& from) : from_(&from) {}

    class iterator {
    public:
        using value_type = ticket;
        using difference_type = std::ptrdiff_t;
        explicit iterator(tickets& of) : of_(&of) {}
        ticket& operator*() const noexcept { return of_->current_; }
        iterator& operator++() {
            of_->draw();
            return *this;
        }
        void operator++(int) { ++*this; }
        [[nodiscard]] bool at_end() const noexcept { return of_->over_; }
        friend bool operator==(const iterator& i, std::default_sentinel_t) noexcept { return i.at_end(); }

    private:
        tickets* of_;
    };
    iterator begin() {
        draw();
        return iterator(*this);
    }
    [[nodiscard]] std::default_sentinel_t end() const noexcept { return std::default_sentinel; }

private:
    void draw() {
        input_line line;
        current_.line.reset();
        switch (from_->try_take(line)) {
        case url_source::took::end: over_ = true; return;
        case url_source::took::line: current_.line = std::move(line); break;
        case url_source::took::nothing_yet: break;
        }
        current_.number = drawn_++;
    }

    url_source* from_;
    ticket current_;
    std::uint64_t drawn_ = 0;
    bool over_ = false;
};

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

class batch {
public:
    using end_function = std::function<void(const batch_end&)>;
    batch(const fetch_options& options, url_source& source, ledger& counts, job_log* log, const end_function& at_end)
        : options_(options),
          source_(source),
          counts_(counts),
          log_(log),
          client_(client_options_for(options)),
          at_end_(at_end),
          pacer_(options.at_most),
          line_(options.show_progress && !options.quiet) {}

    muster::task<> run() {
        began_ = muster::loop_clock::now();
        muster::task_handle<void> drawing;
        if (line_.shown())
            drawing = muster::create_task(keep_drawing(), "progress");
        auto everything = fetch_and_count();
        auto ended = co_await muster::as_outcome(std::move(everything));
        if (line_.shown())
            drawing.cancel();
        line_.clear();
        if (ended.was_cancelled())
            interrupt(ended.message());
        else if (ended.failed())
            count_the_unended("given up");
        finish();
        if (ended.failed())
            ended.value();
    }

    /// No more is started; what is known of the input is counted. `message` is the cancellation's.
    void interrupt(std::string_view message) {
        end_.interrupted = true;
        end_.by_sigterm = message.ends_with("SIGTERM");
        count_the_unended("interrupted");
    }
    /// All is counted. Only the first call does something.
    void finish() {
        if (std::exchange(finished_, true))
            return;
        end_.elapsed = std::chrono::steady_clock::now() - start_;
        if (at_end_)
            at_end_(end_);
    }
    [[nodiscard]] const batch_end& end() const noexcept { return end_; }

private:
    muster::task<> fetch_and_count() {
        tickets input(source_);
        const auto start = [this](ticket& t) {
            if (t.line)
                running_.try_emplace(t.number, std::move(*t.line));
            return serve(t.number);
        };
        const auto sink = [this](std::size_t number, muster::outcome<void>&& o) { take_in(number, o); };
        constexpr std::chrono::nanoseconds for_ever = 24h * 36500;
        auto mapping = muster::map(input, start)
                           .limit(options_.limit)
                           .within(options_.deadline.value_or(for_ever))
                           .stop_after_failures(options_.max_failures.value_or(std::string::npos))
                           .named("fetch")
                           .for_each(sink);
        auto summary = co_await std::move(mapping);
        if (!summary.exhausted()) {
            stop_reason_ = summary.deadline_struck() ? "deadline" : "stopped after failures";
            auto rest = count_the_rest();
            co_await std::move(rest);
        }
    }

    muster::task<> serve(std::uint64_t number) {
        auto place = running_.find(number);
        if (place == running_.end()) {
            auto line = co_await source_.next();
            if (!line)
                co_return;
            place = running_.try_emplace(number, std::move(*line)).first;
        }
        job& j = place->second;
        if (pacer_.needed())
            co_await pacer_.turn();
        const auto began = muster::loop_clock::now();
        for (;;) {
            auto trying = attempt(j);
            auto ended = co_await muster::as_outcome(std::move(trying));
            j.took = muster::loop_clock::now() - began;
            if (ended.succeeded())
                co_return;
            if (j.attempts > options_.retries || !ended.failed() || !worth_a_retry(ended.error())) {
                auto error = ended.as_exception();
                co_await muster::fail(std::move(error));
            }
            auto pausing = pause_before_retry(j.attempts);
            auto paused = co_await muster::as_outcome(std::move(pausing));
            // There will be no other attempt: how the last one ended is how it ended.
            if (!paused.succeeded()) {
                auto error = ended.error();
                co_await muster::fail(std::move(error));
            }
        }
    }

    muster::task<> attempt(job& j) {
        ++j.attempts;
        j.status = 0;
        j.bytes = 0;
        if (j.line.too_long)
            throw http::url_error(j.line.text.substr(0, 100),
                fmt::format("the line is longer than {} bytes", url_source::longest_line));
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

    muster::task<> pause_before_retry(unsigned attempts) {
        const double longest = std::min(0.2 * std::pow(2.0, attempts - 1), 10.0);
        // Half of it at random, so that what failed together does not come back together.
        const double seconds = longest * std::uniform_real_distribution<double>(0.5, 1.0)(random_);
        co_await muster::sleep_for(std::chrono::duration<double>(seconds));
        if (pacer_.needed())
            co_await pacer_.turn();
    }

    void take_in(std::uint64_t number, const muster::outcome<void>& o) {
        const auto place = running_.find(number);
        if (place == running_.end()) {
            // It never had a line. That it could not wait for one is the input's failure.
            if (o.failed())
                source_.give_up(problem_of(o.error()));
            return;
        }
        const job j = std::move(place->second);
        running_.erase(place);
        if (o.succeeded())
            add(j, verdict::ok());
        else if (o.failed())
            add(j, verdict::failed(o.error()));
        else if (j.attempts == 0)
            add(j, verdict::not_started(reason_of(o)));
        else
            add(j, verdict::cancelled(reason_of(o)));
    }

    static std::string reason_of(const muster::outcome_base& o) {
        if (o.reason() == muster::cancel_reason::parent_cancelled)
            return "interrupted";
        return std::string(muster::to_string(o.reason()));
    }

    /// What still runs then has nobody left to say how it ended; what was read of the input will not begin.
    void count_the_unended(const char* why) {
        const std::string reason = stop_reason_.empty() ? why : stop_reason_;
        for (const auto& [number, j] : running_)
            add(j, j.attempts == 0 ? verdict::not_started(reason) : verdict::cancelled(reason));
        running_.clear();
        if (!source_.is_finite())
            source_.stop_reading();
        input_line line;
        while (source_.try_take(line) == url_source::took::line)
            add(job(std::move(line)), verdict::not_started(reason));
    }

    void add(const job& j, const verdict& v) {
        counts_.add(j, v);
        if (log_ != nullptr)
            log_->add(j, v);
    }

    /// The lines that nobody will ask for any more.
    muster::task<> count_the_rest() {
        if (!source_.is_finite() && !options_.quiet)
            static_cast<void>(write_stream(STDERR_FILENO,
                fmt::format("muster: {}: counting what is left of {}; Ctrl-C to leave that\n", stop_reason_,
                    source_.name())));
        for (std::size_t counted = 1;; ++counted) {
            input_line line;
            const auto took = source_.try_take(line);
            if (took == url_source::took::end)
                co_return;
            if (took == url_source::took::line) {
                add(job(std::move(line)), verdict::not_started(stop_reason_));
                if (counted % 4096 == 0)
                    co_await muster::yield();
                continue;
            }
            auto waiting = wait_a_little();
            auto waited = co_await muster::as_outcome(std::move(waiting));
            if (waited.failed_with<muster::timeout_error>())
                co_return;
            waited.value();
        }
    }

    /// An input that is silent when nothing is done with it any more is left alone.
    muster::task<> wait_a_little() { co_await muster::wait_for(source_.wait(), 2s); }

    muster::task<> keep_drawing() {
        for (;;) {
            progress_counts c;
            c.done = counts_.ended();
            c.total = source_.total();
            c.ok = counts_.succeeded();
            c.failed = counts_.failed();
            c.running = running_.size();
            c.elapsed = muster::loop_clock::now() - began_;
            line_.draw(c);
            co_await muster::sleep_for(progress::interval);
        }
    }

    const fetch_options& options_;
    url_source& source_;
    ledger& counts_;
    job_log* log_;
    http::client client_;
    const end_function& at_end_;
    pacer pacer_;
    progress line_;
    std::unordered_map<std::uint64_t, job> running_; ///< by ticket: as many as the limit
    std::minstd_rand random_{std::random_device{}()};
    muster::loop_clock::time_point began_{};
    std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
    std::string stop_reason_;
    batch_end end_;
    bool finished_ = false;
};

void complain(const std::string& text) {
    static_cast<void>(write_stream(STDERR_FILENO, "muster: " + text + '\n'));
}

/// *Returns* whether there is a URL in a file on disk, without taking it.
bool has_a_url(const std::string& file) {
    url_source trial(file);
    input_line line;
    return trial.try_take(line) == url_source::took::line;
}

std::string no_urls_in(const std::string& name) {
    return fmt::format("there is no URL in {}: give one a line", name);
}

/// A request has a connection and a file, or looks up a name, which takes more.
constexpr std::size_t descriptors_each = 4;
constexpr std::size_t descriptors_apart = 32;

/// *Returns* how many requests the open files that this process may have are enough for, and says so if it is fewer.
std::size_t limit_in_reach(const fetch_options& options) {
    const auto may_be_open = most_open_files();
    const auto enough = may_be_open > descriptors_apart + descriptors_each
                            ? (may_be_open - descriptors_apart) / descriptors_each
                            : std::size_t{1};
    if (options.limit <= enough)
        return options.limit;
    if (!options.quiet)
        complain(fmt::format("--limit {}: for lack of open files, of which there may be {}, at most {} requests run at "
                             "once: raise that with ulimit -n",
            options.limit, may_be_open, enough));
    return enough;
}

} // namespace

batch_end fetch_all(const fetch_options& options, url_source& source, ledger& counts, job_log* log,
    const std::function<void(const batch_end&)>& at_end) {
    batch b(options, source, counts, log, at_end);
    try {
        muster::run(b.run(), muster::run_options().interrupt_signals({SIGINT, SIGTERM}));
    } catch (const muster::cancelled_error& e) {
        // It came before the beginning, or in the very moment of the end.
        b.interrupt(e.message());
    }
    b.finish();
    return b.end();
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
    auto source = file.empty() ? std::make_unique<url_source>(options.urls) : std::make_unique<url_source>(file);
    if (!file.empty() && source->is_finite() && file != "-" && !has_a_url(file))
        throw usage_error(no_urls_in(source->name()));
    if (std::error_code no_matter; std::filesystem::equivalent(file, options.jsonl, no_matter))
        throw usage_error(fmt::format("--jsonl: {} is the input: name another file", options.jsonl));
    options.limit = limit_in_reach(options);
    if (!options.output.empty())
        require_folder(options.output);
    std::optional<job_log> log;
    if (!options.jsonl.empty())
        log.emplace(options.jsonl);

    ledger counts;
    bool all_well = true;
    const auto conclude = [&](const batch_end& end) {
        if (log)
            log->close();
        if (source->urls() == 0 && source->exhausted() && !end.interrupted)
            return;
        all_well = counts.succeeded() == counts.submitted();
        if (!options.quiet) {
            const bool on_output = !log || !log->to_standard_output();
            const auto failed =
                write_stream(on_output ? STDOUT_FILENO : STDERR_FILENO, counts.text(*source, end.elapsed));
            if (failed && on_output) {
                complain(fmt::format("the ledger can't be written to standard output: {}", failed->message()));
                all_well = false;
            }
        }
        if (!source->failure().empty()) {
            complain(source->failure());
            all_well = false;
        }
        if (log && !log->failure().empty()) {
            complain(log->failure());
            all_well = false;
        }
    };
    const batch_end end = fetch_all(options, *source, counts, log ? &*log : nullptr, conclude);
    if (source->urls() == 0 && source->exhausted() && !end.interrupted)
        throw usage_error(no_urls_in(source->name()));
    if (end.interrupted)
        return end.interrupted_status();
    return all_well ? all_succeeded : some_failed;
}

} // namespace tool
