// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Faults of an answer, in a table: as the bytes of HTTP/1.1 and as the frames of HTTP/2, what each must end as, and
/// how much of the body arrives. The client's and the command's tests put every row through the same checks.
///
///     for (const auto& one : answer_faults::faults) expect_ends_as(server_of(one.http1), one.ends_as);

#include "support/http2_server.hpp"

#include <muster/testing/faulty_server.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace answer_faults {

using muster::testing::faulty_answer;
using namespace std::chrono_literals;

struct fault {
    const char* name;
    faulty_answer http1;
    std::function<std::string(std::uint32_t stream)> http2;
    const char* ends_as;
    const char* arrives = ""; ///< the part of the body that reaches the caller
    std::chrono::milliseconds timeout{20'000};
};

using enum faulty_answer::ending;

inline const std::string ten = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n";
inline const std::string chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
inline const std::string ten2 = h2::field("content-length", "10");
inline const std::string later(h2::later);
inline const std::string h2_closes(h2::then_close);

inline std::string four(std::uint32_t s, std::string_view fields = {}) {
    return h2::headers(s, "200", 0, fields) + h2::data(s, "half", 0);
}

inline const std::vector<fault> faults{
    {"nothing is wrong", faulty_answer(ten + "half + half"),
        [](auto s) { return four(s, ten2) + h2::data(s, " + hal", h2::end_stream); }, "", "half + hal"},
    {"without a length", faulty_answer(chunked + "4\r\nhalf\r\n6\r\n + hal\r\n0\r\n\r\n"),
        [](auto s) { return four(s) + h2::data(s, " + hal", h2::end_stream); }, "", "half + hal"},
    {"closed without an answer", faulty_answer("", close), [](auto) { return h2_closes; }, "reset_error"},
    {"reset without an answer", faulty_answer("", reset), [](auto s) { return h2::reset(s, h2::error::internal); },
        "reset_error"},
    {"closed within the headers", faulty_answer("HTTP/1.1 200 OK\r\nContent-Le", close),
        [](auto s) { return h2::frame(1, 0, s, h2::field(":status", "200")) + h2_closes; }, "reset_error"},
    {"closed within a body of a length", faulty_answer(ten + "half", close),
        [](auto s) { return four(s, ten2) + later + h2_closes; }, "truncated_error", "half"},
    {"reset within a body of a length", faulty_answer(ten + "half", reset).then(20ms, ""),
        [](auto s) { return four(s, ten2) + later + h2::reset(s, h2::error::internal); }, "truncated_error", "half"},
    {"closed within a body without a length", faulty_answer(chunked + "4\r\nhalf\r\n", close),
        [](auto s) { return four(s) + later + h2_closes; }, "truncated_error", "half"},
    {"reset within a body without a length", faulty_answer(chunked + "4\r\nhalf\r\n", reset).then(20ms, ""),
        [](auto s) { return four(s) + later + h2::reset(s, h2::error::cancel); }, "truncated_error", "half"},
    {"malformed within the body", faulty_answer(chunked + "4\r\nhalf\r\n").then(20ms, "0x6\r\n + hal\r\n0\r\n\r\n"),
        [](auto s) { return four(s) + later + h2::data(0, "x", 0); }, "protocol_error", "half"},
    {"malformed otherwise, over HTTP/2 in the packet of the headers",
        faulty_answer(chunked + "4\r\nhalf\r\n").then(20ms, "-6\r\n + hal\r\n0\r\n\r\n"),
        [](auto s) { return four(s) + h2::data(0, "x", 0); }, "protocol_error", "half"},
    {"of two lengths", faulty_answer("HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nhalf"),
        [](auto s) { return four(s, h2::field("content-length", "4") + h2::field("content-length", "5")); },
        "protocol_error"},
    {"packed by what is not known",
        faulty_answer("HTTP/1.1 200 OK\r\nContent-Encoding: rot13\r\nContent-Length: 4\r\n\r\nunys"),
        [](auto s) { return four(s, h2::field("content-encoding", "rot13")) + h2::data(s, "", h2::end_stream); },
        "protocol_error"},
    {"not packed as it says",
        faulty_answer("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nhalf"),
        [](auto s) { return four(s, h2::field("content-encoding", "gzip")) + h2::data(s, "", h2::end_stream); },
        "protocol_error"},
    {"larger than allowed", faulty_answer("HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n"),
        [](auto s) { return h2::headers(s, "200", 0, h2::field("content-length", "99999")); }, "too_large_error"},
    {"silent", faulty_answer("").then(60s, ""), [](auto) { return std::string(); }, "timeout_error", "", 150ms},
    {"silent within the body", faulty_answer(ten + "half").then(60s, ""), [](auto s) { return four(s, ten2); },
        "timeout_error", "half", 150ms},
    {"a redirect to nowhere", faulty_answer("HTTP/1.1 302 Found\r\nLocation: gopher://x/\r\nContent-Length: 0\r\n\r\n"),
        [](auto s) { return h2::headers(s, "302", h2::end_stream, h2::field("location", "gopher://x/")); },
        "protocol_error"},
    {"without a body", faulty_answer("HTTP/1.1 204 No Content\r\n\r\n"),
        [](auto s) { return h2::headers(s, "204", h2::end_stream); }, ""},
};

} // namespace answer_faults
