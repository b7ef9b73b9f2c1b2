// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// An HTTP client for tasks: libcurl's pooling, TLS, proxies and HTTP/2, driven by muster's loop. A request is a task
/// like any other: gather it, map it, limit it, cancel it - a cancelled request is gone at once.
/// Not part of the core: link muster::http.
///
///     muster::http::client client;
///     auto page = co_await client.get("https://example.org/");
///     page.throw_if_error();

#include <muster/config.hpp>
#include <muster/http/error.hpp>
#include <muster/http/message.hpp>
#include <muster/task.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace muster::http {

class engine;

/// How a client behaves. Each word may be used in a chain.
class client_options {
public:
    client_options() {}

    /// At most n connections to one server at a time; further requests wait. *Errors*: std::invalid_argument for 0.
    client_options& connections_per_host(std::size_t n);
    /// At most n connections in all. *Errors*: std::invalid_argument for 0.
    client_options& connections(std::size_t n);
    client_options& user_agent(std::string name);
    /// How many redirects are followed, 20 unless it is set; one more is a protocol_error. With 0 none is, and the
    /// answer that redirects is the response.
    client_options& redirects(std::size_t n) noexcept;
    /// The largest body, unpacked; a larger one is a too_large_error. 64 MiB unless it is set; see no_limit.
    client_options& body_limit(std::uint64_t bytes) noexcept;
    /// The most that all headers of a request's answers may be, 256 KiB unless it is set.
    client_options& header_limit(std::uint64_t bytes) noexcept;
    /// How long making a connection may take, 30 s unless it is set. *Errors*: std::invalid_argument unless positive.
    client_options& connect_timeout(std::chrono::nanoseconds limit);
    /// How long a request may take that does not say so itself; for ever unless it is set.
    client_options& timeout(std::chrono::nanoseconds limit);

private:
    friend class engine;
    friend class transfer;

    std::size_t connections_per_host_ = 0;
    std::size_t connections_ = 0;
    std::string user_agent_;
    std::size_t redirects_ = 20;
    std::uint64_t body_limit_ = std::uint64_t{64} << 20;
    std::uint64_t header_limit_ = std::uint64_t{256} << 10;
    std::chrono::nanoseconds connect_timeout_ = std::chrono::seconds(30);
    std::chrono::nanoseconds timeout_{0};
};

/// Keeps connections open for the next request to the same server. Make one and use it for everything.
/// Immovable. *Lifetime*: may outlive its loop, and serve one loop after another. When it is destroyed, requests that
/// are still under way fail with transfer_error. *Thread safety*: one thread at a time.
class client {
public:
    /// *Errors*: std::bad_alloc; std::runtime_error if libcurl can't be set up.
    explicit client(const client_options& options = {});
    ~client();
    client(const client&) = delete;
    client& operator=(const client&) = delete;

    /// Asks for a URL of http or https and reads the answer to its end.
    /// *Returns* the response, whatever its status is: see response::throw_if_error.
    /// *Errors*: what http/error.hpp lists; what a body sink throws; invalid_state_error on a loop without I/O.
    /// *Cancellation*: ends it at once. *Lifetime*: the task may outlive the client, and then fails.
    [[nodiscard]] task<response> get(std::string url);
    /// The same for any request.
    [[nodiscard]] task<response> send(request what);

private:
    std::shared_ptr<engine> engine_;
};

} // namespace muster::http
