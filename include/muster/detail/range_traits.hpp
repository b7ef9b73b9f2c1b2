// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The elements of a range, for the combinators that take one. `<ranges>` says the same and more, and takes a
/// twentieth of the time in which a file that gathers two tasks compiles; so the library's headers do without it.
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
constexpr auto begin_of(Range& range) -> decltype(begin(range)) {
    return begin(range);
}
template <class Range>
constexpr auto end_of(Range& range) -> decltype(end(range)) {
    return end(range);
}

} // namespace range_access

/// True for what a range-based `for` takes: containers, arrays and views, by members or by functions that are found by
/// argument-dependent lookup.
template <class Range>
concept iterable = requires(Range& range) {
    { range_access::begin_of(range) } -> std::input_iterator;
    { range_access::end_of(range) } -> std::sentinel_for<decltype(range_access::begin_of(range))>;
};

template <class Range>
using iterator_of = decltype(range_access::begin_of(std::declval<Range&>()));

/// The type of the elements, as values.
template <class Range>
using element_of = std::iter_value_t<iterator_of<Range>>;

/// The type that the range's iterators give when they are read.
template <class Range>
using reference_of = std::iter_reference_t<iterator_of<Range>>;

/// True if the range knows how many elements it has, so that room can be made for all at once.
template <class Range>
concept sized = requires(const Range& range) {
    { range.size() } -> std::convertible_to<std::size_t>;
};

/// True if it can be said how many elements the range has before they are read: by itself, or by its ends.
template <class Range>
concept countable = requires(Range& range) {
    { std::size(range) } -> std::convertible_to<std::size_t>;
}
|| std::sized_sentinel_for<decltype(range_access::end_of(std::declval<Range&>())), iterator_of<Range>>;

/// *Returns* how many elements the range has.
template <countable Range>
[[nodiscard]] constexpr std::size_t count_of(Range& range) {
    if constexpr (requires { std::size(range); })
        return static_cast<std::size_t>(std::size(range));
    else
        return static_cast<std::size_t>(range_access::end_of(range) - range_access::begin_of(range));
}

} // namespace muster::detail
