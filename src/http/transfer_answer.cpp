// SPDX-License-Identifier: MIT
// libcurl's callbacks, by which a request goes and its answer comes. They run while libcurl is on the stack, so that
// they can't call it; what they can do is abort, pause, and note the transfer for the engine to look at afterwards.
//
//                 headers of a 1xx or of a redirect            more of the body
//                 +---------------+                            +-----------+
//                 v               |                            v           |
//     (sent) --> head ------------+---- the last headers ---> body --------+
//                 |                                            |
//                 | of a redirect, whose                       | the announced end is there, while the request's
//                 | own body is not worth reading              | body is still on its way
//                 +-----------------> complete <---------------+
#include "curl_loop.hpp"
#include "exchange.hpp"
#include "tls_state.hpp"
#include "transfer.hpp"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <functional>
#include <iterator>
#include <new>
#include <system_error>
#include <utility>

#include <sys/socket.h>

namespace muster::http {

namespace {

/// The body of an error's answer is kept for messages, not for its own sake.
constexpr std::size_t error_body_kept = std::size_t{64} << 10;
/// So much more than its bytes a line of headers counts (RFC 9113, 6.5.2), and a piece of a body: many small ones take
/// time, too.
constexpr std::size_t cost_of_a_line = 32;
constexpr std::size_t cost_of_a_piece = 128;
/// Once so much of a streamed body waits to be read, no more is taken from the connection.
constexpr std::size_t most_arrived = std::size_t{64} << 10;
/// As much of a redirect's own body is read, so that its connection can be used again.
constexpr std::uint64_t redirect_body_read = std::uint64_t{64} << 10;

/// libcurl takes any byte for the end of the status's three digits but a fourth digit, and small letters for HTTP.
void require_status_line(std::string_view line) {
    if (!line.starts_with("HTTP/"))
        throw framing_error("the answer does not begin with HTTP/ in capitals");
    const auto blank = line.find(' ');
    const bool ends = blank != std::string_view::npos && line.size() > blank + 4;
    if (ends && std::string_view(" \r\n").find(line[blank + 4]) == std::string_view::npos)
        throw framing_error("the status of the answer is no number of three digits");
}

} // namespace

// ---- the request goes ----

/// Runs before each time that libcurl sends the request. libcurl sends it again by itself if a connection that had been
/// used before breaks without an answer: the server may have done what it was asked to.
int transfer::on_begin(void* self, char* remote, char*, int remote_port, int local_port) noexcept {
    auto& t = *static_cast<transfer*>(self);
    t.wait_for(waits_for::first_byte);
    try {
        if (t.resend_ != resend::no)
            return CURL_PREREQFUNC_ABORT;
        const bool unanswered = t.header_bytes_ == t.header_bytes_when_sent_;
        long sent = 0;
        curl_easy_getinfo(t.easy(), CURLINFO_REQUEST_SIZE, &sent);
        const bool again = t.times_sent_++ != 0 && unanswered && sent != 0;
        if (again && !t.may_be_sent_again()) {
            t.failure_ = std::make_exception_ptr(reset_error(t.answer_.url,
                "the connection broke before there was an answer; sending the request twice is not safe"));
            return CURL_PREREQFUNC_ABORT;
        }
        t.header_bytes_when_sent_ = t.header_bytes_;
        const std::string_view address = remote != nullptr ? remote : "";
        t.connection_ = {local_port, remote_port, std::hash<std::string_view>()(address)};
        t.stream_ = 0;
        if (t.connection_is_fit()) {
            t.learn_protocol();
            return CURL_PREREQFUNC_OK;
        }
        t.resend_ = resend::fresh_connection;
    } catch (...) {
        t.failure_ = std::current_exception();
    }
    return CURL_PREREQFUNC_ABORT;
}

/// A request that is not idempotent is sent again only if the server provably did not process it. libcurl 7.88 has
/// three reasons to send again: a used HTTP/1 connection broke; reading from an HTTP/2 connection failed, which leaves
/// a text; or the server refused the stream, by REFUSED_STREAM or by a GOAWAY, which leaves none (lib/http2.c,
/// lib/transfer.c).
bool transfer::may_be_sent_again() const noexcept {
    if (request_->is_idempotent())
        return true;
    const auto text = std::string_view(text_);
    return shared_.connections.find(connection_).protocol != protocol_kind::http1 &&
           (text.empty() || text.starts_with("Connection died, tried"));
}

/// *Returns* whether libcurl has begun a connection for which on_begin() was not called yet: the first one, or another
/// one because the first broke without an answer.
bool transfer::makes_connection() const noexcept {
    long connects = 0;
    curl_easy_getinfo(easy(), CURLINFO_NUM_CONNECTS, &connects);
    return times_sent_ == 0 || connects != connects_;
}

/// *Returns* false if something came on an HTTP/1 connection since its last answer, or if its end did: the bytes would
/// be taken for this request's answer.
bool transfer::connection_is_fit() {
    const bool is_new = makes_connection();
    curl_easy_getinfo(easy(), CURLINFO_NUM_CONNECTS, &connects_);
    if (connection_.local_port == 0)
        return true; // a Unix socket
    if (is_new) {
        shared_.connections.forget(connection_);
        return true;
    }
    const auto known = shared_.connections.find(connection_);
    if (known.protocol != protocol_kind::http1 || known.socket == known_connections::none)
        return true;
    char byte = 0;
    return ::recv(known.socket, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && !tls_has_unread_bytes(easy());
}

/// Finds out which HTTP the connection speaks, where that is settled before the answer. Of HTTP/2 libcurl says only in
/// its texts which stream a request has and that the server goes away.
void transfer::learn_protocol() {
    protocol_kind kind = shared_.connections.find(connection_).protocol;
    const bool is_tls = std::string_view(hop_.url).starts_with("https");
    if (options_->version_ == http_version::http3) {
        // QUIC is another connection than the one that OpenSSL could be asked about.
    } else if (kind == protocol_kind::unknown && is_tls) {
        if (const auto agreed = tls_agreed_to_http2(easy()))
            kind = *agreed ? protocol_kind::multiplexed : protocol_kind::http1;
    } else if (kind == protocol_kind::unknown && options_->version_ == http_version::http2_only) {
        kind = protocol_kind::multiplexed;
    } else if (kind == protocol_kind::unknown && options_->version_ != http_version::http2) {
        kind = protocol_kind::http1;
    }
    if (kind != protocol_kind::unknown && connection_.local_port != 0)
        shared_.connections.learned(connection_, kind);
    if (kind == protocol_kind::multiplexed)
        curl_easy_setopt(easy(), CURLOPT_VERBOSE, 1L);
}

/// Remembers the connection that the request leaves behind, or that it was closed.
void transfer::leave_connection(bool succeeded) noexcept {
    if (connection_.local_port == 0)
        return;
    const auto known = shared_.connections.find(connection_);
    if (known.protocol == protocol_kind::multiplexed)
        return;
    try {
        curl_socket_t socket = known.socket;
        // libcurl searches through all connections for this.
        if (succeeded && socket == known_connections::none) {
            curl_easy_getinfo(easy(), CURLINFO_ACTIVESOCKET, &socket);
            if (socket != CURL_SOCKET_BAD)
                shared_.sockets->is_connected(socket);
        }
        if (succeeded && socket != CURL_SOCKET_BAD)
            shared_.connections.kept(connection_, socket);
        else
            shared_.connections.forget(connection_);
    } catch (const std::bad_alloc&) {
        shared_.connections.forget(connection_);
    }
}

std::size_t transfer::on_send(char* place, std::size_t size, std::size_t count, void* self) noexcept {
    auto& t = *static_cast<transfer*>(self);
    if (!t.is_wanted() || t.is_answered())
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

int transfer::on_seek(void* self, curl_off_t offset, int origin) noexcept {
    auto& t = *static_cast<transfer*>(self);
    const bool can = origin == SEEK_SET && offset >= 0 && t.upload_.seek(static_cast<std::uint64_t>(offset));
    return can ? CURL_SEEKFUNC_OK : CURL_SEEKFUNC_FAIL;
}

// ---- the headers come ----

std::size_t transfer::on_header(char* bytes, std::size_t size, std::size_t count, void* self) noexcept {
    auto& t = *static_cast<transfer*>(self);
    try {
        return t.take_header(std::string_view(bytes, size * count)) ? size * count : 0;
    } catch (const framing_error& e) {
        t.failure_ = std::make_exception_ptr(protocol_error(t.answer_.url, e.what()));
    } catch (const decoding_error& e) {
        t.failure_ = std::make_exception_ptr(protocol_error(t.answer_.url, e.what()));
    } catch (...) {
        t.failure_ = std::current_exception();
    }
    return 0;
}

bool transfer::take_header(std::string_view line) {
    if (!is_wanted())
        return false;
    header_bytes_ += line.size() + cost_of_a_line;
    if (clock_.phase() == waits_for::first_byte)
        wait_for(waits_for::more);
    else
        clock_.progress(shared_.loop->now());
    if (header_bytes_ > options_->header_limit_) {
        failure_ = std::make_exception_ptr(too_large_error(answer_.url,
            "the headers are larger than " + std::to_string(options_->header_limit_) + " bytes",
            options_->header_limit_));
        return false;
    }
    if (makes_connection()) {
        // A proxy answers a CONNECT.
        take_proxy_header(line);
        return true;
    }
    // The trailers of a redirect.
    if (resend_ != resend::no)
        return true;
    if (!has_head() && std::exchange(next_line_, head_line::field) == head_line::status) {
        // The headers before this line are those of a 1xx.
        answer_.headers.clear();
        require_status_line(line);
        return true;
    }
    if (!has_head() && line.starts_with("HTTP/"))
        throw framing_error("there is a second status line among the headers");
    if (line == "\r\n" || line == "\n") {
        next_line_ = head_line::status;
        return has_head() || end_of_headers();
    }
    header_list& list = has_head() ? answer_.trailers : answer_.headers;
    if (line.starts_with(' ') || line.starts_with('\t')) {
        // libcurl has read the first line alone.
        if (!has_head() && !list.empty() && says_framing(std::prev(list.end())->name))
            throw framing_error("the header " + std::prev(list.end())->name + " is folded");
        list.fold(without_blanks(line));
        return true;
    }
    const auto colon = line.find(':');
    if (colon == std::string_view::npos || colon == 0)
        return true;
    const auto name = without_blanks(line.substr(0, colon));
    // libcurl does not know the name with a blank behind it.
    if (!has_head() && name.size() != colon && says_framing(name))
        throw framing_error("there is a blank before the colon of the header " + std::string(name));
    list.add(std::string(name), std::string(without_blanks(line.substr(colon + 1))));
    return true;
}

void transfer::take_proxy_header(std::string_view line) {
    const auto colon = line.find(':');
    if (line.starts_with("HTTP/"))
        proxy_headers_.clear();
    else if (colon != std::string_view::npos && colon != 0)
        proxy_headers_.add(
            std::string(without_blanks(line.substr(0, colon))), std::string(without_blanks(line.substr(colon + 1))));
}

/// A request may have several answers: 1xx and redirects come before the last one, for which the waiter waits.
/// *Returns* false to abort.
bool transfer::end_of_headers() {
    read_head();
    if (answer_.status < 100)
        throw framing_error("the status of the answer is no number from 100 on");
    if (answer_.status == 101) {
        // libcurl asks for nothing else than HTTP/2 without TLS.
        const std::string* to = answer_.headers.find("Upgrade");
        if (options_->version_ == http_version::http2 && to != nullptr && *to == "h2c")
            return true;
        throw framing_error("the server switches to another protocol, which was not asked for (101)");
    }
    if (answer_.status < 200)
        return true;
    require_known_protocol();
    if (answer_.status == 417 && expects_) {
        resend_ = resend::without_expect;
        return false;
    }
    frame_ = frame_of(hop_.method == "HEAD", answer_.status, answer_.version, answer_.headers);
    guard_connection();
    const std::string* where = answer_.headers.find("Location");
    if (options_->redirects_ != 0 && redirects(answer_.status, where)) {
        begin_redirect(*where);
        return true;
    }
    return begin_body();
}

/// *Errors*: framing_error if a connection of HTTP/1 brings an answer that calls itself one of HTTP/2, which libcurl
/// would believe.
void transfer::require_known_protocol() const {
    const bool is_multiplexed = answer_.version == http_version::http2 || answer_.version == http_version::http3;
    const auto kind = is_multiplexed ? protocol_kind::multiplexed : protocol_kind::http1;
    const auto known = shared_.connections.find(connection_).protocol;
    if (known != protocol_kind::unknown && known != kind)
        throw framing_error("the answer is of another version of HTTP than the connection");
    if (connection_.local_port != 0)
        shared_.connections.learned(connection_, kind);
}

/// *Errors*: protocol_error if there were too many or it leads nowhere, transfer_error if the body can't be sent again.
void transfer::begin_redirect(const std::string& location) {
    if (redirects_ == options_->redirects_)
        throw protocol_error(answer_.url, "there are more than " + std::to_string(options_->redirects_) + " redirects");
    hop next = after_redirect(hop_, answer_.status, location, answer_.url);
    if (options_->https_only_ && !next.url.starts_with("https"))
        throw protocol_error(answer_.url, "the server redirects from https to http (https_only): " + next.url);
    if (next.sends_body && upload_.was_asked())
        throw transfer_error(answer_.url, "the body would have to be sent again, but it can't be read a second time");
    next_hop_ = std::move(next);
    resend_ = resend::redirect;
    // A small body is read, for the sake of the connection.
    const bool is_small = frame_.kind == framing::none || frame_.kind == framing::chunks ||
                          (frame_.kind == framing::length && frame_.length <= redirect_body_read);
    if (!is_small || upload_.waits())
        note();
}

/// *Returns* false to abort: the body is too large.
bool transfer::begin_body() {
    progress_ = answer_progress::body;
    const auto encodings = answer_.headers.find_all("Content-Encoding");
    decoder_.begin_plain();
    if (frame_.kind != framing::none && request_->compression().value_or(options_->compression_) &&
        !encodings.empty()) {
        std::string all;
        for (const auto& e : encodings)
            all.append(all.empty() ? "" : ", ").append(e);
        decoder_.begin(all);
    }
    if (frame_.kind == framing::length && !decoder_.unpacks() && frame_.length > body_limit_) {
        failure_ = std::make_exception_ptr(too_large_error(
            answer_.url, "the body is larger than " + std::to_string(body_limit_) + " bytes", body_limit_));
        return false;
    }
    // libcurl may have decided to send no more of the request's body; it does not end while sending is paused all the
    // same. And where the packet of the headers also had what breaks the rules of HTTP/2, libcurl says so only when it
    // is asked for more, which it would wait for.
    if (upload_.waits() || answer_.version == http_version::http2)
        note();
    if (frame_.kind == framing::until_close && answer_.version == http_version::http2 && hop_.sends_body &&
        !body_was_sent()) {
        push_ = push::due;
        curl_easy_setopt(easy(), CURLOPT_NOPROGRESS, 0L);
    }
    look_for_end();
    tell_waiter();
    return true;
}

/// Sees to it that a connection on which more comes than the answer has is not used again, and that one on which the
/// answer may end too early is known to have ended. libcurl says the first only in its texts, which cost time.
void transfer::guard_connection() {
    const bool is_multiplexed = answer_.version == http_version::http2 || answer_.version == http_version::http3;
    if (is_multiplexed)
        return;
    const bool ends_at_once = frame_.kind == framing::none || (frame_.kind == framing::length && frame_.length == 0);
    if (ends_at_once || frame_.kind == framing::chunks)
        curl_easy_setopt(easy(), CURLOPT_VERBOSE, 1L);
    chunks_.begin();
    // RFC 9112, 6.3: both together may be an attempt to smuggle an answer; and HTTP/1.0 has no chunks.
    if (frame_.kind == framing::chunks &&
        (answer_.version == http_version::http1_0 || answer_.headers.find("Content-Length") != nullptr))
        curl_easy_setopt(easy(), CURLOPT_FORBID_REUSE, 1L);
    if (frame_.kind == framing::until_close && std::string_view(answer_.effective_url).starts_with("https") &&
        !options_->tls_.missing_close_notify_is_fine_) {
        tls_end_ = tls_end::cut_off;
        tls_require_proper_end(easy());
        curl_easy_setopt(easy(), CURLOPT_NOPROGRESS, 0L);
    }
}

int transfer::on_debug(CURL*, curl_infotype type, char* text, std::size_t size, void* self) noexcept {
    auto& t = *static_cast<transfer*>(self);
    try {
        if (type == CURLINFO_TEXT)
            t.hear(std::string_view(text, size));
        else if (type == CURLINFO_DATA_IN && t.frame_.kind == framing::chunks && !t.failure_)
            t.chunks_.take(std::string_view(text, size));
    } catch (const framing_error& e) {
        // The next callback ends the transfer, or its end finds this.
        t.failure_ = std::make_exception_ptr(protocol_error(t.answer_.url, e.what()));
    } catch (...) {
        t.failure_ = std::current_exception();
    }
    return 0;
}

/// Understands those of libcurl's texts that say what nothing else says.
void transfer::hear(std::string_view text) {
    const auto number_after = [&](std::string_view words) -> std::optional<std::uint32_t> {
        const auto at = text.find(words);
        std::uint32_t number = 0;
        if (at == std::string_view::npos ||
            std::from_chars(text.data() + at + words.size(), text.data() + text.size(), number).ec != std::errc())
            return std::nullopt;
        return number;
    };
    if (text.starts_with("Excess found") || text.starts_with("Leftovers after chunking"))
        curl_easy_setopt(easy(), CURLOPT_FORBID_REUSE, 1L);
    else if (const auto id = number_after("Using Stream ID: "))
        stream_ = *id;
    else if (const auto last = number_after("last_stream="); last && text.find("GOAWAY") != std::string_view::npos)
        shared_.connections.going_away(connection_, *last);
}

/// libcurl calls this now and then, and a last time when the body has ended and the connection is still there to be
/// asked. *Returns* other than 0 to abort.
int transfer::on_progress(void* self, curl_off_t, curl_off_t, curl_off_t, curl_off_t sent) noexcept {
    auto& t = *static_cast<transfer*>(self);
    if (t.tls_end_ == tls_end::cut_off && tls_was_closed_properly(t.easy()))
        t.tls_end_ = tls_end::proper;
    if (t.push_ == push::due && t.body_was_sent()) {
        t.push_ = push::not_needed;
        t.note();
    }
    const auto count = static_cast<std::uint64_t>(sent);
    if (!t.is_wanted() || !t.request_->upload_progress() || count == t.upload_said_)
        return 0;
    t.upload_said_ = count;
    try {
        t.request_->upload_progress()(count);
    } catch (...) {
        t.failure_ = std::current_exception();
    }
    return t.failure_ || !t.is_wanted() ? 1 : 0;
}

// ---- the body comes ----

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
    } catch (const decoding_error& e) {
        t.failure_ = std::make_exception_ptr(protocol_error(t.answer_.url, e.what()));
    } catch (...) {
        t.failure_ = std::current_exception();
    }
    // Any other number than the size ends the transfer, but for those that mean something.
    return piece.empty() ? 1 : 0;
}

transfer::taken transfer::take_body(std::string_view piece) {
    // A sink may have cancelled the request while libcurl is on the stack: the handle is taken out once that returns.
    if (!is_wanted() || failure_)
        return taken::never;
    if (resend_ == resend::redirect) {
        came_ += piece.size();
        if (came_ > redirect_body_read)
            note();
        return taken::all;
    }
    if (delivery_ == delivery::stream && arrived_.size() >= most_arrived) {
        receiving_ = receiving::waits_for_room;
        return taken::none_now;
    }
    clock_.progress(shared_.loop->now());
    switch (decode(piece)) {
    case unpacking::ends:
        return taken::never;
    case unpacking::pauses:
        // libcurl keeps the piece, gives it again once it may, and does not see the answer's end before.
        receiving_ = receiving::waits_for_turn;
        note();
        return is_wanted() ? taken::none_now : taken::never;
    case unpacking::goes_on:
        break;
    }
    look_for_end();
    return is_wanted() ? taken::all : taken::never;
}

/// Unpacks a piece, which after a pause is the same one again, perhaps with more behind it.
unpacking transfer::decode(std::string_view piece) {
    const decoded_sink into = [this](std::string_view unpacked) { return deliver(unpacked); };
    auto& work = shared_.work_left;
    if (work == 0)
        return unpacking::pauses;
    work -= std::min(work, cost_of_a_piece);
    if (begun_ != 0) {
        MUSTER_ASSERT(begun_ <= piece.size());
        if (const auto next = decoder_.go_on(into, work); next != unpacking::goes_on)
            return next;
        piece.remove_prefix(begun_);
    }
    came_ += piece.size();
    require_worth_of_encoding();
    const auto next = piece.empty() ? unpacking::goes_on : decoder_.take(piece, into, work);
    begun_ = next == unpacking::pauses ? begun_ + piece.size() : 0;
    return next;
}

/// An encoded body may unpack to nothing, however long it is: padding, empty blocks. An encoding that makes nothing
/// smaller is a little larger than the body. *Errors*: too_large_error.
void transfer::require_worth_of_encoding() const {
    const auto spare = body_limit_ / 64 + most_arrived;
    if (decoder_.unpacks() && came_ > body_limit_ && came_ - body_limit_ > spare)
        throw too_large_error(
            answer_.url, "the encoded body is larger than " + std::to_string(body_limit_) + " bytes", body_limit_);
}

/// *Returns* false if no more is wanted.
bool transfer::deliver(std::string_view piece) {
    answer_.body_size += piece.size();
    if (answer_.body_size > body_limit_) {
        failure_ = std::make_exception_ptr(too_large_error(
            answer_.url, "the body is larger than " + std::to_string(body_limit_) + " bytes", body_limit_));
        return false;
    }
    if (request_->sink() && answer_.is_error()) {
        answer_.body.append(piece.substr(0, error_body_kept - std::min(error_body_kept, answer_.body.size())));
    } else if (delivery_ == delivery::stream) {
        arrived_.append(piece);
        tell_waiter();
    } else if (request_->sink()) {
        sink_was_used_ = true;
        request_->sink()(piece);
    } else {
        answer_.body.append(piece);
    }
    return is_wanted();
}

/// After an answer of less than 300 libcurl waits until the request's body is sent, even if the answer is complete.
void transfer::look_for_end() noexcept {
    // After a HEAD with a body libcurl waits for a body of the answer, too; and over HTTP/2 for the end of the stream,
    // which a server may leave out after an answer that can have no body.
    const bool waits_on = (hop_.sends_body && (hop_.method == "HEAD" || !body_was_sent())) ||
                          (frame_.kind == framing::none && answer_.version == http_version::http2);
    if (progress_ != answer_progress::body || !waits_on)
        return;
    if (frame_.kind == framing::none || (frame_.kind == framing::length && came_ >= frame_.length))
        note();
}

bool transfer::body_was_sent() const noexcept {
    curl_off_t sent = 0;
    curl_easy_getinfo(easy_.get(), CURLINFO_SIZE_UPLOAD_T, &sent);
    const auto count = static_cast<std::uint64_t>(sent);
    if (request_->body())
        return count >= request_->body()->size();
    if (request_->source() && request_->source_size())
        return count >= *request_->source_size(); // libcurl does not ask for the end of it
    return upload_.is_at_end() && count >= upload_.taken();
}

/// Has the engine look at the transfer once libcurl has returned: to take it out if its answer is complete, or else to
/// have libcurl go on with it.
void transfer::note() noexcept {
    const bool ends = resend_ == resend::redirect || frame_.kind == framing::none ||
                      (frame_.kind == framing::length && came_ >= frame_.length && begun_ == 0);
    if (ends)
        progress_ = answer_progress::complete;
    if (!shared_.noted.contains(*this))
        shared_.noted.push_back(*this);
}

void transfer::tell_waiter() noexcept {
    if (waiter_ != nullptr && ready(waiter_->what()))
        wake_waiter();
}

} // namespace muster::http
