// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// What is sent and what comes back. A request is put together in a chain; a response is plain data that was read to
/// its end. A large body need not be held in memory: body_to hands it over piece by piece.
///
///     auto ask = muster::http::request(url).header("Accept", "application/json").timeout(2s);
///     auto reply = co_await client.send(std::move(ask));
///     if (const auto* type = reply.headers.find("content-type")) use(*type, reply.body);

#include <muster/config.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace muster::http {

/// For the limits on sizes.
inline constexpr std::uint64_t no_limit = std::numeric_limits<std::uint64_t>::max();

struct header {
    header(std::string n, std::string v) : name(std::move(n)), value(std::move(v)) {}
    std::string name;
    std::string value;
};

/// In the order in which they came; a name may come more than once.
class header_list {
public:
    header_list() = default;

    void add(std::string name, std::string value) { all_.emplace_back(std::move(name), std::move(value)); }
    void clear() noexcept { all_.clear(); }

    /// *Returns* the first value of that name, in whatever case it is written; null if there is none.
    /// *Lifetime*: as long as the list is not changed.
    [[nodiscard]] const std::string* find(std::string_view name) const noexcept;
    [[nodiscard]] std::vector<std::string> find_all(std::string_view name) const;

    [[nodiscard]] std::size_t size() const noexcept { return all_.size(); }
    [[nodiscard]] bool empty() const noexcept { return all_.empty(); }
    [[nodiscard]] auto begin() const noexcept { return all_.begin(); }
    [[nodiscard]] auto end() const noexcept { return all_.end(); }

private:
    std::vector<header> all_;
};

/// Called with each piece of a body. What it throws ends the request with that error.
using body_sink = std::function<void(std::string_view piece)>;

/// A GET unless something else is said. Each word may be used in a chain.
class request {
public:
    explicit request(std::string url) : url_(std::move(url)) {}

    /// *Errors*: std::invalid_argument if it is no method's name.
    request& method(std::string name);
    /// *Errors*: std::invalid_argument for a name that is none, or a value with a line break or a NUL in it.
    request& header(std::string name, std::string value);
    /// Sends this along; the method becomes POST if it was not set.
    request& body(std::string bytes);
    /// How long all of it may take, redirects and the body included; then http::timeout_error. The client's own limit
    /// if it is not called. *Errors*: std::invalid_argument unless it is longer than zero.
    request& timeout(std::chrono::nanoseconds limit);
    /// Where the body goes piece by piece, instead of response::body. The body of a status of 400 or more does not go
    /// there: the first 64 KiB of it are in response::body.
    request& body_to(body_sink sink);
    /// As client_options::body_limit, for this request.
    request& body_limit(std::uint64_t bytes) noexcept;

    [[nodiscard]] const std::string& url() const noexcept { return url_; }
    [[nodiscard]] const std::string& method() const noexcept { return method_; }
    [[nodiscard]] const header_list& headers() const noexcept { return headers_; }
    [[nodiscard]] const std::optional<std::string>& body() const noexcept { return body_; }
    [[nodiscard]] std::optional<std::chrono::nanoseconds> timeout() const noexcept { return timeout_; }
    [[nodiscard]] const body_sink& sink() const noexcept { return sink_; }
    [[nodiscard]] std::optional<std::uint64_t> body_limit() const noexcept { return body_limit_; }

private:
    std::string url_;
    std::string method_;
    header_list headers_;
    std::optional<std::string> body_;
    std::optional<std::chrono::nanoseconds> timeout_;
    body_sink sink_;
    std::optional<std::uint64_t> body_limit_;
};

/// Since the start of the request; zero for what did not happen, as on a connection that was open already.
struct timing {
    timing() noexcept {}
    std::chrono::microseconds resolved{0};   ///< the server's address was known
    std::chrono::microseconds connected{0};  ///< the connection was there
    std::chrono::microseconds secured{0};    ///< TLS was agreed on
    std::chrono::microseconds first_byte{0}; ///< the answer began
    std::chrono::microseconds total{0};      ///< it had ended
    std::size_t redirects = 0;
};

struct response {
    response() noexcept {}

    int status = 0;
    header_list headers; ///< of the last answer, where there were redirects
    std::string body;
    std::uint64_t body_size = 0;  ///< also where the body went elsewhere
    std::string url;              ///< what was asked for
    std::string effective_url;    ///< where redirects led to
    std::optional<std::chrono::seconds> retry_after; ///< what a 429 or 503 says
    http::timing timing;

    [[nodiscard]] bool is_error() const noexcept { return status >= 400; }
    /// *Errors*: status_error if is_error().
    void throw_if_error() const;
};

/// *Returns* what a status means: "Not Found"; empty for an unknown one.
[[nodiscard]] std::string_view reason_phrase(int status) noexcept;

} // namespace muster::http
