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
        std::chrono::nanoseconds at_least = std::chrono::nanoseconds(0)) const noexcept;
};

} // namespace muster::detail
