// SPDX-License-Identifier: MIT
/// \file
/// Accepting connections. An error of a single connection is passed over, and a shortage of descriptors is waited out,
/// so that neither ends a server.
#include <muster/io/listener.hpp>

#include "io/listening.hpp"
#include "posix/system_error.hpp"

#include <muster/error.hpp>
#include <muster/sleep.hpp>

#include <cerrno>
#include <chrono>
#include <utility>

#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

namespace muster {

namespace detail {

namespace {

/// How long to wait for a descriptor to become free.
constexpr std::chrono::milliseconds short_of_descriptors{20};

/// The process, or the system, has no room for another connection at the moment.
bool is_shortage(int error) noexcept {
    return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

/// The error is that of the connection which would have been accepted, and not of the listener: see accept(2).
bool is_of_connection(int error) noexcept {
    switch (error) {
    case EINTR:
    case ECONNABORTED:
    case EPROTO:
    case EPERM:
    case ENETDOWN:
    case ENOPROTOOPT:
    case EHOSTDOWN:
    case ENONET:
    case EHOSTUNREACH:
    case ENETUNREACH:
    case ETIMEDOUT:
        return true;
    default:
        return false;
    }
}

} // namespace

void listening::close() noexcept {
    if (!socket_->is_open())
        return;
    struct stat now {};
    if (!path_.empty() && ::lstat(path_.c_str(), &now) == 0 && now.st_dev == device_ && now.st_ino == inode_)
        ::unlink(path_.c_str());
    socket_->close();
}

void listening::bind(const io::address& to, int backlog, const std::string& what) {
    if (::bind(socket_->fd(), static_cast<const sockaddr*>(to.data()), static_cast<socklen_t>(to.size())) != 0 ||
        ::listen(socket_->fd(), backlog) != 0)
        throw_system_error(errno, what);
}

void listening::own_path(std::string p) noexcept {
    struct stat now {};
    if (::lstat(p.c_str(), &now) != 0)
        return;
    device_ = now.st_dev;
    inode_ = now.st_ino;
    path_ = std::move(p);
}

io::stream listening::try_accept(const std::shared_ptr<descriptor>& made) noexcept {
    const int fd = ::accept4(socket_->fd(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        return io::stream();
    made->reset(fd);
    if (no_delay_)
        set_no_delay_on(fd);
    return io::stream(made);
}

/// For destructors, as that of a descriptor.
void close_or_report(const std::shared_ptr<listening>& l) noexcept {
    if (!is_open(l.get()))
        return;
    if (l->socket().is_here()) {
        l->close();
        return;
    }
    keep_for_good(l);
    close_or_report(l->shared_socket(), "listener::~listener");
}

bool is_open(const listening* l) noexcept { return l != nullptr && l->socket().is_open(); }

task<io::stream> accept_on(std::shared_ptr<listening> l) {
    if (!is_open(l.get()))
        throw_system_error(EBADF, "accepting: the listener is closed");
    auto& socket = l->socket();
    const descriptor::use mine(socket, descriptor::side::reading, "accepting");
    // The memory is there before a connection is accepted: afterwards nothing may fail, or the connection would be
    // lost.
    const auto made = std::make_shared<descriptor>(-1);
    if (socket.is_greedy()) {
        co_await yield();
        socket.require_still_open("accepting");
    }
    for (;;) {
        auto peer = l->try_accept(made);
        if (peer.is_open())
            co_return peer;
        if (errno == EAGAIN) {
            descriptor::readiness waiting(socket, descriptor::side::reading);
            co_await waiting;
        } else if (is_shortage(errno)) {
            co_await sleep_for(short_of_descriptors);
        } else if (!is_of_connection(errno)) {
            throw_system_error(errno, "accepting");
        }
        socket.require_still_open("accepting");
    }
}

} // namespace detail

namespace io {

listener::listener(std::shared_ptr<detail::listening> l) noexcept : listening_(std::move(l)) {}

listener& listener::operator=(listener&& other) noexcept {
    if (this != &other) {
        detail::close_or_report(listening_);
        listening_ = std::move(other.listening_);
    }
    return *this;
}

listener::~listener() { detail::close_or_report(listening_); }

task<stream> listener::accept() { return detail::accept_on(listening_); }

address listener::local_address() const {
    sockaddr_storage name{};
    socklen_t bytes = sizeof name;
    if (::getsockname(listening_ ? listening_->socket().fd() : -1, reinterpret_cast<sockaddr*>(&name), &bytes) != 0)
        detail::throw_system_error(errno, "a listener's address");
    return address(&name, bytes);
}

std::uint16_t listener::port() const noexcept {
    sockaddr_storage name{};
    socklen_t bytes = sizeof name;
    if (::getsockname(listening_ ? listening_->socket().fd() : -1, reinterpret_cast<sockaddr*>(&name), &bytes) != 0)
        return 0;
    return address(&name, bytes).port();
}

void listener::close() {
    if (!is_open())
        return;
    listening_->socket().require_here("listener::close");
    listening_->close();
}

bool listener::is_open() const noexcept { return detail::is_open(listening_.get()); }

} // namespace io
} // namespace muster
