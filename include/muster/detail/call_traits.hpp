// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// How a callable is called on a thread: with a std::stop_token if it takes one.
///
///     static_assert(takes_stop_token<F>);

#include <muster/config.hpp>

#include <stop_token>
#include <type_traits>

namespace muster::detail {

template <class F>
inline constexpr bool takes_stop_token = std::is_invocable_v<F, std::stop_token>;

template <class F>
struct call_traits {
    static_assert(takes_stop_token<F> || std::is_invocable_v<F>,
        "this can't be called on a thread: pass something that is called without arguments, or with a "
        "std::stop_token; to_thread(f, args...) binds arguments");
    using returned = void; // so that nothing else is said after that
};
template <class F>
    requires takes_stop_token<F>
struct call_traits<F> {
    using returned = std::invoke_result_t<F, std::stop_token>;
};
template <class F>
    requires(!takes_stop_token<F> && std::is_invocable_v<F>)
struct call_traits<F> {
    using returned = std::invoke_result_t<F>;
};

struct nothing_to_stop {};

} // namespace muster::detail
