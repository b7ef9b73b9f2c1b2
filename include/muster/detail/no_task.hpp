// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The messages for code that gives something else where a task is wanted: an overload for everything that is no task
/// refuses it with a message that says what to write.
///
///     template <no_task A> void run(A&&) { refuse<A>(); }

#include <muster/task.hpp>

#include <concepts>
#include <type_traits>
#include <utility>

namespace muster::detail {

template <class T>
void takes_task(const task<T>&);

template <class A>
concept no_task = !requires(const std::remove_cvref_t<A>& a) {
    takes_task(a);
};

template <class A>
consteval bool makes_task() {
    if constexpr (std::is_invocable_v<A>)
        return is_task<std::remove_cvref_t<std::invoke_result_t<A>>>;
    else
        return false;
}

template <class A>
consteval void refuse() {
    using bare = std::remove_cvref_t<A>;
    constexpr bool has_as_task = requires(bare x) { std::move(x).as_task(); };
    constexpr bool is_awaitable = has_member_co_await<bare> || std::derived_from<bare, library_awaitable>;
    static_assert(!makes_task<A>(), "a task is wanted, and this is a function that makes one: call it, write `f()`");
    static_assert(!has_as_task, "a task is wanted: write `std::move(x).as_task()`");
    static_assert(makes_task<A>() || has_as_task || !is_awaitable,
        "a task is wanted, and this is something to await: write a coroutine that awaits it, "
        "`[]() -> muster::task<> { co_await muster::sleep_for(1s); }()`");
    static_assert(makes_task<A>() || has_as_task || is_awaitable,
        "a task is wanted, what a coroutine function returns that is declared as muster::task<T>");
}

} // namespace muster::detail
