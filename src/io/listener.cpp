// SPDX-License-Identifier: MIT
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

/// What is wrong with the connection that would have been accepted, and not with the listener: see accept(2).
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

/// Something small that is wanted before the connection is there: afterwards nothing may fail, or it would be lost.
io::stream accepted(std::shared_ptr<descriptor> place, int fd, bool no_delay) noexcept {
    place->reset(fd);
    if (no_delay)
        set_no_delay(fd);
    return io::stream(std::move(place));
}

} // namespace

void listening::close() noexcept {
    if (!socket->is_open())
        return;
    struct stat now {};
    if (!path.empty() && ::lstat(path.c_str(), &now) == 0 && now.st_dev == device && now.st_ino == inode)
        ::unlink(path.c_str());
    socket->close();
}

void listening::bind(const io::address& to, int backlog, const std::string& what) {
    if (::bind(socket->fd(), static_cast<const sockaddr*>(to.data()), static_cast<socklen_t>(to.size())) != 0 ||
        ::listen(socket->fd(), backlog) != 0)
        throw_system_error(errno, what);
}

void listening::own_path(std::string p) noexcept {
    struct stat now {};
    if (::lstat(p.c_str(), &now) != 0)
        return;
    device = now.st_dev;
    inode = now.st_ino;
    path = std::move(p);
}

bool is_open(const listening* l) noexcept { return l != nullptr && l->socket->is_open(); }

task<io::stream> accept_on(std::shared_ptr<listening> l) {
    if (!is_open(l.get()))
        throw_system_error(EBADF, "accepting: the listener is closed");
    const auto socket = l->socket;
    const descriptor::use mine(*socket, descriptor::side::reading, "accepting");
    auto place = std::make_shared<descriptor>(-1);
    if (socket->is_greedy()) {
        co_await yield();
        socket->require_still_open("accepting");
    }
    for (;;) {
        const int fd = ::accept4(socket->fd(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0)
            co_return accepted(std::move(place), fd, l->no_delay);
        if (errno == EAGAIN) {
            descriptor::readiness waiting(*socket, descriptor::side::reading);
            co_await waiting;
        } else if (is_shortage(errno)) {
            co_await sleep_for(short_of_descriptors);
        } else if (!is_of_connection(errno)) {
            throw_system_error(errno, "accepting");
        }
        socket->require_still_open("accepting");
    }
}

} // namespace detail

namespace io {

listener::listener(std::shared_ptr<detail::listening> l) noexcept : listening_(std::move(l)) {}

listener& listener::operator=(listener&& other) noexcept {
    if (this != &other) {
        close();
        listening_ = std::move(other.listening_);
    }
    return *this;
}

task<stream> listener::accept() { return detail::accept_on(listening_); }

address listener::local_address() const {
    sockaddr_storage name{};
    socklen_t bytes = sizeof name;
    if (::getsockname(listening_ ? listening_->socket->fd() : -1, reinterpret_cast<sockaddr*>(&name), &bytes) != 0)
        detail::throw_system_error(errno, "a listener's address");
    return address(&name, bytes);
}

std::uint16_t listener::port() const noexcept {
    sockaddr_storage name{};
    socklen_t bytes = sizeof name;
    if (::getsockname(listening_ ? listening_->socket->fd() : -1, reinterpret_cast<sockaddr*>(&name), &bytes) != 0)
        return 0;
    return address(&name, bytes).port();
}

void listener::close() noexcept {
    if (listening_)
        listening_->close();
}

bool listener::is_open() const noexcept { return detail::is_open(listening_.get()); }

} // namespace io
} // namespace muster
