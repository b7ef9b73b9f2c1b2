// SPDX-License-Identifier: MIT
// A transfer's way, and libcurl's callbacks, by which the answer comes. An easy handle is costly to make, so that
// transfers are used again and again; the engine keeps those that no request has.
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
#include <cstdio>
#include <utility>

namespace muster::http {

namespace {

/// The body of an error's answer is kept for messages, not for its own sake.
constexpr std::size_t error_body_kept = std::size_t{64} << 10;
/// Once so much of a streamed body waits to be read, no more is taken from the connection.
constexpr std::size_t most_arrived = std::size_t{64} << 10;

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

std::string_view without_blanks(std::string_view s) noexcept {
    const auto first = s.find_first_not_of(" \t\r\n");
    if (first == std::string_view::npos)
        return {};
    return s.substr(first, s.find_last_not_of(" \t\r\n") - first + 1);
}

} // namespace

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
    const std::string_view piece(bytes, size * count);
    try {
        switch (t.take_body(piece)) {
        case taken::all:
            return piece.size();
        case taken::none_now:
            return CURL_WRITEFUNC_PAUSE;
        case taken::never:
            break;
        }
    } catch (...) {
        t.failure_ = std::current_exception();
    }
    // Any other number than the size ends the transfer, but for those that mean something.
    return piece.empty() ? 1 : 0;
}

std::size_t transfer::on_send(char* place, std::size_t size, std::size_t count, void* self) noexcept {
    auto& t = *static_cast<transfer*>(self);
    if (!t.is_wanted() || t.progress_ == answer_progress::complete)
        return CURL_READFUNC_ABORT;
    try {
        const auto taken = t.upload_.take(place, size * count);
        if (taken != upload::paused)
            return taken;
        t.wake_feeder();
        return CURL_READFUNC_PAUSE;
    } catch (...) {
        t.failure_ = std::current_exception();
        return CURL_READFUNC_ABORT;
    }
}

/// Before each time that the request is sent. libcurl sends it again by itself if a connection that had been used
/// before breaks without an answer: the server may have done what it was asked to.
int transfer::on_begin(void* self, char*, char*, int, int) noexcept {
    auto& t = *static_cast<transfer*>(self);
    const bool unanswered = t.header_bytes_ == t.header_bytes_when_sent_;
    const bool again = t.times_sent_++ != 0 && unanswered && !t.nothing_was_sent();
    t.header_bytes_when_sent_ = t.header_bytes_;
    if (!again || t.request_->is_idempotent())
        return CURL_PREREQFUNC_OK;
    try {
        t.failure_ = std::make_exception_ptr(reset_error(
            t.answer_.url, "the connection broke before there was an answer; sending the request twice is not safe"));
    } catch (...) {
        t.failure_ = std::current_exception();
    }
    return CURL_PREREQFUNC_ABORT;
}

/// A redirect that makes a GET of whatever the request was: libcurl would keep a method that it was given as a word,
/// and the header that announces a body in chunks.
void transfer::before_redirect() noexcept {
    long status = 0;
    curl_easy_getinfo(easy_.get(), CURLINFO_RESPONSE_CODE, &status);
    const bool post = request_->method() == "POST" || request_->method().empty();
    if (status != 303 && !((status == 301 || status == 302) && post))
        return;
    if (status == 303 && request_->method() != "HEAD")
        curl_easy_setopt(easy_.get(), CURLOPT_CUSTOMREQUEST, nullptr);
    constexpr std::string_view chunks = "Transfer-Encoding:";
    for (curl_slist* l = lines_.get(); l != nullptr; l = l->next)
        if (std::string_view(l->data).starts_with(chunks))
            l->data[chunks.size()] = '\0'; // takes the header away
}

int transfer::on_seek(void* self, curl_off_t offset, int origin) noexcept {
    auto& t = *static_cast<transfer*>(self);
    const bool can = origin == SEEK_SET && offset >= 0 && t.upload_.seek(static_cast<std::uint64_t>(offset));
    return can ? CURL_SEEKFUNC_OK : CURL_SEEKFUNC_FAIL;
}

void transfer::enter(transfer_phase next) noexcept {
    using enum transfer_phase;
    [[maybe_unused]] const auto may_enter = [&] {
        switch (phase_) {
        case idle:
            return next == prepared;
        case prepared:
            return next == running || next == done || next == idle;
        case running:
            return next == leaving || next == done;
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

void transfer::wake_waiter() noexcept {
    if (exchange* w = std::exchange(waiter_, nullptr))
        w->wake();
}

void transfer::wake_feeder() noexcept {
    if (body_wait* f = std::exchange(feeder_, nullptr))
        f->wake();
}

void transfer::tell_waiter() noexcept {
    if (waiter_ != nullptr && ready(waiter_->what()))
        wake_waiter();
}

std::optional<int> transfer::take_pause_change() noexcept {
    const bool receives = receiving_is_paused_ && !ready(until::data);
    if (!receives && (!upload_.was_asked() || upload_.waits()))
        return std::nullopt;
    if (receives)
        receiving_is_paused_ = false;
    // What is paused and stays so must be named.
    return (upload_.waits() ? CURLPAUSE_SEND : 0) | (receiving_is_paused_ ? CURLPAUSE_RECV : 0);
}

bool transfer::take_header(std::string_view line) {
    if (!is_wanted())
        return false;
    header_bytes_ += line.size();
    if (header_bytes_ > header_limit_) {
        failure_ = std::make_exception_ptr(too_large_error(
            answer_.url, "the headers are larger than " + std::to_string(header_limit_) + " bytes", header_limit_));
        return false;
    }
    if (line.starts_with("HTTP/") && !has_head()) {
        // Another answer: what came before was a redirect, or a 1xx.
        answer_.headers.clear();
        answer_.body.clear();
        answer_.body_size = 0;
        answer_.status = 0;
        return true;
    }
    if (line == "\r\n" || line == "\n") {
        if (redirects_ != 0)
            before_redirect();
        if (delivery_ == delivery::stream || upload_.was_asked())
            end_of_headers();
        return true;
    }
    const auto colon = line.find(':');
    if (colon != std::string_view::npos && colon != 0)
        answer_.headers.add(
            std::string(without_blanks(line.substr(0, colon))), std::string(without_blanks(line.substr(colon + 1))));
    return true;
}

/// A request may have several answers: redirects and 1xx come before the last one, for which the waiter waits.
void transfer::end_of_headers() {
    read_head();
    if (has_head() || answer_.status < 200)
        return;
    const std::string* where = answer_.status < 400 ? answer_.headers.find("Location") : nullptr;
    const bool redirects = redirects_ != 0 && answer_.status >= 300 && where != nullptr && !where->empty();
    // libcurl may have decided to send no more of the request's body; it does not end while sending is paused all the
    // same.
    if (upload_.waits())
        send_on();
    if (redirects)
        return;
    progress_ = answer_progress::body;
    look_for_end();
    tell_waiter();
}

/// After an answer of less than 300 libcurl waits until the request's body is sent, even if the answer is complete.
void transfer::look_for_end() noexcept {
    if (progress_ != answer_progress::body || !upload_.was_asked())
        return;
    curl_off_t announced = -1;
    curl_off_t came = 0;
    curl_easy_getinfo(easy_.get(), CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &announced);
    curl_easy_getinfo(easy_.get(), CURLINFO_SIZE_DOWNLOAD_T, &came);
    if (announced < 0 || came < announced)
        return;
    progress_ = answer_progress::complete;
    send_on();
}

/// Has libcurl call on_send again, once it has returned.
void transfer::send_on() noexcept {
    if (!sending_on_.contains(*this))
        sending_on_.push_back(*this);
}

transfer::taken transfer::take_body(std::string_view piece) {
    // A sink may have cancelled the request while libcurl is on the stack: the handle is taken out once that returns.
    if (!is_wanted())
        return taken::never;
    if (delivery_ == delivery::stream && arrived_.size() >= most_arrived) {
        receiving_is_paused_ = true;
        return taken::none_now;
    }
    if (answer_.status == 0) {
        long status = 0;
        curl_easy_getinfo(easy_.get(), CURLINFO_RESPONSE_CODE, &status);
        answer_.status = static_cast<int>(status);
    }
    answer_.body_size += piece.size();
    if (request_->sink() && answer_.is_error() && answer_.body_size <= body_limit_) {
        answer_.body.append(piece.substr(0, error_body_kept - std::min(error_body_kept, answer_.body.size())));
        return taken::all;
    }
    if (answer_.body_size > body_limit_) {
        failure_ = std::make_exception_ptr(too_large_error(
            answer_.url, "the body is larger than " + std::to_string(body_limit_) + " bytes", body_limit_));
        return taken::never;
    }
    if (delivery_ == delivery::stream) {
        arrived_.append(piece);
        tell_waiter();
    } else if (request_->sink()) {
        sink_was_used_ = true;
        request_->sink()(piece);
    } else {
        answer_.body.append(piece);
    }
    look_for_end();
    return is_wanted() ? taken::all : taken::never;
}

void transfer::ended(CURLcode code) {
    if (failure_)
        return;
    try {
        if (code == CURLE_OK || (code == CURLE_ABORTED_BY_CALLBACK && progress_ == answer_progress::complete))
            read_answer();
        else
            failure_ = error_for(code);
    } catch (...) {
        failure_ = std::current_exception();
    }
}

/// What is known once the headers are there.
void transfer::read_head() {
    CURL* h = easy_.get();
    long number = 0;
    curl_easy_getinfo(h, CURLINFO_RESPONSE_CODE, &number);
    answer_.status = static_cast<int>(number);
    curl_easy_getinfo(h, CURLINFO_HTTP_VERSION, &number);
    answer_.version = version_of(number);
    const char* where = nullptr;
    curl_easy_getinfo(h, CURLINFO_EFFECTIVE_URL, &where);
    answer_.effective_url = where != nullptr ? where : answer_.url;
    curl_off_t seconds = 0;
    if (answer_.headers.find("Retry-After") != nullptr &&
        curl_easy_getinfo(h, CURLINFO_RETRY_AFTER, &seconds) == CURLE_OK)
        answer_.retry_after = std::chrono::seconds(std::max<curl_off_t>(seconds, 0));
    curl_easy_getinfo(h, CURLINFO_REDIRECT_COUNT, &number);
    answer_.timing.redirects = static_cast<std::size_t>(number);
    answer_.timing.resolved = time_of(h, CURLINFO_NAMELOOKUP_TIME_T);
    answer_.timing.connected = time_of(h, CURLINFO_CONNECT_TIME_T);
    answer_.timing.secured = time_of(h, CURLINFO_APPCONNECT_TIME_T);
    answer_.timing.first_byte = time_of(h, CURLINFO_STARTTRANSFER_TIME_T);
}

void transfer::read_answer() {
    read_head();
    answer_.timing.total = time_of(easy_.get(), CURLINFO_TOTAL_TIME_T);
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
    return bytes == 0;
}

} // namespace muster::http
