// SPDX-License-Identifier: MIT
#include "batch.hpp"

#include "streams.hpp"

#include <muster/map.hpp>
#include <muster/run.hpp>
#include <muster/timeout.hpp>

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <iterator>
#include <utility>

#include <unistd.h>

namespace tool {

namespace {

using namespace std::chrono_literals;

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
    explicit tickets(line_source& from) : from_(&from) {}

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
        case line_source::took::end:
            over_ = true;
            return;
        case line_source::took::line:
            current_.line = std::move(line);
            break;
        case line_source::took::nothing_yet:
            break;
        }
        current_.number = drawn_++;
    }

    line_source* from_;
    ticket current_;
    std::uint64_t drawn_ = 0;
    bool over_ = false;
};

muster::task<> end_of(muster::task_handle<void> handle) { co_await handle; }

/// Not at once: it may be the task itself, or what it waits for, that finds out that it has to stop.
muster::task<> cancel(muster::task_handle<void> handle) {
    handle.cancel();
    co_return;
}

} // namespace

batch::batch(const char* name, const batch_options& options, line_source& source, ledger& counts)
    : name_(name),
      options_(options),
      source_(source),
      counts_(counts),
      pacer_(options.at_most),
      line_(options.show_progress && !options.quiet) {}

muster::task<> batch::run() {
    began_ = muster::loop_clock::now();
    muster::task_handle<void> drawing;
    if (line_.shown())
        drawing = muster::create_task(keep_drawing(), "progress");
    if (on_begin_)
        on_begin_();
    working_ = muster::create_task(work(), name_);
    if (stopped_)
        working_.cancel();
    auto everything = end_of(working_);
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

void batch::stop(std::string why, int signal) {
    if (end_.signal == 0)
        end_.signal = signal;
    if (std::exchange(stopped_, true))
        return;
    stop_reason_ = std::move(why);
    if (working_.valid() && !working_.done())
        muster::create_task(cancel(working_), "stop");
}

void batch::interrupt(std::string_view message) {
    // Without stop() it was a signal that the loop caught.
    if (!stopped_)
        end_.signal = message.ends_with("SIGTERM") ? SIGTERM : SIGINT;
    count_the_unended("interrupted");
}

void batch::finish() {
    if (std::exchange(finished_, true))
        return;
    end_.elapsed = std::chrono::steady_clock::now() - start_;
    if (on_end_)
        on_end_(end_);
}

/// What still runs then has nobody left to say how it ended; what was read of the input will not begin.
void batch::count_the_unended(const char* why) {
    const std::string reason = stop_reason_.empty() ? why : stop_reason_;
    auto left = std::exchange(running_, {});
    for (auto& [number, j] : left) {
        auto v = j.attempts == 0 ? verdict::not_started(reason) : verdict::cancelled(reason);
        ended(std::move(j), std::move(v));
    }
    if (!source_.is_finite())
        source_.stop_reading();
    input_line line;
    while (source_.try_take(line) == line_source::took::line)
        ended(job(std::move(line)), verdict::not_started(reason));
}

muster::task<> batch::work() {
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
                       .named(name_)
                       .for_each(sink);
    auto summary = co_await std::move(mapping);
    if (!summary.exhausted()) {
        if (stop_reason_.empty())
            stop_reason_ = summary.deadline_struck() ? "deadline" : "stopped after failures";
        auto rest = count_the_rest();
        co_await std::move(rest);
    }
}

muster::task<> batch::serve(std::uint64_t number) {
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
        ++j.attempts;
        auto trying = attempt(j);
        auto ended = co_await muster::as_outcome(std::move(trying));
        j.took = muster::loop_clock::now() - began;
        if (ended.succeeded())
            co_return;
        if (j.attempts > options_.retries || !ended.failed() || !worth_a_retry(ended.error())) {
            auto error = ended.as_exception();
            co_await muster::fail(std::move(error));
        }
        auto pausing = pause_before_retry(j.attempts, least_pause(ended.error()));
        auto paused = co_await muster::as_outcome(std::move(pausing));
        // There will be no other attempt: how the last one ended is how it ended.
        if (!paused.succeeded()) {
            auto error = ended.error();
            co_await muster::fail(std::move(error));
        }
    }
}

muster::task<> batch::pause_before_retry(unsigned attempts, std::chrono::nanoseconds least) {
    const double longest = std::min(0.2 * std::pow(2.0, attempts - 1), 10.0);
    // Half of it at random, so that what failed together does not come back together.
    const double seconds = longest * std::uniform_real_distribution<double>(0.5, 1.0)(random_);
    const auto own = std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::duration<double>(seconds));
    co_await muster::sleep_for(std::max(own, least));
    if (pacer_.needed())
        co_await pacer_.turn();
}

void batch::take_in(std::uint64_t number, const muster::outcome<void>& o) {
    const auto place = running_.find(number);
    if (place == running_.end()) {
        // It never had a line. That it could not wait for one is the input's failure.
        if (o.failed())
            source_.give_up(problem_of(o.error()));
        return;
    }
    job j = std::move(place->second);
    running_.erase(place);
    if (o.succeeded())
        ended(std::move(j), verdict::ok());
    else if (o.failed())
        ended(std::move(j), verdict::failed(o.error()));
    else if (j.attempts == 0)
        ended(std::move(j), verdict::not_started(reason_of(o)));
    else
        ended(std::move(j), verdict::cancelled(reason_of(o)));
}

std::string batch::reason_of(const muster::outcome_base& o) const {
    if (stopped_)
        return stop_reason_;
    if (o.reason() == muster::cancel_reason::parent_cancelled)
        return "interrupted";
    return std::string(muster::to_string(o.reason()));
}

/// The lines that nobody will ask for any more.
muster::task<> batch::count_the_rest() {
    if (!source_.is_finite() && !options_.quiet)
        complain(fmt::format("{}: counting what is left of {}; Ctrl-C to leave that", stop_reason_, source_.name()));
    for (std::size_t counted = 1;; ++counted) {
        input_line line;
        const auto took = source_.try_take(line);
        if (took == line_source::took::end)
            co_return;
        if (took == line_source::took::line) {
            ended(job(std::move(line)), verdict::not_started(stop_reason_));
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
muster::task<> batch::wait_a_little() { co_await muster::wait_for(source_.wait(), 2s); }

muster::task<> batch::keep_drawing() {
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

batch_end run_batch(batch& b, const muster::run_options& options, batch::end_function at_end) {
    b.on_end(std::move(at_end));
    try {
        muster::run(b.run(), options);
    } catch (const muster::cancelled_error& e) {
        // It came before the beginning, or in the very moment of the end.
        b.interrupt(e.message());
    }
    b.finish();
    return b.end();
}

std::size_t limit_in_reach(const batch_options& options, const char* things) {
    constexpr std::size_t each = 4;
    constexpr std::size_t apart = 32;
    require_descriptors(apart + each * options.limit);
    const auto may_be_open = most_open_files();
    const auto enough = may_be_open > apart + each ? (may_be_open - apart) / each : std::size_t{1};
    if (options.limit <= enough)
        return options.limit;
    if (!options.quiet)
        complain(fmt::format("--limit {}: for lack of open files, of which there may be {}, at most {} {} run at once: "
                             "raise that with ulimit -n",
            options.limit, may_be_open, enough, things));
    return enough;
}

bool conclude(const batch_end& end, const ledger& counts, const line_source& source, bool on_output, bool quiet,
    const std::vector<std::string>& problems) {
    bool all_well = counts.succeeded() == counts.submitted();
    if (!quiet) {
        const auto failed = write_stream(on_output ? STDOUT_FILENO : STDERR_FILENO, counts.text(source, end.elapsed));
        if (failed && on_output) {
            complain(fmt::format("the ledger can't be written to standard output: {}", failed->message()));
            all_well = false;
        }
    }
    for (const auto& problem : problems) {
        if (problem.empty())
            continue;
        complain(problem);
        all_well = false;
    }
    return all_well;
}

void complain(const std::string& text) { static_cast<void>(write_stream(STDERR_FILENO, "muster: " + text + '\n')); }

} // namespace tool
