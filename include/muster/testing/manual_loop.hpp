// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A loop on a virtual clock, for tests: no real time passes, sleeps end exactly when they should, and a program in
/// which nothing can run any more ends with a deadlock_error that lists who waits. Work on other threads (a pool's
/// jobs) is waited for before the clock moves.
///
///     muster::testing::manual_loop loop;
///     loop.run([]() -> muster::task<> { co_await muster::sleep_for(1h); }());
///     EXPECT_EQ(loop.elapsed(), 1h);

#include <muster/config.hpp>
#include <muster/detail/scheduler.hpp>
#include <muster/run_options.hpp>

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <source_location>
#include <utility>

namespace muster::testing {

/// *Thread safety*: one thread. *Lifetime*: as event_loop.
class manual_loop final : public detail::scheduler {
public:
    manual_loop();
    ~manual_loop() override;

    /// Runs the task as muster::run does, in virtual time.
    template <class T>
    T run(task<T> main, const run_options& options = {}, std::source_location site = std::source_location::current()) {
        return detail::run_on(*this, std::move(main), options, site);
    }

    /// Does not compile: says what to write instead.
    template <detail::no_task A>
    void run(A&&, const run_options& = {}) {
        detail::refuse<A>();
    }

    /// Makes a task of this loop from plain code; it runs in run_ready or advance.
    template <class T>
    task_handle<T> start(
        task<T> t, std::string name = {}, std::source_location site = std::source_location::current()) {
        const detail::current_loop_scope scope(*this);
        auto h = detail::spawn(*this, std::move(t), site);
        if (!name.empty())
            h.set_name(std::move(name));
        return h;
    }

    /// Runs what is ready, and what that makes ready, until nothing is; the clock stands still.
    void run_ready();
    /// Lets `time` pass: timers fire one after the other, each at its time.
    void advance(std::chrono::nanoseconds time);
    /// Moves the clock without running anything, as a step that keeps the loop busy does.
    void skip(std::chrono::nanoseconds time) noexcept {
        clock_ += time;
        look_at_clock();
    }

    /// From now on tasks that are ready at once run in an order that `seed` decides, in place of the order in which
    /// each became ready: a program must be right in each. 0 brings that order back. The same seed gives the same run.
    void shuffle_ready(std::uint64_t seed) noexcept { shuffle_iterations(seed); }

    /// A promise that is alive may be kept by another thread, so the loop waits for it, for ever unless a limit is set
    /// here, in real time: then a run that has nothing else to do ends with a deadlock_error.
    void limit_waits_for_promises(std::chrono::nanoseconds real_time) noexcept { promise_limit_ = real_time; }

    /// Virtual time since the loop was made.
    [[nodiscard]] std::chrono::nanoseconds elapsed() const noexcept { return clock_; }
    /// "'NAME' (created at FILE:LINE) waits for WHAT" for each task that has not ended.
    [[nodiscard]] std::vector<std::string> waiters() const { return describe_waiters(); }

    bool watch_interrupt(std::uint64_t, interrupt_function, void*) override { return false; }
    void unwatch_interrupt() noexcept override {}

private:
    detail::nanoseconds read_clock() noexcept override { return clock_; }
    bool poll(bool may_wait, std::optional<detail::nanoseconds> until) override;
    /// *Returns* false if the limit, if there is one, came first.
    [[nodiscard]] bool wait_for_letter(std::optional<std::chrono::nanoseconds> limit);

    detail::nanoseconds clock_{0};
    std::mutex lock_;
    std::condition_variable woken_;
    bool wake_ = false;
    std::optional<std::chrono::nanoseconds> promise_limit_;
};

/// *Returns* how many coroutine frames are alive: a test ends with as many as it began with.
/// Counts what this thread and threads that have ended made and freed.
[[nodiscard]] std::int64_t live_frames() noexcept;

} // namespace muster::testing
