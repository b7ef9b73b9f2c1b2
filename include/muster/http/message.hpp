// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Requests and responses. A request is put together in a chain; a response is plain data that was read to
/// its end. A large body need not be held in memory: body_file and body_from send it, body_to takes it, piece by piece.
///
///     auto ask = muster::http::request(url).header("Accept", "application/json").timeout(2s);
///     auto reply = co_await client.send(std::move(ask));
///     if (const auto* type = reply.headers.find("content-type")) use(*type, reply.body);

#include <muster/config.hpp>
#include <muster/http/retry.hpp>
#include <muster/task.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace muster::http {

/// For the limits on sizes.
inline constexpr std::uint64_t no_limit = std::numeric_limits<std::uint64_t>::max();

/// For the limits on time.
inline constexpr std::chrono::nanoseconds no_time_limit = std::chrono::nanoseconds::max();

/// Which HTTP is spoken. As a wish: `automatic` is HTTP/2 where a TLS server agrees to it, else HTTP/1.1; `http2` also
/// asks servers without TLS; `http2_only` does not ask. Of a response: what was spoken.
enum class http_version { automatic, http1_0, http1_1, http2, http2_only, http3 };

struct header {
    header(std::string n, std::string v) : name(std::move(n)), value(std::move(v)) {}
    std::string name;
    std::string value;
};

/// In the order in which they came; a name may come more than once.
class header_list {
public:
    header_list() = default;

    void add(std::string name, std::string value);
    void clear() noexcept { all_.clear(); }
    /// Appends to the last value, after a space: a line that continues the one before. Does nothing to an empty list.
    void fold(std::string_view more);

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

/// Called with each piece of a body. An exception that it throws ends the request, as itself.
using body_sink = std::function<void(std::string_view piece)>;

/// Called with the number of bytes of a request's body that were given to the connection.
using upload_hook = std::function<void(std::uint64_t sent)>;

/// Called, and awaited, for each further piece of a body that is sent; nothing is its end. An exception that it
/// throws ends the request, as itself. It is not called before there is room for what it gives.
using body_source = std::function<task<std::optional<std::string>>()>;

namespace detail {

template <class Source>
task<std::optional<std::string>> next_piece(std::shared_ptr<Source> from) {
    auto piece = co_await from->next();
    if (!piece)
        co_return std::nullopt;
    co_return std::optional<std::string>(std::move(*piece));
}

} // namespace detail

/// A GET unless something else is said. Each word may be used in a chain.
class request {
public:
    explicit request(std::string url) : url_(std::move(url)) {}

    /// *Errors*: std::invalid_argument if it is no method's name.
    request& method(std::string name);
    /// *Errors*: std::invalid_argument for a name that is none, or a value with a line break or a NUL in it.
    request& header(std::string name, std::string value);
    /// Sends this along; the method becomes POST if it was not set. Of body(), body_file() and a source the one that
    /// was set last counts.
    request& body(std::string bytes);
    /// Sends a file along, read while it is sent: one on disk, as large as it is then; what can't be is a body_error.
    request& body_file(std::string path);
    /// Sends along what the source gives, as it gives it. Without a size HTTP/1.1 sends it in chunks; with one it must
    /// give that many bytes. It runs beside the exchange, in a task of its own, and is cancelled if the answer ends
    /// first. *Lifetime*: what it refers to must live until send has ended, or the response_stream was closed.
    request& body_from(body_source source, std::optional<std::uint64_t> size = std::nullopt);
    /// The same for a generator<std::string>, or whatever else has a next().
    template <class Source>
        requires requires(Source& s) { s.next(); }
    request& body_from(Source source, std::optional<std::uint64_t> size = std::nullopt) {
        auto kept = std::make_shared<Source>(std::move(source));
        return body_from(body_source([kept] { return detail::next_piece(kept); }), size);
    }
    /// Called now and then while the body is sent, and once all of it was; from 0 again where a redirect or another
    /// attempt sends it again. An exception that it throws ends the request, as itself.
    request& on_upload(upload_hook hook);
    /// The name and the password of the user, which go to the server of the URL alone and not where it redirects to.
    /// *Errors*, of both: std::invalid_argument for a colon in the name, a line break or a NUL.
    request& basic_auth(std::string name, std::string password);
    /// The same with a token.
    request& bearer_auth(std::string token);
    /// How long an attempt may take, redirects and the body included; then http::timeout_error. The client's own limit
    /// if it is not called. *Errors*: std::invalid_argument unless it is longer than zero.
    request& timeout(std::chrono::nanoseconds limit);
    /// Asks the server whether it wants the body ("Expect: 100-continue") and waits so long for its answer before the
    /// body is sent all the same. A server that refuses the question (417) is asked once more without. Not asked unless
    /// this is called. *Errors*: std::invalid_argument unless it is longer than zero.
    request& expect_continue(std::chrono::nanoseconds limit);
    /// As client_options::retry, for this request.
    request& retry(resend_policy policy);
    /// Sending it twice does no harm, whatever its method says.
    request& idempotent(bool is = true) noexcept;
    /// Where the body goes piece by piece, instead of response::body. The body of a status of 400 or more does not go
    /// there: the first 64 KiB of it are in response::body.
    request& body_to(body_sink sink);
    /// As client_options::compression, for this request.
    request& compression(bool allowed) noexcept;
    /// As client_options::body_limit, for this request.
    request& body_limit(std::uint64_t bytes) noexcept;

    [[nodiscard]] const std::string& url() const noexcept { return url_; }
    [[nodiscard]] const std::string& method() const noexcept { return method_; }
    [[nodiscard]] const header_list& headers() const noexcept { return headers_; }
    [[nodiscard]] const std::optional<std::string>& body() const noexcept { return body_; }
    [[nodiscard]] const std::string& body_file() const noexcept { return body_file_; }
    [[nodiscard]] const body_source& source() const noexcept { return source_; }
    [[nodiscard]] const upload_hook& upload_progress() const noexcept { return upload_hook_; }
    [[nodiscard]] std::optional<std::uint64_t> source_size() const noexcept { return source_size_; }
    [[nodiscard]] const std::optional<std::pair<std::string, std::string>>& basic_auth() const noexcept {
        return basic_auth_;
    }
    [[nodiscard]] const std::string& bearer_auth() const noexcept { return bearer_auth_; }
    [[nodiscard]] const std::optional<resend_policy>& retry() const noexcept { return retry_; }
    /// *Returns* whether sending it twice does no harm: see resend_policy.
    [[nodiscard]] bool is_idempotent() const noexcept;
    [[nodiscard]] std::optional<std::chrono::nanoseconds> timeout() const noexcept { return timeout_; }
    [[nodiscard]] std::optional<std::chrono::nanoseconds> expect_continue() const noexcept { return expect_continue_; }
    [[nodiscard]] const body_sink& sink() const noexcept { return sink_; }
    [[nodiscard]] std::optional<bool> compression() const noexcept { return compression_; }
    [[nodiscard]] std::optional<std::uint64_t> body_limit() const noexcept { return body_limit_; }

private:
    std::string url_;
    std::string method_;
    header_list headers_;
    std::optional<std::string> body_;
    std::string body_file_;
    body_source source_;
    std::optional<std::uint64_t> source_size_;
    upload_hook upload_hook_;
    std::optional<std::pair<std::string, std::string>> basic_auth_;
    std::string bearer_auth_;
    std::optional<resend_policy> retry_;
    std::optional<std::chrono::nanoseconds> timeout_;
    std::optional<std::chrono::nanoseconds> expect_continue_;
    bool idempotent_ = false;
    body_sink sink_;
    std::optional<bool> compression_;
    std::optional<std::uint64_t> body_limit_;
};

/// Since the start of the request; zero for what did not happen, as on a connection that was open already.
struct timing {
    timing() noexcept {}
    std::chrono::microseconds resolved{0};   ///< the server's address was known
    std::chrono::microseconds connected{0};  ///< the connection was there
    std::chrono::microseconds secured{0};    ///< TLS was agreed on
    std::chrono::microseconds first_byte{0}; ///< the answer began
    std::chrono::microseconds total{0};      ///< the answer had ended
    std::size_t redirects = 0;
};

struct response {
    response() noexcept {}

    int status = 0;
    header_list headers;  ///< of the last answer, where there were redirects
    header_list trailers; ///< what the server added after the body
    std::string body;
    std::uint64_t body_size = 0;                     ///< also where the body went elsewhere
    std::string url;                                 ///< what was asked for
    std::string effective_url;                       ///< where redirects led to
    std::optional<std::chrono::seconds> retry_after; ///< what a 429 or 503 says, from now
    http_version version = http_version::http1_1;
    std::size_t attempts = 1; ///< with a resend_policy there may be more
    http::timing timing;

    [[nodiscard]] bool is_error() const noexcept { return status >= 400; }
    /// *Errors*: status_error if is_error().
    void throw_if_error() const;
};

/// *Returns* what a status means: "Not Found"; empty for an unknown one.
[[nodiscard]] std::string_view reason_phrase(int status) noexcept;

} // namespace muster::http
