// SPDX-License-Identifier: MIT
// This file knows the networks that are not public, as tables of prefixes. Prefixes of IPv6 that carry an IPv4 address
// (mapped, NAT64, 6to4) are looked through: the embedded address decides.
#include "address.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <span>

#include <arpa/inet.h>
#include <netinet/in.h>

namespace muster::http {

namespace {

struct prefix4 {
    std::uint32_t network;
    unsigned bits;
};

constexpr std::uint32_t ip(unsigned a, unsigned b, unsigned c) noexcept { return a << 24U | b << 16U | c << 8U; }

constexpr std::array<prefix4, 15> special4{{
    {ip(0, 0, 0), 8},       // this network
    {ip(10, 0, 0), 8},      // private
    {ip(100, 64, 0), 10},   // a provider's own
    {ip(127, 0, 0), 8},     // loopback
    {ip(169, 254, 0), 16},  // link-local; cloud machines have their secrets there
    {ip(172, 16, 0), 12},   // private
    {ip(192, 0, 0), 24},    // protocols
    {ip(192, 0, 2), 24},    // examples
    {ip(192, 88, 99), 24},  // relays
    {ip(192, 168, 0), 16},  // private
    {ip(198, 18, 0), 15},   // benchmarks
    {ip(198, 51, 100), 24}, // examples
    {ip(203, 0, 113), 24},  // examples
    {ip(224, 0, 0), 4},     // multicast
    {ip(240, 0, 0), 4},     // reserved, and broadcast
}};

struct prefix6 {
    std::array<std::uint8_t, 16> network;
    unsigned bits;
};

constexpr std::array<prefix6, 9> special6{{
    {{}, 96},                                   // unspecified, loopback, and an old form of IPv4
    {{0x00, 0x64, 0xFF, 0x9B, 0x00, 0x01}, 48}, // a local NAT64
    {{0x01, 0x00}, 64},                         // discard
    {{0x20, 0x01, 0x00}, 23},                   // protocols, Teredo among them
    {{0x20, 0x01, 0x0D, 0xB8}, 32},             // examples
    {{0xFC}, 7},                                // private
    {{0xFE, 0x80}, 10},                         // link-local
    {{0xFE, 0xC0}, 10},                         // site-local
    {{0xFF}, 8},                                // multicast
}};

bool is_public4(std::uint32_t address) noexcept {
    return std::ranges::none_of(
        special4, [&](const prefix4& p) { return (address ^ p.network) >> (32 - p.bits) == 0; });
}

bool begins_with(
    std::span<const std::uint8_t, 16> address, std::span<const std::uint8_t, 16> network, unsigned bits) noexcept {
    const std::size_t whole = bits / 8;
    if (!std::equal(network.begin(), network.begin() + static_cast<std::ptrdiff_t>(whole), address.begin()))
        return false;
    return bits % 8 == 0 || (address[whole] ^ network[whole]) >> (8 - bits % 8) == 0;
}

std::uint32_t embedded4(std::span<const std::uint8_t, 16> address, std::size_t at) noexcept {
    return static_cast<std::uint32_t>(address[at]) << 24U | static_cast<std::uint32_t>(address[at + 1]) << 16U |
           static_cast<std::uint32_t>(address[at + 2]) << 8U | address[at + 3];
}

bool is_public6(std::span<const std::uint8_t, 16> address) noexcept {
    constexpr std::array<std::uint8_t, 16> mapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF};
    constexpr std::array<std::uint8_t, 16> nat64{0x00, 0x64, 0xFF, 0x9B};
    constexpr std::array<std::uint8_t, 16> six_to_four{0x20, 0x02};
    if (begins_with(address, mapped, 96) || begins_with(address, nat64, 96))
        return is_public4(embedded4(address, 12));
    if (begins_with(address, six_to_four, 16))
        return is_public4(embedded4(address, 2));
    return std::ranges::none_of(special6, [&](const prefix6& p) { return begins_with(address, p.network, p.bits); });
}

} // namespace

bool is_address(const std::string& text) noexcept {
    in6_addr room{};
    return ::inet_pton(AF_INET, text.c_str(), &room) == 1 || ::inet_pton(AF_INET6, text.c_str(), &room) == 1;
}

std::string lower_host(std::string host) {
    if (host.starts_with('[') && host.ends_with(']'))
        host = host.substr(1, host.size() - 2);
    if (host.ends_with('.'))
        host.pop_back();
    for (char& c : host)
        c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    return host;
}

bool is_public(const sockaddr& address) noexcept {
    if (address.sa_family == AF_INET) {
        sockaddr_in v4{};
        std::memcpy(&v4, &address, sizeof v4);
        return is_public4(ntohl(v4.sin_addr.s_addr));
    }
    if (address.sa_family != AF_INET6)
        return false;
    sockaddr_in6 v6{};
    std::memcpy(&v6, &address, sizeof v6);
    std::array<std::uint8_t, 16> bytes{};
    std::memcpy(bytes.data(), &v6.sin6_addr, bytes.size());
    return is_public6(bytes);
}

std::string text_of(const sockaddr& address) {
    std::array<char, INET6_ADDRSTRLEN> text{};
    if (address.sa_family == AF_INET) {
        sockaddr_in v4{};
        std::memcpy(&v4, &address, sizeof v4);
        ::inet_ntop(AF_INET, &v4.sin_addr, text.data(), text.size());
    } else if (address.sa_family == AF_INET6) {
        sockaddr_in6 v6{};
        std::memcpy(&v6, &address, sizeof v6);
        ::inet_ntop(AF_INET6, &v6.sin6_addr, text.data(), text.size());
    }
    return text.data();
}

} // namespace muster::http
