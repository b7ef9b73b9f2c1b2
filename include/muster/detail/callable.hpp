// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Callables that scopes and combinators take by value. g++ 12 destroys a lambda with captures that need destroying
/// twice if it is written inside a co_await expression; where that can be seen, it does not compile.
///
///     auto body = [name = std::string("x")]() -> muster::task<> { ... };
///     co_await muster::with_task_group(body);               // a copy
///     co_await muster::with_task_group(muster::take(body)); // moved

#include <muster/config.hpp>

#include <string_view>
#include <type_traits>
#include <utility>

namespace muster {

namespace detail {

#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ < 13
template <class F>
consteval bool is_lambda() {
    // "... [with F = scope()::<lambda(int)>]"; a template over a lambda ends with "> >]".
    const std::string_view name = __PRETTY_FUNCTION__;
    return name.find("<lambda(") != std::string_view::npos && name.ends_with(")>]");
}
template <class F>
inline constexpr bool is_destroyed_twice =
    !std::is_reference_v<F> && !std::is_trivially_destructible_v<F> && is_lambda<F>();
#else
template <class F>
inline constexpr bool is_destroyed_twice = false;
#endif

/// `F` as deduced from a forwarding reference.
template <class F>
constexpr void refuse_lambda_in_co_await() {
    static_assert(!is_destroyed_twice<F>,
        "g++ 12 destroys this lambda's captures twice if it is written inside a co_await expression: give it "
        "a name first (auto body = [...]...;) and pass `body`, or `muster::take(body)` to move it");
}

template <class F>
class taken {
public:
    explicit taken(F&& f) : function_(std::move(f)) {}
    template <class... Args>
        requires std::is_invocable_v<F&, Args...>
    decltype(auto) operator()(Args&&... args) { return function_(std::forward<Args>(args)...); }

private:
    F function_;
};

} // namespace detail

/// Moves a named callable into a scope or combinator. *Returns* a callable that owns it.
template <class F>
    requires(!std::is_const_v<F>)
[[nodiscard]] detail::taken<F> take(F& named) { return detail::taken<F>(std::move(named)); }

} // namespace muster
