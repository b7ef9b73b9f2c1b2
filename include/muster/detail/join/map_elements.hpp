// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Where the elements of a map come from: an input range, which is asked for one element after the other.
///
///     if (elements.look(j) == child_source::pulled::child) use(elements.take());

#include <muster/config.hpp>
#include <muster/detail/assert.hpp>
#include <muster/detail/join/child_source.hpp>
#include <muster/detail/join/children.hpp>
#include <muster/detail/join/join.hpp>
#include <muster/detail/range_traits.hpp>

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

namespace muster::detail {

template <class View>
class range_elements {
public:
    using iterator = iterator_of<View>;
    using reference = reference_of<View>;
    // An element that is made on the fly is handed over; one that lives in the range is copied by the function if
    // it takes it by value.
    using argument = std::conditional_t<std::is_reference_v<reference>, reference, reference&&>;
    static constexpr bool repeatable = std::forward_iterator<iterator>;
    static constexpr bool awaited = false;

    template <class Range>
    explicit range_elements(Range&& range) : view_(std::forward<Range>(range)) {}

    /// The input, where nothing was pulled from it.
    [[nodiscard]] View take_view() && {
        MUSTER_ASSERT(position_ == position::before_first);
        return std::move(view_);
    }

    [[nodiscard]] std::size_t size() {
        if constexpr (countable<View>)
            return count_of(view_);
        else
            return unlimited;
    }

    /// Looks at the next element without taking it. *Errors*: what the range throws.
    [[nodiscard]] child_source::pulled look(join&) {
        switch (position_) {
        case position::before_first:
            next_.emplace(range_access::begin_of(view_));
            break;
        case position::at_taken:
            ++*next_;
            break;
        case position::at_next:
        case position::at_end:
            break;
        }
        if (position_ == position::before_first || position_ == position::at_taken)
            position_ = *next_ == range_access::end_of(view_) ? position::at_end : position::at_next;
        return position_ == position::at_next ? child_source::pulled::child : child_source::pulled::end;
    }
    [[nodiscard]] bool has_next(join& j) { return look(j) == child_source::pulled::child; }
    [[nodiscard]] bool looked_ahead() const noexcept { return position_ == position::at_next; }
    /// The element that look() has found. It may be read again as long as the iterator is kept.
    [[nodiscard]] iterator& take() noexcept {
        MUSTER_ASSERT(position_ == position::at_next);
        position_ = position::at_taken;
        return *next_;
    }

private:
    enum class position : std::uint8_t { before_first, at_taken, at_next, at_end };

    View view_;
    std::optional<iterator> next_;
    position position_ = position::before_first;
};

} // namespace muster::detail
