// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Tells equal inputs apart: the first, the second and so on of the same content get keys of their own, which are the
/// same in every run, wherever else in the list they stand.
///
///     occurrences all;
///     line.key = all.next(content_key(line.text));

#include "content_key.hpp"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace tool {

/// *Complexity*: at most 30 bytes for each content.
class occurrences {
public:
    /// *Returns* the key of the next occurrence of a content, which is the content's own for the first.
    [[nodiscard]] content_key next(const content_key& content);

private:
    [[nodiscard]] std::size_t place_of(std::uint64_t part) const noexcept;
    void grow();

    /// A hash table with open addresses of parts of keys; 0 is free. Two contents that share a part are counted
    /// together: the second gets the key of a second occurrence, which still is its own.
    std::vector<std::uint64_t> parts_;
    std::vector<std::uint32_t> counts_;
    std::size_t used_ = 0;
};

} // namespace tool
