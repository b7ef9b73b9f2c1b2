// SPDX-License-Identifier: MIT
// This file has the setters of client_options and tls_options. A value that makes no sense is refused when it is
// given, so that a mistake shows where it was made and not at the first request. one_line() refuses a line break,
// which could add a header to a request, and a NUL, at which libcurl would stop reading.
#include <muster/http/client_options.hpp>

#include "address.hpp"

#include <algorithm>
#include <array>
#include <stdexcept>
#include <string_view>
#include <utility>

namespace muster::http {

namespace {

std::chrono::nanoseconds require_positive(std::chrono::nanoseconds d, const char* what) {
    if (d.count() <= 0)
        throw std::invalid_argument(std::string(what) + " must be longer than zero");
    return d;
}

std::size_t require_some(std::size_t n, const char* what) {
    if (n == 0)
        throw std::invalid_argument(std::string(what) + "(0) would allow none: give at least 1");
    return n;
}

std::string one_line(std::string text, const char* what) {
    if (text.find_first_of(std::string_view("\r\n\0", 3)) != std::string::npos)
        throw std::invalid_argument(std::string(what) + ": there is a line break or a NUL in it");
    return text;
}

} // namespace

client_options& client_options::connections_per_host(std::size_t n) {
    connections_per_host_ = require_some(n, "client_options::connections_per_host");
    return *this;
}

client_options& client_options::connections(std::size_t n) {
    connections_ = require_some(n, "client_options::connections");
    return *this;
}

client_options& client_options::user_agent(std::string name) {
    user_agent_ = one_line(std::move(name), "client_options::user_agent");
    return *this;
}

client_options& client_options::redirects(std::size_t n) noexcept {
    redirects_ = n;
    return *this;
}

client_options& client_options::redirect_strips(std::vector<std::string> headers) {
    redirect_strips_ = std::move(headers);
    return *this;
}

client_options& client_options::https_only() noexcept {
    https_only_ = true;
    return *this;
}

client_options& client_options::no_private_addresses() noexcept {
    no_private_addresses_ = true;
    return *this;
}

client_options& client_options::resolve(std::string host, std::vector<std::string> addresses) {
    for (const auto& one : addresses)
        if (!is_address(one))
            throw std::invalid_argument("client_options::resolve: '" + one + "' is no address");
    if (addresses.empty())
        throw std::invalid_argument("client_options::resolve: no address is given for '" + host + "'");
    resolved_.emplace_back(lower_host(one_line(std::move(host), "client_options::resolve")), std::move(addresses));
    return *this;
}

client_options& client_options::resolver(name_resolver look_up) {
    resolver_ = std::move(look_up);
    return *this;
}

client_options& client_options::body_limit(std::uint64_t bytes) noexcept {
    body_limit_ = bytes;
    return *this;
}

client_options& client_options::header_limit(std::uint64_t bytes) noexcept {
    header_limit_ = bytes;
    return *this;
}

client_options& client_options::connect_timeout(std::chrono::nanoseconds limit) {
    connect_timeout_ = require_positive(limit, "client_options::connect_timeout");
    return *this;
}

client_options& client_options::idle_timeout(std::chrono::nanoseconds limit) {
    idle_timeout_ = require_positive(limit, "client_options::idle_timeout");
    return *this;
}

client_options& client_options::first_byte_timeout(std::chrono::nanoseconds limit) {
    first_byte_timeout_ = require_positive(limit, "client_options::first_byte_timeout");
    return *this;
}

client_options& client_options::wait_timeout(std::chrono::nanoseconds limit) {
    wait_timeout_ = require_positive(limit, "client_options::wait_timeout");
    return *this;
}

client_options& client_options::timeout(std::chrono::nanoseconds limit) {
    timeout_ = require_positive(limit, "client_options::timeout");
    return *this;
}

client_options& client_options::retry(resend_policy policy) {
    retry_ = std::move(policy);
    return *this;
}

client_options& client_options::version(http_version v) noexcept {
    version_ = v;
    return *this;
}

client_options& client_options::compression(bool allowed) noexcept {
    compression_ = allowed;
    return *this;
}

client_options& client_options::proxy(std::string url) {
    const auto scheme = url.find("://");
    if (scheme != std::string::npos) {
        const std::string_view named = std::string_view(url).substr(0, scheme);
        constexpr std::array<std::string_view, 6> known{"http", "https", "socks4", "socks4a", "socks5", "socks5h"};
        if (std::ranges::find(known, named) == known.end())
            throw std::invalid_argument("client_options::proxy: '" + std::string(named) + "' is no scheme of a proxy");
    }
    proxy_ = one_line(std::move(url), "client_options::proxy");
    return *this;
}

client_options& client_options::unix_socket(std::string path) {
    unix_socket_ = one_line(std::move(path), "client_options::unix_socket");
    return *this;
}

client_options& client_options::no_proxy(std::string hosts) {
    no_proxy_ = one_line(std::move(hosts), "client_options::no_proxy");
    return *this;
}

client_options& client_options::tls(tls_options options) {
    tls_ = std::move(options);
    return *this;
}

client_options& client_options::cookies(bool kept) noexcept {
    cookies_ = kept;
    return *this;
}

client_options& client_options::netrc(std::string path) {
    netrc_ = one_line(std::move(path), "client_options::netrc");
    return *this;
}

tls_options& tls_options::ca_file(std::string path) {
    ca_file_ = one_line(std::move(path), "tls_options::ca_file");
    return *this;
}

tls_options& tls_options::ca_folder(std::string path) {
    ca_folder_ = one_line(std::move(path), "tls_options::ca_folder");
    return *this;
}

tls_options& tls_options::client_certificate(std::string certificate, std::string key, std::string password) {
    certificate_ = one_line(std::move(certificate), "tls_options::client_certificate");
    key_ = one_line(std::move(key), "tls_options::client_certificate");
    password_ = std::move(password);
    return *this;
}

tls_options& tls_options::at_least(tls_version v) noexcept {
    at_least_ = v;
    return *this;
}

tls_options& tls_options::allow_missing_close_notify() noexcept {
    missing_close_notify_is_fine_ = true;
    return *this;
}

tls_options& tls_options::pin(std::string keys) {
    constexpr std::string_view begin = "sha256//";
    constexpr std::size_t digits = 43;
    const auto is_digest = [&](std::string_view one) {
        const auto is_digit = [](char c) {
            return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c == '+' || c == '/';
        };
        return one.size() == begin.size() + digits + 1 && one.starts_with(begin) && one.ends_with('=') &&
               std::ranges::all_of(one.substr(begin.size(), digits), is_digit);
    };
    std::string_view rest = keys;
    for (bool more = true; more;) {
        const auto end = rest.find(';');
        more = end != std::string_view::npos;
        if (!is_digest(rest.substr(0, end)))
            throw std::invalid_argument("tls_options::pin: '" + std::string(rest.substr(0, end)) +
                                        "' is no 'sha256//' with a digest of 44 characters in base64");
        rest.remove_prefix(more ? end + 1 : 0);
    }
    pin_ = std::move(keys);
    return *this;
}

tls_options& tls_options::accept_any_certificate() noexcept {
    accept_any_ = true;
    return *this;
}

} // namespace muster::http
