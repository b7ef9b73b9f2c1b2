// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Answers as of a server that knows parts and versions, for a scripted_server.
///
///     const scripted_server server([](const asked& a) { return proper_answer(a, "the body", "\"1\""); });

#include "support/http_fixture.hpp"

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace {

/// Where the question's part begins; nothing if it asks for all.
[[maybe_unused]] std::optional<std::size_t> first_of(const asked& a) {
    const auto at = a.head.find("Range: bytes=");
    return at == std::string::npos ? std::nullopt : std::optional(std::stoul(a.head.substr(at + 13)));
}

[[maybe_unused]] std::string part(std::string_view body, std::size_t first, std::size_t size, std::string_view fields) {
    const auto piece = std::string(body.substr(first, size));
    return scripted_server::text("206 Partial Content", piece,
        "Content-Range: bytes " + std::to_string(first) + '-' + std::to_string(first + piece.size() - 1) + '/' +
            std::to_string(body.size()) + "\r\n" + std::string(fields));
}

/// A server as it should be: it knows parts, and the version of what it has.
[[maybe_unused]] std::string proper_answer(const asked& a, std::string_view body, const std::string& tag) {
    const auto fields = "ETag: " + tag + "\r\n";
    const auto first = first_of(a);
    if (!first || (a.has("If-Range: ") && !a.has("If-Range: " + tag + "\r\n")))
        return scripted_server::text("200 OK", body, fields);
    if (*first >= body.size())
        return scripted_server::text("416 Range Not Satisfiable", "no",
            "Content-Range: bytes */" + std::to_string(body.size()) + "\r\n" + fields);
    return part(body, *first, body.size(), fields);
}

/// The first so many bytes of an answer's body, then the end of the connection.
[[maybe_unused]] std::string cut_off(const std::string& answer, std::size_t bytes) {
    return answer.substr(0, answer.find("\r\n\r\n") + 4 + bytes).append(scripted_server::then_close);
}

} // namespace
