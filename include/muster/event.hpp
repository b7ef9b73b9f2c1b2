// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A flag that tasks wait for. Setting it wakes all that wait, in the order in which they came; a wait for a flag that
/// is set ends at once. The flag stays set until it is cleared.
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

/// All of an event, so that a wait needs one pointer: the frames of the tasks that wait hold one each.
struct event_data : wait_list {
    explicit event_data(bool is_set) noexcept : set(is_set) {}

    loop_home home;
    bool set;
};

/// A wait for an event_data: of an event, or of a queue's join().
class event_wait : public list_waiter {
public:
    explicit event_wait(event_data& event, const suspension_kind& kind) noexcept : list_waiter(event, kind) {}

    [[nodiscard]] bool await_ready() const {
        auto& event = static_cast<event_data&>(*list_);
        return ready_in(event.home, event.set, kind_->what);
    }
    void await_resume() {
        if (state() == wait_state::idle)
            return;
        if (state() == wait_state::lost)
            throw_lost(*this);
        if (listed())
            list_->leave(*this);
        else
            move_to(wait_state::idle); // the event was set, and then destroyed
        fiber_->throw_if_cancelled();
    }
};

} // namespace detail

/// Immovable: it is held by address. *Lifetime*: if it is destroyed while tasks wait for it, their waits throw
/// invalid_state_error. *Thread safety*: one loop's thread. An event belongs to the loop whose task first waits for it,
/// until that loop has ended; a call on another thread throws invalid_state_error. *Source*: asyncio.Event.
class event {
public:
    class wait_awaiter;

    event() = default;
    ~event() { detail::about_to(detail::sync_act::destroyed, this, &state_of); }
    event(const event&) = delete;
    event& operator=(const event&) = delete;

    /// Wakes all tasks that wait: each goes on even if the event is cleared before the task runs.
    /// *Complexity*: O(waiters).
    void set() {
        data_.home.require_thread("event::set");
        if (!data_.set) {
            detail::about_to(detail::sync_act::used, this, &state_of);
            data_.set = true;
            data_.grant_all();
        }
    }
    void clear() {
        data_.home.require_thread("event::clear");
        detail::about_to(detail::sync_act::used, this, &state_of);
        data_.set = false;
    }
    [[nodiscard]] bool is_set() const noexcept { return data_.set; }

    /// Waits until it is set. *Errors*: invalid_state_error if it is destroyed meanwhile, or before the await.
    /// *Cancellation*: ends the wait; the wait for an event that is set is no cancellation point.
    /// *Complexity*: O(1), no allocation.
    [[nodiscard(
        "nothing is waited for until it is awaited: co_await e.wait()")]] detail::object_operation<wait_awaiter, event>
    wait();

private:
    static detail::sync_state state_of(const void* self) noexcept;
    static const detail::suspension_kind wait_kind;

    detail::event_data data_{false};
    detail::object_owner owner_{this};
};

/// The awaiter of `co_await e.wait()`.
class event::wait_awaiter final : public detail::event_wait {
public:
    static constexpr const char* name = "event::wait";
    explicit wait_awaiter(event& e) noexcept : event_wait(e.data_, wait_kind) {}
};

inline detail::object_operation<event::wait_awaiter, event> event::wait() {
    data_.home.require_waiter(wait_awaiter::name);
    return detail::object_operation<wait_awaiter, event>(owner_.ref(this));
}

} // namespace muster
