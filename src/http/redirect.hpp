// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Where a redirect leads, and what of the request goes there. Plain decisions: knows no transfer and no loop. Private
/// to muster::http.
///
///     if (redirects(status, location)) ask = after_redirect(ask, status, *location, asked_for);

#include <curl/curl.h>

#include <string>
#include <string_view>
#include <utility>

namespace muster::http {

/// One request as it is sent to one server. The first hop is the caller's request; each redirect that is followed
/// makes another hop: a URL, a method, and whether the body and the secrets of the request go along.
struct hop {
    std::string url;
    std::string method;        ///< empty: GET, or POST where there is a body
    bool sends_body = true;    ///< the request's body, if it has one, and the headers that describe it
    bool is_elsewhere = false; ///< a redirect has led away from the first server: no secret goes along any more
    std::string origin{};      ///< of `url`, as origin_of() gives it, for the queue of that server
};

/// *Returns* whether an answer is a redirect that is followed: 301, 302, 303, 307 and 308, with a Location.
[[nodiscard]] bool redirects(int status, const std::string* location) noexcept;

/// *Returns* the next hop. *Errors*: protocol_error, with the URL `asked_for`, if the Location is no URL of http or
/// https.
/// *Source*: RFC 9110, 15.4; what clients do with 301 and 302: a POST becomes a GET, other methods stay.
[[nodiscard]] hop after_redirect(
    const hop& from, int status, const std::string& location, const std::string& asked_for);

/// *Returns* the scheme, host and port of a URL that libcurl has read, in lower case, with the port always there. To
/// read a URL takes libcurl as long as a tenth of a small request, so whoever has a URL read asks for the origin as
/// well.
[[nodiscard]] std::string origin_of(CURLU* url);

/// *Returns* the URL's host, in lower case and without brackets, and its port; empty texts if it is no URL.
[[nodiscard]] std::pair<std::string, std::string> host_and_port_of(const std::string& url);

/// *Returns* whether a header describes the body that is sent, so that it goes where the body goes.
[[nodiscard]] bool describes_body(std::string_view name) noexcept;

} // namespace muster::http
