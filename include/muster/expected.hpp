// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Values that carry their own error, such as std::expected: a task that returns one has succeeded, whatever is
/// inside, unless you ask for the error to count as a failure.
///
///     auto outcomes = co_await muster::settle(muster::unwrap(parse(a)), muster::unwrap(parse(b)));

#include <muster/config.hpp>
#include <muster/task.hpp>

#include <concepts>
#include <exception>
#include <type_traits>
#include <utility>

namespace muster {

/// The part that std::expected, tl::expected and their like have in common.
template <class E>
concept expected_like = requires(E e) {
    static_cast<bool>(e.has_value());
    *std::move(e);
    std::move(e).error();
};

/// A task that ends with the value, or fails with the error, without a throw.
/// *Returns*, awaited, the value inside. *Errors*: the error inside, as itself (an exception_ptr is unpacked).
/// *Cancellation*: the task's.
template <expected_like Expected>
auto unwrap(task<Expected> t) -> task<std::remove_cvref_t<decltype(*std::declval<Expected>())>> {
    auto result = co_await std::move(t);
    if (!result.has_value())
        co_await fail(std::move(result).error());
    co_return *std::move(result);
}

} // namespace muster
