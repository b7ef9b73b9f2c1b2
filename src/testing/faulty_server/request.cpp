// SPDX-License-Identifier: MIT
// This file parses the head of a request. read_head splits the request line, then goes through the header fields and
// notes those that decide where the body ends and whether the connection is kept. The first thing that is malformed or
// not supported ends the parsing with a refusal, which holds the status to answer.
#include "testing/faulty_server/request.hpp"

#include "testing/faulty_server/texts.hpp"

#include <algorithm>

namespace muster::testing::faulty {

namespace {

[[nodiscard]] std::optional<refusal> read_field(request& into, std::string_view line) {
    const auto colon = line.find(':');
    if (colon == std::string_view::npos || colon == 0 ||
        line.substr(0, colon).find_first_of(" \t") != std::string_view::npos)
        return refusal{400, "a header field is malformed"};
    const auto name = line.substr(0, colon);
    const auto value = without_blanks(line.substr(colon + 1));
    if (equal_ignoring_case(name, "content-length")) {
        const auto length = number_in(value, 0, UINT64_MAX);
        if (!length || (into.length && into.length != length))
            return refusal{400, "Content-Length is malformed"};
        into.length = length;
    } else if (equal_ignoring_case(name, "transfer-encoding")) {
        if (!equal_ignoring_case(value, "chunked"))
            return refusal{501, "only the chunked transfer coding is understood"};
        into.framing = body_framing::chunked;
    } else if (equal_ignoring_case(name, "connection")) {
        if (lists_token(value, "close"))
            into.keep_alive = false;
        else if (lists_token(value, "keep-alive"))
            into.keep_alive = true;
    } else if (equal_ignoring_case(name, "expect")) {
        into.expects_continue = equal_ignoring_case(value, "100-continue");
    }
    into.fields.emplace_back(name, value);
    return std::nullopt;
}

} // namespace

std::optional<refusal> read_head(request& into, std::string_view head) {
    const auto line = head.substr(0, head.find("\r\n"));
    const auto first = line.find(' ');
    const auto second = first == std::string_view::npos ? first : line.find(' ', first + 1);
    if (second == std::string_view::npos || first == 0 || second == first + 1)
        return refusal{400, "the request line is malformed"};
    const auto version = line.substr(second + 1);
    if (version != "HTTP/1.1" && version != "HTTP/1.0")
        return version.starts_with("HTTP/") ? refusal{505, "only HTTP/1.1 and HTTP/1.0 are spoken here"}
                                            : refusal{400, "the request line is malformed"};
    into.method = line.substr(0, first);
    into.target = line.substr(first + 1, second - first - 1);
    into.version = version == "HTTP/1.0" ? http_version::http_1_0 : http_version::http_1_1;
    into.keep_alive = !into.is_http_1_0();

    head.remove_prefix(std::min(line.size() + 2, head.size()));
    while (!head.empty()) {
        const auto field = head.substr(0, head.find("\r\n"));
        if (auto refused = read_field(into, field))
            return refused;
        head.remove_prefix(std::min(field.size() + 2, head.size()));
    }
    if (into.is_chunked() && into.length)
        return refusal{400, "Content-Length and Transfer-Encoding exclude each other"};
    return std::nullopt;
}

std::string fields_as_text(const request& asked) {
    std::string text;
    for (const auto& [name, value] : asked.fields)
        text.append(name).append(": ").append(value).append("\r\n");
    return text;
}

std::string request_as_text(const request& asked) {
    return asked.method + ' ' + asked.target + (asked.is_http_1_0() ? " HTTP/1.0\r\n" : " HTTP/1.1\r\n") +
           fields_as_text(asked) + "\r\n";
}

} // namespace muster::testing::faulty
