// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The few lines that say how far a batch is. The writer shows them.
///
///     out.show_status(progress_lines(counts, terminal_width(STDERR_FILENO), false));

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tool {

/// How often it is made anew.
constexpr std::chrono::milliseconds progress_interval{100};

struct progress_counts {
    struct running_one {
        running_one(std::string n, std::chrono::nanoseconds t) : name(std::move(n)), runs(t) {}
        std::string name;
        std::chrono::nanoseconds runs; ///< so far
    };

    progress_counts() noexcept {}
    std::uint64_t done = 0;
    std::optional<std::uint64_t> total;
    std::uint64_t ok = 0;
    std::uint64_t failed = 0;
    std::uint64_t running = 0;
    std::uint64_t retrying = 0;         ///< that wait for their next attempt
    std::optional<std::uint64_t> bytes; ///< that have come, where they are what matters
    std::chrono::nanoseconds elapsed{0};
    std::vector<running_one> slowest; ///< of those that run, the one that has run longest first
    std::string last_failure;
};

/// *Returns* how many columns a terminal has; 80 if it does not say.
[[nodiscard]] std::size_t terminal_width(int fd) noexcept;

/// *Returns* whether the terminal that standard error is belongs to this process now. In the background its last lines
/// belong to somebody else.
[[nodiscard]] bool is_in_foreground() noexcept;

/// *Returns* as much of a text as fits so many columns of a terminal. A character that is not printable is a question
/// mark.
[[nodiscard]] std::string fit_to_columns(std::string_view text, std::size_t columns);

/// *Returns* the text with its lines cut between words, or inside of one that is too long, so that none is as wide as
/// that. The rest of a line stands below its beginning.
[[nodiscard]] std::string fold_to_columns(std::string_view text, std::size_t columns);
/// *Returns* the text as it is printed to `fd`: folded if that is a terminal.
[[nodiscard]] std::string fold_for(int fd, std::string_view text);

/// *Returns* one to three lines, the last without a line feed: the counts, with a bar if asked for; what runs; the last
/// failure. None is as wide as the terminal: a line that wraps could not be drawn over.
[[nodiscard]] std::string progress_lines(const progress_counts& counts, std::size_t width, bool with_bar);
/// *Returns* the counts in one line of text, for a log.
[[nodiscard]] std::string plain_progress(const progress_counts& counts);
/// *Returns* how long to wait for the next line of a log, after so much time: a second at first, later a minute.
[[nodiscard]] std::chrono::nanoseconds until_next_plain_progress(std::chrono::nanoseconds elapsed) noexcept;

} // namespace tool
