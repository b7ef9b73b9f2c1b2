// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The bodies that faulty_server sends: bytes that are made as they go out, chunks, headers without an end, a gzip
/// bomb.
///
///     piece body(alphabet(), std::uint64_t{1} << 40);

#include <muster/detail/assert.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace muster::testing::faulty {

/// Bytes to send: a number of them, going round and round over a unit. So a body of a terabyte costs what its unit
/// does.
class piece {
public:
    explicit piece(std::string text) : owned_(std::move(text)), length_(owned_.size()) {}
    /// *Lifetime*: the unit is of static storage.
    piece(std::string_view unit, std::uint64_t bytes) : shared_(unit), length_(bytes) {}

    /// *Returns* false if it has a unit that is not its own.
    [[nodiscard]] bool append(std::string_view text) {
        if (!shared_.empty())
            return false;
        owned_ += text;
        length_ = owned_.size();
        return true;
    }
    [[nodiscard]] std::string_view next() const noexcept {
        const std::string_view unit = shared_.empty() ? std::string_view(owned_) : shared_;
        const auto at = static_cast<std::size_t>(sent_ % unit.size());
        return unit.substr(at, static_cast<std::size_t>(std::min<std::uint64_t>(unit.size() - at, length_ - sent_)));
    }
    /// *Returns* true if that was all.
    [[nodiscard]] bool was_sent(std::uint64_t count) noexcept {
        MUSTER_ASSERT(count <= length_ - sent_);
        sent_ += count;
        return sent_ == length_;
    }

private:
    std::string owned_;
    std::string_view shared_; // where empty, the unit is `owned_`
    std::uint64_t length_ = 0;
    std::uint64_t sent_ = 0;
};

constexpr std::size_t alphabet_bytes = 26 * 630;

[[nodiscard]] const std::string& alphabet();
[[nodiscard]] std::string chunk_of(std::string_view data);
[[nodiscard]] const std::string& alphabet_chunk();
[[nodiscard]] const std::string& zeros();
[[nodiscard]] const std::string& header_fields();

struct gzip_bomb {
    std::string first;       // file header, trees, the literals
    std::uint64_t zeros = 0; // four copies of 258 bytes each
    std::string last;        // end of block, checksum, size
};

/// A gzip file of `megabytes` of zeros in one deflate block. Its trees give one bit to "copy 258 bytes" and one to
/// "from one byte back", both 0: all but the ends of the file are zero bytes, each of which stands for 1032.
[[nodiscard]] gzip_bomb make_gzip_bomb(std::uint64_t megabytes);

} // namespace muster::testing::faulty
