// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The one line that says how far a batch is. The writer shows it.
///
///     out.show_status(progress_line(counts));

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

namespace tool {

/// How often it is made anew.
constexpr std::chrono::milliseconds progress_interval{100};

struct progress_counts {
    progress_counts() noexcept {}
    std::uint64_t done = 0;
    std::optional<std::uint64_t> total;
    std::uint64_t ok = 0;
    std::uint64_t failed = 0;
    std::uint64_t running = 0;
    std::uint64_t retrying = 0; ///< that wait for their next attempt
    std::chrono::nanoseconds elapsed{0};
};

/// *Returns* the line, without a line feed and not wider than the terminal that standard error is: a line that wraps
/// could not be drawn over.
[[nodiscard]] std::string progress_line(const progress_counts& counts);

} // namespace tool
