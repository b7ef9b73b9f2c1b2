// SPDX-License-Identifier: MIT
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
    if (!t.wanted_ || t.complete_)
        return CURL_READFUNC_ABORT;
    try {
        const auto taken = t.upload_.take(place, size * count);
        if (taken != upload::paused)
            return taken;
        if (body_wait* feeder = std::exchange(t.feeder_, nullptr))
            feeder->come();
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
    const bool again = std::exchange(t.begun_, true) && t.header_bytes_ == t.answered_ && !t.nothing_was_sent();
    t.answered_ = t.header_bytes_;
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

void transfer::tell_waiter() noexcept {
    if (waiter_ != nullptr && ready(waiter_->what()))
        std::exchange(waiter_, nullptr)->come();
}

bool transfer::take_header(std::string_view line) {
    if (!wanted_)
        return false;
    header_bytes_ += line.size();
    if (header_bytes_ > header_limit_) {
        failure_ = std::make_exception_ptr(too_large_error(
            answer_.url, "the headers are larger than " + std::to_string(header_limit_) + " bytes", header_limit_));
        return false;
    }
    if (line.starts_with("HTTP/") && !head_complete_) {
        // Another answer: what came before was a redirect, or a 1xx.
        answer_.headers.clear();
        answer_.body.clear();
        answer_.body_size = 0;
        answer_.status = 0;
        return true;
    }
    if (line == "\r\n" || line == "\n") {
        if (follows_ && request_ != nullptr)
            before_redirect();
        if (streams_ || upload_.touched())
            end_of_headers();
        return true;
    }
    const auto colon = line.find(':');
    if (colon != std::string_view::npos && colon != 0)
        answer_.headers.add(
            std::string(without_blanks(line.substr(0, colon))), std::string(without_blanks(line.substr(colon + 1))));
    return true;
}

/// Of one of a request's answers. Whoever waits for the headers hears of the last one's.
void transfer::end_of_headers() {
    read_head();
    if (head_complete_ || answer_.status < 200)
        return;
    const std::string* where = answer_.status < 400 ? answer_.headers.find("Location") : nullptr;
    const bool redirects = follows_ && answer_.status >= 300 && where != nullptr && !where->empty();
    if (upload_.waits()) {
        // libcurl may have decided that no more is to be sent; it does not end while sending is paused all the same.
        nudge();
    }
    if (redirects)
        return;
    head_complete_ = true;
    look_for_end();
    tell_waiter();
}

/// After an answer of less than 300 libcurl waits for the request's body, whatever has come.
void transfer::look_for_end() noexcept {
    curl_off_t announced = -1;
    curl_off_t came = 0;
    curl_easy_getinfo(easy_.get(), CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &announced);
    curl_easy_getinfo(easy_.get(), CURLINFO_SIZE_DOWNLOAD_T, &came);
    if (!head_complete_ || !upload_.touched() || announced < 0 || came < announced || complete_)
        return;
    complete_ = true;
    nudge();
}

void transfer::nudge() noexcept {
    for (transfer* t = nudged_; t != nullptr; t = t->next_nudged_)
        if (t == this)
            return;
    next_nudged_ = nudged_;
    nudged_ = this;
}

transfer::taken transfer::take_body(std::string_view piece) {
    // Cancelled from a sink, in the middle of libcurl: the handle is taken out once that has returned.
    if (!wanted_)
        return taken::never;
    if (streams_ && arrived_.size() >= most_arrived) {
        receives_paused_ = true;
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
    if (streams_) {
        arrived_.append(piece);
        tell_waiter();
    } else if (request_->sink()) {
        sink_used_ = true;
        request_->sink()(piece);
    } else {
        answer_.body.append(piece);
    }
    look_for_end();
    return wanted_ ? taken::all : taken::never;
}

void transfer::ended(CURLcode code) {
    if (failure_)
        return;
    try {
        if (code == CURLE_OK || (code == CURLE_ABORTED_BY_CALLBACK && complete_))
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
