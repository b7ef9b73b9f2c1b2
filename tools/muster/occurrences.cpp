// SPDX-License-Identifier: MIT
// This file counts contents in a hash table of two arrays, which is smaller than one of the library's.
#include "occurrences.hpp"

#include "earlier_run.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

namespace tool {

std::size_t occurrences::place_of(std::uint64_t content) const noexcept {
    // The size is a power of two.
    const auto mask = contents_.size() - 1;
    auto at = static_cast<std::size_t>(content * 0x9e3779b97f4a7c15u >> 20) & mask;
    while (contents_[at] != 0 && contents_[at] != content)
        at = (at + 1) & mask;
    return at;
}

void occurrences::grow() {
    constexpr std::size_t least = 64;
    const auto contents = std::exchange(contents_, std::vector<std::uint64_t>(std::max(least, contents_.size() * 2)));
    const auto counts = std::exchange(counts_, std::vector<std::uint32_t>(contents_.size()));
    for (std::size_t i = 0; i != contents.size(); ++i) {
        if (contents[i] == 0)
            continue;
        const auto at = place_of(contents[i]);
        contents_[at] = contents[i];
        counts_[at] = counts[i];
    }
}

std::uint64_t occurrences::next(std::uint64_t content) {
    content = std::max<std::uint64_t>(content, 1);
    // Four fifths may be used.
    if (used_ * 5 >= contents_.size() * 4)
        grow();
    const auto at = place_of(content);
    if (contents_[at] == 0) {
        contents_[at] = content;
        ++used_;
    }
    const auto count = ++counts_[at];
    return count == 1 ? content : log_key(fmt::format("{:016x}#{}", content, count));
}

} // namespace tool
