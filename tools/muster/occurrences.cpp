// SPDX-License-Identifier: MIT
// This file counts contents in a hash table of two arrays, which is smaller than one of the library's.
#include "occurrences.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

namespace tool {

namespace {

/// Mixes the bits of a part, as those of logs that somebody made need not be random.
std::uint64_t mixed(std::uint64_t part) noexcept { return part * 0x9e3779b97f4a7c15u; }

} // namespace

std::size_t occurrences::table::place_of(std::uint64_t part) const noexcept {
    // The upper half of the bits, as a fraction, is a place in a table of any size.
    constexpr int half = 32;
    auto at = static_cast<std::size_t>(((mixed(part) << 4 >> half) * parts.size()) >> half);
    while (parts[at] != 0 && parts[at] != part)
        at = at + 1 == parts.size() ? 0 : at + 1;
    return at;
}

void occurrences::table::grow() {
    constexpr std::size_t least = 16;
    const auto size = std::max(least, parts.size() + parts.size() / 2);
    const auto old_parts = std::exchange(parts, std::vector<std::uint64_t>(size));
    const auto old_counts = std::exchange(counts, std::vector<std::uint8_t>(size));
    for (std::size_t i = 0; i != old_parts.size(); ++i) {
        if (old_parts[i] == 0)
            continue;
        const auto at = place_of(old_parts[i]);
        parts[at] = old_parts[i];
        counts[at] = old_counts[i];
    }
}

content_key occurrences::next(const content_key& content) {
    const auto part = std::max<std::uint64_t>(content.part(), 1);
    auto& t = tables_[mixed(part) >> 60];
    // Four fifths may be used.
    if (t.used * 5 >= t.parts.size() * 4)
        t.grow();
    const auto at = t.place_of(part);
    if (t.parts[at] == 0) {
        t.parts[at] = part;
        ++t.used;
    }
    if (t.counts[at] == 0) {
        t.counts[at] = 1;
        return content;
    }
    const auto count =
        t.counts[at] != most_counted ? ++t.counts[at] : ++many_.try_emplace(part, most_counted).first->second;
    return content_key(fmt::format("{}#{}", content.text(), count));
}

} // namespace tool
