// SPDX-License-Identifier: MIT
#include "progress.hpp"

#include "streams.hpp"
#include "units.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>

#include <poll.h>
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

progress::progress(bool wanted) : shown_(wanted && ::isatty(STDERR_FILENO) == 1) {}

void progress::draw(const progress_counts& c) {
    if (!shown_)
        return;
    const double seconds = std::chrono::duration<double>(c.elapsed).count();
    std::string line = c.total ? fmt::format("{}/{}", c.done, *c.total) : fmt::format("{} done", c.done);
    line += fmt::format("  {} ok  {} failed  {} running  {:.0f}/s", c.ok, c.failed, c.running,
        seconds > 0.05 ? static_cast<double>(c.done) / seconds : 0.0);
    // At the rate so far.
    if (c.total && c.done != 0 && c.done < *c.total && seconds > 1)
        line += fmt::format("  {} left",
            show_duration(std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::duration<double>(
                std::ceil(seconds / static_cast<double>(c.done) * static_cast<double>(*c.total - c.done))))));
    // A line that wraps could not be drawn over.
    line.resize(std::min(line.size(), terminal_width() - 1));
    // A terminal that was told to wait (Ctrl-S), or that is gone, is no reason to stop.
    pollfd watched{STDERR_FILENO, POLLOUT, 0};
    if (line == last_ || ::poll(&watched, 1, 0) <= 0)
        return;
    last_ = line;
    static_cast<void>(write_all(STDERR_FILENO, "\r\x1b[K" + line));
}

void progress::clear() {
    if (last_.empty())
        return;
    last_.clear();
    static_cast<void>(write_all(STDERR_FILENO, "\r\x1b[K"));
}

} // namespace tool
