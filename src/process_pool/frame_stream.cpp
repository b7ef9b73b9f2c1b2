// SPDX-License-Identifier: MIT
// This file reads and writes frames without ever waiting. The queue of bytes is one string: bytes
// that were written stay at its front until they are so many that moving the rest there pays, and are then erased.
#include "process_pool/frame_stream.hpp"

#include <sys/socket.h>

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <utility>

namespace muster::workers {

namespace {

constexpr std::size_t queue_bytes = std::size_t{256} << 10;
constexpr std::size_t read_bytes = std::size_t{64} << 10;

std::chrono::nanoseconds now() noexcept { return frame_stream::clock::now().time_since_epoch(); }

} // namespace

frame_stream::frame_stream(detail::owned_fd in, detail::owned_fd out, std::chrono::nanoseconds silence_limit)
    : in_(std::move(in)),
      out_(std::move(out)),
      watch_(silence_limit, now()),
      next_look_(clock::now() + watch_.interval()) {
    int type = 0;
    socklen_t size = sizeof type;
    if (::getsockopt(writes_to(), SOL_SOCKET, SO_TYPE, &type, &size) != 0) {
        kind_of_out_ = kind::file;
        ::fcntl(writes_to(), F_SETFL, ::fcntl(writes_to(), F_GETFL) | O_NONBLOCK);
    }
}

void frame_stream::greet(std::string_view hello) {
    queue_ += frames::magic;
    for (; hello.size() > frames::largest_piece; hello.remove_prefix(frames::largest_piece))
        put(frames::frame_type::pool_hello_part, hello.substr(0, frames::largest_piece));
    put(frames::frame_type::pool_hello, hello);
}

void frame_stream::put(frames::frame_type type, std::string_view payload) { queue_ += frames::to_bytes(type, payload); }

bool frame_stream::has_room() const noexcept { return queue_.size() - at_ < queue_bytes; }

bool frame_stream::write_some() noexcept {
    while (has_to_write()) {
        const char* const from = queue_.data() + at_;
        const auto size = queue_.size() - at_;
        const auto n = kind_of_out_ == kind::socket ? ::send(writes_to(), from, size, MSG_NOSIGNAL | MSG_DONTWAIT)
                                                    : ::write(writes_to(), from, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN || errno == EWOULDBLOCK;
        at_ += static_cast<std::size_t>(n);
        written_ += static_cast<std::uint64_t>(n);
        if (at_ >= queue_bytes || at_ == queue_.size()) {
            queue_.erase(0, at_);
            at_ = 0;
        }
    }
    return true;
}

void frame_stream::shut_down() noexcept { ::shutdown(writes_to(), SHUT_WR); }

bool frame_stream::read_some() {
    std::array<char, read_bytes> bytes; // NOLINT: filled below
    ssize_t n = 0;
    do
        n = ::read(in_.get(), bytes.data(), bytes.size());
    while (n < 0 && errno == EINTR);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return true;
    if (n <= 0)
        return false;
    watch_.heard(now());
    const std::string_view text(bytes.data(), static_cast<std::size_t>(n));
    if (greeted_) {
        parser_.take(text);
    } else if (scanner_.take(text)) {
        greeted_ = true;
        parser_.take(scanner_.take_rest());
    }
    return true;
}

std::optional<frames::frame> frame_stream::next() {
    if (!greeted_)
        return std::nullopt;
    for (;;) {
        auto f = parser_.next();
        if (!f || f->type != frames::frame_type::beat)
            return f;
    }
}

bool frame_stream::look() {
    put(frames::frame_type::beat, {});
    next_look_ = clock::now() + watch_.interval();
    return watch_.look(now()) == frames::silence_watch::verdict::silent;
}

void frame_stream::set_silence_limit(std::chrono::nanoseconds limit) {
    watch_ = frames::silence_watch(limit, now());
    next_look_ = clock::now() + watch_.interval();
}

} // namespace muster::workers
