// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The one rate window: at most so many attempts begin in any stretch of time of the window's length. It answers "now"
/// or "not before t" and knows no loop: the caller says what time it is, and does the waiting.
///
///     rate_window window(5, 1s);
///     const auto when = window.earliest(now);
///     window.take(when);                       // this attempt begins then

#include <chrono>
#include <cstddef>
#include <vector>

namespace muster::detail {

/// *Complexity*: O(1); memory for the times of the last `most` attempts, as they come.
class rate_window {
public:
    using nanoseconds = std::chrono::nanoseconds;

    /// Bounds nothing: an attempt may always begin.
    rate_window() = default;
    /// `most` 0 bounds nothing.
    rate_window(std::size_t most, nanoseconds window) noexcept : most_(most), window_(window) {}

    [[nodiscard]] bool bounds() const noexcept { return most_ != 0; }

    /// *Returns* the earliest time, not before `now`, at which another attempt may begin: `now` itself means now.
    [[nodiscard]] nanoseconds earliest(nanoseconds now) const noexcept {
        return bounds() ? earliest_in_window(now) : now;
    }

    /// The next take() does not throw. *Errors*: std::bad_alloc.
    void make_room() {
        if (bounds())
            make_room_for_another();
    }
    /// An attempt begins at `when`, which earliest() has allowed. It may lie ahead: the place is taken all the same.
    /// *Errors*: std::bad_alloc, and nothing is taken then.
    void take(nanoseconds when) {
        if (bounds())
            note(when);
    }

private:
    [[nodiscard]] nanoseconds earliest_in_window(nanoseconds now) const noexcept;
    void make_room_for_another();
    void note(nanoseconds when);

    std::size_t most_ = 0;
    nanoseconds window_{0};
    std::size_t oldest_ = 0;         ///< where the oldest of times_ stands once there are `most_`
    std::vector<nanoseconds> times_; ///< a ring of the last `most_` attempts
};

} // namespace muster::detail
