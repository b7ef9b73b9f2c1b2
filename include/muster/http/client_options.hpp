// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// How a client behaves: pooling, limits, time, redirects, retries, HTTP's version, proxies, TLS, cookies. Everything
/// has a default that suits most programs.
///
///     muster::http::client_options options;
///     options.timeout(10s).retry(muster::http::resend_policy(3)).connections_per_host(8);
///     muster::http::client client(options);

#include <muster/config.hpp>
#include <muster/http/message.hpp>
#include <muster/http/retry.hpp>
#include <muster/http/tls_options.hpp>
#include <muster/task.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace muster::http {

/// Looks up the addresses of a host.
using name_resolver = std::function<task<std::vector<std::string>>(std::string host)>;

/// Each word may be used in a chain. Texts with a line break or a NUL in them are refused with std::invalid_argument.
class client_options {
public:
    client_options() {}

    /// At most n requests to one server at a time, each with its connection or, with HTTP/2, its stream; further ones
    /// wait, first come, first served. *Errors*: std::invalid_argument for 0.
    client_options& connections_per_host(std::size_t n);
    /// At most n requests in all, and as many connections. *Errors*: std::invalid_argument for 0.
    client_options& connections(std::size_t n);
    client_options& user_agent(std::string name);
    /// How many redirects are followed, 20 unless it is set; one more is a protocol_error. With 0 none is, and the
    /// answer that redirects is the response.
    client_options& redirects(std::size_t n) noexcept;
    /// Headers that do not go along where a redirect leads to another server, beside Authorization and Cookie. Unless
    /// it is set: Proxy-Authorization, X-Api-Key, X-Auth-Token, X-Csrf-Token.
    client_options& redirect_strips(std::vector<std::string> headers);
    /// Refuses URLs of http, with a url_error, and redirects there, with a protocol_error.
    client_options& https_only() noexcept;
    /// Refuses to connect to addresses that are not public ones: loopback, private, link-local and reserved networks,
    /// also where they are written within IPv6. Looked at once a name has its addresses, and again after each redirect:
    /// a url_error, or a protocol_error of the redirect. No proxy is used then, as it would connect in our stead: the
    /// environment's is ignored, and one that is set is a std::invalid_argument of the client.
    client_options& no_private_addresses() noexcept;
    /// Connects to these addresses instead of to those that the name of the host has: {"127.0.0.1", "::1"}. The name in
    /// the request, and the one that TLS checks, stays. *Errors*: std::invalid_argument for what is no address.
    client_options& resolve(std::string host, std::vector<std::string> addresses);
    /// Looks up all other names, beside those of proxies, by this function instead of by the system's; it is asked for
    /// each request and each redirect to a name. Its time counts as connect_timeout's. An exception that it throws ends
    /// the request, as itself; no address is a resolve_error.
    client_options& resolver(name_resolver look_up);
    /// The largest body, unpacked; a larger one is a too_large_error. 64 MiB unless it is set; see no_limit.
    client_options& body_limit(std::uint64_t bytes) noexcept;
    /// The most that all headers of a request's answers may be, 256 KiB unless it is set. Each line counts 32 bytes
    /// more than it has.
    client_options& header_limit(std::uint64_t bytes) noexcept;
    /// How long an attempt of a request may take that does not say so itself, its wait for a connection, its redirects
    /// and its body included; for ever unless it is set. *Errors*, of the five limits: std::invalid_argument unless
    /// positive. no_time_limit is none.
    client_options& timeout(std::chrono::nanoseconds limit);
    /// How long a request may wait until connections and connections_per_host let it go, 60 s unless it is set.
    client_options& wait_timeout(std::chrono::nanoseconds limit);
    /// How long making a connection may take, 30 s unless it is set.
    client_options& connect_timeout(std::chrono::nanoseconds limit);
    /// How long the server may take to begin its answer once the request has gone, 60 s unless it is set.
    client_options& first_byte_timeout(std::chrono::nanoseconds limit);
    /// How long the server may be silent within an answer: unless it is set 60 s in send and get, and without end in
    /// open, where events may be rare. Time in which the program does not read does not count.
    client_options& idle_timeout(std::chrono::nanoseconds limit);
    /// Requests that do not say so themselves are tried again by this policy. Without it none is.
    client_options& retry(resend_policy policy);
    /// http_version::automatic unless it is set.
    client_options& version(http_version v) noexcept;
    /// Whether the server may compress bodies, which are unpacked again (true unless it is set).
    client_options& compression(bool allowed) noexcept;
    /// Where requests go instead of to their servers: "http://proxy:3128", "socks5h://proxy"; with a name and password
    /// if it wants them. Empty: none. Unless it is set the environment decides, by libcurl's rules: http_proxy,
    /// https_proxy, HTTPS_PROXY, all_proxy, ALL_PROXY. *Errors*: std::invalid_argument for a scheme that is no proxy's.
    client_options& proxy(std::string url);
    /// Connects to a Unix socket instead of to the servers of the URLs: "/run/docker.sock".
    client_options& unix_socket(std::string path);
    /// The hosts for which no proxy is used, separated by commas; "*" is all. Unless it is set: no_proxy, NO_PROXY.
    client_options& no_proxy(std::string hosts);
    client_options& tls(tls_options options);
    /// Keeps the cookies that servers set, in memory, and sends them back by their rules (false unless it is set).
    client_options& cookies(bool kept) noexcept;
    /// Takes names and passwords for servers from this file, in the format of ~/.netrc, where neither the request nor
    /// its URL has any. A redirect to another server gets that server's.
    client_options& netrc(std::string path);

private:
    friend class client;
    friend class engine;
    friend class transfer;

    std::size_t connections_per_host_ = 0;
    std::size_t connections_ = 0;
    std::string user_agent_;
    std::size_t redirects_ = 20;
    std::vector<std::string> redirect_strips_{"Proxy-Authorization", "X-Api-Key", "X-Auth-Token", "X-Csrf-Token"};
    std::uint64_t body_limit_ = std::uint64_t{64} << 20;
    std::uint64_t header_limit_ = std::uint64_t{256} << 10;
    std::chrono::nanoseconds connect_timeout_ = std::chrono::seconds(30);
    std::chrono::nanoseconds timeout_ = no_time_limit;
    std::chrono::nanoseconds wait_timeout_ = std::chrono::minutes(1);
    std::chrono::nanoseconds first_byte_timeout_ = std::chrono::minutes(1);
    std::optional<std::chrono::nanoseconds> idle_timeout_;
    resend_policy retry_ = resend_policy(0);
    http_version version_ = http_version::automatic;
    bool compression_ = true;
    bool cookies_ = false;
    bool https_only_ = false;
    bool no_private_addresses_ = false;
    std::vector<std::pair<std::string, std::vector<std::string>>> resolved_; ///< by host, in lower case
    name_resolver resolver_;
    std::string unix_socket_;
    std::string netrc_;
    std::optional<std::string> proxy_;
    std::optional<std::string> no_proxy_;
    tls_options tls_;
};

} // namespace muster::http
