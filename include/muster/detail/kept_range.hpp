// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// How a range is kept by what reads it later: the part of std::views::all that a map needs, without `<ranges>`.
///
///     kept_range<std::vector<int>&> numbers(vector);    // refers to the vector
///     kept_range<std::vector<int>> more(make_vector()); // owns it

#include <muster/config.hpp>
#include <muster/detail/range_traits.hpp>

#include <cstddef>
#include <initializer_list>
#include <memory>
#include <span> // declares std::ranges::enable_view
#include <type_traits>

namespace muster::detail {

/// A range that somebody else keeps.
template <class Range>
class referred_range {
public:
    explicit constexpr referred_range(Range& range) noexcept : range_(std::addressof(range)) {}
    [[nodiscard]] constexpr auto begin() const { return range_access::begin_of(*range_); }
    [[nodiscard]] constexpr auto end() const { return range_access::end_of(*range_); }
    [[nodiscard]] constexpr std::size_t size() const requires countable<Range> { return count_of(*range_); }

private:
    Range* range_;
};

template <class Range>
inline constexpr bool is_initializer_list = false;
template <class T>
inline constexpr bool is_initializer_list<std::initializer_list<T>> = true;

template <class Range>
struct keeping {
    static_assert(!is_initializer_list<std::remove_cvref_t<Range>>,
        "the elements of a list in braces are gone before they are read: give a std::vector or a std::array");
    using type = std::remove_cvref_t<Range>;
};
template <class Range>
    requires(!std::ranges::enable_view<std::remove_cv_t<Range>>)
struct keeping<Range&> {
    using type = referred_range<Range>;
};

/// How a range that was given as `Range` is kept: by reference if it is a variable, and by value if it is a temporary
/// or a view, as std::views::all does.
template <class Range>
using kept_range = typename keeping<Range>::type;

} // namespace muster::detail
