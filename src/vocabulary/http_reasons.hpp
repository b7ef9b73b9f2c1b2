// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The phrases of HTTP's statuses, for the client and for the server of the tests. Private to muster.
///
///     reason_phrase(404);                       // "Not Found"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

namespace muster::detail {

inline constexpr std::array<std::pair<int, std::string_view>, 42> reason_phrases{{
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {204, "No Content"},
    {206, "Partial Content"},
    {301, "Moved Permanently"},
    {302, "Found"},
    {303, "See Other"},
    {304, "Not Modified"},
    {307, "Temporary Redirect"},
    {308, "Permanent Redirect"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {406, "Not Acceptable"},
    {407, "Proxy Authentication Required"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {410, "Gone"},
    {411, "Length Required"},
    {412, "Precondition Failed"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {416, "Range Not Satisfiable"},
    {417, "Expectation Failed"},
    {421, "Misdirected Request"},
    {422, "Unprocessable Content"},
    {425, "Too Early"},
    {426, "Upgrade Required"},
    {428, "Precondition Required"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {451, "Unavailable For Legal Reasons"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"},
}};

/// *Returns* an empty text for an unknown status. *Source*: the registry of IANA (RFC 9110, 16.2.1).
[[nodiscard]] constexpr std::string_view reason_phrase(int status) noexcept {
    const auto* const at =
        std::ranges::lower_bound(reason_phrases, status, {}, &std::pair<int, std::string_view>::first);
    return at != reason_phrases.end() && at->first == status ? at->second : std::string_view();
}

} // namespace muster::detail
