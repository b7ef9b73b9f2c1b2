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

struct request {
    std::string method;
    std::string target;
    bool http_1_0 = false;
    bool keep_alive = true;
    bool chunked = false;
    bool expects_continue = false;
    std::optional<std::uint64_t> length;
    std::vector<std::pair<std::string, std::string>> fields;
    std::string body;

    [[nodiscard]] bool is_head() const noexcept { return method == "HEAD"; }
};

/// A request that cannot be answered as asked.
struct refusal {
    unsigned status;
    std::string_view why;
};

/// Reads a request line and header fields, the empty line left out.
[[nodiscard]] std::optional<refusal> read_head(request& into, std::string_view head);
[[nodiscard]] std::string fields_as_text(const request& asked);

} // namespace muster::testing::faulty
