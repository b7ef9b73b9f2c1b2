// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Mutual exclusion between tasks of one loop, across their suspensions. It is fair: tasks get it in the order in
/// which they asked, and one that unlocks it and asks again goes to the end. A task that is cancelled while its turn
/// comes passes the turn on.
///
///     auto guard = co_await m.scoped_lock();
///     co_await rewrite(file);              // nobody else is in here

#include <muster/config.hpp>
#include <muster/detail/operation.hpp>
#include <muster/detail/sync_watch.hpp>
#include <muster/detail/wait_list.hpp>

#include <concepts>
#include <coroutine>
#include <cstddef>
#include <utility>

namespace muster {

/// Immovable: it is held by address. It is owned by nobody in particular: any task may unlock it.
/// *Lifetime*: it must outlive its guards. If it is destroyed while tasks wait for it, they can only be cancelled.
/// *Thread safety*: one loop's thread. *Source*: asyncio.Lock.
class mutex {
public:
    class guard;
    class lock_awaiter;
    class scoped_lock_awaiter;

    mutex() = default;
    ~mutex() { detail::about_to(detail::sync_act::destroyed, this, &state_of); }
    mutex(const mutex&) = delete;
    mutex& operator=(const mutex&) = delete;

    /// Waits for it, then holds it; unlock() gives it back. *Cancellation*: ends the wait, and the turn goes to the
    /// next; none if it is free. *Complexity*: O(1), no allocation.
    [[nodiscard("nothing is locked until it is awaited: co_await m.lock()")]] detail::operation<lock_awaiter, mutex&>
    lock() noexcept;
    /// The same. *Returns* a guard that unlocks it when it is destroyed.
    [[nodiscard(
        "nothing is locked until it is awaited: co_await m.scoped_lock()")]] detail::operation<scoped_lock_awaiter,
        mutex&>
    scoped_lock() noexcept;
    /// Takes it if it is free and nobody waits for it. *Returns* whether it did.
    [[nodiscard]] bool try_lock() noexcept {
        if (locked_ || wanted_ != 0)
            return false;
        take();
        return true;
    }
    /// Wakes the one that has waited longest. *Errors*: invalid_state_error if it is not locked.
    void unlock();
    /// False also between unlock() and the step of the task that was woken by it: nobody else gets it then.
    [[nodiscard]] bool locked() const noexcept { return locked_; }

private:
    static detail::sync_state state_of(const void* self) noexcept;
    void take() noexcept {
        detail::about_to(detail::sync_act::taken, this, &state_of);
        locked_ = true;
    }
    /// The first in line, if it still waits. One that was cancelled keeps its place until its task runs, and then
    /// wakes the next: the order is asyncio's.
    void wake_first() noexcept {
        if (auto* const first = line_.first(); first != nullptr && first->where() == detail::turn::waiting)
            first->grant();
    }

    detail::wait_chain line_;
    std::size_t wanted_ = 0; ///< how many of the line were not cancelled
    bool locked_ = false;
};

/// What `co_await m.lock()` awaits.
class mutex::lock_awaiter : public detail::waiter {
public:
    explicit lock_awaiter(mutex& m) noexcept : waiter(kind_of), mutex_(&m) {}
    ~lock_awaiter() {
        if (linked())
            leave();
    }

    [[nodiscard]] bool await_ready() const noexcept { return mutex_->try_lock(); }
    template <std::derived_from<detail::promise_links> Promise>
    void await_suspend(std::coroutine_handle<Promise> h) noexcept {
        set_where(detail::turn::waiting);
        ++mutex_->wanted_;
        mutex_->line_.append(*this);
        h.promise().fiber_->wait(*this, h);
    }
    void await_resume() {
        if (where() != detail::turn::none)
            finish_wait();
    }

protected:
    /// Its task goes on after a wait. *Returns* true if the mutex is now held; false if a cancellation is due, and
    /// then the turn has been passed on. *Errors*: invalid_state_error or the cancellation if the mutex is gone.
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
    /// Takes over a mutex that is locked.
    explicit guard(mutex & locked) noexcept : mutex_(&locked) {}
    guard(guard && other) noexcept : mutex_(std::exchange(other.mutex_, nullptr)) {}
    guard& operator=(guard&& other) noexcept {
        guard old(std::move(*this));
        mutex_ = std::exchange(other.mutex_, nullptr);
        return *this;
    }
    /// Unlocks the mutex, if it is still locked: a task that is destroyed while it waits for a condition does not
    /// hold the mutex that its guard speaks for.
    ~guard() {
        if (mutex_ != nullptr && mutex_->locked())
            mutex_->unlock();
    }

    [[nodiscard]] bool holds() const noexcept { return mutex_ != nullptr; }
    /// Unlocks early. *Errors*: invalid_state_error if it holds nothing, or the mutex is not locked.
    void unlock();

private:
    mutex* mutex_ = nullptr;
};

/// What `co_await m.scoped_lock()` awaits.
class mutex::scoped_lock_awaiter final : public lock_awaiter {
public:
    using lock_awaiter::lock_awaiter;
    guard await_resume() {
        lock_awaiter::await_resume();
        return guard(*mutex_);
    }
};

inline detail::operation<mutex::lock_awaiter, mutex&> mutex::lock() noexcept {
    return detail::operation<lock_awaiter, mutex&>(*this);
}
inline detail::operation<mutex::scoped_lock_awaiter, mutex&> mutex::scoped_lock() noexcept {
    return detail::operation<scoped_lock_awaiter, mutex&>(*this);
}

} // namespace muster
