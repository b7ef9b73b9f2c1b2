// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Tells equal inputs apart: the first, the second and so on of the same content get keys of their own, which are the
/// same in every run, wherever else in the list they stand.
///
///     occurrences all;
///     line.key = all.next(content_key(line.text));

#include "content_key.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <vector>

namespace tool {

/// *Complexity*: at most 30 bytes for each content.
class occurrences {
public:
    /// *Returns* the key of the next occurrence of a content, which is the content's own for the first.
    [[nodiscard]] content_key next(const content_key& content);

private:
    /// A hash table with open addresses of parts of keys; 0 is free. Two contents that share a part are counted
    /// together: the second gets the key of a second occurrence, which still is its own.
    struct table {
        std::vector<std::uint64_t> parts;
        std::vector<std::uint8_t> counts; ///< up to `most_counted`; those of which there are more are in many_
        std::size_t used = 0;

        [[nodiscard]] std::size_t place_of(std::uint64_t part) const noexcept;
        void grow();
    };
    static constexpr std::uint8_t most_counted = 255;

    /// Several tables, because a table that grows takes the memory of two.
    std::array<table, 16> tables_;
    std::unordered_map<std::uint64_t, std::uint64_t> many_; ///< by part
};

} // namespace tool
