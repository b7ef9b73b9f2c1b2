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
#include <optional>
#include <type_traits>
#include <utility>

namespace muster {

/// Immovable: it is held by address. *Lifetime*: if it is destroyed while tasks wait for a notification, their waits
/// throw invalid_state_error, with the mutex held if that is not the condition's own. The same if its mutex is
/// destroyed.
/// *Thread safety*: one loop's thread. A condition belongs to the loop whose task first waits for it, until that loop
/// has ended; a call on another thread throws invalid_state_error. *Source*: asyncio.Condition.
class condition : private detail::list_hook<condition> {
public:
    /// With a mutex of its own.
    condition();
    /// With a mutex that others may share. Without it, nothing works but the destructor.
    explicit condition(mutex& shared) noexcept;
    ~condition();
    condition(const condition&) = delete;
    condition& operator=(const condition&) = delete;

    [[nodiscard("nothing is locked until it is awaited: co_await c.lock()")]] auto lock() {
        return its_mutex("lock").lock();
    }
    [[nodiscard("nothing is locked until it is awaited: co_await c.scoped_lock()")]] auto scoped_lock() {
        return its_mutex("scoped_lock").scoped_lock();
    }
    /// *Errors*: invalid_state_error if it is not locked.
    void unlock() { its_mutex("unlock").unlock(); }
    [[nodiscard]] bool locked() const noexcept { return mutex_ != nullptr && mutex_->locked(); }

    /// Gives the mutex back, waits for a notification, and waits for the mutex. It may end although nothing has
    /// changed: ask again what was waited for, or use the form with a predicate.
    /// *Errors*: invalid_state_error if the mutex is not locked. *Cancellation*: ends the wait for the notification,
    /// not the wait for the mutex; if it had been notified already, the notification goes on to the task that has
    /// waited longest.
    [[nodiscard]] task<> wait() { return wait_in(owner_.ref(this)); }

    /// Waits until `predicate()` is true, which is asked with the mutex held, first of all before any wait.
    /// *Returns* what it gave. *Errors*: as wait(), and what the predicate throws. *Cancellation*: as wait().
    /// With g++ 12, name a lambda that captures anything but references and numbers before this call.
    template <std::invocable Predicate>
        requires std::constructible_from<bool, std::invoke_result_t<Predicate&>>
    [[nodiscard]] task<std::decay_t<std::invoke_result_t<Predicate&>>> wait(Predicate predicate) {
        return wait_until<Predicate>(owner_.ref(this), std::move(predicate));
    }

    /// Wakes up to `n` of those that wait, in the order in which they came; each goes on once it has the mutex.
    /// *Errors*: invalid_state_error if the mutex is not locked. *Complexity*: O(n).
    void notify(std::size_t n = 1);
    void notify_all();

private:
    friend class mutex;
    friend class detail::intrusive_list<condition>;
    static detail::sync_state state_of(const void* self) noexcept;
    static task<> wait_in(detail::object_ref<condition> self);
    template <class Predicate>
    static task<std::decay_t<std::invoke_result_t<Predicate&>>> wait_until(
        detail::object_ref<condition> self, Predicate predicate) {
        static_cast<void>(self.required("condition::wait"));
        auto result = predicate();
        while (!static_cast<bool>(result)) {
            co_await wait_in(self);
            result = predicate();
        }
        co_return result;
    }
    /// *Errors*: invalid_state_error if the mutex was destroyed.
    [[nodiscard]] mutex& its_mutex(const char* what) const;
    void require_locked(const char* what) const;
    /// The mutex is being destroyed: all waits end.
    void lose_mutex() noexcept;

    std::optional<mutex> own_; ///< empty if the mutex is shared
    mutex* mutex_;             ///< null once it was destroyed
    detail::wait_list waiters_;
    detail::loop_home home_;
    detail::object_owner owner_;
};

template <>
inline constexpr bool detail::is_locked_by_await<condition> = true;

} // namespace muster
