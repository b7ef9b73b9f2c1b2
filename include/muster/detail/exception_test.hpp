// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Predicates on exceptions, passed by reference to functions that are no templates, and the two walks through the tree
/// of an exception group that such a predicate decides.
///
///     is_any_of<http_error> test;
///     bool found = find_leaf(group.exceptions(), exception_test(test));

#include <muster/detail/exception_type.hpp>

#include <concepts>
#include <exception>
#include <functional>
#include <memory>
#include <type_traits>
#include <vector>

namespace muster {

struct group_split;

namespace detail {

/// Refers to a predicate object for the length of a call.
class exception_test {
public:
    template <std::predicate<const std::exception_ptr&> P>
        requires(!std::is_same_v<std::remove_const_t<P>, exception_test>)
    explicit exception_test(P& predicate) noexcept
        : predicate_(const_cast<void*>(static_cast<const void*>(std::addressof(predicate)))),
          call_([](void* p, const std::exception_ptr& e) -> bool { return (*static_cast<P*>(p))(e); }) {}

    bool operator()(const std::exception_ptr& error) const { return call_(predicate_, error); }

private:
    void* predicate_;
    bool (*call_)(void*, const std::exception_ptr&);
};

template <class... Es>
struct is_any_of {
    bool operator()(const std::exception_ptr& error) const noexcept { return (is_a<Es>(error) || ...); }
};

/// *Returns* an object that calls `predicate`, which may be anything that std::invoke takes, such as a function
/// pointer.
template <class P>
auto as_object(P& predicate) noexcept {
    return [&predicate](const std::exception_ptr& error) -> bool { return std::invoke(predicate, error); };
}

/// Tests `root` and, where a group does not match, the exceptions that the group holds. Groups keep their shape; those
/// that become empty are left out; one that goes to a side as a whole is passed on itself. `rest` of the result is null
/// unless `want_rest`.
group_split split_tree(const std::exception_ptr& root, exception_test test, bool want_rest);

/// Calls `visit` for each leaf in order until it says true. *Returns* whether it did.
bool find_leaf(const std::vector<std::exception_ptr>& exceptions, exception_test visit);

} // namespace detail
} // namespace muster
