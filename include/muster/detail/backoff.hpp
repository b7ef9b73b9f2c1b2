// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The one formula for how long to wait before another attempt: the first delay, then `factor` times as long each time
/// up to the longest, less a random part. It is plain arithmetic: the caller gives the random number and does the
/// waiting.
///
///     backoff pauses;
///     pauses.first = 100ms;
///     auto pause = pauses.after(failed_attempts, random, retry_after);

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace muster::detail {

struct backoff {
    std::chrono::nanoseconds first{0};
    std::chrono::nanoseconds longest = std::chrono::seconds(30);
    double factor = 2.0; ///< at least 1
    double jitter = 0.0; ///< 0 to 1: the part of each delay that is random

    /// *Returns* how long to wait once `failed` attempts, at least one, have failed. `random` is any number of which
    /// all 64 bits are random. The delay is never shorter than `at_least`, which is a server's Retry-After: `longest`
    /// does not bound that.
    [[nodiscard]] std::chrono::nanoseconds after(std::size_t failed, std::uint64_t random,
        std::chrono::nanoseconds at_least = std::chrono::nanoseconds(0)) const noexcept {
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
};

} // namespace muster::detail
