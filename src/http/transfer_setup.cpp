// SPDX-License-Identifier: MIT
// The settings of an easy handle: the client's options once for each easy handle, then each request. Most requests are
// plain GETs, which add nothing but a URL; whatever else a request sets is undone by setting the handle up anew for the
// next one (see transfer::settings).
#include "address.hpp"
#include "curl_loop.hpp"
#include "transfer.hpp"
#include "url.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <limits>
#include <memory>
#include <new>
#include <stdexcept>
#include <string_view>
#include <system_error>
#include <tuple>
#include <utility>

#include <sys/socket.h>

namespace muster::http {

namespace {

/// Refuses what libcurl would refuse later, or worse, understand as something else. *Returns* the URL's origin.
std::string require_url(const std::string& url, const std::string& on_wire) {
    if (url.find('\0') != std::string::npos)
        throw url_error(url.substr(0, url.find('\0')), "there is a NUL character in the URL");
    const url_handle parsed(curl_url());
    if (!parsed)
        throw std::bad_alloc();
    const CURLUcode status = curl_url_set(parsed.get(), CURLUPART_URL, on_wire.c_str(), 0);
    if (status == CURLUE_OUT_OF_MEMORY)
        throw std::bad_alloc();
    // In "localhost:80/x" the host looks like a scheme.
    if (status == CURLUE_UNSUPPORTED_SCHEME && url.find("://") != std::string::npos)
        throw url_error(url, "only http and https are supported");
    if (status == CURLUE_UNSUPPORTED_SCHEME)
        throw url_error(url, "not a URL: it must begin with http:// or https://");
    if (status == CURLUE_BAD_SCHEME)
        throw url_error(url, "not a URL: it must begin with http:// or https://");
    if (status != CURLUE_OK) {
#if LIBCURL_VERSION_NUM >= 0x075000
        throw url_error(url, std::string("not a URL: ") + curl_url_strerror(status));
#else
        throw url_error(url, "not a URL");
#endif
    }
    std::string origin = origin_of(parsed.get());
    if (!origin.starts_with("http://") && !origin.starts_with("https://"))
        throw url_error(url, "only http and https are supported");
    return origin;
}

long in_milliseconds(std::chrono::nanoseconds d) noexcept {
    if (d == no_time_limit)
        return std::numeric_limits<int>::max() / 2;
    const auto count = std::chrono::ceil<std::chrono::milliseconds>(d).count();
    // libcurl adds the time to others in an int here and there.
    return static_cast<long>(std::clamp<decltype(count)>(count, 1, std::numeric_limits<int>::max() / 2));
}

/// The largest headers that nghttp2 takes, and what libcurl reads from a connection at once. libcurl 7.88 has nghttp2
/// pause where a smaller buffer is full, and then does not see the end of a stream of which it has taken all bytes.
constexpr long buffer_for_http2 = (64 + 32) * 1024;

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

bool same_word(std::string_view a, std::string_view b) noexcept {
    const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
    return std::ranges::equal(a, b, {}, lower, lower);
}

/// A header that must not go to another server than the one that it was meant for.
bool is_secret(std::string_view header_name, const std::vector<std::string>& others) noexcept {
    return same_word(header_name, "Authorization") || same_word(header_name, "Cookie") ||
           std::ranges::any_of(others, [&](const std::string& one) { return same_word(header_name, one); });
}

/// Refuses a Content-Length or a Transfer-Encoding that is not the body's: the server would read the next request on
/// the connection as this one's rest. `size` is nothing where the body is sent in chunks.
void require_framing(const request& what, std::optional<std::uint64_t> size) {
    for (const auto& h : what.headers()) {
        if (same_word(h.name, "Content-Length") && (!size || h.value != std::to_string(*size)))
            throw std::invalid_argument(
                "request::header: the Content-Length '" + h.value + "' is not the body's, which " +
                (size ? "has " + std::to_string(*size) + " bytes" : "has no known size") + ": leave the header out");
        if (same_word(h.name, "Transfer-Encoding") && (size || !same_word(h.value, "chunked")))
            throw std::invalid_argument(
                "request::header: the Transfer-Encoding '" + h.value + "' is not the body's: leave the header out");
    }
}

constexpr auto largest_offset = static_cast<std::uint64_t>(std::numeric_limits<curl_off_t>::max());

} // namespace

transfer::transfer(shared_by_transfers& shared) : shared_(shared), easy_(make_easy()) {}

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
    failure_ = nullptr;
    header_bytes_ = 0;
    proxy_headers_.clear();
    body_limit_ = what.body_limit().value_or(options.body_limit_);
    options_ = &options;
    delivery_ = how;
    sink_was_used_ = false;
    redirects_ = sent_again_ = 0;
    resend_ = resend::no;
    next_hop_.reset();
    expects_ = what.expect_continue();
    sent_before_ = 0;
    time_before_ = std::chrono::microseconds(0);
    set_limits(what);
    hop_.url = wire_url(what.url());
    hop_.origin = require_url(what.url(), hop_.url);
    if (options.https_only_ && !hop_.url.starts_with("https"))
        throw url_error(what.url(), "only https is allowed here (https_only)");
    request_ = &what;
    hop_.method = what.method();
    hop_.sends_body = has_body();
    hop_.is_elsewhere = false;
    apply();
}

void transfer::set_limits(const request& what) noexcept {
    const auto limit = [](std::chrono::nanoseconds d) { return d == no_time_limit ? std::chrono::nanoseconds(0) : d; };
    // A stream of events may be silent for long.
    const auto idle = delivery_ == delivery::stream ? no_time_limit : std::chrono::nanoseconds(std::chrono::minutes(1));
    limits_.total = limit(what.timeout().value_or(options_->timeout_));
    limits_.each = {limit(options_->wait_timeout_), limit(options_->connect_timeout_),
        limit(options_->first_byte_timeout_), limit(options_->idle_timeout_.value_or(idle))};
    uploaded_ = 0;
}

/// libcurl 7.88 begins HTTP/2 with prior knowledge anew on a connection that speaks it already, which breaks it
/// (Curl_http2_may_switch, mended in 8.0).
bool transfer::can_not_share_connections() const noexcept {
    static const unsigned version = curl_version_info(CURLVERSION_NOW)->version_num;
    return version >= 0x075800 && version < 0x080000 && options_->version_ == http_version::http2_only &&
           !std::string_view(hop_.url).starts_with("https");
}

bool transfer::may_speak_http2() const noexcept {
    switch (options_->version_) {
    case http_version::http1_0:
    case http_version::http1_1:
        return false;
    case http_version::http2:
    case http_version::http2_only:
        return true;
    case http_version::http3:
    case http_version::automatic:
        break;
    }
    return std::string_view(hop_.url).starts_with("https");
}

/// Tells libcurl about the hop at hand.
void transfer::apply() {
    const bool fresh = std::exchange(resend_, resend::no) == resend::fresh_connection;
    upload_.close();
    answer_.headers.clear();
    answer_.trailers.clear();
    answer_.body.clear();
    answer_.body_size = 0;
    answer_.status = 0;
    arrived_.clear();
    progress_ = answer_progress::head;
    next_line_ = head_line::status;
    frame_ = {};
    decoder_.begin_plain();
    came_ = 0;
    begun_ = 0;
    receiving_ = receiving::flows;
    tls_end_ = tls_end::no_matter;
    push_ = push::not_needed;
    times_sent_ = 0;
    no_socket_.clear();
    private_address_.clear();
    upload_said_ = 0;
    connects_ = 0;
    connection_ = {};
    stream_ = 0;
    header_bytes_when_sent_ = header_bytes_;
    text_[0] = '\0';

    if (settings_ != settings::client)
        set_client(*options_);
    set(CURLOPT_URL, hop_.url.c_str());
    // A handle that has a buffer keeps its size: libcurl refuses another.
    curl_easy_setopt(
        easy(), CURLOPT_BUFFERSIZE, may_speak_http2() ? buffer_for_http2 : static_cast<long>(CURL_MAX_WRITE_SIZE));
    set(CURLOPT_FRESH_CONNECT, fresh || can_not_share_connections() ? 1L : 0L);
    // The callbacks change these while an answer comes. A connection to a Unix socket has no ports by which its state
    // could be known, and is quickly made.
    set(CURLOPT_FORBID_REUSE, options_->unix_socket_.empty() ? 0L : 1L);
    set(CURLOPT_VERBOSE, 0L);
    set(CURLOPT_NOPROGRESS, hop_.sends_body && request_->upload_progress() ? 0L : 1L);
    set_addresses();
    set_request(*request_);
}

/// Sees to it that the hop's host has the addresses that the options say.
void transfer::set_addresses() {
    naming_ = naming::by_libcurl;
    if (options_->resolved_.empty() && !options_->resolver_)
        return;
    std::tie(host_, port_) = host_and_port_of(hop_.url);
    const auto known = std::ranges::find_if(options_->resolved_, [&](const auto& one) { return one.first == host_; });
    if (known != options_->resolved_.end())
        use_addresses(known->second);
    else if (options_->resolver_ && !is_address(host_))
        naming_ = naming::wanted;
}

void transfer::use_addresses(const std::vector<std::string>& all) {
    std::string line = host_ + ':' + port_ + ':';
    for (const auto& one : all)
        line.append(&one == &all.front() ? "" : ",").append(one.find(':') != std::string::npos ? '[' + one + ']' : one);
    addresses_.reset();
    append(addresses_, line);
    set(CURLOPT_RESOLVE, addresses_.get());
}

void transfer::take_addresses(const std::vector<std::string>& all) {
    MUSTER_ASSERT(naming_ == naming::wanted);
    if (all.empty())
        throw resolve_error(answer_.url, "the resolver has no address of " + host_);
    for (const auto& one : all)
        if (!is_address(one))
            throw resolve_error(answer_.url, "the resolver's answer '" + one + "' for " + host_ + " is no address");
    use_addresses(all);
    naming_ = naming::known;
}

/// As libcurl's own, but the error is kept: without descriptors libcurl says only that it could not connect.
curl_socket_t transfer::open_socket(void* self, curlsocktype, curl_sockaddr* address) noexcept {
    auto& t = *static_cast<transfer*>(self);
    const bool is_ip = address->family == AF_INET || address->family == AF_INET6;
    if (t.options_->no_private_addresses_ && is_ip && !is_public(address->addr)) {
        try {
            t.private_address_ = text_of(address->addr);
        } catch (...) {
            t.failure_ = std::current_exception();
        }
        return CURL_SOCKET_BAD;
    }
    const int fd = ::socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
    t.no_socket_.assign(fd < 0 ? errno : 0, std::generic_category());
    return fd < 0 ? CURL_SOCKET_BAD : fd;
}

void transfer::set_client(const client_options& options) {
    // libcurl 7.88's reset forgets its list of cookie files without freeing it. Emptying that list first turns the
    // cookies off, the shared ones too, until the handle is told again of the share.
    set(CURLOPT_COOKIEFILE, static_cast<const char*>(nullptr));
    curl_easy_reset(easy_.get());
    if (shared_.cookies != nullptr)
        set(CURLOPT_SHARE, shared_.cookies);
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
    set(CURLOPT_OPENSOCKETFUNCTION, &open_socket);
    set(CURLOPT_OPENSOCKETDATA, this);
    set(CURLOPT_CLOSESOCKETFUNCTION, &curl_loop::close_socket);
    set(CURLOPT_CLOSESOCKETDATA, shared_.sockets);
    set(CURLOPT_DEBUGFUNCTION, &on_debug);
    set(CURLOPT_DEBUGDATA, this);
    set(CURLOPT_XFERINFOFUNCTION, &on_progress);
    set(CURLOPT_XFERINFODATA, this);
    // No SIGALRM and no change of the program's handlers; SIGPIPE is the engine's to keep away.
    set(CURLOPT_NOSIGNAL, 1L);
#if LIBCURL_VERSION_NUM >= 0x075700
    // A cancelled look-up is left to its thread, which owns all it uses, instead of being waited for.
    set(CURLOPT_QUICK_EXIT, 1L);
#endif
    // Bodies are unpacked by body_decoder.
    set(CURLOPT_HTTP_CONTENT_DECODING, 0L);
    if (options.compression_)
        set(CURLOPT_ACCEPT_ENCODING, accepted_encodings());
    if (!options.user_agent_.empty())
        set(CURLOPT_USERAGENT, options.user_agent_.c_str());
    // A path goes out as it is written: resolving its dots would ask for something else than the URL names.
    set(CURLOPT_PATH_AS_IS, 1L);
    // Redirects are followed by begin_again.
    set(CURLOPT_FOLLOWLOCATION, 0L);
    set(CURLOPT_CONNECTTIMEOUT_MS, in_milliseconds(options.connect_timeout_));
    set(CURLOPT_HTTP_VERSION, version_for(options.version_));
    // A request waits to hear whether the connection that is being made can take it, too, instead of making its own.
    if (options.version_ == http_version::http2 || options.version_ == http_version::http2_only)
        set(CURLOPT_PIPEWAIT, 1L);
    if (options.cookies_)
        set(CURLOPT_COOKIEFILE, ""); // no file, but it turns cookies on
    if (!options.netrc_.empty()) {
        set(CURLOPT_NETRC, static_cast<long>(CURL_NETRC_OPTIONAL));
        set(CURLOPT_NETRC_FILE, options.netrc_.c_str());
    }
    if (!options.unix_socket_.empty())
        set(CURLOPT_UNIX_SOCKET_PATH, options.unix_socket_.c_str());
    if (options.no_private_addresses_)
        set(CURLOPT_PROXY, "");
    else if (options.proxy_)
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
    if (!options.pin_.empty())
        set(CURLOPT_PINNEDPUBLICKEY, options.pin_.c_str());
    if (options.accept_any_) {
        set(CURLOPT_SSL_VERIFYPEER, 0L);
        set(CURLOPT_SSL_VERIFYHOST, 0L);
        set(CURLOPT_PROXY_SSL_VERIFYPEER, 0L);
        set(CURLOPT_PROXY_SSL_VERIFYHOST, 0L);
    }
}

void transfer::set_request(const request& what) {
    const std::string& method = hop_.method;
    const bool asks_plainly = method.empty() && !hop_.sends_body;
    if (asks_plainly && what.headers().empty() && !what.compression() && !what.basic_auth() &&
        what.bearer_auth().empty())
        return;
    settings_ = settings::request;
    lines_.reset();
    if (what.compression())
        set(CURLOPT_ACCEPT_ENCODING, *what.compression() ? accepted_encodings() : nullptr);
    if (hop_.sends_body && what.body()) {
        set(CURLOPT_POST, 1L);
        set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(what.body()->size()));
        set(CURLOPT_POSTFIELDS, what.body()->c_str());
        if (!method.empty() && method != "POST")
            set(CURLOPT_CUSTOMREQUEST, method.c_str());
        require_framing(what, what.body()->size());
    } else if (hop_.sends_body) {
        set_body(what);
    } else {
        if (redirects_ == 0)
            require_framing(what, 0);
        if (method == "HEAD") {
            set(CURLOPT_NOBODY, 1L);
        } else if (method == "POST") {
            set(CURLOPT_POST, 1L);
            set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(0));
            set(CURLOPT_POSTFIELDS, "");
        } else if (!method.empty() && method != "GET") {
            set(CURLOPT_CUSTOMREQUEST, method.c_str());
        }
    }
    set_headers(what);
    if (what.basic_auth() && !hop_.is_elsewhere) {
        set(CURLOPT_HTTPAUTH, static_cast<long>(CURLAUTH_BASIC));
        set(CURLOPT_USERNAME, what.basic_auth()->first.c_str());
        set(CURLOPT_PASSWORD, what.basic_auth()->second.c_str());
    }
    if (!what.bearer_auth().empty() && !hop_.is_elsewhere) {
        set(CURLOPT_HTTPAUTH, static_cast<long>(CURLAUTH_BEARER));
        set(CURLOPT_XOAUTH2_BEARER, what.bearer_auth().c_str());
    }
}

void transfer::set_headers(const request& what) {
    std::string cookies;
    for (const auto& h : what.headers()) {
        // A Host of the caller's own is the name of the first server.
        if (hop_.is_elsewhere && (is_secret(h.name, options_->redirect_strips_) || same_word(h.name, "Host")))
            continue;
        // libcurl announces the body itself; and what described a body goes where the body went.
        const bool announces = same_word(h.name, "Content-Length") || same_word(h.name, "Transfer-Encoding");
        if (hop_.sends_body ? announces : redirects_ != 0 && has_body() && describes_body(h.name))
            continue;
        if (same_word(h.name, "Cookie")) {
            // One line, together with those that the client keeps.
            cookies.append(cookies.empty() ? "" : "; ").append(h.value);
            continue;
        }
        // "Name:" would take a header away; "Name;" is libcurl's way to send an empty one.
        append(lines_, h.value.empty() ? h.name + ';' : h.name + ": " + h.value);
    }
    if (!cookies.empty())
        set(CURLOPT_COOKIE, cookies.c_str());
    if (hop_.sends_body && expects_) {
        append(lines_, "Expect: 100-continue");
        set(CURLOPT_EXPECT_100_TIMEOUT_MS, in_milliseconds(*expects_));
    } else if (hop_.sends_body && what.headers().find("Expect") == nullptr) {
        // libcurl would ask by itself, and wait a second for servers that do not know the question.
        append(lines_, "Expect:");
    }
    if (lines_)
        set(CURLOPT_HTTPHEADER, lines_.get());
}

/// Has libcurl ask for the body, piece by piece.
void transfer::set_body(const request& what) {
    std::optional<std::uint64_t> size = what.source_size();
    if (what.source())
        upload_.begin_source();
    else
        size = upload_.begin_file(what);
    require_framing(what, size);
    const auto announced =
        static_cast<curl_off_t>(size && *size <= largest_offset ? static_cast<curl_off_t>(*size) : -1);
    set(CURLOPT_READFUNCTION, &on_send);
    set(CURLOPT_READDATA, this);
    set(CURLOPT_SEEKFUNCTION, &on_seek);
    set(CURLOPT_SEEKDATA, this);
    if (hop_.method.empty() || hop_.method == "POST") {
        set(CURLOPT_POST, 1L);
        set(CURLOPT_POSTFIELDSIZE_LARGE, announced);
        if (announced < 0)
            append(lines_, "Transfer-Encoding: chunked");
    } else {
        set(CURLOPT_UPLOAD, 1L);
        set(CURLOPT_INFILESIZE_LARGE, announced);
        if (hop_.method != "PUT")
            set(CURLOPT_CUSTOMREQUEST, hop_.method.c_str());
    }
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
