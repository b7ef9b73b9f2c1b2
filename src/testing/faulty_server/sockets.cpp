// SPDX-License-Identifier: MIT
// This file makes the faulty server's system calls for sockets: it listens on loopback, finds out the port, resets a
// connection and tries whether a port is free by binding to it. An error of the system becomes a std::system_error
// whose text names the server.
#include "testing/faulty_server/sockets.hpp"

#include <cerrno>
#include <string>
#include <system_error>

#include <arpa/inet.h>

namespace muster::testing::faulty {

void fail(int code, const std::string& what) {
    throw std::system_error(code, std::generic_category(), "faulty_server: " + what);
}

void close_with_reset(int fd) noexcept {
    const linger at_once{1, 0};
    ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}

std::string name_of(bool ipv6, std::uint16_t port) { return (ipv6 ? "[::1]:" : "127.0.0.1:") + std::to_string(port); }

std::uint16_t port_of(int fd) {
    sockaddr_storage storage{};
    socklen_t length = sizeof storage;
    if (::getsockname(fd, reinterpret_cast<sockaddr*>(&storage), &length) != 0)
        fail(errno, "cannot read the port of its socket");
    if (storage.ss_family == AF_INET6) {
        sockaddr_in6 address{};
        std::memcpy(&address, &storage, sizeof address);
        return ntohs(address.sin6_port);
    }
    sockaddr_in address{};
    std::memcpy(&address, &storage, sizeof address);
    return ntohs(address.sin_port);
}

owned_fd listen_on(const faulty_server_options& chosen) {
    const auto name = name_of(chosen.ipv6, chosen.port);
    const socket_address address(chosen.ipv6, chosen.port);
    owned_fd listener(::socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (listener.get() < 0)
        fail(errno, "cannot make a socket for " + name);
    const int yes = 1;
    if (::setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) != 0)
        fail(errno, "cannot set up the socket for " + name);
    if (::bind(listener.get(), address.get(), address.length()) != 0)
        fail(errno, "cannot bind to " + name);
    if (::listen(listener.get(), chosen.backlog) != 0)
        fail(errno, "cannot listen on " + name);
    return listener;
}

bool is_unused(std::uint16_t port) {
    for (const bool ipv6 : {false, true}) {
        const socket_address address(ipv6, port);
        const owned_fd probe(::socket(address.family(), SOCK_STREAM | SOCK_CLOEXEC, 0));
        if (probe.get() < 0) {
            if (errno == EAFNOSUPPORT)
                continue;
            fail(errno, "cannot make a socket to look for an unused port");
        }
        if (::bind(probe.get(), address.get(), address.length()) != 0 && errno != EADDRNOTAVAIL)
            return false;
    }
    return true;
}

} // namespace muster::testing::faulty
