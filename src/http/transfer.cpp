// SPDX-License-Identifier: MIT
#include "transfer.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <limits>
#include <new>
#include <system_error>
#include <utility>

namespace muster::http {

namespace {

/// The body of an error's answer is kept for messages, not for its own sake.
constexpr std::size_t error_body_kept = std::size_t{64} << 10;

/// Refuses what libcurl would refuse later, or worse, understand as something else.
void require_url(const std::string& url) {
    if (url.find('\0') != std::string::npos)
        throw url_error(url.substr(0, url.find('\0')), "there is a NUL character in the URL");
    const url_handle parsed(curl_url());
    if (!parsed)
        throw std::bad_alloc();
    const CURLUcode status = curl_url_set(parsed.get(), CURLUPART_URL, url.c_str(), 0);
    if (status == CURLUE_OUT_OF_MEMORY)
        throw std::bad_alloc();
    if (status == CURLUE_UNSUPPORTED_SCHEME)
        throw url_error(url, "only http and https are supported");
    if (status == CURLUE_BAD_SCHEME)
        throw url_error(url, "not a URL: it must begin with http:// or https://");
    if (status != CURLUE_OK) {
#if LIBCURL_VERSION_NUM >= 0x075000
        throw url_error(url, std::string("not a URL: ") + curl_url_strerror(status));
#else
        throw url_error(url, "not a URL");
#endif
    }
    char* scheme = nullptr;
    if (curl_url_get(parsed.get(), CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK)
        throw std::bad_alloc();
    const std::unique_ptr<char, decltype(&curl_free)> owned(scheme, &curl_free);
    const std::string_view name(scheme);
    if (name != "http" && name != "https")
        throw url_error(url, "only http and https are supported");
}

long in_milliseconds(std::chrono::nanoseconds d) noexcept {
    const auto count = std::chrono::ceil<std::chrono::milliseconds>(d).count();
    // libcurl adds the time to others in an int here and there.
    return static_cast<long>(std::clamp<decltype(count)>(count, 1, std::numeric_limits<int>::max() / 2));
}

std::chrono::microseconds time_of(CURL* easy, CURLINFO what) noexcept {
    curl_off_t microseconds = 0;
    curl_easy_getinfo(easy, what, &microseconds);
    return std::chrono::microseconds(microseconds);
}

/// What the system said, if it is a reason: libcurl also remembers that a call would have had to wait.
std::error_code system_error_of(CURL* easy) noexcept {
    long number = 0;
    curl_easy_getinfo(easy, CURLINFO_OS_ERRNO, &number);
    if (number == EINPROGRESS || number == EAGAIN || number == EINTR)
        number = 0;
    return {static_cast<int>(number), std::generic_category()};
}

std::string_view without_blanks(std::string_view s) noexcept {
    const auto first = s.find_first_not_of(" \t\r\n");
    if (first == std::string_view::npos)
        return {};
    return s.substr(first, s.find_last_not_of(" \t\r\n") - first + 1);
}

} // namespace

template <class Value>
void transfer::set(CURLoption option, Value value) {
    const CURLcode status = curl_easy_setopt(easy_.get(), option, value);
    if (status == CURLE_OUT_OF_MEMORY)
        throw std::bad_alloc();
    if (status != CURLE_OK)
        throw transfer_error(answer_.url, std::string("libcurl refuses an option: ") + curl_easy_strerror(status));
}

void transfer::prepare(const request& what, const client_options& options) {
    forget();
    answer_ = response();
    answer_.url = what.url();
    failure_ = nullptr;
    header_bytes_ = 0;
    header_limit_ = options.header_limit_;
    body_limit_ = what.body_limit().value_or(options.body_limit_);
    text_[0] = '\0';
    require_url(what.url());

    request_ = &what;
    curl_easy_reset(easy_.get());
    set(CURLOPT_URL, what.url().c_str());
#if LIBCURL_VERSION_NUM >= 0x075500
    set(CURLOPT_PROTOCOLS_STR, "http,https");
    set(CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
#else
    set(CURLOPT_PROTOCOLS, static_cast<long>(CURLPROTO_HTTP | CURLPROTO_HTTPS));
    set(CURLOPT_REDIR_PROTOCOLS, static_cast<long>(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
    set(CURLOPT_PRIVATE, this);
    set(CURLOPT_ERRORBUFFER, text_);
    set(CURLOPT_HEADERFUNCTION, &on_header);
    set(CURLOPT_HEADERDATA, this);
    set(CURLOPT_WRITEFUNCTION, &on_body);
    set(CURLOPT_WRITEDATA, this);
    // No SIGALRM and no change of the program's handlers; SIGPIPE is the engine's to keep away.
    set(CURLOPT_NOSIGNAL, 1L);
#if LIBCURL_VERSION_NUM >= 0x075700
    // A cancelled look-up is left to its thread, which owns all it uses, instead of being waited for.
    set(CURLOPT_QUICK_EXIT, 1L);
#endif
    set(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    // All encodings that libcurl can undo.
    set(CURLOPT_ACCEPT_ENCODING, "");
    if (!options.user_agent_.empty())
        set(CURLOPT_USERAGENT, options.user_agent_.c_str());
    set(CURLOPT_FOLLOWLOCATION, options.redirects_ != 0 ? 1L : 0L);
    set(CURLOPT_MAXREDIRS, static_cast<long>(std::min<std::size_t>(options.redirects_, 1'000'000)));
    set(CURLOPT_CONNECTTIMEOUT_MS, in_milliseconds(options.connect_timeout_));
    if (const auto limit = what.timeout().value_or(options.timeout_); limit.count() > 0)
        set(CURLOPT_TIMEOUT_MS, in_milliseconds(limit));
    if (body_limit_ != 0 && body_limit_ <= static_cast<std::uint64_t>(std::numeric_limits<curl_off_t>::max()))
        set(CURLOPT_MAXFILESIZE_LARGE, static_cast<curl_off_t>(body_limit_));
    set_request(what);
}

void transfer::set_request(const request& what) {
    const std::string& method = what.method();
    if (what.body()) {
        set(CURLOPT_POST, 1L);
        set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(what.body()->size()));
        set(CURLOPT_POSTFIELDS, what.body()->c_str());
        if (!method.empty() && method != "POST")
            set(CURLOPT_CUSTOMREQUEST, method.c_str());
    } else if (method == "HEAD") {
        set(CURLOPT_NOBODY, 1L);
    } else if (method == "POST") {
        set(CURLOPT_POST, 1L);
        set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(0));
        set(CURLOPT_POSTFIELDS, "");
    } else if (!method.empty() && method != "GET") {
        set(CURLOPT_CUSTOMREQUEST, method.c_str());
    }
    for (const auto& h : what.headers()) {
        // "Name:" would take a header away; "Name;" is libcurl's way to send an empty one.
        append(lines_, h.value.empty() ? h.name + ';' : h.name + ": " + h.value);
    }
    if (lines_)
        set(CURLOPT_HTTPHEADER, lines_.get());
}

void transfer::forget() noexcept {
    if (request_ == nullptr)
        return;
    request_ = nullptr;
    curl_easy_setopt(easy_.get(), CURLOPT_POSTFIELDS, nullptr);
    curl_easy_setopt(easy_.get(), CURLOPT_HTTPHEADER, nullptr);
    lines_.reset();
}

// ---- what comes back ----

std::size_t transfer::on_header(char* bytes, std::size_t size, std::size_t count, void* self) noexcept {
    auto& t = *static_cast<transfer*>(self);
    try {
        return t.take_header(std::string_view(bytes, size * count)) ? size * count : 0;
    } catch (...) {
        t.failure_ = std::current_exception();
        return 0;
    }
}

std::size_t transfer::on_body(char* bytes, std::size_t size, std::size_t count, void* self) noexcept {
    auto& t = *static_cast<transfer*>(self);
    try {
        return t.take_body(std::string_view(bytes, size * count)) ? size * count : 0;
    } catch (...) {
        t.failure_ = std::current_exception();
        return 0;
    }
}

bool transfer::take_header(std::string_view line) {
    if (waiter_ == nullptr)
        return false;
    header_bytes_ += line.size();
    if (header_bytes_ > header_limit_) {
        failure_ = std::make_exception_ptr(
            too_large_error(answer_.url, "the headers are larger than " + std::to_string(header_limit_) + " bytes",
                header_limit_));
        return false;
    }
    if (line.starts_with("HTTP/")) {
        // Another answer: what came before was a redirect, or a 1xx.
        answer_.headers.clear();
        answer_.body.clear();
        answer_.body_size = 0;
        answer_.status = 0;
        return true;
    }
    const auto colon = line.find(':');
    if (colon != std::string_view::npos && colon != 0)
        answer_.headers.add(std::string(without_blanks(line.substr(0, colon))),
            std::string(without_blanks(line.substr(colon + 1))));
    return true;
}

bool transfer::take_body(std::string_view piece) {
    // Cancelled from a sink, in the middle of libcurl: the handle is taken out once that has returned.
    if (waiter_ == nullptr)
        return false;
    if (answer_.status == 0) {
        long status = 0;
        curl_easy_getinfo(easy_.get(), CURLINFO_RESPONSE_CODE, &status);
        answer_.status = static_cast<int>(status);
    }
    answer_.body_size += piece.size();
    if (request_->sink() && answer_.is_error()) {
        answer_.body.append(piece.substr(0, error_body_kept - std::min(error_body_kept, answer_.body.size())));
        return true;
    }
    if (answer_.body_size > body_limit_) {
        failure_ = std::make_exception_ptr(too_large_error(
            answer_.url, "the body is larger than " + std::to_string(body_limit_) + " bytes", body_limit_));
        return false;
    }
    if (request_->sink())
        request_->sink()(piece);
    else
        answer_.body.append(piece);
    return waiter_ != nullptr;
}

void transfer::ended(CURLcode code) {
    if (failure_)
        return;
    try {
        if (code == CURLE_OK)
            read_answer();
        else
            failure_ = error_for(code);
    } catch (...) {
        failure_ = std::current_exception();
    }
}

void transfer::read_answer() {
    CURL* h = easy_.get();
    long number = 0;
    curl_easy_getinfo(h, CURLINFO_RESPONSE_CODE, &number);
    answer_.status = static_cast<int>(number);
    const char* where = nullptr;
    curl_easy_getinfo(h, CURLINFO_EFFECTIVE_URL, &where);
    answer_.effective_url = where != nullptr ? where : answer_.url;
    curl_off_t seconds = 0;
    if (answer_.headers.find("Retry-After") != nullptr &&
        curl_easy_getinfo(h, CURLINFO_RETRY_AFTER, &seconds) == CURLE_OK)
        answer_.retry_after = std::chrono::seconds(seconds);
    curl_easy_getinfo(h, CURLINFO_REDIRECT_COUNT, &number);
    answer_.timing.redirects = static_cast<std::size_t>(number);
    answer_.timing.resolved = time_of(h, CURLINFO_NAMELOOKUP_TIME_T);
    answer_.timing.connected = time_of(h, CURLINFO_CONNECT_TIME_T);
    answer_.timing.secured = time_of(h, CURLINFO_APPCONNECT_TIME_T);
    answer_.timing.first_byte = time_of(h, CURLINFO_STARTTRANSFER_TIME_T);
    answer_.timing.total = time_of(h, CURLINFO_TOTAL_TIME_T);
}

// ---- what goes wrong ----

std::string transfer::problem(CURLcode code) const {
    const std::string_view said = without_blanks(text_);
    return said.empty() ? curl_easy_strerror(code) : std::string(said);
}

std::exception_ptr transfer::error_for(CURLcode code) const {
    const std::error_code system = system_error_of(easy_.get());
    const std::string& url = answer_.url;
    const std::string text = problem(code);
    switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY: return std::make_exception_ptr(resolve_error(url, text));
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
    case CURLE_PEER_FAILED_VERIFICATION: return std::make_exception_ptr(tls_error(url, text));
    case CURLE_OPERATION_TIMEDOUT: return std::make_exception_ptr(timeout_error(url, text));
    case CURLE_SEND_ERROR:
    case CURLE_GOT_NOTHING: return std::make_exception_ptr(reset_error(url, text, system));
    case CURLE_RECV_ERROR:
        // libcurl has no code of its own for chunks that are none.
        if (text.find("chunked-encoding") != std::string::npos)
            return std::make_exception_ptr(protocol_error(url, text));
        return std::make_exception_ptr(reset_error(url, text, system));
    // The scheme that was asked for is supported: this is garbage, or a redirect to another scheme.
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_URL_MALFORMAT:
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_PARTIAL_FILE:
    case CURLE_TOO_MANY_REDIRECTS:
    case CURLE_BAD_CONTENT_ENCODING:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
    case CURLE_HTTP3: return std::make_exception_ptr(protocol_error(url, text));
    case CURLE_FILESIZE_EXCEEDED:
        return std::make_exception_ptr(too_large_error(
            url, "the body is larger than " + std::to_string(body_limit_) + " bytes", body_limit_));
    case CURLE_OUT_OF_MEMORY: return std::make_exception_ptr(std::bad_alloc());
    default: return std::make_exception_ptr(transfer_error(url, text));
    }
}

} // namespace muster::http
