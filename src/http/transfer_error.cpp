// SPDX-License-Identifier: MIT
// error_for() turns the way in which libcurl says that a transfer failed into one of the exceptions of muster::http.
// The code of libcurl decides in most cases; where one code stands for several kinds of failure, the text, the
// system's error and whether an answer had begun tell them apart. The texts of
// all errors are made here: without passwords, safe to print, and bounded.
#include "transfer.hpp"

#include "http/scrub.hpp"
#include "vocabulary/printable.hpp"

#include <cerrno>
#include <new>
#include <system_error>

namespace muster::http {

namespace {

constexpr std::size_t longest_shown_url = 2000;
/// DYN_H2_HEADERS in libcurl 7.88's lib/dynbuf.h.
constexpr std::uint64_t most_http2_headers = std::uint64_t{128} << 10;

} // namespace

error::error(std::string url, const std::string& problem)
    : text_(std::make_shared<const text>(std::move(url), muster::detail::printable(without_passwords(problem)))) {}

namespace detail {

std::string text_of_error(const std::string& url, const std::string& problem) {
    return muster::detail::printable(without_password(url), longest_shown_url) + ": " +
           muster::detail::printable(without_passwords(problem));
}

} // namespace detail

namespace {

/// The error of the system, if it is a reason: libcurl also remembers that a call would have had to wait.
std::error_code system_error_of(CURL* easy) noexcept {
    long number = 0;
    curl_easy_getinfo(easy, CURLINFO_OS_ERRNO, &number);
    if (number == EINPROGRESS || number == EAGAIN || number == EINTR)
        number = 0;
    return {static_cast<int>(number), std::generic_category()};
}

/// libcurl has one code for connections that broke and for bytes that are not HTTP: only its text tells them apart.
bool says_malformed(std::string_view text) noexcept {
    for (const std::string_view sign : {"chunked-encoding", "PROTOCOL_ERROR", "FRAME_SIZE_ERROR", "COMPRESSION_ERROR",
             "FLOW_CONTROL_ERROR", "nghttp2_session_mem_recv"})
        if (text.find(sign) != std::string_view::npos)
            return true;
    return false;
}

/// libcurl's (CURL_MAX_HTTP_HEADER).
constexpr std::uint64_t longest_header_line = std::uint64_t{100} << 10;

/// *Returns* whether there is as much memory as such a line takes.
bool memory_is_left() noexcept {
    void* const trial = ::operator new(2 * longest_header_line, std::nothrow);
    ::operator delete(trial);
    return trial != nullptr;
}

/// libcurl quotes a proxy that it does not understand as it was given, which may be without a scheme.
std::string without_quoted_password(const std::string& text) {
    const auto first = text.find('\'');
    const auto last = text.rfind('\'');
    if (first == last)
        return text;
    return text.substr(0, first + 1) + without_password(text.substr(first + 1, last - first - 1)) + text.substr(last);
}

} // namespace

/// The connection broke, by its end, a reset, or the end of its HTTP/2 stream: before there was an answer, or within
/// it.
std::exception_ptr transfer::broken_off(const std::string& text, std::error_code system) const {
    if (has_head())
        return std::make_exception_ptr(truncated_error(answer_.url, text, system));
    return std::make_exception_ptr(reset_error(answer_.url, text, system));
}

std::string transfer::problem(CURLcode code) const {
    const std::string_view said = without_blanks(text_);
    return said.empty() ? curl_easy_strerror(code) : std::string(said);
}

std::exception_ptr transfer::error_for(CURLcode code) const {
    const std::error_code system = no_socket_ ? no_socket_ : system_error_of(easy_.get());
    const std::string& url = answer_.url;
    const std::string text = problem(code);
    long tunnel = 0;
    if (code == CURLE_RECV_ERROR && curl_easy_getinfo(easy_.get(), CURLINFO_HTTP_CONNECTCODE, &tunnel) == CURLE_OK &&
        tunnel >= 300)
        return std::make_exception_ptr(
            proxy_error(url, "the proxy refuses: " + text, static_cast<int>(tunnel), retry_after_of(proxy_headers_)));
    if (code == CURLE_COULDNT_CONNECT && !private_address_.empty()) {
        const std::string why =
            " leads to the address " + private_address_ + ", which is not public (no_private_addresses)";
        if (redirects_ != 0)
            return std::make_exception_ptr(protocol_error(url, "the redirect to " + without_password(hop_.url) + why));
        return std::make_exception_ptr(url_error(url, "it" + why));
    }
    if (text.find("Unsupported proxy") != std::string::npos)
        return std::make_exception_ptr(proxy_error(url, without_quoted_password(text), 0, std::nullopt));
    switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
        return std::make_exception_ptr(resolve_error(url, text));
    case CURLE_COULDNT_CONNECT:
    case CURLE_INTERFACE_FAILED:
    case CURLE_PROXY: {
        // Only what was connected can be reset: it happened before libcurl looked whether it is.
        if (system == std::errc::connection_reset)
            return std::make_exception_ptr(reset_error(url, text, system));
        const bool says = !system || text.find(system.message()) != std::string::npos;
        return std::make_exception_ptr(connect_error(url, says ? text : text + ": " + system.message(), system));
    }
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SSL_ENGINE_NOTFOUND:
    case CURLE_SSL_ENGINE_SETFAILED:
    case CURLE_SSL_ENGINE_INITFAILED:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CRL_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_PINNEDPUBKEYNOTMATCH:
    case CURLE_SSL_INVALIDCERTSTATUS:
    case CURLE_SSL_CLIENTCERT:
    case CURLE_USE_SSL_FAILED:
    case CURLE_PEER_FAILED_VERIFICATION:
        return std::make_exception_ptr(tls_error(url, text));
    case CURLE_OPERATION_TIMEDOUT:
        // The one time limit that libcurl keeps itself, because it shares it out among the addresses of a server.
        return std::make_exception_ptr(timeout_error(url, text + " (connect_timeout)"));
    case CURLE_SEND_FAIL_REWIND:
        // A connection that had been used before broke, or the server refused the stream.
        return std::make_exception_ptr(
            reset_error(url, "there was no answer, and the body can't be read a second time to be sent again"));
    case CURLE_GOT_NOTHING:
        if (session_was_given_up())
            return std::make_exception_ptr(protocol_error(url, "the server broke the rules of HTTP/2"));
        return broken_off(text, system);
    case CURLE_SEND_ERROR:
    case CURLE_PARTIAL_FILE:
    case CURLE_RECV_ERROR:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
    case CURLE_HTTP3:
        // libcurl collects the headers of an HTTP/2 stream before it hands them on, and breaks off when they are too
        // large for it: the callback that fails is its own (on_header in lib/http2.c).
        if (!has_head() && text.find("nghttp2_session_mem_recv() returned -902") != std::string::npos)
            return std::make_exception_ptr(
                too_large_error(url, "the headers are larger than libcurl takes over HTTP/2", most_http2_headers));
        if (says_malformed(text))
            return std::make_exception_ptr(protocol_error(url, text));
        // A session that was given up reads as if it had ended (cf_h2_recv); one that has ended has other texts.
        if (code == CURLE_PARTIAL_FILE && text.starts_with("transfer closed with") && session_was_given_up())
            return std::make_exception_ptr(protocol_error(url, "the server broke the rules of HTTP/2: " + text));
        return broken_off(text, system);
    case CURLE_URL_MALFORMAT:
        // libcurl finds only now that a user's name has a NUL in it.
        if (redirects_ == 0)
            return std::make_exception_ptr(url_error(url, "not a URL: " + text));
        [[fallthrough]];
    // The scheme that was asked for is supported: this is garbage, or a redirect to another scheme.
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_TOO_MANY_REDIRECTS:
    case CURLE_BAD_CONTENT_ENCODING:
        return std::make_exception_ptr(protocol_error(url, text));
    case CURLE_BAD_FUNCTION_ARGUMENT:
        // libcurl's own storage of headers gives it for a line that is none (lib/headers.c), and nothing else does once
        // the request was sent.
        if (times_sent_ != 0)
            return std::make_exception_ptr(protocol_error(url, "a header or a trailer of the answer is malformed"));
        return std::make_exception_ptr(transfer_error(url, text));
    case CURLE_FILESIZE_EXCEEDED:
        return std::make_exception_ptr(
            too_large_error(url, "the body is larger than " + std::to_string(body_limit_) + " bytes", body_limit_));
    case CURLE_OUT_OF_MEMORY:
        // libcurl 7.88 says the same of a line of a head that is longer than it takes.
        if (!has_head() && !nothing_was_sent() && memory_is_left())
            return std::make_exception_ptr(too_large_error(url,
                "a line of the answer's head is longer than " + std::to_string(longest_header_line) + " bytes",
                longest_header_line));
        return std::make_exception_ptr(std::bad_alloc());
    default:
        return std::make_exception_ptr(transfer_error(url, text));
    }
}

} // namespace muster::http
