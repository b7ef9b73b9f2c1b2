// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The places in a template that stand for an input: {} and {.} for all of it, {2} and {2/} for a part of it, {name}
/// for a column that a header names, {#} and {%} for its number and place, {host} for the host it runs on.
///
///     const placeholders all;
///     if (const auto found = all.at("cp {} x", 3)) ...

#include "line_source.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tool {

/// Where a command runs: the number of its place, from 1, and the host, with --on.
struct run_place {
    run_place(std::size_t n, std::string h = {}) : number(n), host(std::move(h)) {}
    std::size_t number;
    std::string host;
};

struct placeholder {
    enum class form { input, without_extension, base, folder, base_without_extension, number, slot, host };

    placeholder() noexcept {}
    form what = form::input;
    std::size_t part = 0; ///< from 1; 0: all of the input

    [[nodiscard]] bool is_of_the_input() const noexcept {
        return what != form::number && what != form::slot && what != form::host;
    }
    /// *Returns* how many words it stands for: of a list, each part is one.
    [[nodiscard]] std::size_t words(const input_line& line) const noexcept;
    /// *Returns* one of them, for a command that runs there.
    /// *Errors*: std::invalid_argument if the input has no such part.
    [[nodiscard]] std::string value(const input_line& line, std::size_t word, const run_place& at) const;
    friend bool operator==(const placeholder&, const placeholder&) = default;
};

/// Which placeholders there are.
struct placeholders {
    placeholders() {}
    struct found {
        found(placeholder w, std::size_t s) noexcept : what(w), size(s) {}
        placeholder what;
        std::size_t size;
    };

    std::string own_word;                 ///< -I: stands for the input, and nothing else does
    std::vector<std::string> names;       ///< of the columns
    std::optional<std::size_t> parts = 1; ///< that each input has; nothing: they differ
    bool are_lists = false;               ///< {} stands for several words
    bool on_standard_input = false;       ///< no placeholder stands for the input
    enum class where : std::uint8_t { here, on_hosts, by_workers };
    where runs = where::here; ///< elsewhere {host} stands for the host; workers of a queue have no {%}

    /// *Returns* the placeholder that the text has at this place, if it has one.
    /// *Errors*: usage_error if it is of a part that no input has.
    [[nodiscard]] std::optional<found> at(std::string_view text, std::size_t place) const;
    /// *Returns* the size of a placeholder in double braces there, which stands for itself: {{}} for {}. Otherwise 0.
    [[nodiscard]] std::size_t literal_at(std::string_view text, std::size_t place) const;

private:
    [[nodiscard]] std::optional<found> parse(std::string_view text, std::size_t place) const;
};

} // namespace tool
