// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The errors of an HTTP request, one type for each way to fail. Every one is an http::error, which knows the URL, and
/// also what it is elsewhere: a standard runtime error, a muster::timeout_error, an invalid argument.
///
///     try { auto page = co_await client.get(url); page.throw_if_error(); }
///     catch (const muster::timeout_error&) { use_the_cache(); }
///     catch (const muster::http::status_error& e) { log(e.status(), e.url()); }
///     catch (const muster::http::error& e) { log(e.what()); }

#include <muster/config.hpp>
#include <muster/error.hpp>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>

namespace muster::http {

/// The base of all errors of HTTP. No std::exception by itself, so that a time-out can be a muster::timeout_error
/// as well; each concrete type is one. Copying never throws.
class error {
public:
    virtual ~error() = default;

    /// *Returns* the URL, without a password, and what went wrong with it: one line that is safe to print.
    [[nodiscard]] virtual const char* what() const noexcept = 0;
    /// The URL that was asked for. *Lifetime*: as long as any copy of this.
    [[nodiscard]] const std::string& url() const noexcept { return text_->url; }
    /// The problem, without the URL: one line that is safe to print, whatever the server sent.
    [[nodiscard]] const std::string& problem() const noexcept { return text_->problem; }

protected:
    error(std::string url, const std::string& problem);
    error(const error&) noexcept = default;
    error& operator=(const error&) noexcept = default;

private:
    struct text {
        text(std::string u, std::string p) : url(std::move(u)), problem(std::move(p)) {}
        std::string url;
        std::string problem;
    };
    std::shared_ptr<const text> text_;
};

/// For messages, which reach logs: the URL without what it says of a user, in every form that libcurl accepts, and in
/// those that it refuses. *Returns* the rest of the URL as it was written.
[[nodiscard]] std::string without_password(const std::string& url);

namespace detail {

/// *Returns* the text of an error: the URL without password and the problem, safe to print.
[[nodiscard]] std::string text_of_error(const std::string& url, const std::string& problem);

} // namespace detail

/// An http::error that is a `Base`, too.
template <class Base>
class error_that_is : public Base, public error {
public:
    error_that_is(std::string url, const std::string& problem)
        : Base(detail::text_of_error(url, problem)),
          error(std::move(url), problem) {}
    [[nodiscard]] const char* what() const noexcept override { return Base::what(); }
};

/// The URL is malformed or its scheme is not http or https. Thrown before anything is sent.
class url_error final : public error_that_is<std::invalid_argument> {
public:
    using error_that_is<std::invalid_argument>::error_that_is;
};

/// The name of the server, or of its proxy, has no address.
class resolve_error final : public error_that_is<std::runtime_error> {
public:
    using error_that_is<std::runtime_error>::error_that_is;
};

/// No connection could be made.
class connect_error : public error_that_is<std::runtime_error> {
public:
    connect_error(std::string url, std::string problem, std::error_code code = {})
        : error_that_is<std::runtime_error>(std::move(url), std::move(problem)),
          code_(code) {}
    /// The system's reason, such as std::errc::connection_refused; zero if there is none.
    [[nodiscard]] std::error_code code() const noexcept { return code_; }

private:
    std::error_code code_;
};

/// The proxy refused to connect; or the environment names a proxy that is none.
class proxy_error final : public connect_error {
public:
    proxy_error(std::string url, std::string problem, int status, std::optional<std::chrono::seconds> retry_after)
        : connect_error(std::move(url), std::move(problem)),
          status_(status),
          retry_after_(retry_after) {}
    /// *Returns* the proxy's status, such as 403 or 407; 0 if it was not asked.
    [[nodiscard]] int status() const noexcept { return status_; }
    /// How long the proxy asks to be left alone before another attempt.
    [[nodiscard]] std::optional<std::chrono::seconds> retry_after() const noexcept { return retry_after_; }

private:
    int status_;
    std::optional<std::chrono::seconds> retry_after_;
};

/// The TLS handshake failed, or the certificate is not to be trusted.
class tls_error final : public error_that_is<std::runtime_error> {
public:
    using error_that_is<std::runtime_error>::error_that_is;
};

/// The request, or its connection, took longer than it was given.
class timeout_error final : public error_that_is<muster::timeout_error> {
public:
    using error_that_is<muster::timeout_error>::error_that_is;
};

/// The connection broke before there was an answer; or, as a truncated_error, in the middle of one.
class reset_error : public error_that_is<std::runtime_error> {
public:
    reset_error(std::string url, std::string problem, std::error_code code = {})
        : error_that_is<std::runtime_error>(std::move(url), std::move(problem)),
          code_(code) {}
    [[nodiscard]] std::error_code code() const noexcept { return code_; }

private:
    std::error_code code_;
};

/// The answer ended before its announced or encoded end: by the connection's end, a reset, or TLS that was cut off.
class truncated_error final : public reset_error {
public:
    using reset_error::reset_error;
};

/// The server does not keep to HTTP: garbage, lengths that contradict each other, bad chunks, redirects without an end.
class protocol_error final : public error_that_is<std::runtime_error> {
public:
    using error_that_is<std::runtime_error>::error_that_is;
};

/// The body, or the headers, are larger than the limit that was set.
class too_large_error final : public error_that_is<std::runtime_error> {
public:
    too_large_error(std::string url, std::string problem, std::uint64_t limit)
        : error_that_is<std::runtime_error>(std::move(url), std::move(problem)),
          limit_(limit) {}
    [[nodiscard]] std::uint64_t limit() const noexcept { return limit_; }

private:
    std::uint64_t limit_;
};

/// The server answered with a status of 400 or more; see response::throw_if_error.
class status_error final : public error_that_is<std::runtime_error> {
public:
    status_error(std::string url, std::string problem, int status, std::optional<std::chrono::seconds> retry_after)
        : error_that_is<std::runtime_error>(std::move(url), std::move(problem)),
          status_(status),
          retry_after_(retry_after) {}
    [[nodiscard]] int status() const noexcept { return status_; }
    /// How long the server asks to be left alone before another attempt.
    [[nodiscard]] std::optional<std::chrono::seconds> retry_after() const noexcept { return retry_after_; }

private:
    int status_;
    std::optional<std::chrono::seconds> retry_after_;
};

/// The body of the request can't be read: request::body_file names no file, or one that is none on disk.
class body_error final : public error_that_is<std::runtime_error> {
public:
    body_error(std::string url, std::string problem, std::error_code code = {})
        : error_that_is<std::runtime_error>(std::move(url), std::move(problem)),
          code_(code) {}
    [[nodiscard]] std::error_code code() const noexcept { return code_; }

private:
    std::error_code code_;
};

/// A download can't be written to its file.
class file_error final : public error_that_is<std::runtime_error> {
public:
    file_error(std::string url, std::string problem, std::error_code code = {})
        : error_that_is<std::runtime_error>(std::move(url), std::move(problem)),
          code_(code) {}
    [[nodiscard]] std::error_code code() const noexcept { return code_; }

private:
    std::error_code code_;
};

/// A download is not what its digest says; see download_options::digest.
class digest_error final : public error_that_is<std::runtime_error> {
public:
    using error_that_is<std::runtime_error>::error_that_is;
};

/// Whatever else went wrong with a transfer; also: the client was destroyed while the request was under way.
class transfer_error final : public error_that_is<std::runtime_error> {
public:
    using error_that_is<std::runtime_error>::error_that_is;
};

} // namespace muster::http
