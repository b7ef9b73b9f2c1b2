// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// One line on a terminal's standard error that says how far it is, drawn at most ten times a second.
///
///     progress line(wanted);
///     line.draw(counts);
///     line.clear();

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

namespace tool {

struct progress_counts {
    progress_counts() noexcept {}
    std::uint64_t done = 0;
    std::optional<std::uint64_t> total;
    std::uint64_t ok = 0;
    std::uint64_t failed = 0;
    std::uint64_t running = 0;
    std::chrono::nanoseconds elapsed{0};
};

class progress {
public:
    static constexpr std::chrono::milliseconds interval{100};

    /// Draws only if it is wanted and standard error is a terminal.
    explicit progress(bool wanted);
    ~progress() { clear(); }
    progress(const progress&) = delete;
    progress& operator=(const progress&) = delete;

    [[nodiscard]] bool shown() const noexcept { return shown_; }
    void draw(const progress_counts& counts);
    void clear();

private:
    bool shown_;
    std::string last_;
};

} // namespace tool
