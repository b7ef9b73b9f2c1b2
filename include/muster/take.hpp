// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Moves a named callable into a scope or a combinator, which would otherwise get a copy.
///
///     auto body = [name = std::string("x")]() -> muster::task<> { ... };
///     co_await muster::with_task_group(body);               // a copy
///     co_await muster::with_task_group(muster::take(body)); // moved

#include <type_traits>
#include <utility>

namespace muster {

namespace detail {

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

/// *Returns* a callable that owns what `named` was; `named` is moved from.
/// std::move would do, but for g++ 12: see docs/inside/compilers.md.
template <class F>
    requires(!std::is_const_v<F>)
[[nodiscard]] detail::taken<F> take(F& named) { return detail::taken<F>(std::move(named)); }

} // namespace muster
