// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Times, rates and sizes as people write them on a command line, and times as they like to read them.
///
///     parse_duration("500ms");   parse_rate("10/s");   parse_size("20M");

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>

namespace tool {

/// The command line, or what it names, can't be used: exit status 2. The text says what to do.
class usage_error : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

/// At most `count` in any stretch of `window`.
struct rate {
    rate() noexcept {}
    rate(std::size_t n, std::chrono::nanoseconds w) noexcept : count(n), window(w) {}
    std::size_t count = 0; ///< 0: no limit
    std::chrono::nanoseconds window{std::chrono::seconds(1)};
};

/// "500ms", "2s", "1.5m", "1h"; a plain number is seconds. More than zero. *Errors*: usage_error, naming the option.
[[nodiscard]] std::chrono::nanoseconds parse_duration(const std::string& text, const std::string& option);
/// "10", "10/s", "600/m". *Errors*: usage_error.
[[nodiscard]] rate parse_rate(const std::string& text, const std::string& option);
/// "1000", "20K", "5M", "1G" (powers of 1024). *Errors*: usage_error.
[[nodiscard]] std::uint64_t parse_size(const std::string& text, const std::string& option);
/// A whole number from `least` to `most`. *Errors*: usage_error.
[[nodiscard]] std::size_t parse_count(
    const std::string& text, const std::string& option, std::size_t least, std::size_t most);

/// "600", "0644": octal, with read and write for the owner. *Errors*: usage_error.
[[nodiscard]] unsigned parse_mode(const std::string& text, const std::string& option);

/// "1 GiB", "20 MiB", "1000 bytes".
[[nodiscard]] std::string show_size(std::uint64_t bytes);
/// "0.42 s", "3.1 s", "2 min 05 s".
[[nodiscard]] std::string show_duration(std::chrono::nanoseconds d);

} // namespace tool
