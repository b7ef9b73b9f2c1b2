// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Many failures thrown as one, in a tree that keeps each of them, with a readable what(). A group can be asked what
/// it holds, and be split by type, without throwing. A group that holds a cancellation is no std::exception, as a
/// cancellation itself is none. Handlers by type, Python's `except*`, are in handle_group.hpp.
///
///     try { co_await save_all(); }
///     catch (const muster::exception_group& group) {
///         for (const auto* e : group.leaves_of<http_error>()) log(e->what());
///     }

#include <muster/config.hpp>
#include <muster/detail/exception_test.hpp>
#include <muster/detail/exception_type.hpp>

#include <concepts>
#include <cstddef>
#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace muster {

/// The two sides of a split; null where a side is empty. `auto [match, rest] = group.split<http_error>();`
struct group_split {
    group_split() noexcept = default;
    group_split(std::exception_ptr matching, std::exception_ptr other) noexcept
        : match(std::move(matching)),
          rest(std::move(other)) {}

    std::exception_ptr match;
    std::exception_ptr rest;
};

/// A predicate that looks at an exception without throwing it.
template <class P>
concept exception_predicate = std::predicate<P&, const std::exception_ptr&>;

namespace detail {
class group_state;
}

/// A group that may hold cancellations. Made by make_exception_group, which decides between this and exception_group:
/// one that holds a cancelled_error, or a group that does, is not an exception_group and no std::exception.
/// Copying never throws; copies share what they hold. Throw on with `throw;`: `throw group;` would slice.
/// To add something to a group, derive from it or from exception_group and override derive().
/// *Thread safety*: copies may be used on different threads at once. *Source*: BaseExceptionGroup.
class base_exception_group {
public:
    base_exception_group(const base_exception_group&) noexcept = default;
    base_exception_group& operator=(const base_exception_group&) noexcept = default;
    virtual ~base_exception_group() = default;

    [[nodiscard]] const std::string& message() const noexcept;
    /// The exceptions that it holds directly: at least one, none of them null. *Lifetime*: as long as any copy of this.
    [[nodiscard]] const std::vector<std::exception_ptr>& exceptions() const noexcept;
    [[nodiscard]] std::size_t size() const noexcept { return exceptions().size(); }

    /// *Returns* the whole tree in lines: the message, then each exception with its type and what it says. Made when
    /// it is first asked for. Very large trees are cut, and the last line says how many are left out; visit them
    /// with for_each_leaf.
    [[nodiscard]] virtual const char* what() const noexcept;

    /// Makes a group like this one of other exceptions; split and subgroup make their parts with it. Override it to
    /// keep what a class of your own adds. *Returns* an exception_ptr of a group, not null.
    /// *Errors*: std::invalid_argument if `exceptions` is empty or holds a null. *Source*: BaseExceptionGroup.derive.
    [[nodiscard]] virtual std::exception_ptr derive(std::vector<std::exception_ptr> exceptions) const;

    /// Calls `visit(const std::exception_ptr&)` for each exception in the tree that is no group, in order.
    template <class Visit>
    void for_each_leaf(Visit&& visit) const {
        auto visit_and_go_on = [&visit](const std::exception_ptr& leaf) {
            static_cast<void>(std::invoke(visit, leaf));
            return false;
        };
        detail::find_leaf(exceptions(), detail::exception_test(visit_and_go_on));
    }
    [[nodiscard]] std::size_t leaf_count() const {
        std::size_t count = 0;
        for_each_leaf([&](const std::exception_ptr&) { ++count; });
        return count;
    }
    /// *Returns* the names of the types of the leaves, each once, in the order in which they appear.
    [[nodiscard]] std::vector<std::string> error_types() const;

    /// True if a leaf of the tree is an E or of a class derived from it. Throws nothing.
    template <class E>
    [[nodiscard]] bool contains() const {
        static_assert(!std::is_base_of_v<base_exception_group, E>, "no leaf is a group: ask with subgroup<E>()");
        detail::is_any_of<E> test;
        return detail::find_leaf(exceptions(), detail::exception_test(test));
    }
    /// *Returns* the leaves that are an E, in order. *Lifetime*: as long as any copy of this.
    template <class E>
    [[nodiscard]] std::vector<const E*> leaves_of() const {
        static_assert(!std::is_base_of_v<base_exception_group, E>, "no leaf is a group: ask with subgroup<E>()");
        std::vector<const E*> found;
        for_each_leaf([&](const std::exception_ptr& leaf) {
            if (const auto* e = detail::get_if<E>(leaf))
                found.push_back(e);
        });
        return found;
    }

    /// Separates what matches from what does not. The group itself is asked first and, if it matches, is the match
    /// as a whole (`split<std::exception>()` of an exception_group); then what it holds, nested groups likewise,
    /// which keep their message and shape. A predicate is called with a `const std::exception_ptr&`.
    /// *Errors*: what the predicate or derive() throws. *Complexity*: O(exceptions in the tree), no rethrow.
    /// *Source*: BaseExceptionGroup.split.
    template <class... Es>
        requires(sizeof...(Es) > 0)
    [[nodiscard]] group_split split() const {
        detail::is_any_of<Es...> test;
        return detail::split_tree(pointer(), detail::exception_test(test), true);
    }
    template <exception_predicate P>
    [[nodiscard]] group_split split(P&& predicate) const {
        auto test = detail::as_object(predicate);
        return detail::split_tree(pointer(), detail::exception_test(test), true);
    }
    /// The match of split(), null if there is none. *Source*: BaseExceptionGroup.subgroup.
    template <class... Es>
        requires(sizeof...(Es) > 0)
    [[nodiscard]] std::exception_ptr subgroup() const {
        detail::is_any_of<Es...> test;
        return detail::split_tree(pointer(), detail::exception_test(test), false).match;
    }
    template <exception_predicate P>
    [[nodiscard]] std::exception_ptr subgroup(P&& predicate) const {
        auto test = detail::as_object(predicate);
        return detail::split_tree(pointer(), detail::exception_test(test), false).match;
    }

    /// *Returns* an exception_ptr of this group: the exception that is being handled, if this is it, else a new one
    /// made with derive().
    [[nodiscard]] std::exception_ptr pointer() const;

protected:
    /// *Errors*: std::invalid_argument if `exceptions` is empty or holds a null.
    base_exception_group(std::string message, std::vector<std::exception_ptr> exceptions);

    [[nodiscard]] bool holds_cancellation() const noexcept;

private:
    friend std::exception_ptr make_exception_group(std::string, std::vector<std::exception_ptr>);

    std::shared_ptr<const detail::group_state> state_;
};

/// A group of errors: a std::exception, holding no cancellation at any depth. An `int` that was thrown is an error.
/// *Source*: ExceptionGroup.
class exception_group : public base_exception_group, public std::exception {
public:
    /// *Errors*: std::invalid_argument if `exceptions` is empty, holds a null, or a cancellation.
    exception_group(std::string message, std::vector<std::exception_ptr> exceptions);

    [[nodiscard]] const char* what() const noexcept override { return base_exception_group::what(); }

private:
    friend std::exception_ptr make_exception_group(std::string, std::vector<std::exception_ptr>);
    explicit exception_group(const base_exception_group& of_errors) noexcept : base_exception_group(of_errors) {}
};

/// *Returns* an exception_group, or a base_exception_group if a cancellation is among the exceptions at any depth.
/// *Errors*: std::invalid_argument if `exceptions` is empty or holds a null. *Source*: calling BaseExceptionGroup.
[[nodiscard]] std::exception_ptr make_exception_group(std::string message, std::vector<std::exception_ptr> exceptions);

/// Throws what make_exception_group returns.
[[noreturn]] void throw_exception_group(std::string message, std::vector<std::exception_ptr> exceptions);

/// *Returns* the group that `error` holds; null if it holds no group. *Lifetime*: as long as any copy of `error`.
[[nodiscard]] inline const base_exception_group* as_group(const std::exception_ptr& error) noexcept {
    return detail::get_if<base_exception_group>(error);
}

} // namespace muster
