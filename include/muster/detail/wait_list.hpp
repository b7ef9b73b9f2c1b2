// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Who waits for an event, a mutex, a permit or an item: an intrusive list, first come first served, of awaiters that
/// live in the waiting coroutines' frames, so that waiting allocates nothing. A waiter stays on a list until its task
/// has gone on, not only until it was woken: in between it may be cancelled and has to pass its turn on, or what it
/// waits for may be destroyed, and then it must not look back.
///
///     waiters_.append(w);          // in await_suspend
///     waiters_.grant_first();      // wakes the one that has waited longest

#include <muster/config.hpp>
#include <muster/detail/scheduler.hpp>
#include <muster/error.hpp>

#include <concepts>
#include <coroutine>
#include <cstddef>
#include <cstdint>

namespace muster::detail {

class wait_chain;

/// Where a waiter is. asyncio's future is pending, done or cancelled in the last three.
enum class turn : std::uint8_t {
    none,        ///< it does not wait
    waiting,     ///< its turn has not come
    granted,     ///< it was woken; its task has yet to run
    interrupted, ///< it was cancelled while it waited; its task has yet to run
};

/// One place on a chain; the base of what is awaited.
class waiter : public library_awaitable, public suspension {
public:
    explicit waiter(const suspension_kind& kind) noexcept : suspension(kind) {}
    inline ~waiter();

    [[nodiscard]] turn where() const noexcept { return turn_; }
    /// False once what it waits for was destroyed.
    [[nodiscard]] bool linked() const noexcept { return chain_ != nullptr; }

    void grant() noexcept {
        turn_ = turn::granted;
        fiber_->wake();
    }

protected:
    /// For one that is on a chain but not on a wait_list.
    void set_where(turn where) noexcept { turn_ = where; }

private:
    friend class wait_chain;
    friend class wait_list;

    waiter* before_ = nullptr;
    waiter* after_ = nullptr;
    wait_chain* chain_ = nullptr;
    turn turn_ = turn::none;
};

/// Immovable. *Complexity*: O(1) but for destruction, which is O(waiters).
class wait_chain {
public:
    wait_chain() = default;
    wait_chain(const wait_chain&) = delete;
    wait_chain& operator=(const wait_chain&) = delete;
    ~wait_chain() {
        for (waiter* w = first_; w != nullptr; w = w->after_)
            w->chain_ = nullptr;
    }

    [[nodiscard]] bool empty() const noexcept { return first_ == nullptr; }
    [[nodiscard]] waiter* first() const noexcept { return first_; }

    void append(waiter& w) noexcept {
        w.chain_ = this;
        w.before_ = last_;
        w.after_ = nullptr;
        (last_ != nullptr ? last_->after_ : first_) = &w;
        last_ = &w;
    }
    void remove(waiter& w) noexcept {
        (w.before_ != nullptr ? w.before_->after_ : first_) = w.after_;
        (w.after_ != nullptr ? w.after_->before_ : last_) = w.before_;
        w.chain_ = nullptr;
    }

private:
    waiter* first_ = nullptr;
    waiter* last_ = nullptr;
};

inline waiter::~waiter() {
    if (chain_ != nullptr)
        chain_->remove(*this);
}

/// Those that wait, in order, and apart from them those whose wait has ended and whose task has yet to run: so the
/// next to wake is found in O(1), however many were woken in this instant.
class wait_list {
public:
    /// True if nobody's turn has yet to come.
    [[nodiscard]] bool empty() const noexcept { return waiting_.empty(); }
    /// How many were woken and have not gone on yet.
    [[nodiscard]] std::size_t granted() const noexcept { return granted_; }

    void append(waiter& w) noexcept {
        w.turn_ = turn::waiting;
        waiting_.append(w);
    }
    /// Wakes the one that has waited longest. *Returns* false if nobody waits.
    bool grant_first() noexcept {
        waiter* const w = waiting_.first();
        if (w == nullptr)
            return false;
        waiting_.remove(*w);
        settled_.append(*w);
        ++granted_;
        w->grant();
        return true;
    }
    void grant_all() noexcept {
        while (grant_first()) {}
    }
    /// A cancellation has reached one that waits: its turn will not come.
    void interrupt(waiter& w) noexcept {
        waiting_.remove(w);
        settled_.append(w);
        w.turn_ = turn::interrupted;
    }
    /// Its task goes on, or is destroyed. *Returns* where it was.
    turn leave(waiter& w) noexcept {
        const turn was = w.turn_;
        (was == turn::waiting ? waiting_ : settled_).remove(w);
        if (was == turn::granted)
            --granted_;
        w.turn_ = turn::none;
        return was;
    }

private:
    wait_chain waiting_;
    wait_chain settled_;
    std::size_t granted_ = 0;
};

/// A waiter on a wait_list: what event, semaphore, condition and queue have in common.
class list_waiter : public waiter {
public:
    explicit list_waiter(wait_list& list, const suspension_kind& kind) noexcept : waiter(kind), list_(&list) {}
    ~list_waiter() {
        if (linked())
            list_->leave(*this);
    }

    [[nodiscard]] bool await_ready() const noexcept { return false; }
    template <std::derived_from<promise_links> Promise>
    void await_suspend(std::coroutine_handle<Promise> h) noexcept {
        list_->append(*this);
        h.promise().fiber_->wait(*this, h);
    }

    static cancel_effect interrupt(suspension& s, const cancel_request&, fiber*&) noexcept {
        auto& self = static_cast<list_waiter&>(s);
        if (self.linked())
            self.list_->interrupt(self);
        return cancel_effect::interrupted;
    }

protected:
    wait_list* list_;
};

/// Thrown into a task whose turn came in the instant in which what it waited for was destroyed.
[[noreturn]] void throw_destroyed_while_waited_for(const char* what);

} // namespace muster::detail
