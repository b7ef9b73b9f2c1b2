// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// What the library's functions return to be awaited: the arguments of an awaiter that is made when the await begins.
/// An awaiter is part of lists and heaps and can't move; an operation can, so that it can be given to gather,
/// wait_for and the like.
///
///     operation<sleep_awaiter, nanoseconds> sleep_for(nanoseconds d) { return operation<...>(d); }

#include <muster/config.hpp>

#include <tuple>
#include <utility>

namespace muster::detail {

template <class Awaiter, class... Args>
class [[nodiscard("nothing happens until it is awaited")]] operation {
public:
    explicit operation(Args... args) noexcept : args_(std::forward<Args>(args)...) {}

    Awaiter operator co_await() && {
        return std::apply([](auto&&... a) { return Awaiter(std::forward<decltype(a)>(a)...); }, std::move(args_));
    }

private:
    std::tuple<Args...> args_;
};

} // namespace muster::detail
