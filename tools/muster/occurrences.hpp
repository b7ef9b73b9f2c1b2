// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Tells equal inputs apart: the first, the second and so on of the same content get keys of their own, which are the
/// same in every run, wherever else in the list they stand.
///
///     occurrences all;
///     line.key = all.next(log_key(line.text));

#include <cstddef>
#include <cstdint>
#include <vector>

namespace tool {

/// *Complexity*: at most 30 bytes for each content.
class occurrences {
public:
    /// *Returns* the key of the next occurrence of a content, which is the content's own for the first.
    [[nodiscard]] std::uint64_t next(std::uint64_t content);

private:
    [[nodiscard]] std::size_t place_of(std::uint64_t content) const noexcept;
    void grow();

    std::vector<std::uint64_t> contents_; ///< a hash table with open addresses; 0: free
    std::vector<std::uint32_t> counts_;
    std::size_t used_ = 0;
};

} // namespace tool
