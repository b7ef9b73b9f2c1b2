// SPDX-License-Identifier: MIT
// A stream is an owner of a shared descriptor, and most of its functions pass the call on to that. An operation in
// flight holds the descriptor too, so it may outlive the stream. A stream that was moved from has no descriptor; its
// reads and writes are given a closed one and fail in the usual way.
#include <muster/io/stream.hpp>

#include "io/descriptor.hpp"
#include "posix/system_error.hpp"

#include <muster/error.hpp>

#include <cerrno>
#include <utility>

#include <fcntl.h>
#include <sys/socket.h>

namespace muster::io {

using detail::descriptor;
using detail::throw_system_error;

namespace {

std::shared_ptr<descriptor> closed() {
    static_assert(noexcept(descriptor(-1)));
    return std::make_shared<descriptor>(-1);
}

using name_function = int (*)(int, sockaddr*, socklen_t*);

address name_of(const std::shared_ptr<descriptor>& d, name_function ask, const char* what) {
    sockaddr_storage name{};
    socklen_t bytes = sizeof name;
    if (ask(d ? d->fd() : -1, reinterpret_cast<sockaddr*>(&name), &bytes) != 0)
        throw_system_error(errno, what);
    return address(&name, bytes);
}

} // namespace

stream::stream(std::shared_ptr<detail::descriptor> d) noexcept : descriptor_(std::move(d)) {}

stream stream::adopt(int fd) {
    const int flags = ::fcntl(fd, F_GETFL);
    if (flags < 0)
        throw_system_error(errno, "stream::adopt");
    // Made first, with no descriptor: what can fail afterwards leaves the descriptor with the caller.
    auto made = closed();
    if (::fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 || ::fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
        throw_system_error(errno, "stream::adopt");
    made->reset(fd);
    return stream(std::move(made));
}

stream& stream::operator=(stream&& other) noexcept {
    if (this != &other) {
        detail::close_or_report(descriptor_, "stream::~stream");
        descriptor_ = std::move(other.descriptor_);
    }
    return *this;
}

stream::~stream() { detail::close_or_report(descriptor_, "stream::~stream"); }

task<std::size_t> stream::read_some(std::span<std::byte> into) {
    return detail::read_some(descriptor_ ? descriptor_ : closed(), into);
}

task<> stream::write(std::span<const std::byte> bytes) {
    return detail::write_all(descriptor_ ? descriptor_ : closed(), bytes);
}

task<> stream::write(std::string text) {
    return detail::write_text(descriptor_ ? descriptor_ : closed(), std::move(text));
}

void stream::shutdown_write() {
    if (!is_open())
        throw_system_error(EBADF, "shutting down: the stream is closed");
    descriptor_->require_here("stream::shutdown_write");
    if (descriptor_->in_use(descriptor::side::writing))
        throw invalid_state_error("shutting down: a write is in flight; await it first");
    if (descriptor_->is_socket()) {
        // Without a connection there is nothing left to shut down.
        if (::shutdown(descriptor_->fd(), SHUT_WR) != 0 && errno != ENOTCONN)
            throw_system_error(errno, "shutting down");
        return;
    }
    const int flags = ::fcntl(descriptor_->fd(), F_GETFL);
    if (flags < 0 || (flags & O_ACCMODE) != O_WRONLY)
        throw_system_error(ENOTSOCK, "shutting down: it has no half to close");
    close();
}

void stream::close() {
    if (!is_open())
        return;
    descriptor_->require_here("stream::close");
    descriptor_->close();
}

bool stream::is_open() const noexcept { return descriptor_ && descriptor_->is_open(); }

std::uint64_t stream::bytes_read() const noexcept { return descriptor_ ? descriptor_->bytes_read() : 0; }

std::uint64_t stream::bytes_written() const noexcept { return descriptor_ ? descriptor_->bytes_written() : 0; }

address stream::local_address() const { return name_of(descriptor_, &::getsockname, "a socket's own address"); }

address stream::peer_address() const { return name_of(descriptor_, &::getpeername, "a socket's peer"); }

int stream::native_handle() const noexcept { return descriptor_ ? descriptor_->fd() : -1; }

int stream::release() {
    if (!descriptor_)
        return -1;
    if (descriptor_->in_use(descriptor::side::reading) || descriptor_->in_use(descriptor::side::writing))
        throw invalid_state_error("stream::release: something is in flight; await it first");
    descriptor_->require_here("stream::release");
    return descriptor_->release();
}

} // namespace muster::io
