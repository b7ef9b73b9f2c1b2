// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Waiting for time to pass, on the loop's clock. A sleep allocates nothing: its timer is part of the waiting frame.
///
///     co_await muster::sleep_for(20ms);
///     co_await muster::yield();        // lets what is ready run first

#include <muster/config.hpp>
#include <muster/detail/operation.hpp>
#include <muster/detail/scheduler.hpp>
#include <muster/task.hpp>

#include <chrono>
#include <concepts>
#include <coroutine>
#include <cstdint>
#include <new>
#include <type_traits>

namespace muster {

/// The loop's clock: nanoseconds since the loop was made; virtual in tests. Read once per iteration of the loop.
struct loop_clock {
    using rep = std::chrono::nanoseconds::rep;
    using period = std::chrono::nanoseconds::period;
    using duration = std::chrono::nanoseconds;
    using time_point = std::chrono::time_point<loop_clock>;
    static constexpr bool is_steady = true;
    /// *Errors*: invalid_state_error if no loop runs on this thread.
    static time_point now() { return time_point(detail::scheduler::require("loop_clock::now").now()); }
};

namespace detail {

enum class sleep_kind : std::uint8_t { for_a_time, until_a_time };

/// The awaiter is its own timer, because a hundred thousand of them may lie in frames at once.
class sleeping : public library_awaitable, public suspension, public timer {
public:
    explicit sleeping(nanoseconds time) noexcept : suspension(kind_of), timer(time) {}
    ~sleeping() {
        // Its frame may be destroyed while it sleeps: at the end of a loop.
        if (armed()) [[unlikely]]
            scheduler::of(*fiber_).disarm(*this);
    }

    [[nodiscard]] bool await_ready() const noexcept { return false; }
    [[gnu::always_inline]] void await_resume() {
        fiber_->throw_if_cancelled();
        if (no_memory_) [[unlikely]]
            throw std::bad_alloc();
    }

protected:
    void begin(fiber& f, std::coroutine_handle<> h, nanoseconds when) noexcept;
    void begin_for(fiber& f, std::coroutine_handle<> h, nanoseconds time) noexcept {
        fiber_ = &f;
        if (time.count() <= 0)
            f.yield(h); // without a look at the clock
        else
            begin(f, h, scheduler::of(f).now() + time);
    }

private:
    static void fired(timer& t) noexcept { static_cast<sleeping&>(t).fiber_->wake(); }
    static cancel_effect cancel(suspension& s, const cancel_request&, fiber*&) noexcept;
    static const suspension_kind kind_of;

    bool no_memory_ = false;
};

template <sleep_kind Kind>
class sleep_awaiter final : public sleeping {
public:
    using sleeping::sleeping;
    template <std::derived_from<promise_links> Promise>
    void await_suspend(std::coroutine_handle<Promise> h) noexcept {
        fiber& f = *h.promise().fiber_;
        if constexpr (Kind == sleep_kind::until_a_time)
            begin(f, h, kept());
        else
            begin_for(f, h, kept());
    }
};

using sleep_operation = operation<sleep_awaiter<sleep_kind::for_a_time>, nanoseconds>;
using sleep_until_operation = operation<sleep_awaiter<sleep_kind::until_a_time>, nanoseconds>;

[[noreturn]] void throw_nan_duration(const char* what);

/// *Returns* the duration in nanoseconds, rounded up. *Errors*: std::invalid_argument if it is not a number; `what` is
/// the user's word for it.
template <class Rep, class Period>
constexpr nanoseconds clamp_to_nanoseconds(
    std::chrono::duration<Rep, Period> d, const char* what = "a duration") noexcept(std::is_integral_v<Rep>) {
    if constexpr (!std::is_integral_v<Rep>) {
        if (d != d) [[unlikely]]
            throw_nan_duration(what);
    }
    // Durations that do not fit, such as hours::max(), mean "for ever"; half of the range leaves room to add.
    constexpr auto most = std::chrono::duration<double>(nanoseconds::max() / 2);
    if (std::chrono::duration<double>(d) >= most)
        return nanoseconds::max() / 2;
    if (std::chrono::duration<double>(d) <= -most)
        return -(nanoseconds::max() / 2);
    return std::chrono::ceil<nanoseconds>(d);
}

} // namespace detail

/// Suspends the task for `time`; zero or less lets what is ready run once and goes on, as asyncio's sleep(0).
/// *Errors*: std::invalid_argument at once if `time` is not a number (NaN); awaited, std::bad_alloc if there is no
/// memory for another timer. *Cancellation*: ends it at once. *Complexity*: O(log n) in armed timers. *Source*:
/// asyncio.sleep.
template <class Rep, class Period>
detail::sleep_operation sleep_for(std::chrono::duration<Rep, Period> time) noexcept(std::is_integral_v<Rep>) {
    return detail::sleep_operation(detail::clamp_to_nanoseconds(time));
}

/// A number has no unit.
template <class T>
    requires std::is_arithmetic_v<T> detail::sleep_operation sleep_for(T) {
        static_assert(!std::is_arithmetic_v<T>,
            "a time needs a unit: write `sleep_for(1s)`, with `using namespace std::chrono_literals;`");
        return detail::sleep_operation(detail::nanoseconds(0));
    }

/// Suspends the task until the loop's clock says `when`. Otherwise as sleep_for.
inline detail::sleep_until_operation sleep_until(loop_clock::time_point when) noexcept {
    return detail::sleep_until_operation(when.time_since_epoch());
}

/// Lets what is ready run once, then goes on: a cancellation point. *Source*: asyncio.sleep(0).
inline detail::sleep_operation yield() noexcept { return detail::sleep_operation(detail::nanoseconds(0)); }

} // namespace muster
