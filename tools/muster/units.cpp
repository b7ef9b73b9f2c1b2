// SPDX-License-Identifier: MIT
// This file parses numbers with a unit, with a usage_error that shows how to write the value, and prints sizes and
// durations.
#include "units.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <string_view>
#include <utility>

namespace tool {

namespace {

/// *Returns* the number that the text begins with and what comes after it; no number: an empty optional's place is
/// taken by NaN, which no comparison accepts.
std::pair<double, std::string_view> number_and_rest(std::string_view text) {
    double number = std::nan("");
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
    if (error != std::errc())
        return {std::nan(""), text};
    return {number, text.substr(static_cast<std::size_t>(end - text.data()))};
}

} // namespace

std::chrono::nanoseconds parse_duration(const std::string& text, const std::string& option) {
    const auto [number, unit] = number_and_rest(text);
    double seconds = std::nan("");
    if (unit.empty() || unit == "s")
        seconds = number;
    else if (unit == "ms")
        seconds = number / 1000;
    else if (unit == "m" || unit == "min")
        seconds = number * 60;
    else if (unit == "h")
        seconds = number * 3600;
    if (!std::isfinite(seconds))
        throw usage_error(fmt::format("{}: '{}' is no time: write 500ms, 2s, 1m or 1h", option, text));
    // A hundred years are for ever. Less than half a nanosecond is nothing.
    const std::chrono::nanoseconds time(std::llround(std::clamp(seconds, -1.0, 3.2e9) * 1e9));
    if (time.count() <= 0)
        throw usage_error(fmt::format("{}: the time must be longer than zero, not '{}'", option, text));
    return time;
}

rate parse_rate(const std::string& text, const std::string& option) {
    const auto slash = text.find('/');
    const auto count = parse_count(text.substr(0, slash), option, 1, 1'000'000);
    const std::string window = slash == std::string::npos ? "s" : text.substr(slash + 1);
    if (window == "s")
        return {count, std::chrono::seconds(1)};
    if (window == "m")
        return {count, std::chrono::minutes(1)};
    throw usage_error(fmt::format("{}: '{}' is no rate: write 10, 10/s or 600/m", option, text));
}

std::uint64_t parse_size(const std::string& text, const std::string& option) {
    const auto [number, unit] = number_and_rest(text);
    double bytes = std::nan("");
    if (unit.empty())
        bytes = number;
    else if (unit == "K" || unit == "k")
        bytes = number * 1024;
    else if (unit == "M")
        bytes = number * 1024 * 1024;
    else if (unit == "G")
        bytes = number * 1024 * 1024 * 1024;
    if (!(bytes >= 1 && bytes < 9e18))
        throw usage_error(fmt::format("{}: '{}' is no size: write 1000, 20K, 5M or 1G", option, text));
    return static_cast<std::uint64_t>(bytes);
}

std::size_t parse_count(const std::string& text, const std::string& option, std::size_t least, std::size_t most) {
    std::size_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc() || end != text.data() + text.size() || text.empty() || number < least || number > most)
        throw usage_error(
            fmt::format("{}: '{}' will not do: give a whole number from {} to {}", option, text, least, most));
    return number;
}

unsigned parse_mode(const std::string& text, const std::string& option) {
    unsigned mode = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), mode, 8);
    if (error != std::errc() || end != text.data() + text.size() || mode > 0777 || (mode & 0600U) != 0600U)
        throw usage_error(fmt::format("{}: '{}' will not do: write 600, 640 or 644", option, text));
    return mode;
}

std::string show_size(std::uint64_t bytes) {
    constexpr std::pair<int, const char*> units[] = {{30, "GiB"}, {20, "MiB"}, {10, "KiB"}};
    for (const auto& [bits, name] : units) {
        if (const std::uint64_t one = std::uint64_t{1} << bits; bytes >= one && bytes % one == 0)
            return fmt::format("{} {}", bytes / one, name);
    }
    return fmt::format("{} bytes", bytes);
}

std::string show_duration(std::chrono::nanoseconds d) {
    const double seconds = std::chrono::duration<double>(d).count();
    if (seconds < 10)
        return fmt::format("{:.3f} s", seconds);
    if (seconds < 120)
        return fmt::format("{:.1f} s", seconds);
    const auto whole = std::chrono::duration_cast<std::chrono::seconds>(d).count();
    return fmt::format("{} min {:02} s", whole / 60, whole % 60);
}

} // namespace tool
