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

/// The first character of a text, or a byte that belongs to none.
struct character {
    std::size_t bytes = 1;
    std::size_t columns = 1;
    bool is_printable = false;
};

character first_character(std::string_view text) {
    wchar_t c = 0;
    std::mbstate_t state{};
    const auto size = std::mbrtowc(&c, text.data(), text.size(), &state);
    const bool is_character = size != 0 && size <= text.size();
    const int width = is_character ? ::wcwidth(c) : -1;
    return {is_character ? size : 1, width < 0 ? 1 : static_cast<std::size_t>(width), width >= 0};
}

/// *Returns* how many bytes of a text fit so many columns; at least those of one character.
std::size_t bytes_that_fit(std::string_view text, std::size_t columns) {
    std::size_t bytes = 0;
    for (std::size_t used = 0; bytes != text.size();) {
        const auto c = first_character(text.substr(bytes));
        used += c.columns;
        if (used > columns && bytes != 0)
            break;
        bytes += c.bytes;
    }
    return bytes;
}

} // namespace

std::size_t terminal_width(int fd) noexcept {
    winsize size{};
    if (::ioctl(fd, TIOCGWINSZ, &size) != 0 || size.ws_col == 0)
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
    for (std::size_t used = 0; !text.empty();) {
        const auto c = first_character(text);
        used += c.columns;
        if (used > columns)
            break;
        shown += c.is_printable ? text.substr(0, c.bytes) : std::string_view("?");
        text.remove_prefix(c.bytes);
    }
    return shown;
}

std::string fold_to_columns(std::string_view text, std::size_t columns) {
    const auto room = std::max<std::size_t>(columns, 2) - 1;
    std::string folded;
    while (!text.empty()) {
        const auto end = text.find('\n');
        auto line = text.substr(0, end);
        text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
        // A deep indentation would leave a narrow terminal no room for words.
        const auto spaces = std::min(line.find_first_not_of(' '), line.size());
        const auto indentation = spaces > room / 2 ? std::min(room / 4, spaces) : spaces;
        line.remove_prefix(spaces);
        for (;;) {
            auto size = bytes_that_fit(line, room - indentation);
            if (size != line.size())
                if (const auto space = line.rfind(' ', size); space != std::string_view::npos && space != 0)
                    size = space;
            folded.append(indentation, ' ').append(line, 0, size);
            line.remove_prefix(size);
            line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
            if (line.empty())
                break;
            folded += '\n';
        }
        if (end != std::string_view::npos)
            folded += '\n';
    }
    return folded;
}

std::string fold_for(int fd, std::string_view text) {
    return ::isatty(fd) == 1 ? fold_to_columns(text, terminal_width(fd)) : std::string(text);
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
