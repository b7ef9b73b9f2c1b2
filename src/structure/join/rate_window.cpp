// SPDX-License-Identifier: MIT
// This file keeps the times of a rate window. They lie in a vector that grows until it holds as many as may begin in
// the window; from then on it is a ring, in which the newest time replaces the oldest.
#include <muster/detail/rate_window.hpp>

#include <muster/detail/assert.hpp>

#include <algorithm>

namespace muster::detail {

rate_window::nanoseconds rate_window::earliest_in_window(nanoseconds now) const noexcept {
    if (times_.size() < most_)
        return now;
    const nanoseconds oldest = times_[oldest_];
    // An attempt at the very end of the window of the oldest is in a window of its own.
    return window_ > nanoseconds::max() - oldest ? nanoseconds::max() : std::max(now, oldest + window_);
}

void rate_window::make_room_for_another() {
    if (times_.size() < most_ && times_.size() == times_.capacity())
        times_.reserve(std::max<std::size_t>(8, 2 * times_.size()));
}

void rate_window::note(nanoseconds when) {
    MUSTER_ASSERT(when >= earliest(when));
    if (times_.size() < most_) {
        times_.push_back(when);
        return;
    }
    times_[oldest_] = when;
    oldest_ = oldest_ + 1 == most_ ? 0 : oldest_ + 1;
}

} // namespace muster::detail
