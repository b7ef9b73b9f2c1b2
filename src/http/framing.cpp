// SPDX-License-Identifier: MIT
// frame_of() finds out from an answer's headers how its body ends: without one, after a length, after the last chunk,
// or when the connection closes. Every Content-Length field is read digit by digit, and two different lengths are an
// error even where the body is framed otherwise. In HTTP/1 a Transfer-Encoding goes before a Content-Length.
#include "framing.hpp"

#include <algorithm>
#include <limits>
#include <string>
#include <string_view>

namespace muster::http {

namespace {

std::string_view without_blanks(std::string_view s) noexcept {
    const auto first = s.find_first_not_of(" \t");
    if (first == std::string_view::npos)
        return {};
    return s.substr(first, s.find_last_not_of(" \t") - first + 1);
}

bool ends_with_chunked(std::string_view codings) noexcept {
    const auto comma = codings.rfind(',');
    const auto last = without_blanks(comma == std::string_view::npos ? codings : codings.substr(comma + 1));
    const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
    return std::ranges::equal(last, std::string_view("chunked"), {}, lower);
}

} // namespace

std::optional<std::uint64_t> content_length(const header_list& headers) {
    std::optional<std::string> digits;
    for (const std::string& field : headers.find_all("Content-Length")) {
        std::string_view rest = field;
        for (bool more = true; more;) {
            const auto comma = rest.find(',');
            more = comma != std::string_view::npos;
            const auto one = without_blanks(rest.substr(0, comma));
            rest = more ? rest.substr(comma + 1) : std::string_view();
            if (one.empty() || one.find_first_not_of("0123456789") != std::string_view::npos)
                throw framing_error("the server's Content-Length is no number: '" + field + "'");
            if (digits && *digits != one)
                throw framing_error(
                    "the server announces bodies of two sizes: " + *digits + " and " + std::string(one) + " bytes");
            digits = one;
        }
    }
    if (!digits)
        return std::nullopt;
    constexpr auto largest = std::numeric_limits<std::uint64_t>::max();
    std::uint64_t length = 0;
    for (const char c : *digits) {
        const auto digit = static_cast<std::uint64_t>(c - '0');
        if (length > (largest - digit) / 10)
            return largest;
        length = length * 10 + digit;
    }
    return length;
}

body_frame frame_of(bool is_head, int status, http_version version, const header_list& headers) {
    const auto length = content_length(headers);
    if (is_head || status < 200 || status == 204 || status == 304)
        return {};
    const bool is_http1 = version == http_version::http1_0 || version == http_version::http1_1;
    if (is_http1) {
        const auto codings = headers.find_all("Transfer-Encoding");
        if (!codings.empty())
            return {ends_with_chunked(codings.back()) ? framing::chunks : framing::until_close, 0};
    }
    if (length)
        return {framing::length, *length};
    return {framing::until_close, 0};
}

} // namespace muster::http
