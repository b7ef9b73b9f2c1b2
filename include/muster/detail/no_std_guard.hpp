// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The standard library's guards are refused for what a task has to await: they would call lock(), drop what it
/// returns, and hold nothing. A mutex of ours is refused among others, too: `std::scoped_lock(a_std_mutex, ours)`, and
/// so is std::lock, which uses std::unique_lock.
///
///     template <>
///     inline constexpr bool is_locked_by_await<mutex> = true;

#include <mutex>
#include <type_traits>

namespace muster {

class semaphore;

namespace detail {

/// True for the types that give a guard only to a task which awaits it.
template <class T>
inline constexpr bool is_locked_by_await = false;
template <class T>
concept locked_by_await = is_locked_by_await<T>;

/// The refusal is a class of its own so that the compiler says it once, however often the guard is used.
template <class... Locks>
struct std_guard_refusal {
    static constexpr bool is_for_semaphore = (std::is_base_of_v<semaphore, Locks> || ...);
    static_assert(sizeof...(Locks) == 0 || is_for_semaphore,
        "the guards of the standard library can't await: write `auto guard = co_await m.scoped_lock();`");
    static_assert(sizeof...(Locks) == 0 || !is_for_semaphore,
        "the guards of the standard library can't await: write `auto permit = co_await s.scoped_acquire();`");
};

template <class... Locks>
class refused_std_guard {
public:
    template <class... Args>
    explicit refused_std_guard(Args&&...) {
        static_cast<void>(std_guard_refusal<Locks...>());
    }
    // These two are for std::lock and std::try_lock, whose own code would fail with more errors.
    explicit operator bool() const { return false; }
    void release() {}
};

} // namespace detail
} // namespace muster

template <muster::detail::locked_by_await L>
class std::lock_guard<L> : muster::detail::refused_std_guard<L> {
    using muster::detail::refused_std_guard<L>::refused_std_guard;
};
template <muster::detail::locked_by_await L>
class std::unique_lock<L> : public muster::detail::refused_std_guard<L> {
public:
    using muster::detail::refused_std_guard<L>::refused_std_guard;
};
template <muster::detail::locked_by_await L>
class std::scoped_lock<L> : muster::detail::refused_std_guard<L> {
    using muster::detail::refused_std_guard<L>::refused_std_guard;
};
template <class First, class Second, class... More>
    requires(muster::detail::locked_by_await<First> || muster::detail::locked_by_await<Second> ||
             (muster::detail::locked_by_await<More> || ...))
class std::scoped_lock<First, Second, More...> : muster::detail::refused_std_guard<First, Second, More...> {
    using muster::detail::refused_std_guard<First, Second, More...>::refused_std_guard;
};
