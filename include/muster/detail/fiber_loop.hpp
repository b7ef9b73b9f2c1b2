// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The part of a loop that a fiber knows: where it is queued, which fiber is running, what a test observes, and how
/// other threads reach the loop. The scheduler is one and adds timers, tasks and the outside world.
///
///     fiber.loop().post(call);

#include <muster/config.hpp>
#include <muster/detail/assert.hpp>
#include <muster/detail/mailbox.hpp>
#include <muster/detail/run_queue.hpp>

#include <cstdint>
#include <memory>
#include <utility>

namespace muster::detail {

class fiber;
class loop_watch;

/// *Thread safety*: the loop's thread, except what inbox() gives.
class fiber_loop {
public:
    fiber_loop(const fiber_loop&) = delete;
    fiber_loop& operator=(const fiber_loop&) = delete;

    /// Queues a call, unless it is queued already. A fiber queues itself: see fiber::wake.
    void post(call_entry& c) noexcept { ready_.push_call(c); }
    /// Queues a call in front of what is left of the batch that runs, unless it is queued already. Calls that the same
    /// entry of the queue puts there keep their order.
    void post_first(call_entry& c) noexcept { ready_.push_call_first(c); }
    /// Whether the entry that runs has put anything there.
    [[nodiscard]] bool anything_posted_first() const noexcept { return ready_.anything_put_first(); }
    /// Whether `c` stands at the end of the queue, so that what is queued next comes right behind it.
    [[nodiscard]] bool is_last(const call_entry& c) const noexcept { return ready_.is_last(c); }
    /// Takes a call off the queue, if it is on it. *Complexity*: O(1).
    void unpost(call_entry& c) noexcept { ready_.remove(c); }
    /// Whether the next iteration of the loop has anything to run.
    [[nodiscard]] bool has_ready() const noexcept { return !ready_.empty(); }
    /// Drops what is queued: the loop ends. Fibers are destroyed by whoever owns them.
    void drop_ready() noexcept { ready_.drop_all(); }

    /// The fiber whose step this is; null between steps.
    [[nodiscard]] fiber* running() const noexcept { return running_; }

    /// The number of the present run: how many earlier runs left fibers behind.
    [[nodiscard]] std::uint8_t run_number() const noexcept { return run_; }
    [[nodiscard]] bool can_leave_fibers_behind() const noexcept { return run_ != most_runs; }
    /// The run ends, and fibers that ignored their cancellation stay: none that has begun is ever resumed again.
    void leave_fibers_behind() noexcept {
        MUSTER_ASSERT(can_leave_fibers_behind());
        ++run_;
        steps_ = steps::checked;
    }
    /// True unless a step has more to do than to resume coroutines: a test observes the fibers, or some of those that
    /// are queued may have been left behind by an earlier run.
    [[nodiscard]] bool steps_are_plain() const noexcept { return steps_ == steps::plain; }

    /// A test's observer; null on every loop but a test's. It sees the steps that begin after it was set.
    [[nodiscard]] loop_watch* watch() const noexcept { return watch_; }
    void set_watch(loop_watch* watch) noexcept {
        watch_ = watch;
        if (watch != nullptr)
            steps_ = steps::checked;
    }

    /// Work outside (a pool's job, a look-up, a promise on another thread) that will post to this loop: while there
    /// is any, a loop with nothing to do waits instead of reporting a deadlock.
    void begin_external_work() noexcept { ++external_work_; }
    void end_external_work() noexcept {
        MUSTER_ASSERT(external_work_ > 0);
        --external_work_;
    }
    [[nodiscard]] bool external_work_in_progress() const noexcept { return external_work_ > 0; }

    /// The way in for other threads. Outlives the loop.
    [[nodiscard]] const std::shared_ptr<mailbox>& inbox() const noexcept { return inbox_; }

protected:
    explicit fiber_loop(std::shared_ptr<mailbox> inbox) noexcept : inbox_(std::move(inbox)) {}
    ~fiber_loop() = default;

    [[nodiscard]] run_queue& ready() noexcept { return ready_; }

private:
    friend class fiber; // it queues itself, and says when it runs

    static constexpr std::uint8_t most_runs = 255;
    enum class steps : std::uint8_t { plain, checked };

    run_queue ready_;
    fiber* running_ = nullptr;
    loop_watch* watch_ = nullptr;
    std::uint8_t run_ = 0;
    steps steps_ = steps::plain;
    std::int64_t external_work_ = 0;
    std::shared_ptr<mailbox> inbox_;
};

} // namespace muster::detail
