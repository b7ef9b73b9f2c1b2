// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Callables that scopes and combinators take by value. g++ 12 destroys a lambda with captures that need destroying
/// twice if it is written inside a co_await expression; where that can be seen, it does not compile.
///
///     template <class F> auto with(F&& body) { refuse_lambda_in_co_await<F>(); ... }

#include <muster/config.hpp>
#include <muster/take.hpp>

#include <string_view>
#include <type_traits>
#include <utility>

namespace muster::detail {

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

} // namespace muster::detail
