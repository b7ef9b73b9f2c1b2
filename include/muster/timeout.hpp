// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Time limits. A limit that is exceeded is an error, timeout_error, and never a cancellation. Limits nest, and what
/// is cancelled because of one has ended before the error is thrown.
///
///     auto page = co_await muster::wait_for(load(url), 2s);
///     auto body = [&]() -> muster::task<> { ... };
///     co_await muster::timeout(5s, body);

#include <muster/config.hpp>
#include <muster/detail/call_body.hpp>
#include <muster/detail/callable.hpp>
#include <muster/detail/join/children.hpp>
#include <muster/detail/object_link.hpp>
#include <muster/detail/scheduler.hpp>
#include <muster/sleep.hpp>
#include <muster/task.hpp>
#include <muster/task_handle.hpp>

#include <chrono>
#include <exception>
#include <optional>
#include <type_traits>
#include <utility>

namespace muster {

namespace detail {
template <bool Keep, class A>
task<awaited_t<A>> wait_no_longer(A awaitable, nanoseconds limit);
} // namespace detail

/// A scope with a time limit that can be moved. Held by address: immovable. *Lifetime*: if it is destroyed while it
/// runs, its limit is gone, and run() throws invalid_state_error after the body, unless the body failed. *Source*:
/// asyncio.timeout of CPython 3.13, except that a cancellation which was already pending at its start is never taken
/// for its own.
class timeout_scope {
public:
    /// Without a limit until reschedule() sets one.
    timeout_scope() noexcept : timer_(*this), at_once_(*this) {}
    template <class Rep, class Period>
    explicit timeout_scope(std::chrono::duration<Rep, Period> limit) : timeout_scope() {
        when_ = loop_clock::now() + detail::clamp_to_nanoseconds(limit);
    }
    explicit timeout_scope(std::optional<loop_clock::time_point> when) : timeout_scope() { when_ = when; }
    ~timeout_scope();
    timeout_scope(const timeout_scope&) = delete;
    timeout_scope& operator=(const timeout_scope&) = delete;

    /// Runs `body(scope)` or `body()` in the caller's task.
    /// *Returns* what it returns. *Errors*: timeout_error if the limit struck and ended the body; what the body
    /// throws; invalid_state_error if the scope was run before.
    /// *Cancellation*: reaches the body; it is distinguished from the limit's own even in the same instant.
    template <class F>
    task<detail::body_result<std::decay_t<F>, timeout_scope>> run(F&& body) {
        detail::refuse_lambda_in_co_await<F>();
        return run_body<std::decay_t<F>>(owner_.ref(this), std::forward<F>(body));
    }

    /// Moves the limit; nullopt takes it off. A limit in the past strikes as soon as the body waits.
    /// *Errors*: invalid_state_error before the scope runs, once it has struck, or after its end.
    void reschedule(std::optional<loop_clock::time_point> when);

    [[nodiscard]] std::optional<loop_clock::time_point> when() const noexcept { return when_; }
    /// True once the limit has struck.
    [[nodiscard]] bool expired() const noexcept { return state_ == state::expiring || state_ == state::expired; }

private:
    template <class F>
    static task<detail::body_result<F, timeout_scope>> run_body(detail::object_ref<timeout_scope> self, F body) {
        using result_type = detail::body_result<F, timeout_scope>;
        timeout_scope& scope = self.required("timeout_scope::run");
        stay inside(scope);
        auto running = detail::call_body(body, scope);
        auto ended = co_await detail::outcome_of_body(std::move(running));
        inside.leave(ended);
        if constexpr (std::is_void_v<result_type>)
            ended.value();
        else
            co_return std::move(ended).value();
    }

    template <bool Keep, class A>
    friend task<detail::awaited_t<A>> detail::wait_no_longer(A awaitable, detail::nanoseconds limit);

    enum class state : std::uint8_t { created, entered, expiring, expired, exited };

    class limit_timer : public detail::timer {
    public:
        explicit limit_timer(timeout_scope& s) noexcept
            : timer([](timer& t) noexcept { static_cast<limit_timer&>(t).scope_->strike(); }),
              scope_(&s) {}

    private:
        timeout_scope* scope_;
    };
    class limit_entry : public detail::call_entry {
    public:
        explicit limit_entry(timeout_scope& s) noexcept
            : call_entry([](call_entry& c, bool run) noexcept {
                  if (run)
                      static_cast<limit_entry&>(c).scope_->strike();
              }),
              scope_(&s) {}

    private:
        timeout_scope* scope_;
    };

    /// The stretch of run(), as an object in its frame. Scope and frame may each be destroyed first.
    class stay {
    public:
        explicit stay(timeout_scope& s) : scope_(&s) { s.enter(*this); }
        stay(const stay&) = delete;
        stay& operator=(const stay&) = delete;
        ~stay();
        /// The body has ended. *Errors*: timeout_error if the limit ended it; if the scope was destroyed meanwhile,
        /// what ended the body, or invalid_state_error if that succeeded.
        void leave(const outcome_base& ended);

    private:
        friend class timeout_scope;
        timeout_scope* scope_;      ///< null once it was destroyed
        bool was_expiring_ = false; ///< when it was destroyed
    };

    void enter(stay& inside);
    void leave(const outcome_base& ended);
    void move_to(state to) noexcept;
    void strike() noexcept;
    void disarm() noexcept;
    void arm();

    std::optional<loop_clock::time_point> when_;
    stay* inside_ = nullptr;         ///< while run() is on its way
    detail::fiber* fiber_ = nullptr; ///< the fiber that run() is in
    limit_timer timer_;
    limit_entry at_once_;                       ///< for a limit that is in the past already
    const detail::cancel_hold* hold_ = nullptr; ///< the innermost hold around the scope itself
    std::uint32_t cancels_before_ = 0;          ///< how often the fiber had been cancelled when the scope began
    bool was_pending_ = false;                  ///< whether a cancellation was due when the scope began
    state state_ = state::created;
    detail::object_owner owner_;
};

namespace detail {

template <class F>
task<body_result<F, timeout_scope>> run_until_limit(F body, std::optional<loop_clock::time_point> when) {
    timeout_scope scope(when);
    auto running = scope.run(take(body));
    if constexpr (std::is_void_v<body_result<F, timeout_scope>>) {
        co_await std::move(running);
    } else {
        auto&& result = co_await std::move(running);
        co_return std::forward<decltype(result)>(result);
    }
}

/// Awaits a handle that somebody keeps: its value is copied.
template <class A>
task<awaited_t<A>> await_kept(const A& handle) {
    if constexpr (std::is_void_v<awaited_t<A>>) {
        co_await handle;
    } else {
        auto&& value = co_await handle;
        co_return value;
    }
}

/// Waits until the task of `handle` has ended, whether with a value, an error or a cancellation.
task<> until_it_has_ended(any_handle handle);

template <bool Keep, class A>
task<awaited_t<A>> awaited_as_task(A& awaitable) {
    if constexpr (is_task<A>)
        return std::move(awaitable);
    else if constexpr (Keep && handle_like<A>)
        return await_kept<A>(awaitable);
    else
        return await_as_task<A>(std::move(awaitable));
}

template <bool Keep, class A>
task<awaited_t<A>> wait_no_longer(A awaitable, nanoseconds limit) {
    if constexpr (handle_like<A>) {
        if (limit.count() <= 0 && !awaitable.done()) {
            awaitable.cancel();
            auto ended = until_it_has_ended(awaitable);
            co_await std::move(ended);
            // A started gather that was cancelled has failed with that.
            if (awaitable.cancelled() || awaitable.ended_as().template failed_with<cancelled_error>())
                throw timeout_error("its time was up before it was waited for");
        }
    } else {
        if (limit.count() <= 0)
            throw timeout_error("its time was up before it began");
    }
    // As timeout_scope::run, without a body's frame around what is awaited.
    timeout_scope scope(loop_clock::now() + limit);
    timeout_scope::stay inside(scope);
    auto running = awaited_as_task<Keep>(awaitable);
    auto ended = co_await outcome_of_body(std::move(running));
    inside.leave(ended);
    if constexpr (std::is_void_v<awaited_t<A>>)
        ended.value();
    else
        co_return std::move(ended).value();
}

} // namespace detail

/// Awaits anything for at most `limit`. *Returns* its value. *Errors*: timeout_error when the limit strikes, after
/// what was awaited has been cancelled and has ended (a handle's task too); its own failure.
/// *Cancellation*: passed on. *Source*: asyncio.wait_for of CPython 3.12 and later.
template <class A, class Rep, class Period>
task<detail::awaited_t<std::remove_cvref_t<A>>> wait_for(A&& awaitable, std::chrono::duration<Rep, Period> limit) {
    static_assert(!std::is_lvalue_reference_v<A> || std::copy_constructible<std::remove_cvref_t<A>>,
        "wait_for takes what it awaits by value: write `wait_for(std::move(t), limit)`");
    if constexpr (requires { std::forward<A>(awaitable).as_task(); })
        return wait_for(std::forward<A>(awaitable).as_task(), limit);
    else
        return detail::wait_no_longer<std::is_lvalue_reference_v<A>, std::remove_cvref_t<A>>(
            std::forward<A>(awaitable), detail::clamp_to_nanoseconds(limit));
}

/// The arguments in the other order, and a limit without a unit.
template <class Rep, class Period, class A>
    requires(!std::is_arithmetic_v<std::remove_cvref_t<A>>)
task<> wait_for(std::chrono::duration<Rep, Period>, A&&) {
    static_assert(
        !sizeof(A*), "wait_for takes what it awaits first, then the limit: write `wait_for(std::move(t), 1s)`");
    std::terminate();
}
template <class A, class T>
    requires std::is_arithmetic_v<T> task<> wait_for(A&&, T) {
        static_assert(!std::is_arithmetic_v<T>,
            "a limit needs a unit: write `wait_for(std::move(t), 1s)`, with `using namespace std::chrono_literals;`");
        std::terminate();
    }

/// Runs a body with a time limit: see timeout_scope::run.
template <class Rep, class Period, class F>
task<detail::body_result<std::decay_t<F>, timeout_scope>> timeout(std::chrono::duration<Rep, Period> limit, F&& body) {
    detail::refuse_lambda_in_co_await<F>();
    return detail::run_until_limit<std::decay_t<F>>(
        std::forward<F>(body), std::optional(loop_clock::now() + detail::clamp_to_nanoseconds(limit)));
}
/// The same until a time of the loop's clock.
template <class F>
task<detail::body_result<std::decay_t<F>, timeout_scope>> timeout_at(loop_clock::time_point when, F&& body) {
    detail::refuse_lambda_in_co_await<F>();
    return detail::run_until_limit<std::decay_t<F>>(std::forward<F>(body), std::optional(when));
}

} // namespace muster
