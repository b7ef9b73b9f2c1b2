// SPDX-License-Identifier: MIT
// frame_of() finds out from an answer's headers how its body ends: without one, after a length, after the last chunk,
// or when the connection closes. Every Content-Length field is read digit by digit, and two different lengths are an
// error even where the body is framed otherwise. In HTTP/1 a Transfer-Encoding goes before a Content-Length, and must
// be "chunked" and nothing else: nothing else is asked for.
//
// chunk_inspector, whose lines may end in a line feed alone:
//
//     size --> after_size, extension, size_lf --> data --> data_end --> data_lf --> size
//                                          |
//                                          | the size is 0
//                                          v
//                                      trailers <--> trailer
//                                          |
//                                          +--> last_lf --> complete
#include "framing.hpp"

#include <algorithm>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

namespace muster::http {

namespace {

bool same_word(std::string_view a, std::string_view b) noexcept {
    const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
    return std::ranges::equal(a, b, {}, lower, lower);
}

/// libcurl takes an unknown coding, and chunks with anything beside them, for a body that the connection's end ends.
void require_plain_chunks(const std::vector<std::string>& codings) {
    if (codings.size() > 1)
        throw framing_error("the server says twice how the body is transferred (Transfer-Encoding)");
    if (!same_word(without_blanks(codings.front(), " \t"), "chunked"))
        throw framing_error("the Transfer-Encoding '" + codings.front() + "' was not asked for and is not known here");
}

} // namespace

std::optional<std::uint64_t> content_length(const header_list& headers) {
    std::optional<std::string> digits;
    for (const auto& [name, field] : headers) {
        if (!same_word(name, "Content-Length"))
            continue;
        std::string_view rest = field;
        for (bool more = true; more;) {
            const auto comma = rest.find(',');
            more = comma != std::string_view::npos;
            const auto one = without_blanks(rest.substr(0, comma), " \t");
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
        if (headers.find("Transfer-Encoding") != nullptr) {
            require_plain_chunks(headers.find_all("Transfer-Encoding"));
            return {framing::chunks, 0};
        }
    }
    if (length)
        return {framing::length, *length};
    return {framing::until_close, 0};
}

bool says_framing(std::string_view name) noexcept {
    return same_word(name, "Content-Length") || same_word(name, "Transfer-Encoding");
}

void chunk_inspector::take(std::string_view bytes) {
    while (!bytes.empty() && phase_ != phase::complete) {
        if (phase_ == phase::data) {
            const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(left_, bytes.size()));
            left_ -= count;
            bytes.remove_prefix(count);
            if (left_ == 0)
                phase_ = phase::data_end;
            continue;
        }
        const char c = bytes.front();
        bytes.remove_prefix(1);
        const auto after_cr = [&](phase at_cr, phase at_lf) {
            if (c != '\n' && c != '\r')
                throw framing_error("a chunk of the body does not end where its size says");
            phase_ = c == '\r' ? at_cr : at_lf;
        };
        const auto line_feed = [&](phase next) {
            if (c != '\n')
                throw framing_error("a line among the chunks of the body does not end properly");
            phase_ = next;
        };
        switch (phase_) {
        case phase::size:
        case phase::after_size:
            take_size(c);
            break;
        case phase::extension:
            if (c == '\n')
                end_size_line();
            break;
        case phase::size_lf:
            line_feed(phase::data);
            end_size_line();
            break;
        case phase::data_end:
            after_cr(phase::data_lf, phase::size);
            break;
        case phase::data_lf:
            line_feed(phase::size);
            break;
        case phase::trailers:
            phase_ = c == '\r' ? phase::last_lf : c == '\n' ? phase::complete : phase::trailer;
            break;
        case phase::trailer:
            if (c == '\n')
                phase_ = phase::trailers;
            break;
        case phase::last_lf:
            line_feed(phase::complete);
            break;
        case phase::data:
        case phase::complete:
            break;
        }
    }
}

/// A size is hexadecimal digits; blanks, and an extension behind a semicolon, may follow.
void chunk_inspector::take_size(char c) {
    constexpr std::uint64_t largest = std::uint64_t{1} << 59U;
    const bool is_number = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
    if (phase_ == phase::size && is_number && left_ < largest) {
        left_ = left_ * 16 + static_cast<std::uint64_t>(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
        ++digits_;
    } else if (digits_ != 0 && (c == ' ' || c == '\t')) {
        phase_ = phase::after_size;
    } else if (digits_ != 0 && c == ';') {
        phase_ = phase::extension;
    } else if (digits_ != 0 && c == '\r') {
        phase_ = phase::size_lf;
    } else if (digits_ != 0 && c == '\n') {
        end_size_line();
    } else {
        throw framing_error("the size of a chunk is no number");
    }
}

void chunk_inspector::end_size_line() {
    phase_ = left_ == 0 ? phase::trailers : phase::data;
    digits_ = 0;
}

} // namespace muster::http
