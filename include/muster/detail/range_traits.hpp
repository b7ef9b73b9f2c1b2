// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The elements of a range, for the combinators that take one. `<ranges>` says the same and more, and takes a
/// twentieth of the time in which a file that gathers two tasks compiles; so gather.hpp does without it.
///
///     static_assert(iterable<std::vector<int>> && std::same_as<element_of<std::vector<int>>, int>);

#include <concepts>
#include <cstddef>
#include <iterator>
#include <utility>

namespace muster::detail {

namespace range_access {

using std::begin;
using std::end;

template <class Range>
auto begin_of(Range& range) -> decltype(begin(range));
template <class Range>
auto end_of(Range& range) -> decltype(end(range));

} // namespace range_access

/// True for what a range-based `for` takes: containers, arrays and views, by members or by functions that are found by
/// argument-dependent lookup.
template <class Range>
concept iterable = requires(Range& range) {
    { range_access::begin_of(range) } -> std::input_iterator;
    { range_access::end_of(range) } -> std::sentinel_for<decltype(range_access::begin_of(range))>;
};

/// The type of the elements, as values.
template <class Range>
using element_of = std::iter_value_t<decltype(range_access::begin_of(std::declval<Range&>()))>;

/// True if the range knows how many elements it has, so that room can be made for all at once.
template <class Range>
concept sized = requires(const Range& range) {
    { range.size() } -> std::convertible_to<std::size_t>;
};

} // namespace muster::detail
