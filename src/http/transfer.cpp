// SPDX-License-Identifier: MIT
// A transfer's way. An easy handle is costly to make, so that transfers are used again and again; the engine keeps
// those that no request has. The answer comes by libcurl's callbacks: see transfer_answer.cpp. A request may be sent
// several times while its transfer is running: a redirect leads on, or the connection turns out to be unfit (ended,
// begin_again).
//
//            acquire             start             libcurl has ended it, or was told to give it back
//     idle ----------> prepared ------> running ---------------------------------------------------> done
//      ^                 |   |             |                                                         ^  ^ |
//      |                 |   +-------------|--- it could not be begun -------------------------------+  | |
//      |                 |                 | the request does not want it any more, but libcurl is on   | |
//      |                 |                 | the stack                                                  | |
//      |                 |                 +-----> leaving ---- libcurl has returned -------------------+ |
//      |                 |                           | release                                            |
//      |                 |                           v                                                    |
//      |                 | release                  left                                                  |
//      |                 |                           | libcurl has returned                               |
//      +-----------------+---------------------------+----------------------------------- release --------+
#include "transfer.hpp"

#include "exchange.hpp"

#include <algorithm>
#include <chrono>
#include <ctime>
#include <utility>

namespace muster::http {

namespace {

http_version version_of(long number) noexcept {
    switch (number) {
    case CURL_HTTP_VERSION_1_0:
        return http_version::http1_0;
    case CURL_HTTP_VERSION_2_0:
        return http_version::http2;
    case CURL_HTTP_VERSION_3:
        return http_version::http3;
    default:
        return http_version::http1_1;
    }
}

std::chrono::microseconds time_of(CURL* easy, CURLINFO what) noexcept {
    curl_off_t microseconds = 0;
    curl_easy_getinfo(easy, what, &microseconds);
    return std::chrono::microseconds(microseconds);
}

} // namespace

/// libcurl takes a Retry-After that is neither a number nor a date for 0.
std::optional<std::chrono::seconds> retry_after_of(const header_list& headers) {
    const std::string* said = headers.find("Retry-After");
    if (said == nullptr || said->empty())
        return std::nullopt;
    constexpr std::size_t most_digits = 9;
    if (said->find_first_not_of("0123456789") == std::string::npos)
        return std::chrono::seconds(said->size() > most_digits ? 999'999'999 : std::stol(*said));
    const std::time_t when = curl_getdate(said->c_str(), nullptr);
    if (when == -1)
        return std::nullopt;
    return std::chrono::seconds(std::max<std::time_t>(when - std::time(nullptr), 0));
}

namespace {

/// How often a request is sent again by ourselves. A server that refuses it for ever must not keep it for ever.
constexpr std::size_t most_times_again = 32;

} // namespace

void transfer::enter(transfer_phase next) noexcept {
    using enum transfer_phase;
    [[maybe_unused]] const auto may_enter = [&] {
        switch (phase_) {
        case idle:
            return next == prepared;
        case prepared:
            return next == waiting || next == running || next == done || next == idle;
        case waiting:
            return next == running || next == done;
        case running:
            return next == waiting || next == leaving || next == done;
        case leaving:
            return next == left || next == done;
        case left:
        case done:
            return next == idle;
        }
        return false;
    };
    MUSTER_ASSERT(may_enter());
    phase_ = next;
}

// ---- time ----

transfer::deadline_timer::deadline_timer(transfer& t) noexcept
    : timer([](timer& x) noexcept {
          transfer& self = *static_cast<deadline_timer&>(x).of;
          self.shared_.on_time(self, self.shared_.engine);
      }),
      of(&t) {}

void transfer::start_clock() noexcept {
    clock_.begin(limits_, shared_.loop->now());
    arm_deadline();
}

void transfer::stop_clock() noexcept {
    if (shared_.loop != nullptr)
        shared_.loop->disarm(deadline_);
}

void transfer::wait_for(waits_for what) noexcept {
    clock_.enter(what, shared_.loop->now());
    arm_deadline();
}

void transfer::arm_deadline() noexcept {
    shared_.loop->disarm(deadline_);
    // Without memory for the timer the request has no limit.
    if (const auto next = clock_.next()) {
        const auto early = shared_.loop->now() + clock_.pause_between_looks();
        static_cast<void>(shared_.loop->arm(deadline_, uploads() ? std::min(*next, early) : *next));
    }
}

bool transfer::uploads() const noexcept {
    if (phase_ != transfer_phase::running || !hop_.sends_body)
        return false;
    curl_off_t uploaded = 0;
    curl_easy_getinfo(easy(), CURLINFO_SIZE_UPLOAD_T, &uploaded);
    return static_cast<std::uint64_t>(uploaded) != uploaded_ || !body_was_sent();
}

std::optional<std::chrono::nanoseconds> transfer::time_left() const noexcept {
    const auto next = clock_.next();
    if (!next)
        return std::nullopt;
    return std::max(*next - shared_.loop->now(), std::chrono::nanoseconds(0));
}

std::exception_ptr transfer::look_at_clock() noexcept {
    const auto now = shared_.loop->now();
    curl_off_t uploaded = 0;
    curl_easy_getinfo(easy(), CURLINFO_SIZE_UPLOAD_T, &uploaded);
    const bool sends = std::exchange(uploaded_, static_cast<std::uint64_t>(uploaded)) != uploaded_;
    // Time in which the program does not read, or has nothing to send, is not the server's. libcurl does not say when
    // it sent the bytes, so it is looked at often while it may (see arm_deadline), and not after the last limit.
    if (phase_ == transfer_phase::running &&
        ((sends && !clock_.all_is_over(now)) || receiving_ == receiving::waits_for_room || upload_.waits()))
        clock_.progress(now);
    if (!clock_.all_is_over(now) && !clock_.phase_is_over(now)) {
        arm_deadline();
        return nullptr;
    }
    try {
        return std::make_exception_ptr(timeout_error(answer_.url, clock_.text(now)));
    } catch (...) {
        return std::current_exception();
    }
}

// ---- the tasks that wait ----

void transfer::wake_waiter() noexcept {
    if (exchange* w = std::exchange(waiter_, nullptr))
        w->wake();
}

void transfer::wake_feeder() noexcept {
    if (body_wait* f = std::exchange(feeder_, nullptr))
        f->wake();
}

std::optional<int> transfer::take_pause_change() noexcept {
    const bool receives = receiving_ == receiving::waits_for_room && !ready(until::data);
    if (!receives && (!upload_.was_asked() || upload_.waits()))
        return std::nullopt;
    if (receives) {
        receiving_ = receiving::flows;
        clock_.progress(shared_.loop->now());
    }
    // A direction that is paused and stays so must be named.
    return (upload_.waits() ? CURLPAUSE_SEND : 0) | pause_for_going_on();
}

bool transfer::has_body() const noexcept {
    return request_->body() || !request_->body_file().empty() || request_->source();
}

bool transfer::ended(CURLcode code) {
    leave_connection(code == CURLE_OK && !is_answered());
    if (failure_)
        return true;
    try {
        if (resend_ == resend::no && was_refused(code))
            resend_ = resend::fresh_connection;
        if (resend_ == resend::redirect)
            return false;
        if (resend_ != resend::no && sent_again_ < most_times_again)
            return false;
        if (code == CURLE_OK && !has_head()) {
            // libcurl calls an answer complete that ended within its headers.
            failure_ = broken_off("the connection ended before the headers of the answer did", {});
        } else if (code == CURLE_OK || is_answered() || stream_ended_well(code)) {
            require_complete_body();
            read_answer();
        } else {
            failure_ = error_for(code);
        }
    } catch (...) {
        failure_ = std::current_exception();
    }
    return true;
}

/// An HTTP/2 answer that was complete, and whose stream was closed, before all of the request's body was sent: libcurl
/// 7.88 fails to send more, without a word (cf_h2_send).
bool transfer::stream_ended_well(CURLcode code) const noexcept {
    return code == CURLE_HTTP2_STREAM && text_[0] == '\0' && has_head();
}

/// The server broke HTTP/2's rules, so that nghttp2 gave the session up: libcurl 7.88 takes the bodies that were on
/// their way for complete ones (cf_h2_recv). It closes the connection, as it also does when the server said that it
/// goes away.
bool transfer::session_was_given_up() const noexcept {
    const auto known = shared_.connections.find(connection_);
    if (known.protocol != protocol_kind::multiplexed || known.last_stream)
        return false;
    curl_socket_t socket = CURL_SOCKET_BAD;
    curl_easy_getinfo(easy(), CURLINFO_ACTIVESOCKET, &socket);
    return socket == CURL_SOCKET_BAD;
}

/// libcurl sends a request that an HTTP/2 server provably did not process (GOAWAY, REFUSED_STREAM) again, five times; a
/// server that takes a few requests by each connection refuses more often than that. Where a GOAWAY ends the session as
/// well, libcurl 7.88 does not send it again at all: it reports a bare CURLE_HTTP2 (h2_process_pending_input in
/// lib/http2.c). The code has other reasons, too, so the GOAWAY must have been for this stream.
bool transfer::was_refused(CURLcode code) const noexcept {
    const auto text = std::string_view(text_);
    // The code is that of the last try: CURLE_SEND_ERROR, or CURLE_RECV_ERROR where the stream was refused while its
    // answer was waited for (multi_runsingle in lib/multi.c).
    const bool tried = code != CURLE_OK && text.starts_with("Connection died, tried");
    const auto last = shared_.connections.find(connection_).last_stream;
    const bool session_ended =
        (code == CURLE_HTTP2 || code == CURLE_PARTIAL_FILE) && text.empty() && last && stream_ > *last;
    return (tried || session_ended) && header_bytes_ == header_bytes_when_sent_ && !upload_.was_asked() &&
           (session_ended || may_be_sent_again());
}

/// libcurl calls a body complete that was cut short where only its Content-Encoding, or the end of TLS, could tell.
void transfer::require_complete_body() const {
    if (frame_.kind == framing::none)
        return;
    if (frame_.kind == framing::length && came_ < frame_.length)
        throw truncated_error(answer_.url, "the body has " + std::to_string(came_) + " of the " +
                                               std::to_string(frame_.length) + " bytes that were announced");
    const bool is_empty = came_ == 0 && (frame_.kind != framing::until_close || answer_.version == http_version::http2);
    if (decoder_.unpacks() && !decoder_.is_complete() && !is_empty)
        throw truncated_error(answer_.url, "the body was cut short: its encoding '" + decoder_.encodings() +
                                               "' does not end after " + std::to_string(came_) + " bytes");
    if (frame_.kind == framing::chunks && !chunks_.is_complete())
        throw truncated_error(answer_.url, "the body was cut short: the line that ends its chunks is not complete");
    if (frame_.kind == framing::until_close && answer_.version == http_version::http2 && !is_answered() &&
        session_was_given_up())
        throw protocol_error(answer_.url, "the server broke the rules of HTTP/2 before the body's end");
    if (tls_end_ == tls_end::cut_off)
        throw truncated_error(
            answer_.url, "the body may have been cut short: the TLS connection broke off without a close_notify");
}

void transfer::begin_again() {
    curl_off_t spent = 0;
    curl_easy_getinfo(easy_.get(), CURLINFO_TOTAL_TIME_T, &spent);
    time_before_ += std::chrono::microseconds(spent);
    long sent = 0;
    curl_easy_getinfo(easy_.get(), CURLINFO_REQUEST_SIZE, &sent);
    sent_before_ += static_cast<std::uint64_t>(sent);
    if (resend_ == resend::redirect) {
        MUSTER_ASSERT(next_hop_.has_value());
        hop_ = std::move(*next_hop_);
        next_hop_.reset();
        ++redirects_;
    } else {
        ++sent_again_;
        if (resend_ == resend::without_expect)
            expects_.reset();
    }
    apply();
}

/// Reads what is known once the headers are there.
void transfer::read_head() {
    CURL* h = easy_.get();
    long number = 0;
    curl_easy_getinfo(h, CURLINFO_RESPONSE_CODE, &number);
    answer_.status = static_cast<int>(number);
    curl_easy_getinfo(h, CURLINFO_HTTP_VERSION, &number);
    answer_.version = version_of(number);
    const char* where = nullptr;
    curl_easy_getinfo(h, CURLINFO_EFFECTIVE_URL, &where);
    answer_.effective_url = where != nullptr ? where : hop_.url;
    answer_.retry_after = retry_after_of(answer_.headers);
    answer_.timing.redirects = redirects_;
    const auto since_start = [&](CURLINFO what) {
        const auto d = time_of(h, what);
        return d.count() != 0 ? d + time_before_ : d;
    };
    answer_.timing.resolved = since_start(CURLINFO_NAMELOOKUP_TIME_T);
    answer_.timing.connected = since_start(CURLINFO_CONNECT_TIME_T);
    answer_.timing.secured = since_start(CURLINFO_APPCONNECT_TIME_T);
    answer_.timing.first_byte = since_start(CURLINFO_STARTTRANSFER_TIME_T);
}

void transfer::read_answer() {
    read_head();
    answer_.timing.total = time_before_ + time_of(easy_.get(), CURLINFO_TOTAL_TIME_T);
}

response transfer::head() {
    response copy = answer_;
    copy.body.clear();
    copy.body_size = 0;
    return copy;
}

bool transfer::nothing_was_sent() const noexcept {
    long bytes = 0;
    curl_easy_getinfo(easy_.get(), CURLINFO_REQUEST_SIZE, &bytes);
    return bytes == 0 && sent_before_ == 0;
}

} // namespace muster::http
