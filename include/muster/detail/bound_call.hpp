// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A callable and its arguments, called once on a thread.
///
///     bound_call<F, int> call(f, 1);
///     std::move(call)();

#include <muster/config.hpp>

#include <functional>
#include <stop_token>
#include <tuple>
#include <type_traits>
#include <utility>

namespace muster::detail {

/// A base of to_thread that comes before all others, so that its message is the first.
template <class F, class... Args>
class refuse_unless_called_with {
    static_assert(std::is_invocable_v<F, std::stop_token, Args...> || std::is_invocable_v<F, Args...>,
        "to_thread can't call this with these arguments: they are copied, or moved, and passed as rvalues; "
        "pass std::ref(x) for a reference");
};

/// A callable and its arguments, called once.
template <class F, class... Args>
class bound_call {
    static constexpr bool with_token = std::is_invocable_v<F, std::stop_token, Args...>;
    static constexpr bool without_token = !with_token && std::is_invocable_v<F, Args...>;

public:
    explicit bound_call(F f, Args... args) : f_(std::move(f)), args_(std::move(args)...) {}

    decltype(auto) operator()() && requires without_token {
        return std::apply(
            [this](Args&... args) -> decltype(auto) { return std::invoke(std::move(f_), std::move(args)...); }, args_);
    }
    decltype(auto) operator()(std::stop_token token) && requires with_token {
        return std::apply(
            [&](Args&... args) -> decltype(auto) {
                return std::invoke(std::move(f_), std::move(token), std::move(args)...);
            },
            args_);
    }

    /// Refused: see refuse_unless_called_with.
    void operator()() && requires(!with_token && !without_token) {}

private:
    F f_;
    std::tuple<Args...> args_;
};

} // namespace muster::detail
