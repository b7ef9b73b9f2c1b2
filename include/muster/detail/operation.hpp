// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The type that the library's functions return to be awaited: it holds the arguments of an awaiter that is made when
/// the await begins. An awaiter is part of lists and heaps and can't move; an operation can, so that it can be given to
/// gather, wait_for and the like. An object_operation is one of an object, which may be destroyed before the await.
///
///     operation<sleep_awaiter, nanoseconds> sleep_for(nanoseconds d) { return operation<...>(d); }

#include <muster/config.hpp>
#include <muster/detail/object_link.hpp>

#include <cstddef>
#include <utility>

namespace muster::detail {

// A std::tuple would do; each kind of it costs whoever includes this some hundredths of a second of compile time.
template <std::size_t I, class T>
struct kept_argument {
    explicit kept_argument(T&& v) noexcept : value(std::forward<T>(v)) {}
    T value;
};
template <class Indices, class... Args>
struct kept_arguments;
template <std::size_t... I, class... Args>
struct kept_arguments<std::index_sequence<I...>, Args...> : kept_argument<I, Args>... {
    explicit kept_arguments(Args&&... args) noexcept : kept_argument<I, Args>(std::forward<Args>(args))... {}

    template <class Made>
    Made make() && {
        return Made(std::forward<Args>(static_cast<kept_argument<I, Args>&>(*this).value)...);
    }
};

template <class Awaiter, class... Args>
class [[nodiscard("nothing happens until it is awaited")]] operation {
public:
    explicit operation(Args... args) noexcept : args_(std::forward<Args>(args)...) {}

    Awaiter operator co_await()&& { return std::move(args_).template make<Awaiter>(); }

private:
    kept_arguments<std::index_sequence_for<Args...>, Args...> args_;
};

/// *Errors*, when it is awaited: invalid_state_error if the object was destroyed. `Awaiter::name` is the function.
template <class Awaiter, class Object>
class [[nodiscard("nothing happens until it is awaited")]] object_operation {
public:
    explicit object_operation(object_ref<Object> of) noexcept : of_(of) {}

    Awaiter operator co_await()&& { return Awaiter(of_.required(Awaiter::name)); }

private:
    object_ref<Object> of_;
};

} // namespace muster::detail
