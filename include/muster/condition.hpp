// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Waiting, while holding a mutex, for something to become true. The wait gives the mutex back and has it again when
/// it ends, however it ends: also a task that was cancelled comes out of it holding the mutex.
///
///     auto guard = co_await changed.scoped_lock();
///     co_await changed.wait([&] { return !jobs.empty(); });    // in one task
///     changed.notify_all();                                    // in another that holds the mutex

#include <muster/config.hpp>
#include <muster/detail/no_std_guard.hpp>
#include <muster/detail/sync_watch.hpp>
#include <muster/detail/wait_list.hpp>
#include <muster/mutex.hpp>
#include <muster/task.hpp>

#include <concepts>
#include <cstddef>
#include <type_traits>
#include <utility>

namespace muster {

/// Immovable: it is held by address. *Lifetime*: it must outlive its guards. If it is destroyed while tasks wait for a
/// notification, their waits throw invalid_state_error, with the mutex held if that is not the condition's own.
/// *Thread safety*: one loop's thread. A condition belongs to the loop whose task first waits for it, until that loop
/// has ended; a call on another thread throws invalid_state_error. *Source*: asyncio.Condition.
class condition {
public:
    /// With a mutex of its own.
    condition() : own_(new detail::kept_mutex), mutex_(&own_->get()) {}
    /// With a mutex that others may share. *Lifetime*: `shared` must outlive it.
    explicit condition(mutex& shared) noexcept : own_(nullptr), mutex_(&shared) {}
    ~condition();
    condition(const condition&) = delete;
    condition& operator=(const condition&) = delete;

    [[nodiscard("nothing is locked until it is awaited: co_await c.lock()")]] auto lock() noexcept {
        return mutex_->lock();
    }
    [[nodiscard("nothing is locked until it is awaited: co_await c.scoped_lock()")]] auto scoped_lock() noexcept {
        return mutex_->scoped_lock();
    }
    /// *Errors*: invalid_state_error if it is not locked.
    void unlock() { mutex_->unlock(); }
    [[nodiscard]] bool locked() const noexcept { return mutex_->locked(); }

    /// Gives the mutex back, waits for a notification, and waits for the mutex. It may end although nothing has
    /// changed: ask again what was waited for, or use the form with a predicate.
    /// *Errors*: invalid_state_error if the mutex is not locked. *Cancellation*: ends the wait for the notification,
    /// not the wait for the mutex; if it had been notified already, the notification goes on to the task that has
    /// waited longest.
    [[nodiscard]] task<> wait();

    /// Waits until `predicate()` is true, which is asked with the mutex held, first of all before any wait.
    /// *Returns* what it gave. *Errors*: as wait(), and what the predicate throws. *Cancellation*: as wait().
    /// With g++ 12, name a lambda that captures anything but references and numbers before this call.
    template <std::invocable Predicate>
        requires std::constructible_from<bool, std::invoke_result_t<Predicate&>>
    [[nodiscard]] task<std::decay_t<std::invoke_result_t<Predicate&>>> wait(Predicate predicate) {
        auto result = predicate();
        while (!static_cast<bool>(result)) {
            co_await wait();
            result = predicate();
        }
        co_return result;
    }

    /// Wakes up to `n` of those that wait, in the order in which they came; each goes on once it has the mutex.
    /// *Errors*: invalid_state_error if the mutex is not locked. *Complexity*: O(n).
    void notify(std::size_t n = 1);
    void notify_all();

private:
    class stay;
    static detail::sync_state state_of(const void* self) noexcept;
    void require_locked(const char* what) const;

    detail::kept_mutex* own_; ///< null if the mutex is shared
    mutex* mutex_;
    detail::wait_list waiters_;
    detail::loop_home home_;
    detail::intrusive_list<stay> stays_;
};

template <>
inline constexpr bool detail::is_locked_by_await<condition> = true;

} // namespace muster
