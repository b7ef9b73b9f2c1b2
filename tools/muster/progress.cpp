// SPDX-License-Identifier: MIT
// This file writes the progress line, with the counts, the rate so far and the time left at that rate, and cuts it to
// the terminal's width.
#include "progress.hpp"

#include "units.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>

#include <sys/ioctl.h>
#include <unistd.h>

namespace tool {

namespace {

std::size_t terminal_width() noexcept {
    winsize size{};
    if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0)
        return 80;
    return size.ws_col;
}

} // namespace

std::string progress_line(const progress_counts& c) {
    const double seconds = std::chrono::duration<double>(c.elapsed).count();
    std::string line = c.total ? fmt::format("{}/{}", c.done, *c.total) : fmt::format("{} done", c.done);
    line += fmt::format("  {} ok  {} failed  {} running  {:.0f}/s", c.ok, c.failed, c.running,
        seconds > 0.05 ? static_cast<double>(c.done) / seconds : 0.0);
    // At the rate so far.
    if (c.total && c.done != 0 && c.done < *c.total && seconds > 1)
        line += fmt::format("  {} left",
            show_duration(std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::duration<double>(
                std::ceil(seconds / static_cast<double>(c.done) * static_cast<double>(*c.total - c.done))))));
    if (c.retrying != 0)
        line += fmt::format("  {} to be tried again", c.retrying);
    line.resize(std::min(line.size(), terminal_width() - 1));
    return line;
}

} // namespace tool
