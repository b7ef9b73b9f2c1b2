// SPDX-License-Identifier: MIT
// This file counts contents in a hash table of two arrays, which is smaller than one of the library's.
#include "occurrences.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

namespace tool {

std::size_t occurrences::place_of(std::uint64_t part) const noexcept {
    // The size is a power of two.
    const auto mask = parts_.size() - 1;
    auto at = static_cast<std::size_t>(part * 0x9e3779b97f4a7c15u >> 20) & mask;
    while (parts_[at] != 0 && parts_[at] != part)
        at = (at + 1) & mask;
    return at;
}

void occurrences::grow() {
    constexpr std::size_t least = 64;
    const auto parts = std::exchange(parts_, std::vector<std::uint64_t>(std::max(least, parts_.size() * 2)));
    const auto counts = std::exchange(counts_, std::vector<std::uint32_t>(parts_.size()));
    for (std::size_t i = 0; i != parts.size(); ++i) {
        if (parts[i] == 0)
            continue;
        const auto at = place_of(parts[i]);
        parts_[at] = parts[i];
        counts_[at] = counts[i];
    }
}

content_key occurrences::next(const content_key& content) {
    const auto part = std::max<std::uint64_t>(content.part(), 1);
    // Four fifths may be used.
    if (used_ * 5 >= parts_.size() * 4)
        grow();
    const auto at = place_of(part);
    if (parts_[at] == 0) {
        parts_[at] = part;
        ++used_;
    }
    const auto count = ++counts_[at];
    return count == 1 ? content : content_key(fmt::format("{}#{}", content.text(), count));
}

} // namespace tool
