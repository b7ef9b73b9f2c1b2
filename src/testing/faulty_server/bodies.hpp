// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// What faulty_server sends: bytes that are made as they go out, chunks, headers without an end, a gzip bomb.
///
///     piece body(alphabet(), std::uint64_t{1} << 40);

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace muster::testing::faulty {

/// Bytes to send: `length` of them, going round and round over a unit. So a body of a terabyte costs what its unit
/// does.
struct piece {
    std::string owned;
    std::string_view shared; // of static storage; where empty, the unit is `owned`
    std::uint64_t length = 0;
    std::uint64_t sent = 0;

    explicit piece(std::string text) : owned(std::move(text)), length(owned.size()) {}
    piece(std::string_view unit, std::uint64_t bytes) : shared(unit), length(bytes) {}

    [[nodiscard]] std::string_view next() const noexcept {
        const std::string_view unit = shared.empty() ? std::string_view(owned) : shared;
        const auto at = static_cast<std::size_t>(sent % unit.size());
        return unit.substr(at, static_cast<std::size_t>(std::min<std::uint64_t>(unit.size() - at, length - sent)));
    }
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
