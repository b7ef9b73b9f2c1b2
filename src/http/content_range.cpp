// SPDX-License-Identifier: MIT
// A reader of Content-Range that takes digits and nothing like them: a sign, a blank or a number that is too large
// makes the value malformed.
#include "content_range.hpp"

#include <charconv>
#include <system_error>

namespace muster::http {

namespace {

std::optional<std::uint64_t> number_of(std::string_view text) noexcept {
    std::uint64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (text.empty() || error != std::errc() || end != text.data() + text.size())
        return std::nullopt;
    return number;
}

} // namespace

std::optional<content_range> content_range_of(std::string_view value) noexcept {
    constexpr std::string_view unit = "bytes ";
    const auto slash = value.find('/');
    if (!value.starts_with(unit) || slash == std::string_view::npos)
        return std::nullopt;
    const auto part = value.substr(unit.size(), slash - unit.size());
    const auto size = value.substr(slash + 1);
    content_range range;
    if (size != "*") {
        range.size = number_of(size);
        if (!range.size)
            return std::nullopt;
    }
    if (part == "*")
        return range.size ? std::optional(range) : std::nullopt;
    const auto dash = part.find('-');
    if (dash == std::string_view::npos)
        return std::nullopt;
    const auto first = number_of(part.substr(0, dash));
    const auto last = number_of(part.substr(dash + 1));
    if (!first || !last || *last < *first || (range.size && *last >= *range.size))
        return std::nullopt;
    range.part.emplace(*first, *last);
    return range;
}

} // namespace muster::http
