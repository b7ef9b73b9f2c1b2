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
#include <muster/detail/scheduler.hpp>
#include <muster/detail/started_shield.hpp>
#include <muster/future.hpp>
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
class shield_awaiter final : public shielded_wait {
    using value_type = typename Handle::value_type;

public:
    explicit shield_awaiter(Handle h)
        : shielded_wait(counted<completable>(&h.required_state())),
          handle_(std::move(h)) {}
    const_ref<value_type> await_resume() {
        finish();
        return handle_.result();
    }

private:
    Handle handle_;
};

/// The result of shield(), to be awaited or started.
template <class Handle>
class [[nodiscard("nothing is waited for until it is awaited")]] shield_operation {
public:
    shield_operation(Handle h, std::source_location site) noexcept : handle_(std::move(h)), site_(site) {}

    shield_awaiter<Handle> operator co_await()&& { return shield_awaiter<Handle>(std::move(handle_)); }

    /// Waits without being awaited. *Returns* a future that ends as what is shielded does, with a copy of its value, or
    /// the value itself where it can't be copied. A failure is then reported if nobody looks at the future. Cancelling
    /// the future ends it at once and leaves what is shielded alone. *Errors*: invalid_state_error if no loop runs on
    /// this thread. *Source*: asyncio.shield that is not awaited yet.
    future<typename Handle::value_type> start()&& {
        using value_type = typename Handle::value_type;
        auto& loop = scheduler::require("start");
        auto* const state =
            new started_shield<value_type>(loop, counted<completable>(&handle_.required_state()), site_);
        auto made = future<value_type>::refer_to(*state);
        state->begin();
        return made;
    }

private:
    Handle handle_;
    std::source_location site_;
};

} // namespace detail

/// Waits for what the handle refers to; cancelling the waiter leaves that running. *Returns*, awaited, its value,
/// which the handle keeps. *Errors*: its failure; a failure after the waiter was cancelled is never lost: if nobody
/// looks at it through the handle it is reported. *Source*: asyncio.shield.
template <detail::handle_like Handle>
detail::shield_operation<Handle> shield(Handle h, std::source_location site = std::source_location::current()) {
    return detail::shield_operation<Handle>(std::move(h), site);
}
/// Gives the task to the loop first: it starts even if the result is never awaited.
template <class T>
detail::shield_operation<task_handle<T>> shield(
    task<T> t, std::source_location site = std::source_location::current()) {
    return detail::shield_operation<task_handle<T>>(create_task(std::move(t), {}, site), site);
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
