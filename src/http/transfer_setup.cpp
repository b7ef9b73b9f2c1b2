// SPDX-License-Identifier: MIT
// What libcurl is told: the client's options once for each easy handle, then each request. Most requests are plain
// GETs, which add nothing but a URL; whatever else a request sets is undone by setting the handle up anew for the next
// one (see transfer::settings).
#include "transfer.hpp"

#include <algorithm>
#include <chrono>
#include <limits>
#include <memory>
#include <new>
#include <utility>

namespace muster::http {

namespace {

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

long version_for(http_version v) noexcept {
    switch (v) {
    case http_version::http1_0:
        return CURL_HTTP_VERSION_1_0;
    case http_version::http1_1:
        return CURL_HTTP_VERSION_1_1;
    case http_version::http2:
        return CURL_HTTP_VERSION_2_0;
    case http_version::http2_only:
        return CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE;
    case http_version::http3:
        return CURL_HTTP_VERSION_3;
    case http_version::automatic:
        break;
    }
    return CURL_HTTP_VERSION_2TLS;
}

constexpr auto largest_offset = static_cast<std::uint64_t>(std::numeric_limits<curl_off_t>::max());

} // namespace

transfer::transfer(CURLSH* shared, send_on_list& sending_on) : sending_on_(sending_on), easy_(make_easy()) {
    // Survives a reset, as connections do.
    if (shared != nullptr)
        set(CURLOPT_SHARE, shared);
}

template <class Value>
void transfer::set(CURLoption option, Value value) {
    const CURLcode status = curl_easy_setopt(easy_.get(), option, value);
    if (status == CURLE_OUT_OF_MEMORY)
        throw std::bad_alloc();
    if (status != CURLE_OK)
        throw transfer_error(answer_.url, std::string("this libcurl refuses an option: ") + curl_easy_strerror(status));
}

void transfer::prepare(const request& what, const client_options& options, delivery how) {
    MUSTER_ASSERT(phase_ == transfer_phase::idle);
    forget();
    answer_ = response();
    answer_.url = what.url();
    arrived_.clear();
    failure_ = nullptr;
    times_sent_ = 0;
    header_bytes_ = header_bytes_when_sent_ = 0;
    header_limit_ = options.header_limit_;
    body_limit_ = what.body_limit().value_or(options.body_limit_);
    redirects_ = options.redirects_;
    delivery_ = how;
    progress_ = answer_progress::head;
    receiving_is_paused_ = sink_was_used_ = false;
    text_[0] = '\0';
    require_url(what.url());

    request_ = &what;
    if (settings_ != settings::client)
        set_client(options);
    set(CURLOPT_URL, what.url().c_str());
    const auto limit = what.timeout().value_or(options.timeout_);
    set(CURLOPT_TIMEOUT_MS, limit.count() > 0 ? in_milliseconds(limit) : 0L);
    const bool limited = body_limit_ != 0 && body_limit_ <= largest_offset;
    set(CURLOPT_MAXFILESIZE_LARGE, static_cast<curl_off_t>(limited ? body_limit_ : 0));
    set_request(what);
}

void transfer::set_client(const client_options& options) {
    curl_easy_reset(easy_.get());
#if LIBCURL_VERSION_NUM >= 0x075500
    set(CURLOPT_PROTOCOLS_STR, "http,https");
    set(CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
#else
    set(CURLOPT_PROTOCOLS, static_cast<long>(CURLPROTO_HTTP | CURLPROTO_HTTPS));
    set(CURLOPT_REDIR_PROTOCOLS, static_cast<long>(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
    set(CURLOPT_PRIVATE, this);
    set(CURLOPT_PREREQFUNCTION, &on_begin);
    set(CURLOPT_PREREQDATA, this);
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
    // All encodings that libcurl can undo, or none.
    if (options.compression_)
        set(CURLOPT_ACCEPT_ENCODING, "");
    if (!options.user_agent_.empty())
        set(CURLOPT_USERAGENT, options.user_agent_.c_str());
    set(CURLOPT_FOLLOWLOCATION, options.redirects_ != 0 ? 1L : 0L);
    set(CURLOPT_MAXREDIRS, static_cast<long>(std::min<std::size_t>(options.redirects_, 1'000'000)));
    set(CURLOPT_CONNECTTIMEOUT_MS, in_milliseconds(options.connect_timeout_));
    set(CURLOPT_HTTP_VERSION, version_for(options.version_));
    // A request waits to hear whether the connection that is being made can take it, too, instead of making its own.
    if (options.version_ == http_version::http2 || options.version_ == http_version::http2_only)
        set(CURLOPT_PIPEWAIT, 1L);
    if (options.cookies_)
        set(CURLOPT_COOKIEFILE, ""); // no file, but it turns cookies on
    if (options.proxy_)
        set(CURLOPT_PROXY, options.proxy_->c_str());
    if (options.no_proxy_)
        set(CURLOPT_NOPROXY, options.no_proxy_->c_str());
    set_tls(options.tls_);
    settings_ = settings::client;
}

void transfer::set_tls(const tls_options& options) {
    const long least = options.at_least_ == tls_version::tls1_3 ? CURL_SSLVERSION_TLSv1_3 : CURL_SSLVERSION_TLSv1_2;
    set(CURLOPT_SSLVERSION, least);
    set(CURLOPT_PROXY_SSLVERSION, least);
    if (!options.ca_file_.empty()) {
        set(CURLOPT_CAINFO, options.ca_file_.c_str());
        set(CURLOPT_PROXY_CAINFO, options.ca_file_.c_str());
    }
    if (!options.ca_folder_.empty()) {
        set(CURLOPT_CAPATH, options.ca_folder_.c_str());
        set(CURLOPT_PROXY_CAPATH, options.ca_folder_.c_str());
    }
    if (!options.ca_file_.empty() != !options.ca_folder_.empty()) {
        // Only what was named: not the system's file or folder beside it.
        const char* const none = nullptr;
        set(options.ca_file_.empty() ? CURLOPT_CAINFO : CURLOPT_CAPATH, none);
        set(options.ca_file_.empty() ? CURLOPT_PROXY_CAINFO : CURLOPT_PROXY_CAPATH, none);
    }
    if (!options.certificate_.empty()) {
        set(CURLOPT_SSLCERT, options.certificate_.c_str());
        set(CURLOPT_SSLKEY, (options.key_.empty() ? options.certificate_ : options.key_).c_str());
        if (!options.password_.empty())
            set(CURLOPT_KEYPASSWD, options.password_.c_str());
    }
    if (options.accept_any_) {
        set(CURLOPT_SSL_VERIFYPEER, 0L);
        set(CURLOPT_SSL_VERIFYHOST, 0L);
        set(CURLOPT_PROXY_SSL_VERIFYPEER, 0L);
        set(CURLOPT_PROXY_SSL_VERIFYHOST, 0L);
    }
}

void transfer::set_request(const request& what) {
    const std::string& method = what.method();
    const bool file = !what.body_file().empty();
    const bool plain = method.empty() && !what.body() && !file && !what.source();
    if (plain && what.headers().empty() && !what.basic_auth() && what.bearer_auth().empty())
        return;
    settings_ = settings::request;
    if (what.body()) {
        set(CURLOPT_POST, 1L);
        set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(what.body()->size()));
        set(CURLOPT_POSTFIELDS, what.body()->c_str());
        if (!method.empty() && method != "POST")
            set(CURLOPT_CUSTOMREQUEST, method.c_str());
    } else if (file || what.source()) {
        set_body(what);
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
    if (what.basic_auth()) {
        set(CURLOPT_HTTPAUTH, static_cast<long>(CURLAUTH_BASIC));
        set(CURLOPT_USERNAME, what.basic_auth()->first.c_str());
        set(CURLOPT_PASSWORD, what.basic_auth()->second.c_str());
    }
    if (!what.bearer_auth().empty()) {
        set(CURLOPT_HTTPAUTH, static_cast<long>(CURLAUTH_BEARER));
        set(CURLOPT_XOAUTH2_BEARER, what.bearer_auth().c_str());
    }
}

/// A body that libcurl asks for.
void transfer::set_body(const request& what) {
    std::optional<std::uint64_t> size = what.source_size();
    if (what.source())
        upload_.begin_source();
    else
        size = upload_.begin_file(what);
    const auto announced =
        static_cast<curl_off_t>(size && *size <= largest_offset ? static_cast<curl_off_t>(*size) : -1);
    set(CURLOPT_READFUNCTION, &on_send);
    set(CURLOPT_READDATA, this);
    set(CURLOPT_SEEKFUNCTION, &on_seek);
    set(CURLOPT_SEEKDATA, this);
    if (what.method().empty() || what.method() == "POST") {
        // A POST that libcurl knows as one becomes a GET where a redirect says so.
        set(CURLOPT_POST, 1L);
        set(CURLOPT_POSTFIELDSIZE_LARGE, announced);
        if (announced < 0 && what.headers().find("Transfer-Encoding") == nullptr)
            append(lines_, "Transfer-Encoding: chunked");
    } else {
        set(CURLOPT_UPLOAD, 1L);
        set(CURLOPT_INFILESIZE_LARGE, announced);
        if (what.method() != "PUT")
            set(CURLOPT_CUSTOMREQUEST, what.method().c_str());
    }
    // Servers that do not know this question cost a second of waiting for their answer.
    if (announced < 0 && what.headers().find("Expect") == nullptr)
        append(lines_, "Expect:");
}

void transfer::forget() noexcept {
    upload_.close();
    if (request_ == nullptr)
        return;
    request_ = nullptr;
    if (settings_ == settings::request) {
        curl_easy_setopt(easy_.get(), CURLOPT_POSTFIELDS, nullptr);
        curl_easy_setopt(easy_.get(), CURLOPT_HTTPHEADER, nullptr);
        lines_.reset();
    }
    kept_.reset();
}

} // namespace muster::http
