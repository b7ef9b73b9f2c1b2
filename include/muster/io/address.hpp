// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Where a socket is or goes to: an IPv4 or IPv6 address with a port, or a path. A value.
///
///     auto found = co_await muster::io::resolve("localhost", "http");
///     print(found.front().text());                   // 127.0.0.1:80

#include <muster/config.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

namespace muster::io {

class address {
public:
    /// None: text() is empty.
    address() noexcept = default;
    /// From a sockaddr of so many bytes. *Errors*: std::invalid_argument if that is more than there can be.
    address(const void* sockaddr, std::size_t bytes);

    /// *Returns* "127.0.0.1:80", "[::1]:80", "/run/x.sock", "@abstract", "unnamed" for a socket that has no path.
    [[nodiscard]] std::string text() const;
    /// *Returns* "127.0.0.1", "::1", or the path.
    [[nodiscard]] std::string host() const;
    /// *Returns* 0 for what has none.
    [[nodiscard]] std::uint16_t port() const noexcept;
    /// *Returns* AF_INET, AF_INET6, AF_UNIX; AF_UNSPEC for none.
    [[nodiscard]] int family() const noexcept;

    /// A sockaddr of size() bytes.
    [[nodiscard]] const void* data() const noexcept { return bytes_.data(); }
    [[nodiscard]] std::size_t size() const noexcept { return size_; }

    friend bool operator==(const address& a, const address& b) noexcept;

private:
    alignas(8) std::array<unsigned char, 128> bytes_{};
    std::size_t size_ = 0;
};

} // namespace muster::io
