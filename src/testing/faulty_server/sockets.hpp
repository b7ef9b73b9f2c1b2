// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Descriptors, loopback addresses and signals for faulty_server.
///
///     const unique_fd listener = listen_on(options);
///     const std::uint16_t port = port_of(listener.get());

#include "posix/signal_actions.hpp"

#include <muster/testing/faulty_server.hpp>

#include <cstdint>
#include <cstring>
#include <string>
#include <utility>

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

namespace muster::testing::faulty {

/// Throws std::system_error.
[[noreturn]] void fail(int code, const std::string& what);

class unique_fd {
public:
    unique_fd() noexcept = default;
    explicit unique_fd(int fd) noexcept : fd_(fd) {}
    unique_fd(unique_fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    unique_fd& operator=(unique_fd&& other) noexcept {
        std::swap(fd_, other.fd_);
        return *this;
    }
    ~unique_fd() {
        if (fd_ >= 0)
            ::close(fd_);
    }
    [[nodiscard]] int get() const noexcept { return fd_; }
    void close() noexcept { unique_fd{std::exchange(fd_, -1)}; }

private:
    int fd_ = -1;
};

/// Makes the close that follows a reset: what has not been sent is thrown away.
void close_with_reset(int fd) noexcept;

using muster::detail::all_signals_blocked;

struct socket_address {
    sockaddr_storage storage{};
    socklen_t length = 0;

    socket_address(bool ipv6, std::uint16_t port) {
        if (ipv6) {
            sockaddr_in6 address{};
            address.sin6_family = AF_INET6;
            address.sin6_addr = in6addr_loopback;
            address.sin6_port = htons(port);
            fill(address);
        } else {
            sockaddr_in address{};
            address.sin_family = AF_INET;
            address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
            address.sin_port = htons(port);
            fill(address);
        }
    }

    [[nodiscard]] int family() const noexcept { return storage.ss_family; }
    [[nodiscard]] const sockaddr* get() const noexcept { return reinterpret_cast<const sockaddr*>(&storage); }

private:
    template <class Address>
    void fill(const Address& address) {
        std::memcpy(&storage, &address, sizeof address);
        length = sizeof address;
    }
};

[[nodiscard]] std::string name_of(bool ipv6, std::uint16_t port);
[[nodiscard]] std::uint16_t port_of(int fd);
[[nodiscard]] unique_fd listen_on(const faulty_server_options& chosen);

/// True where nothing is bound to the port on either loopback address. A family that the system lacks has no listener
/// either.
[[nodiscard]] bool is_unused(std::uint16_t port);

} // namespace muster::testing::faulty
