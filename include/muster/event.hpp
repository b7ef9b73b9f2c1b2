// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A flag that tasks wait for. Setting it wakes all that wait, in the order in which they came; whoever waits for a
/// flag that is set does not wait at all. It stays set until it is cleared.
///
///     muster::event loaded;
///     co_await loaded.wait();      // in one task
///     loaded.set();                // in another

#include <muster/config.hpp>
#include <muster/detail/operation.hpp>
#include <muster/detail/sync_watch.hpp>
#include <muster/detail/wait_list.hpp>

namespace muster {

namespace detail {

class [[nodiscard("nothing is waited for until it is awaited: co_await e.wait()")]] event_wait final
    : public list_waiter {
public:
    explicit event_wait(const bool& set, wait_list& waiters, const suspension_kind& kind) noexcept
        : list_waiter(waiters, kind),
          set_(&set) {}

    [[nodiscard]] bool await_ready() const noexcept { return *set_; }
    void await_resume() {
        if (where() == turn::none)
            return;
        if (linked())
            list_->leave(*this);
        fiber_->throw_if_cancelled();
    }

private:
    const bool* set_;
};

using event_operation = operation<event_wait, const bool&, wait_list&, const suspension_kind&>;

} // namespace detail

/// Immovable: it is held by address. *Lifetime*: if it is destroyed while tasks wait for it, they can only be
/// cancelled. *Thread safety*: one loop's thread. *Source*: asyncio.Event.
class event {
public:
    event() = default;
    ~event() { detail::about_to(detail::sync_act::destroyed, this, &state_of); }
    event(const event&) = delete;
    event& operator=(const event&) = delete;

    /// Wakes all that wait: each goes on even if the event is cleared before its task runs.
    /// *Complexity*: O(waiters).
    void set() noexcept {
        if (!set_) {
            detail::about_to(detail::sync_act::used, this, &state_of);
            set_ = true;
            waiters_.grant_all();
        }
    }
    void clear() noexcept {
        detail::about_to(detail::sync_act::used, this, &state_of);
        set_ = false;
    }
    [[nodiscard]] bool is_set() const noexcept { return set_; }

    /// Waits until it is set. *Cancellation*: ends the wait; of an event that is set it is none.
    /// *Complexity*: O(1), no allocation.
    [[nodiscard("nothing is waited for until it is awaited: co_await e.wait()")]] detail::event_operation
    wait() noexcept {
        return detail::event_operation(set_, waiters_, wait_kind);
    }

private:
    static detail::sync_state state_of(const void* self) noexcept;
    static const detail::suspension_kind wait_kind;

    detail::wait_list waiters_;
    bool set_ = false;
};

} // namespace muster
