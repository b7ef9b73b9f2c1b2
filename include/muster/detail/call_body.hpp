// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The bodies of scopes: a callable that takes the scope, or nothing, and returns a task or another awaitable.
///
///     auto running = call_body(body, scope);

#include <muster/config.hpp>
#include <muster/detail/join/children.hpp>
#include <muster/task.hpp>

#include <exception>
#include <type_traits>
#include <utility>

namespace muster::detail {

template <class F, class Scope>
decltype(auto) call_with(F& body, Scope& scope) {
    if constexpr (std::is_invocable_v<F&, Scope&>) {
        return body(scope);
    } else {
        static_assert(std::is_invocable_v<F&>,
            "the body of a scope is a callable that takes the scope by reference, or nothing, and returns "
            "a muster::task");
        return body();
    }
}

template <class F, class Scope>
using called_body = decltype(call_with(std::declval<F&>(), std::declval<Scope&>()));

template <class Called>
struct body_value {
    using type = typename child_of<Called>::value_type;
};
/// A plain function that starts tasks and returns nothing is a body as well.
template <>
struct body_value<void> {
    using type = void;
};

template <class F, class Scope>
using body_result = typename body_value<called_body<F, Scope>>::type;

inline task<> ended_body() { co_return; }

/// A body that threw when it was called, before there was a coroutine.
template <class T>
task<T> failed_body(std::exception_ptr error) {
    co_await fail(std::move(error));
    std::terminate(); // fail() does not come back
}

/// *Returns* the body as a task, whatever awaitable it gives. It refers to `body`, which must outlive it.
template <class F, class Scope>
task<body_result<F, Scope>> call_body(F& body, Scope& scope) {
    using called = called_body<F, Scope>;
    try {
        if constexpr (std::is_void_v<called>) {
            call_with(body, scope);
            return ended_body();
        } else if constexpr (is_task<called>)
            return call_with(body, scope);
        else
            return await_as_task<std::remove_cvref_t<called>>(call_with(body, scope));
    } catch (...) {
        return failed_body<body_result<F, Scope>>(std::current_exception());
    }
}

} // namespace muster::detail
