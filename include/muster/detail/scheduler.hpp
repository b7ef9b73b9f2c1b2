// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The loop of one thread, which runs fibers: the ready queue, a heap of timers, a mailbox for other threads, and the
/// tasks. A backend, event_loop or manual_loop, says what the time is and how to wait for the outside world. One
/// iteration runs what was ready when it began; what becomes ready meanwhile belongs to the next, as in
/// asyncio.
///
///     scheduler.post(call);
///     scheduler.arm(timer, scheduler.now() + 10ms);

#include <muster/config.hpp>
#include <muster/detail/cancel_wave.hpp>
#include <muster/detail/fiber.hpp>
#include <muster/detail/fiber_loop.hpp>
#include <muster/detail/intrusive_list.hpp>
#include <muster/detail/loop_link.hpp>
#include <muster/detail/loop_thread.hpp>
#include <muster/detail/mailbox.hpp>
#include <muster/detail/random_sequence.hpp>
#include <muster/detail/timer_queue.hpp>
#include <muster/report.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace muster::detail {

class task_base;

class scheduler : public fiber_loop {
public:
    /// The loop that runs on this thread, or null.
    [[nodiscard]] static scheduler* current() noexcept { return current_; }
    /// *Errors*: invalid_state_error if no loop runs on this thread; `what` says what was tried.
    [[nodiscard]] static scheduler& require(const char* what);

    /// The loop that a fiber belongs to.
    [[nodiscard]] static scheduler& of(const fiber& f) noexcept { return static_cast<scheduler&>(f.loop()); }

    /// Loop time, which stands still during an iteration. Starts near zero.
    [[nodiscard]] nanoseconds now() noexcept {
        if (clock_is_stale_) [[unlikely]]
            look_at_clock();
        return now_;
    }

    /// *Returns* false if there is no memory for it; the timer is then not armed.
    [[nodiscard]] bool arm(timer& t, nanoseconds when) noexcept { return arm(t, when, take_timer_order()); }
    /// The same; among timers of the same time it fires in the order given, which was taken earlier.
    [[nodiscard]] bool arm(timer& t, nanoseconds when, std::uint64_t order) noexcept;
    [[nodiscard]] std::uint64_t take_timer_order() noexcept { return timers_.take_order(); }
    void disarm(timer& t) noexcept {
        if (t.armed())
            timers_.remove(t);
    }

    [[nodiscard]] loop_link* link() const noexcept { return link_; }
    [[nodiscard]] loop_id id() const noexcept { return identity_.id(); }

    /// Runs turns until `done(context)`; *returns* false on a deadlock: nothing ready, no timer, nothing outside.
    bool run_until(bool (*done)(void*), void* context);
    /// One iteration: what was ready, then timers that were due when it began. Does not wait.
    void run_iteration() noexcept;

    // ---- the tasks that the loop owns, in order of creation ----
    void enlist(task_base& t) noexcept;
    void delist(task_base& t) noexcept;
    /// The first of those that may still run, and the next one; null at the end. Tasks that an earlier run has left
    /// behind are passed over.
    [[nodiscard]] task_base* first_task() const noexcept;
    [[nodiscard]] task_base* next_task(const task_base& t) const noexcept;
    /// How many there are, those that were left behind too.
    [[nodiscard]] std::size_t live_tasks() const noexcept { return live_tasks_; }
    [[nodiscard]] std::uint64_t next_number() noexcept { return ++numbered_; }
    /// Steps that take longer are reported; zero, the default, measures nothing.
    void report_slow_steps(nanoseconds limit) noexcept { slow_step_ = limit; }
    /// "NAME (created at FILE:LINE) waits for WHAT" for each task that has not ended, and indented below it, for each
    /// child, task or future that it waits for.
    [[nodiscard]] std::vector<std::string> describe_waiters() const;

    [[nodiscard]] report_sink& reports() noexcept { return reports_; }

    /// How a cancellation reaches the children of combinators.
    [[nodiscard]] cancel_wave& wave() noexcept { return wave_; }

    /// A random number, for jitter. The same sequence in each run on a virtual clock.
    [[nodiscard]] std::uint64_t random() noexcept { return random_.next(); }
    void seed_random(std::uint64_t seed) noexcept { random_ = random_sequence(seed); }

    using interrupt_function = void (*)(int signal, void* context) noexcept;
    /// Calls `interrupted` once, on the loop's thread, when the program gets one of the signals (a bit for each, that
    /// of signal 1 the lowest); after that their default actions return. *Returns* false if none is watched.
    virtual bool watch_interrupt(std::uint64_t signals, interrupt_function interrupted, void* context) = 0;
    virtual void unwatch_interrupt() noexcept = 0;

protected:
    scheduler(mailbox::wake_function wake, void* context);
    virtual ~scheduler();

    /// Destroys the tasks that never ended, children before parents, and reports them. For the backend's destructor.
    void destroy_tasks() noexcept;
    [[nodiscard]] bool external_work_left() const noexcept;
    [[nodiscard]] std::optional<nanoseconds> next_timer() const noexcept {
        return timers_.empty() ? std::nullopt : std::optional(timers_.earliest());
    }

    /// From now on what is ready in one iteration runs in an order that `seed` decides. With 0 it runs in the order in
    /// which it became ready.
    void shuffle_iterations(std::uint64_t seed) noexcept {
        order_ = seed != 0 ? iteration_order::shuffled : iteration_order::as_it_became_ready;
        shuffle_ = random_sequence(seed);
    }
    /// Reads the clock, also again within an iteration, for clocks that are set by hand.
    void look_at_clock() noexcept {
        now_ = read_clock();
        clock_is_stale_ = false;
    }
    /// *Returns* the time of the clock.
    [[nodiscard]] virtual nanoseconds read_clock() noexcept = 0;
    /// Looks for events. If `may_wait`, waits for one, or until `until`. *Returns* false if nothing can ever happen.
    virtual bool poll(bool may_wait, std::optional<nanoseconds> until) = 0;

private:
    friend class current_loop_scope;
    enum class iteration_order : std::uint8_t { as_it_became_ready, shuffled };

    void drain_inbox() noexcept;
    [[nodiscard]] bool letter_is_there() noexcept;
    void timed_step(fiber& f) noexcept;

    static constinit thread_local scheduler* current_;

    timer_queue timers_;
    cancel_wave wave_;
    nanoseconds now_{0};
    loop_identity identity_;
    loop_link* link_;
    intrusive_list<task_base> tasks_;
    std::size_t live_tasks_ = 0;
    std::uint64_t numbered_ = 0;
    std::uint32_t iterations_without_poll_ = 0;
    bool letters_came_ = false;   ///< since the loop was about to sleep the last time
    bool clock_is_stale_ = false; ///< an iteration has begun, and the time was not asked for yet
    nanoseconds spin_time_;       ///< how long to look for letters before sleeping
    nanoseconds slow_step_{0};
    random_sequence random_;
    random_sequence shuffle_; ///< for tests
    iteration_order order_ = iteration_order::as_it_became_ready;
    report_sink reports_;
};

/// *Returns* "waits for sleep" or "is ready to run"; below it, indented, a line for each task, future or child that it
/// waits for. At most some dozens of lines, and then how many more there are.
[[nodiscard]] std::string describe_wait(const fiber& f);

/// The name of the task whose step this is; empty outside.
[[nodiscard]] std::string running_task_name();

/// While it lives, `s` is this thread's loop, and reports go to its sink.
class current_loop_scope {
public:
    explicit current_loop_scope(scheduler& s) noexcept;
    ~current_loop_scope();
    current_loop_scope(const current_loop_scope&) = delete;
    current_loop_scope& operator=(const current_loop_scope&) = delete;

private:
    scheduler* loop_before_;
    loop_id id_before_;
    locals_scope* locals_before_;
    report_sink* sink_before_;
};

} // namespace muster::detail
