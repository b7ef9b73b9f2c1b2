// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The tasks that wait for an event, a mutex, a permit or an item, first come first served: an intrusive list of
/// awaiters that live in the waiting coroutines' frames, so that waiting allocates nothing. A waiter is listed until
/// its task has gone on, and not only until it was woken: in between it may be cancelled and has to pass on what it was
/// granted, or the object that it waits for may be destroyed, and then it must not look back.
///
///     waiters_.append(w);          // in await_suspend
///     waiters_.grant_first();      // wakes the one that has waited longest
///
/// The states of a waiter, where the task of each but the first two has yet to run:
///
///     idle -> waiting -> granted -----> (its task goes on) -> idle
///                |   \-> interrupted -> (its task goes on) -> idle
///                \-> lost                 if the object is destroyed; likewise granted -> lost_after_grant

#include <muster/config.hpp>
#include <muster/detail/assert.hpp>
#include <muster/detail/intrusive_list.hpp>
#include <muster/detail/loop_thread.hpp>
#include <muster/detail/scheduler.hpp>
#include <muster/error.hpp>

#include <concepts>
#include <coroutine>
#include <cstddef>
#include <cstdint>

namespace muster::detail {

/// asyncio's future is pending in `waiting`, done in `granted` and cancelled in `interrupted`.
enum class wait_state : std::uint8_t {
    idle,
    waiting,
    granted,          ///< it was woken to go on
    interrupted,      ///< a cancellation reached it while it waited
    lost,             ///< the object that it waited for was destroyed
    lost_after_grant, ///< the object was destroyed after it had woken the waiter
};

/// The base of what is awaited. Whoever derives from it takes it off its list before it is destroyed.
class waiter : public library_awaitable, public suspension, public list_hook<waiter> {
public:
    explicit waiter(const suspension_kind& kind) noexcept : suspension(kind) {}

    [[nodiscard]] wait_state state() const noexcept { return state_; }
    /// True while it is on a list.
    [[nodiscard]] bool listed() const noexcept {
        return state_ == wait_state::waiting || state_ == wait_state::granted || state_ == wait_state::interrupted;
    }

    void grant() noexcept {
        move_to(wait_state::granted);
        fiber_->wake();
    }
    /// The object that it waits for is being destroyed. A waiter that has not been woken is woken, to throw.
    void lose() noexcept {
        const bool must_wake = state_ == wait_state::waiting;
        move_to(state_ == wait_state::granted ? wait_state::lost_after_grant : wait_state::lost);
        if (must_wake)
            fiber_->wake();
    }
    void move_to(wait_state to) noexcept {
        MUSTER_ASSERT(may_move_to(to));
        state_ = to;
    }

protected:
    ~waiter() { MUSTER_ASSERT(!listed()); }

private:
    [[nodiscard]] bool may_move_to(wait_state to) const noexcept {
        switch (to) {
        case wait_state::idle:
            return state_ != wait_state::idle && state_ != wait_state::waiting;
        case wait_state::waiting:
            return state_ == wait_state::idle;
        case wait_state::granted:
        case wait_state::interrupted:
            return state_ == wait_state::waiting;
        case wait_state::lost:
            return state_ == wait_state::waiting || state_ == wait_state::interrupted;
        case wait_state::lost_after_grant:
            return state_ == wait_state::granted;
        }
        return false;
    }

    wait_state state_ = wait_state::idle;
};

/// Waiters in the order in which they came. When it is destroyed, its waiters are told that they are lost.
class wait_chain : public intrusive_list<waiter> {
public:
    wait_chain() = default;
    wait_chain(const wait_chain&) = delete;
    wait_chain& operator=(const wait_chain&) = delete;
    ~wait_chain() { lose_all(); }
    void lose_all() noexcept {
        while (waiter* const w = pop_front())
            w->lose();
    }
};

/// The waiters, in order, and apart from them those whose wait has ended and whose task has yet to run. So the next
/// waiter to wake is found in O(1), however many were woken in this instant.
class wait_list {
public:
    /// True if no waiter has yet to be woken.
    [[nodiscard]] bool empty() const noexcept { return waiting_.empty(); }
    /// How many were woken and have not gone on yet.
    [[nodiscard]] std::size_t granted() const noexcept { return granted_; }

    void append(waiter& w) noexcept {
        w.move_to(wait_state::waiting);
        waiting_.push_back(w);
    }
    /// Wakes the waiter that has waited longest. *Returns* false if there is none.
    bool grant_first() noexcept {
        waiter* const w = waiting_.pop_front();
        if (w == nullptr)
            return false;
        settled_.push_back(*w);
        ++granted_;
        w->grant();
        return true;
    }
    void grant_all() noexcept {
        while (grant_first()) {}
    }
    /// A cancellation has reached `w`, which will not be woken by this list any more.
    void interrupt(waiter& w) noexcept {
        waiting_.remove(w);
        settled_.push_back(w);
        w.move_to(wait_state::interrupted);
    }
    /// The task of `w` goes on. *Returns* the state in which it does.
    wait_state leave(waiter& w) noexcept {
        const wait_state was = w.state();
        MUSTER_ASSERT(was == wait_state::granted || was == wait_state::interrupted);
        settled_.remove(w);
        if (was == wait_state::granted)
            --granted_;
        w.move_to(wait_state::idle);
        return was;
    }
    /// The frame of `w` is destroyed while it waits, or before its task has run.
    void abandon(waiter& w) noexcept {
        if (w.state() == wait_state::waiting)
            interrupt(w);
        leave(w);
    }

private:
    wait_chain waiting_;
    wait_chain settled_;
    std::size_t granted_ = 0;
};

/// A waiter on a wait_list: the part that event, semaphore, condition and queue have in common.
class list_waiter : public waiter {
public:
    explicit list_waiter(wait_list& list, const suspension_kind& kind) noexcept : waiter(kind), list_(&list) {}
    ~list_waiter() {
        if (listed())
            list_->abandon(*this);
    }

    [[nodiscard]] bool await_ready() const noexcept { return false; }
    template <std::derived_from<promise_links> Promise>
    void await_suspend(std::coroutine_handle<Promise> h) noexcept {
        list_->append(*this);
        h.promise().fiber_->wait(*this, h);
    }

    static cancel_effect interrupt(suspension& s, const cancel_request&, fiber*&) noexcept {
        auto& self = static_cast<list_waiter&>(s);
        self.list_->interrupt(self);
        return cancel_effect::interrupted;
    }

protected:
    wait_list* list_;
};

/// For await_ready: whether the wait is over before it begins. *Errors*: invalid_state_error for a task of another loop
/// than the one that the primitive belongs to.
inline bool ready_in(loop_home& home, bool ready, const char* what) {
    if (ready)
        home.require_thread(what);
    else
        home.join(what);
    return ready;
}

/// For destructors, which can't throw: reports that `what` was called on a thread that is not its loop's.
void report_wrong_thread(const char* what, const char* consequence) noexcept;

/// Ends a wait for an object that was destroyed meanwhile. *Errors*: the cancellation that is due, if one is; else
/// invalid_state_error.
[[noreturn]] void throw_lost(waiter& w);

} // namespace muster::detail
