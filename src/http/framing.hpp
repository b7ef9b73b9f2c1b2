// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// How an answer says where its body ends. libcurl reads a Content-Length up to the first byte that is no digit and
/// takes the last of several, and skips whatever follows a chunk's size; which end is the right one must not be a
/// guess. Plain decisions. Private to muster::http.
///
///     const body_frame frame = frame_of(is_head, status, version, headers);
///     chunk_inspector chunks;
///     chunks.take(bytes_from_the_wire);
///     if (!chunks.is_complete()) ...            // the body was cut short

#include <muster/http/message.hpp>

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string_view>

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

/// *Returns* the text without the blanks around it; a line of headers has its line end there, too.
[[nodiscard]] constexpr std::string_view without_blanks(
    std::string_view s, std::string_view blanks = " \t\r\n") noexcept {
    while (!s.empty() && blanks.find(s.front()) != std::string_view::npos)
        s.remove_prefix(1);
    while (!s.empty() && blanks.find(s.back()) != std::string_view::npos)
        s.remove_suffix(1);
    return s;
}

/// *Returns* what all Content-Length fields say; nothing if there are none. A number that is too large for 64 bits is
/// the largest one. *Errors*: framing_error unless all of them are the same digits.
[[nodiscard]] std::optional<std::uint64_t> content_length(const header_list& headers);

/// *Returns* whether a header of that name says where the body ends. *Source*: RFC 9112, 6.
[[nodiscard]] bool says_framing(std::string_view name) noexcept;

/// Follows the chunks of a body as they come over the wire, their sizes and ends included, beside libcurl, which
/// unpacks them. The picture is at the head of framing.cpp.
class chunk_inspector {
public:
    void begin() noexcept { *this = chunk_inspector(); }
    /// Bytes behind the last chunk and its trailers are not looked at. *Errors*: framing_error. *Source*: RFC
    /// 9112, 7.1.
    void take(std::string_view bytes);
    /// *Returns* whether the empty line after the last chunk was there, to its last byte.
    [[nodiscard]] bool is_complete() const noexcept { return phase_ == phase::complete; }

private:
    enum class phase {
        size,
        after_size,
        extension,
        size_lf,
        data,
        data_end,
        data_lf,
        trailers,
        trailer,
        last_lf,
        complete
    };

    void take_size(char c);
    void end_size_line();

    phase phase_ = phase::size;
    unsigned digits_ = 0;    ///< of the size at hand
    std::uint64_t left_ = 0; ///< of the chunk at hand
};

/// *Errors*: framing_error. *Source*: RFC 9112, 6.3.
[[nodiscard]] body_frame frame_of(bool is_head, int status, http_version version, const header_list& headers);

} // namespace muster::http
