// SPDX-License-Identifier: MIT
// An address reads the parts of a socket address out of its raw bytes and writes them as text. The bytes are copied
// into the system's structure for their family each time, because reading them through a cast pointer would be
// undefined.
#include <muster/io/address.hpp>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <stdexcept>

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

namespace muster::io {

namespace {

/// A copy, for the bytes are no object of that type.
template <class T>
T as(const address& a) {
    T copy{};
    std::memcpy(&copy, a.data(), std::min(sizeof copy, a.size()));
    return copy;
}

} // namespace

address::address(const void* sockaddr, std::size_t bytes) : size_(bytes) {
    static_assert(sizeof(sockaddr_storage) == 128);
    if (bytes > bytes_.size())
        throw std::invalid_argument("io::address: a socket address has at most 128 bytes");
    if (bytes != 0)
        std::memcpy(bytes_.data(), sockaddr, bytes);
}

int address::family() const noexcept { return size_ < sizeof(sa_family_t) ? AF_UNSPEC : as<sa_family_t>(*this); }

std::uint16_t address::port() const noexcept {
    switch (family()) {
    case AF_INET:
        return ntohs(as<sockaddr_in>(*this).sin_port);
    case AF_INET6:
        return ntohs(as<sockaddr_in6>(*this).sin6_port);
    default:
        return 0;
    }
}

std::string address::host() const {
    char text[INET6_ADDRSTRLEN + 1 + IF_NAMESIZE] = {};
    switch (family()) {
    case AF_INET: {
        const auto a = as<sockaddr_in>(*this);
        return ::inet_ntop(AF_INET, &a.sin_addr, text, sizeof text);
    }
    case AF_INET6: {
        const auto a = as<sockaddr_in6>(*this);
        std::string host = ::inet_ntop(AF_INET6, &a.sin6_addr, text, sizeof text);
        if (a.sin6_scope_id != 0)
            host += '%' + std::to_string(a.sin6_scope_id);
        return host;
    }
    case AF_UNIX: {
        const auto a = as<sockaddr_un>(*this);
        const std::size_t length = std::min(size_ - offsetof(sockaddr_un, sun_path), sizeof a.sun_path);
        if (length == 0)
            return "unnamed";
        if (a.sun_path[0] == '\0')
            return '@' + std::string(a.sun_path + 1, length - 1);
        return std::string(a.sun_path, ::strnlen(a.sun_path, length));
    }
    default:
        return {};
    }
}

std::string address::text() const {
    switch (family()) {
    case AF_INET:
        return host() + ':' + std::to_string(port());
    case AF_INET6:
        return '[' + host() + "]:" + std::to_string(port());
    default:
        return host();
    }
}

bool operator==(const address& a, const address& b) noexcept {
    return a.size_ == b.size_ && std::memcmp(a.bytes_.data(), b.bytes_.data(), a.size_) == 0;
}

} // namespace muster::io
