// SPDX-License-Identifier: MIT
// A worker_handle sends messages to one worker, cuts its bytes into messages, and guards its phases. become() alone
// changes the phase: a worker goes from starting to idle, from idle to calling when it is sent a call, to decoding
// when its answer has come, and back to idle or, with a damaged answer, to calling until it is killed. An idle one may
// exit, and any but one that is decoding may die. hang_up() takes its stream from open to hung_up, and
// found_unreadable() makes the stream unreadable.
#include "process_pool/worker_handle.hpp"

#include <muster/detail/assert.hpp>
#include <muster/process_pool/error.hpp>

#include <sys/socket.h>
#include <sys/uio.h>

#include <cerrno>
#include <cstddef>
#include <string>
#include <utility>

namespace muster::workers {

void outgoing_message::begin(std::uint64_t number, const std::vector<std::uint8_t>& body) noexcept {
    MUSTER_ASSERT(!is_pending());
    head_ = wire::write(wire::header(static_cast<std::uint32_t>(body.size()), number));
    body_ = &body;
    sent_ = 0;
}

int outgoing_message::send(int socket) noexcept {
    const std::size_t total = head_.size() + body_->size();
    while (sent_ != total) {
        std::array<iovec, 2> parts{};
        std::size_t count = 0;
        if (sent_ < head_.size())
            parts[count++] = {head_.data() + sent_, head_.size() - sent_};
        const std::size_t at = sent_ < head_.size() ? 0 : sent_ - head_.size();
        if (at != body_->size())
            parts[count++] = {const_cast<std::uint8_t*>(body_->data()) + at, body_->size() - at};
        msghdr message{};
        message.msg_iov = parts.data();
        message.msg_iovlen = count;
        const auto n = ::sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n >= 0)
            sent_ += static_cast<std::size_t>(n);
        else if (errno == EAGAIN || errno == EWOULDBLOCK)
            return 0;
        else if (errno != EINTR)
            return errno;
    }
    body_ = nullptr;
    return 0;
}

std::optional<received_message> incoming_bytes::take_message(std::uint64_t limit) {
    if (bytes_.size() < wire::header_bytes)
        return std::nullopt;
    const std::uint64_t length = wire::read_header(bytes_.data()).length;
    if (length > limit)
        throw wire_error("it announced a message of " + std::to_string(length) + " bytes, and the message limit is " +
                         std::to_string(limit));
    if (bytes_.size() - wire::header_bytes < length) {
        // Room for all of it at once: a vector that grows has the bytes twice while it moves them.
        bytes_.reserve(wire::header_bytes + static_cast<std::size_t>(length));
        return std::nullopt;
    }
    // Usually a message is all that is there: it is moved, however large it is.
    const auto end = bytes_.begin() + static_cast<std::ptrdiff_t>(wire::header_bytes + length);
    std::vector<std::uint8_t> rest(end, bytes_.end());
    bytes_.erase(end, bytes_.end());
    return received_message(std::exchange(bytes_, std::move(rest)));
}

void worker_handle::become(phase next) noexcept {
    const auto may = [&] {
        switch (next) {
        case phase::starting:
            return false;
        case phase::idle:
            return phase_ == phase::starting || phase_ == phase::decoding;
        case phase::calling:
            return phase_ == phase::idle || phase_ == phase::decoding;
        case phase::decoding:
            return phase_ == phase::calling;
        case phase::exiting:
            return phase_ == phase::idle;
        case phase::dead:
            return phase_ != phase::decoding && phase_ != phase::dead;
        }
        return false;
    };
    MUSTER_ASSERT(may());
    static_cast<void>(may);
    if (phase_ == phase::decoding && next == phase::idle)
        has_served_ = true;
    phase_ = next;
}

void worker_handle::kill(const call_queue::held&, cause why) noexcept {
    if (cause_ == cause::none)
        cause_ = why;
    kill_or_give_up();
}

void worker_handle::kill_or_give_up() noexcept {
    if (!process_.kill())
        reach_ = reach::out_of_reach;
}

void worker_handle::found_unreadable(std::exception_ptr why) noexcept {
    damage_ = std::move(why);
    stream_ = stream::unreadable;
    // Whoever passes on the bytes of a worker on another host would wait for them to be read.
    ::shutdown(process_.socket(), SHUT_RDWR);
}

void worker_handle::send_on() noexcept {
    if (output_.send(process_.socket()) != 0)
        hang_up();
}

void worker_handle::send_greeting(const std::vector<std::uint8_t>& body) noexcept {
    output_.begin(0, body);
    send_on();
}

bool worker_handle::send_call(const call_queue::held& own, std::uint64_t number, job& j) noexcept {
    MUSTER_ASSERT(phase_ == phase::idle && call_ == nullptr);
    number_ = number;
    output_.begin(number, j.message());
    const int error = output_.send(process_.socket());
    if (error != 0) {
        hang_up();
        kill_without_cause(own);
        if (output_.nothing_was_sent()) {
            output_.drop();
            return false;
        }
    }
    call_ = &j;
    return true;
}

void worker_handle::call_is_over() noexcept {
    MUSTER_ASSERT(call_ != nullptr);
    call_ = nullptr;
    output_.drop();
    clear_deadline();
}

} // namespace muster::workers
