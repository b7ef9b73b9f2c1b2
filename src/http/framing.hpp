// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// How an answer says where its body ends. libcurl reads a Content-Length up to the first byte that is no digit and
/// takes the last of several; which end is the right one must not be a guess. Plain decisions. Private to muster::http.
///
///     const body_frame frame = frame_of(is_head, status, version, headers);

#include <muster/http/message.hpp>

#include <cstdint>
#include <optional>
#include <stdexcept>

namespace muster::http {

/// The headers contradict each other about where the body ends.
class framing_error : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

enum class framing {
    none,       ///< there is no body: HEAD, 204, 304
    length,     ///< Content-Length
    chunks,     ///< the last chunk ends it
    until_close ///< the end of the connection, or of the stream, ends it
};

struct body_frame {
    framing kind = framing::none;
    std::uint64_t length = 0; ///< of framing::length
};

/// *Returns* what all Content-Length fields say; nothing if there are none. A number that is too large for 64 bits is
/// the largest one. *Errors*: framing_error unless all of them are the same digits.
[[nodiscard]] std::optional<std::uint64_t> content_length(const header_list& headers);

/// *Errors*: framing_error. *Source*: RFC 9112, 6.3.
[[nodiscard]] body_frame frame_of(bool is_head, int status, http_version version, const header_list& headers);

} // namespace muster::http
