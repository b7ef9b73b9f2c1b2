// SPDX-License-Identifier: MIT
// This file writes the progress display: the counts, with the rate so far and the time left at that rate; the names of
// those that run, with the time of the slowest; and the last failure. Each line is cut to the terminal's width, counted
// in columns, as a wide character takes two.
#include "progress.hpp"

#include "units.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cwchar>

#include <sys/ioctl.h>
#include <unistd.h>

namespace tool {

namespace {

/// "512 B", "1.2 MB".
std::string short_size(double bytes) {
    constexpr std::array<const char*, 5> units{"B", "KB", "MB", "GB", "TB"};
    std::size_t unit = 0;
    for (; bytes >= 999.5 && unit + 1 != units.size(); ++unit)
        bytes /= 1000;
    return fmt::format("{:.{}f} {}", bytes, unit != 0 && bytes < 9.95 ? 1 : 0, units.at(unit));
}

std::string counts_of(const progress_counts& c) {
    const double seconds = std::chrono::duration<double>(c.elapsed).count();
    std::string line = c.total ? fmt::format("{}/{}", c.done, *c.total) : fmt::format("{} done", c.done);
    line += fmt::format("  {} ok  {} failed  {} running  {:.0f}/s", c.ok, c.failed, c.running,
        seconds > 0.05 ? static_cast<double>(c.done) / seconds : 0.0);
    if (c.bytes)
        line += fmt::format("  {}  {}/s", short_size(static_cast<double>(*c.bytes)),
            short_size(seconds > 0.05 ? static_cast<double>(*c.bytes) / seconds : 0.0));
    // At the rate so far.
    if (c.total && c.done != 0 && c.done < *c.total && seconds > 1)
        line += fmt::format("  {} left",
            show_duration(std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::duration<double>(
                std::ceil(seconds / static_cast<double>(c.done) * static_cast<double>(*c.total - c.done))))));
    if (c.retrying != 0)
        line += fmt::format("  {} to be tried again", c.retrying);
    return line;
}

/// "[#####.....]  50%  ", or nothing if it is not known how many there are.
std::string bar_of(const progress_counts& c, std::size_t width) {
    if (!c.total || *c.total == 0)
        return {};
    const auto cells = std::clamp<std::size_t>(width / 4, 5, 40);
    const auto part = std::min(1.0, static_cast<double>(c.done) / static_cast<double>(*c.total));
    const auto full = static_cast<std::size_t>(part * static_cast<double>(cells));
    return fmt::format("[{}{}] {:3.0f}%  ", std::string(full, '#'), std::string(cells - full, '.'), part * 100);
}

std::string names_of(const progress_counts& c) {
    std::string line;
    for (const auto& one : c.slowest) {
        if (line.empty())
            line = fmt::format("running: {} ({:.0f} s)", one.name, std::chrono::duration<double>(one.runs).count());
        else
            line += ", " + one.name;
    }
    return line;
}

} // namespace

std::size_t terminal_width() noexcept {
    winsize size{};
    if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0)
        return 80;
    return size.ws_col;
}

bool is_in_foreground() noexcept {
    // A terminal that is not the one of this process's session has no foreground that could be asked for.
    const auto group = ::tcgetpgrp(STDERR_FILENO);
    return group < 0 || group == ::getpgrp();
}

std::string fit_to_columns(std::string_view text, std::size_t columns) {
    std::string shown;
    std::mbstate_t state{};
    std::size_t used = 0;
    while (!text.empty()) {
        wchar_t c = 0;
        const auto size = std::mbrtowc(&c, text.data(), text.size(), &state);
        const bool is_character = size != 0 && size <= text.size();
        const int width = is_character ? ::wcwidth(c) : -1;
        if (!is_character)
            state = {};
        const auto taken = is_character ? size : 1;
        const auto wide = width < 0 ? 1 : static_cast<std::size_t>(width);
        if (used + wide > columns)
            break;
        used += wide;
        shown += width < 0 ? std::string_view("?") : text.substr(0, taken);
        text.remove_prefix(taken);
    }
    return shown;
}

std::string progress_lines(const progress_counts& c, std::size_t width, bool with_bar) {
    const auto columns = std::max<std::size_t>(width, 2) - 1;
    std::string all = fit_to_columns((with_bar ? bar_of(c, width) : std::string()) + counts_of(c), columns);
    if (const auto names = names_of(c); !names.empty())
        all += '\n' + fit_to_columns(names, columns);
    if (!c.last_failure.empty())
        all += '\n' + fit_to_columns("last failure: " + c.last_failure, columns);
    return all;
}

std::string plain_progress(const progress_counts& c) {
    auto line = counts_of(c);
    if (!c.slowest.empty() && c.slowest.front().runs >= std::chrono::seconds(1))
        line += "  " + names_of(c);
    constexpr std::size_t longest = 300;
    return fit_to_columns(line, longest);
}

std::chrono::nanoseconds until_next_plain_progress(std::chrono::nanoseconds elapsed) noexcept {
    if (elapsed < std::chrono::seconds(10))
        return std::chrono::seconds(1);
    return elapsed < std::chrono::minutes(10) ? std::chrono::seconds(10) : std::chrono::minutes(1);
}

} // namespace tool
