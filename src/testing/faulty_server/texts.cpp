// SPDX-License-Identifier: MIT
// This file has small functions for the text of HTTP messages, none of which depends on the locale.
#include "testing/faulty_server/texts.hpp"

#include "vocabulary/http_reasons.hpp"

#include <algorithm>
#include <charconv>
#include <system_error>

namespace muster::testing::faulty {

bool equal_ignoring_case(std::string_view left, std::string_view right) noexcept {
    const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
    return std::equal(
        left.begin(), left.end(), right.begin(), right.end(), [&](char a, char b) { return lower(a) == lower(b); });
}

std::string_view without_blanks(std::string_view text) noexcept {
    const auto first = text.find_first_not_of(" \t");
    if (first == std::string_view::npos)
        return {};
    return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

std::optional<std::uint64_t> number_in(
    std::string_view text, std::uint64_t low, std::uint64_t high, int base) noexcept {
    std::uint64_t value = 0;
    const auto* const end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, value, base);
    if (error != std::errc{} || stop != end || value < low || value > high)
        return std::nullopt;
    return value;
}

bool lists_token(std::string_view value, std::string_view token) noexcept {
    for (;;) {
        const auto comma = value.find(',');
        if (equal_ignoring_case(without_blanks(value.substr(0, comma)), token))
            return true;
        if (comma == std::string_view::npos)
            return false;
        value.remove_prefix(comma + 1);
    }
}

std::string_view reason_of(unsigned status) noexcept {
    const auto known = muster::detail::reason_phrase(static_cast<int>(status));
    return known.empty() ? "As Asked" : known;
}

} // namespace muster::testing::faulty
