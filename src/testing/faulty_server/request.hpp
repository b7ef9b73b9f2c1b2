// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A request as faulty_server reads it, and why it could not.
///
///     request asked;
///     if (const auto refused = read_head(asked, text)) answer(refused->status);

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace muster::testing::faulty {

enum class http_version { http_1_0, http_1_1 };
enum class body_framing { by_length, chunked };

struct request {
    std::string method;
    std::string target;
    http_version version = http_version::http_1_1;
    bool keep_alive = true;
    bool expects_continue = false;
    body_framing framing = body_framing::by_length;
    std::optional<std::uint64_t> length; // none: there is no body, unless it is chunked
    std::vector<std::pair<std::string, std::string>> fields;
    std::string body;

    [[nodiscard]] bool is_head() const noexcept { return method == "HEAD"; }
    [[nodiscard]] bool is_chunked() const noexcept { return framing == body_framing::chunked; }
    [[nodiscard]] bool is_http_1_0() const noexcept { return version == http_version::http_1_0; }
};

/// A request that cannot be answered as asked.
struct refusal {
    unsigned status;
    std::string_view why;
};

/// Reads a request line and header fields, the empty line left out.
[[nodiscard]] std::optional<refusal> read_head(request& into, std::string_view head);
[[nodiscard]] std::string fields_as_text(const request& asked);
/// *Returns* the request line, the fields and the empty line.
[[nodiscard]] std::string request_as_text(const request& asked);

} // namespace muster::testing::faulty
