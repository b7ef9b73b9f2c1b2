// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Descriptors, loopback addresses and signals for faulty_server.
///
///     const owned_fd listener = listen_on(options);
///     const std::uint16_t port = port_of(listener.get());

#include "posix/owned_fd.hpp"
#include "posix/signal_actions.hpp"

#include <muster/testing/faulty_server.hpp>

#include <cstdint>
#include <cstring>
#include <string>

#include <netinet/in.h>
#include <sys/socket.h>

namespace muster::testing::faulty {

/// *Errors*: always std::system_error.
[[noreturn]] void fail(int code, const std::string& what);

using muster::detail::all_signals_blocked;
using muster::detail::owned_fd;

/// Makes the close that follows a reset: what has not been sent is thrown away.
void close_with_reset(int fd) noexcept;

/// An address of loopback, as the system's calls take it.
class socket_address {
public:
    socket_address(bool ipv6, std::uint16_t port) noexcept {
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

    [[nodiscard]] int family() const noexcept { return storage_.ss_family; }
    [[nodiscard]] const sockaddr* get() const noexcept { return reinterpret_cast<const sockaddr*>(&storage_); }
    [[nodiscard]] socklen_t length() const noexcept { return length_; }

private:
    template <class Address>
    void fill(const Address& address) noexcept {
        std::memcpy(&storage_, &address, sizeof address);
        length_ = sizeof address;
    }

    sockaddr_storage storage_{};
    socklen_t length_ = 0;
};

[[nodiscard]] std::string name_of(bool ipv6, std::uint16_t port);
[[nodiscard]] std::uint16_t port_of(int fd);
[[nodiscard]] owned_fd listen_on(const faulty_server_options& chosen);

/// True where nothing is bound to the port on either loopback address. A family that the system lacks has no listener
/// either.
[[nodiscard]] bool is_unused(std::uint16_t port);

} // namespace muster::testing::faulty
