// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Mutual exclusion between tasks of one loop, across their suspensions. It is fair: tasks get it in the order in
/// which they asked, and one that unlocks it and asks again goes to the end. A task that is cancelled in the instant in
/// which the mutex is handed to it lets the next one have it.
///
///     auto guard = co_await m.scoped_lock();
///     co_await rewrite(file);              // no other task that locks m is in here

#include <muster/config.hpp>
#include <muster/detail/no_std_guard.hpp>
#include <muster/detail/operation.hpp>
#include <muster/detail/sync_watch.hpp>
#include <muster/detail/wait_list.hpp>

#include <concepts>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <utility>

namespace muster {

class condition;

/// Immovable: it is held by address. It has no owner: any task may unlock it.
/// *Lifetime*: if it is destroyed while tasks wait for it, their waits throw invalid_state_error; its guards hold
/// nothing then.
/// *Thread safety*: one loop's thread. A mutex belongs to the loop whose task first waits for it, until that loop has
/// ended; a call on another thread throws invalid_state_error. *Source*: asyncio.Lock.
class mutex {
public:
    class guard;
    class lock_awaiter;
    class scoped_lock_awaiter;

    mutex() = default;
    ~mutex();
    mutex(const mutex&) = delete;
    mutex& operator=(const mutex&) = delete;

    /// Waits for it, then holds it; unlock() gives it back. *Errors*: invalid_state_error if it is destroyed meanwhile.
    /// *Cancellation*: ends the wait, and the next task gets the mutex; no cancellation point if the mutex is free.
    /// *Complexity*: O(1), no allocation.
    [[nodiscard(
        "nothing is locked until it is awaited: co_await m.lock()")]] detail::object_operation<lock_awaiter, mutex>
    lock();
    /// The same. *Returns* a guard that unlocks the mutex when the guard is destroyed.
    [[nodiscard("nothing is locked until it is awaited: co_await m.scoped_lock()")]] detail::object_operation<
        scoped_lock_awaiter, mutex>
    scoped_lock();
    /// Locks it if it is free and no task waits for it. *Returns* whether it did.
    [[nodiscard]] bool try_lock() {
        home_.require_thread("mutex::try_lock");
        if (locked_ || wanted_ != 0)
            return false;
        take();
        return true;
    }
    /// Wakes the task that has waited longest. *Errors*: invalid_state_error if it is not locked.
    void unlock();
    /// False also between unlock() and the step of the task that was woken by it, although no other task can lock it
    /// then.
    [[nodiscard]] bool locked() const noexcept { return locked_; }

private:
    static detail::sync_state state_of(const void* self) noexcept;
    void take() noexcept {
        MUSTER_ASSERT(!locked_);
        detail::about_to(detail::sync_act::taken, this, &state_of);
        locked_ = true;
    }
    /// Wakes the first in line, if it still waits. A waiter that was cancelled stays in line until its task runs, and
    /// then wakes the next: the order is asyncio's.
    void wake_first() noexcept {
        if (auto* const first = line_.front(); first != nullptr && first->state() == detail::wait_state::waiting)
            first->grant();
    }

    detail::wait_chain line_;
    std::size_t wanted_ = 0; ///< how many waiters in line were not cancelled

    friend class condition;
    detail::intrusive_list<condition> conditions_; ///< those that use it
    detail::loop_home home_;
    detail::object_owner owner_{this};
    bool locked_ = false;
};

/// The awaiter of `co_await m.lock()`.
class mutex::lock_awaiter : public detail::waiter {
public:
    static constexpr const char* name = "mutex::lock";
    explicit lock_awaiter(mutex& m) noexcept : waiter(kind_of), mutex_(&m) {}
    ~lock_awaiter() {
        if (listed())
            leave();
    }

    [[nodiscard]] bool await_ready() const {
        const bool is_free = !mutex_->locked_ && mutex_->wanted_ == 0;
        if (detail::ready_in(mutex_->home_, is_free, name))
            mutex_->take();
        return is_free;
    }
    template <std::derived_from<detail::promise_links> Promise>
    void await_suspend(std::coroutine_handle<Promise> h) noexcept {
        move_to(detail::wait_state::waiting);
        ++mutex_->wanted_;
        mutex_->line_.push_back(*this);
        h.promise().fiber_->wait(*this, h);
    }
    void await_resume() {
        if (state() != detail::wait_state::idle)
            finish_wait();
    }

protected:
    /// The task goes on after a wait. *Returns* true if it now holds the mutex; false if a cancellation is due, and
    /// then the next in line has been woken if need be. *Errors*: invalid_state_error, or the cancellation, if the
    /// mutex was destroyed.
    [[nodiscard]] bool end_wait();

    static detail::cancel_effect interrupt(
        detail::suspension&, const detail::cancel_request&, detail::fiber*&) noexcept;

    mutex* mutex_;

private:
    void finish_wait();
    void leave() noexcept;
    static const detail::suspension_kind kind_of;
};

/// Holds a mutex. Movable; a guard that was moved from holds nothing.
class [[nodiscard("the mutex is unlocked at once if its guard is dropped: name it")]] mutex::guard {
public:
    guard() = default;
    /// Takes over a mutex that is locked already.
    explicit guard(mutex & locked) noexcept : of_(locked.owner_.ref(&locked)) {}
    guard(guard && other) noexcept : of_(std::exchange(other.of_, {})) {}
    guard& operator=(guard&& other) noexcept {
        guard old(std::move(*this));
        of_ = std::exchange(other.of_, {});
        return *this;
    }
    /// Unlocks the mutex, if it is still locked: the guard of a task that is destroyed while it waits for a condition
    /// refers to a mutex that the task does not hold. On a thread that is not the loop's it leaves the mutex locked,
    /// and reports that.
    ~guard() {
        if (!of_.empty()) [[likely]]
            end();
    }

    [[nodiscard]] bool holds() const noexcept { return !of_.empty(); }
    /// Unlocks early. *Errors*: invalid_state_error if it holds nothing, or the mutex is not locked.
    void unlock();

private:
    void end() noexcept;

    detail::object_ref<mutex> of_;
};

/// The awaiter of `co_await m.scoped_lock()`.
class mutex::scoped_lock_awaiter final : public lock_awaiter {
public:
    using lock_awaiter::lock_awaiter;
    guard await_resume() {
        lock_awaiter::await_resume();
        return guard(*mutex_);
    }
};

inline detail::object_operation<mutex::lock_awaiter, mutex> mutex::lock() {
    home_.require_waiter(lock_awaiter::name);
    return detail::object_operation<lock_awaiter, mutex>(owner_.ref(this));
}
inline detail::object_operation<mutex::scoped_lock_awaiter, mutex> mutex::scoped_lock() {
    home_.require_waiter(lock_awaiter::name);
    return detail::object_operation<scoped_lock_awaiter, mutex>(owner_.ref(this));
}

template <>
inline constexpr bool detail::is_locked_by_await<mutex> = true;

} // namespace muster
