// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The meaning of a Content-Range. Plain decisions. Private to muster::http.
///
///     content_range_of("bytes 10-19/20")      // first 10, last 19, size 20
///     content_range_of("bytes */20")          // no part; size 20

#include <cstdint>
#include <optional>
#include <string_view>

namespace muster::http {

struct byte_range {
    byte_range(std::uint64_t f, std::uint64_t l) noexcept : first(f), last(l) {}
    std::uint64_t first;
    std::uint64_t last;
};

struct content_range {
    content_range() noexcept {}
    std::optional<byte_range> part;    ///< nothing in the answer to a range that can't be satisfied
    std::optional<std::uint64_t> size; ///< of the whole; nothing if the server does not know
};

/// *Returns* nothing if the value is malformed, of another unit than bytes, or says that a part lies outside the whole.
/// *Source*: RFC 9110, 14.4.
[[nodiscard]] std::optional<content_range> content_range_of(std::string_view value) noexcept;

} // namespace muster::http
