// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// How a faulty_server is set up, the answers of a script, and the counts that it keeps.
///
///     muster::testing::faulty_server server({.accepting = muster::testing::on_accept::reset});
///     assert(server.stats().connections == 1);

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace muster::testing {

/// Faults of a faulty_server that come before any request on a connection is looked at.
enum class on_accept {
    serve, ///< read requests and answer them by their paths
    close, ///< close at once without reading (a client that has already written sees a reset instead)
    reset, ///< reset at once
    ignore ///< keep it open, read nothing, send nothing
};

/// A request as a script sees it.
struct faulty_request {
    std::uint64_t number = 0; ///< from 0, over all connections
    std::string head;         ///< the request line and the fields, as they were understood, and the empty line
    std::string body;         ///< without the framing of its chunks

    [[nodiscard]] bool has(std::string_view text) const noexcept { return head.find(text) != std::string::npos; }
};

/// The answer of a script: bytes as they go over the wire, HTTP or not, and what follows them.
struct faulty_answer {
    enum class ending { keep, close, reset };

    explicit faulty_answer(std::string bytes, ending after_all = ending::keep) : after(after_all) {
        pieces.emplace_back(0, std::move(bytes));
    }
    /// Sends more, in a packet of its own, after a pause.
    faulty_answer& then(std::chrono::milliseconds pause, std::string bytes) {
        pieces.emplace_back(pause, std::move(bytes));
        return *this;
    }

    std::vector<std::pair<std::chrono::milliseconds, std::string>> pieces; ///< each after its pause
    ending after;                                                          ///< of the connection, once all was sent
};

/// How a faulty_server is set up; the defaults suit a test.
struct faulty_server_options {
    std::uint16_t port = 0;                  ///< 0: a free port, chosen by the system
    bool ipv6 = false;                       ///< bind to ::1 instead of 127.0.0.1
    on_accept accepting = on_accept::serve;  ///< faults that come before a request
    int backlog = 1024;                      ///< connections that may wait to be accepted (the system may lower it)
    std::size_t max_connections = 4096;      ///< open at once; those beyond are reset and counted as refused
    std::size_t max_request_bytes = 1 << 20; ///< head and body of one request; more is answered with 431 or 413
    /// Answers before the paths do, which are left what it has no answer for. It runs on the server's thread, must not
    /// throw, and while it runs nobody else is answered. Where there is one, no 100 Continue is sent.
    std::function<std::optional<faulty_answer>(const faulty_request&)> script = {};
};

/// The counts of a faulty_server so far.
struct faulty_server_stats {
    std::uint64_t connections = 0;    ///< accepted, the refused ones left out
    std::uint64_t refused = 0;        ///< reset because max_connections were open, or for want of memory
    std::uint64_t requests = 0;       ///< read to their end and well formed
    std::uint64_t bad_requests = 0;   ///< not understood, or larger than allowed
    std::size_t open_connections = 0; ///< now
    std::size_t peak_connections = 0; ///< the most that were open at the same time
    /// Requests by the first part of their path ("/bytes" for "/bytes/10"); those of unknown paths are under "unknown".
    std::map<std::string, std::uint64_t, std::less<>> by_route;
};

} // namespace muster::testing
