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
#include <muster/http/client_options.hpp>
#include <muster/http/download.hpp>
#include <muster/http/error.hpp>
#include <muster/http/message.hpp>
#include <muster/http/response_stream.hpp>
#include <muster/task.hpp>

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

namespace muster::http {

class engine;

/// A client's requests at a moment.
struct client_statistics {
    std::size_t waiting = 0;   ///< until client_options::connections and connections_per_host let them go
    std::size_t under_way = 0; ///< each with a connection or a stream, or making one
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
    /// Sends the request and waits for the headers of the answer; its body is read from what is returned, at the pace
    /// of whoever reads it. Retries, if there are any, are over then. *Errors*: as get; std::invalid_argument if the
    /// request has a body_to.
    [[nodiscard]] task<response_stream> open(request what);

    [[nodiscard]] client_statistics statistics() const noexcept;

    /// *Returns* the cookies that client_options::cookies has kept so far, each as a line of the file format that
    /// browsers and curl share ("Netscape"): seven fields with tabulators between. *Errors*: std::bad_alloc.
    [[nodiscard]] std::vector<std::string> cookies() const;
    /// Adds a cookie, as such a line. *Errors*: std::invalid_argument for a line with a line break in it, or if the
    /// client keeps no cookies. A line that libcurl does not understand is passed over.
    void add_cookie(const std::string& line);

private:
    std::shared_ptr<engine> engine_;
};

} // namespace muster::http
