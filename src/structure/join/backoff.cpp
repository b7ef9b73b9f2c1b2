// SPDX-License-Identifier: MIT
// This file computes the pause before another attempt. The pause is computed in floating point, since a delay that is
// multiplied often enough is longer than any integer of nanoseconds.
#include <muster/detail/backoff.hpp>

#include <algorithm>

namespace muster::detail {

std::chrono::nanoseconds backoff::after(
    std::size_t failed, std::uint64_t random, std::chrono::nanoseconds at_least) const noexcept {
    auto delay = static_cast<double>(first.count());
    const auto most = static_cast<double>(longest.count());
    // The loop ends after as many rounds as it takes to reach the longest delay; a factor of 1 never does.
    for (std::size_t i = 1; i < failed && delay > 0 && delay < most && factor > 1; ++i)
        delay *= factor;
    const double part = static_cast<double>(random >> 11) * 0x1.0p-53; // 0 to 1, without 1
    delay = std::min(delay, most) * (1.0 - jitter * part);
    // 2^63 itself, which the longest duration becomes as a double, is no std::int64_t.
    const std::chrono::nanoseconds own =
        delay < 0x1.0p63 ? std::chrono::nanoseconds(static_cast<std::int64_t>(delay)) : longest;
    return std::max(own, at_least);
}

} // namespace muster::detail
