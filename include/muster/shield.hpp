// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Keeping a cancellation away. shield waits for a task that goes on when the waiter is cancelled (asyncio's way);
/// hold_cancellation runs a body in place and holds back what comes meanwhile, so nothing is left running.
///
///     auto receipt = co_await muster::shield(payment);     // a handle
///     co_await muster::hold_cancellation(commit());        // structured

#include <muster/config.hpp>
#include <muster/detail/call_body.hpp>
#include <muster/detail/operation.hpp>
#include <muster/detail/scheduler.hpp>
#include <muster/task.hpp>
#include <muster/task_handle.hpp>

#include <concepts>
#include <coroutine>
#include <source_location>
#include <type_traits>
#include <utility>

namespace muster {

namespace detail {

/// Waits for a completable without passing a cancellation on.
class shielded_wait : public library_awaitable, public suspension {
public:
    explicit shielded_wait(counted<completable> c);
    ~shielded_wait();

    [[nodiscard]] bool await_ready() const noexcept { return on_->done(); }
    template <std::derived_from<promise_links> Promise>
    void await_suspend(std::coroutine_handle<Promise> h) noexcept {
        watch_.watch(*on_);
        h.promise().fiber_->wait(*this, h);
    }

protected:
    void finish();
    counted<completable> on_;

private:
    static cancel_effect cancel(suspension& s, const cancel_request&, fiber*&) noexcept;
    static const suspension_kind kind_of;

    struct entry : watcher {
        explicit entry(shielded_wait& w) noexcept;
        shielded_wait* wait;
    };
    entry watch_;
};

template <class Handle>
class shield_awaiter final
    : public shielded_wait {
    using value_type = typename Handle::value_type;

public:
    explicit shield_awaiter(Handle h) : shielded_wait(counted<completable>(&h.required_state())), handle_(std::move(h)) {}
    const_ref<value_type> await_resume() {
        finish();
        return handle_.result();
    }

private:
    Handle handle_;
};

template <class Handle>
using shield_operation = operation<shield_awaiter<Handle>, Handle>;

} // namespace detail

/// Waits for what the handle refers to; cancelling the waiter leaves that running. *Returns*, awaited, its value,
/// which the handle keeps. *Errors*: its failure; a failure after the waiter was cancelled is never lost: if nobody
/// looks at it through the handle it is reported. *Source*: asyncio.shield.
template <detail::handle_like Handle>
detail::shield_operation<Handle> shield(Handle h) {
    return detail::shield_operation<Handle>(std::move(h));
}
/// Gives the task to the loop first: it starts even if the result is never awaited.
template <class T>
detail::shield_operation<task_handle<T>> shield(task<T> t, std::source_location site = std::source_location::current()) {
    return detail::shield_operation<task_handle<T>>(create_task(std::move(t), {}, site));
}

namespace detail {

class cancellation_hold : cancel_hold {
public:
    cancellation_hold();
    ~cancellation_hold();
    cancellation_hold(const cancellation_hold&) = delete;
    cancellation_hold& operator=(const cancellation_hold&) = delete;

private:
    fiber& fiber_;
};

} // namespace detail

/// Runs a task in the caller's task while cancellation is held back: what comes meanwhile is delivered at the
/// caller's first wait after its end. *Returns* its value. *Errors*: its failure.
/// *Cancellation*: none until the end; give the body a time limit of its own if it may hang.
template <class T>
task<T> hold_cancellation(task<T> body) {
    const detail::cancellation_hold hold;
    if constexpr (std::is_void_v<T>) {
        co_await std::move(body);
    } else {
        auto&& value = co_await std::move(body);
        co_return std::forward<decltype(value)>(value);
    }
}

} // namespace muster
