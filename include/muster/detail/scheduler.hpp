// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// What runs fibers on one thread: a queue of what is ready, a heap of timers, and a mailbox for other threads.
/// Where the time comes from and how it waits for the outside world is a backend's: event_loop or manual_loop.
/// One turn runs what was ready when it began; what becomes ready meanwhile belongs to the next, as in asyncio.
///
///     scheduler.post(fiber);
///     scheduler.arm(timer, scheduler.now() + 10ms);

#include <muster/config.hpp>
#include <muster/detail/cancel_wave.hpp>
#include <muster/detail/completable.hpp>
#include <muster/detail/fiber.hpp>
#include <muster/detail/mailbox.hpp>
#include <muster/detail/timer_heap.hpp>
#include <muster/report.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace muster::detail {

class loop_watch;
class task_base;
void destroy_fiber_tree(fiber& root) noexcept;

/// Intrusive, first in first out. Not for use across threads. A copy is the same list.
class run_queue {
public:
    [[nodiscard]] bool empty() const noexcept { return head_ == nullptr; }

    void push(runnable& r) noexcept {
        r.next_ = nullptr;
        r.before_ = tail_;
        if (head_ == nullptr)
            head_ = &r;
        else
            tail_->next_ = &r;
        tail_ = &r;
    }
    [[nodiscard]] runnable* take_all() noexcept {
        runnable* all = head_;
        head_ = tail_ = nullptr;
        return all;
    }
    /// For one that is in this list, or in one that was taken and is not its first.
    void unlink(runnable& r) noexcept {
        (r.before_ != nullptr ? r.before_->next_ : head_) = r.next_;
        if (r.next_ != nullptr)
            r.next_->before_ = r.before_;
        else if (tail_ == &r)
            tail_ = r.before_;
    }

private:
    runnable* head_ = nullptr;
    runnable* tail_ = nullptr;
};

class scheduler {
public:
    scheduler(const scheduler&) = delete;
    scheduler& operator=(const scheduler&) = delete;

    /// The one that runs on this thread, or null.
    [[nodiscard]] static scheduler* current() noexcept { return current_; }
    /// *Errors*: invalid_state_error if no loop runs on this thread; `what` says what was tried.
    [[nodiscard]] static scheduler& require(const char* what);

    void post(fiber& f) noexcept { ready_.push(f); }
    void post(call_entry& c) noexcept {
        if (!c.queued_) {
            c.queued_ = true;
            ready_.push(c);
        }
    }

    /// Takes a call off the queue, if it is on it. *Complexity*: O(1).
    void unpost(call_entry& c) noexcept {
        if (!c.queued_)
            return;
        c.queued_ = false;
        if (batch_ == &c)
            batch_ = c.next_;
        else
            ready_.unlink(c);
    }

    /// Loop time, read once a turn. Starts near zero.
    [[nodiscard]] nanoseconds now() const noexcept { return now_; }

    /// *Returns* false if there is no memory for it; the timer is then not armed.
    [[nodiscard]] bool arm(timer& t, nanoseconds when) noexcept { return arm(t, when, take_timer_order()); }
    /// The same with a place among timers of the same time that was taken earlier.
    [[nodiscard]] bool arm(timer& t, nanoseconds when, std::uint64_t order) noexcept;
    [[nodiscard]] std::uint64_t take_timer_order() noexcept { return timers_.take_order(); }
    void disarm(timer& t) noexcept {
        if (t.armed())
            timers_.remove(t);
    }

    /// Work outside (a pool's job, a look-up, a promise on another thread) that will post to this loop: while there
    /// is any, a loop with nothing to do waits instead of reporting a deadlock.
    void begin_external_work() noexcept { ++external_work_; }
    void end_external_work() noexcept { --external_work_; }

    /// The way in for other threads. Outlives the loop.
    [[nodiscard]] const std::shared_ptr<mailbox>& inbox() const noexcept { return link_->inbox; }
    [[nodiscard]] loop_link* link() const noexcept { return link_; }

    /// Runs turns until `done(context)`; *returns* false on a deadlock: nothing ready, no timer, nothing outside.
    bool run_until(bool (*done)(void*), void* context);
    /// One turn: what was ready, then timers that were due when it began. Does not wait.
    void run_turn() noexcept;

    // ---- the tasks that the loop owns, in order of creation ----
    void enlist(task_base& t) noexcept;
    void delist(task_base& t) noexcept;
    [[nodiscard]] task_base* first_task() const noexcept { return first_task_; }
    [[nodiscard]] std::size_t live_tasks() const noexcept { return live_tasks_; }
    [[nodiscard]] std::uint64_t next_number() noexcept { return ++numbered_; }
    [[nodiscard]] std::string describe_fiber(const fiber& f) const;
    /// Steps that take longer are reported; zero, the default, measures nothing.
    void report_slow_steps(nanoseconds limit) noexcept { slow_step_ = limit; }
    /// "NAME (made at FILE:LINE) waits for WHAT" for each task that has not ended.
    [[nodiscard]] std::vector<std::string> describe_waiters() const;

    [[nodiscard]] report_sink& reports() noexcept { return reports_; }

    /// Whether the next turn has anything to run.
    [[nodiscard]] bool has_ready() const noexcept { return !ready_.empty(); }

    fiber* running_ = nullptr;    ///< the fiber whose step this is
    loop_watch* watch_ = nullptr; ///< a test's

    cancel_wave wave_; ///< how a cancellation reaches the children of combinators

    /// A random number, for jitter. The same sequence in each run on a virtual clock.
    [[nodiscard]] std::uint64_t random() noexcept {
        random_state_ += 0x9e3779b97f4a7c15u;
        std::uint64_t z = random_state_;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        return z ^ (z >> 31);
    }
    void seed_random(std::uint64_t seed) noexcept { random_state_ = seed; }

    using interrupt_function = void (*)(int signal, void* context) noexcept;
    /// Calls `interrupted` once, on the loop's thread, when the program is asked to stop by one of the signals (a bit
    /// for each, that of signal 1 the lowest); then all of them are the system's again. *Returns* false if none is
    /// watched.
    virtual bool watch_interrupt(std::uint64_t signals, interrupt_function interrupted, void* context) = 0;
    virtual void unwatch_interrupt() noexcept = 0;

protected:
    scheduler(mailbox::wake_function wake, void* context);
    virtual ~scheduler();

    /// Destroys what never ended, children before parents, and reports it. For the backend's destructor.
    void destroy_tasks() noexcept;
    [[nodiscard]] bool external_work_left() const noexcept;
    [[nodiscard]] bool external_work_in_progress() const noexcept { return external_work_ > 0; }
    [[nodiscard]] std::optional<nanoseconds> next_timer() const noexcept {
        return timers_.empty() ? std::nullopt : std::optional(timers_.earliest());
    }

    /// From now on what is ready in one turn runs in an order that `seed` decides; 0: as it came.
    void shuffle_turns(std::uint64_t seed) noexcept { shuffle_state_ = seed; }
    /// The loop's time is the clock's again, within a turn. For clocks that are set by hand.
    void look_at_clock() noexcept { now_ = read_clock(); }
    /// The time now, for the start of a turn.
    [[nodiscard]] virtual nanoseconds read_clock() noexcept = 0;
    /// Looks for events. If `may_wait`, waits for one, or until `until`. *Returns* false if nothing can ever happen.
    virtual bool poll(bool may_wait, std::optional<nanoseconds> until) = 0;

private:
    friend class current_loop_scope;
    friend void destroy_fiber_tree(fiber& root) noexcept;

    void drain_inbox() noexcept;
    [[nodiscard]] bool letter_is_there() const noexcept;
    void drop_ready() noexcept;
    void timed_step(fiber& f) noexcept;
    void shuffle_batch() noexcept;

    static constinit thread_local scheduler* current_;

    run_queue ready_;
    runnable* batch_ = nullptr; ///< what is left of this turn
    timer_heap timers_;
    nanoseconds now_{0};
    loop_link* link_;
    std::int64_t external_work_ = 0;
    task_base* first_task_ = nullptr;
    task_base* last_task_ = nullptr;
    std::size_t live_tasks_ = 0;
    std::uint64_t numbered_ = 0;
    std::uint32_t turns_without_poll_ = 0;
    bool letters_came_ = false; ///< at the last look
    nanoseconds slow_step_{0};
    std::uint64_t random_state_ = 0;
    std::uint64_t shuffle_state_ = 0;
    report_sink reports_;
};

/// The name of the task whose step this is; empty outside.
[[nodiscard]] std::string running_task_name();

/// Destroys a fiber's frames, innermost first, and before them its children's; without recursion.
void destroy_fiber_tree(fiber& root) noexcept;

/// While it lives, `s` is this thread's loop, and reports go to its sink.
class current_loop_scope {
public:
    explicit current_loop_scope(scheduler& s) noexcept;
    ~current_loop_scope();
    current_loop_scope(const current_loop_scope&) = delete;
    current_loop_scope& operator=(const current_loop_scope&) = delete;

private:
    scheduler* loop_before_;
    report_sink* sink_before_;
};

inline void fiber::wake() noexcept {
    state_ = fiber_state::queued;
    loop_->post(*this);
}

inline void fiber::yield(std::coroutine_handle<> h) noexcept {
    leaf_ = h;
    state_ = fiber_state::queued;
    loop_->post(*this);
}

} // namespace muster::detail
