// SPDX-License-Identifier: MIT
// This file reads, writes and makes keys. A new one is a UUID of version 7 (RFC 9562): 48 bits of milliseconds, then
// random bits around the version and the variant.
#include <muster/postgres/call_key.hpp>

#include <sys/random.h>

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <stdexcept>
#include <system_error>

namespace muster::postgres {

namespace {

constexpr int no_digit = -1;

int value_of(char c) noexcept {
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return no_digit;
}

void put_big_endian(std::array<std::uint8_t, 16>& to, std::size_t first, std::uint64_t bits48) noexcept {
    for (std::size_t i = 0; i != 6; ++i)
        to[first + i] = static_cast<std::uint8_t>((bits48 >> (8 * (5 - i))) & 0xff);
}

} // namespace

call_key::call_key(std::string_view text) {
    std::size_t digits = 0;
    for (const char c : text) {
        if (c == '-')
            continue;
        const int value = value_of(c);
        if (value == no_digit || digits == 32) {
            digits = 0;
            break;
        }
        auto& byte = bytes_[digits / 2];
        byte = static_cast<std::uint8_t>((byte << 4) | value);
        ++digits;
    }
    if (digits != 32)
        throw std::invalid_argument("a key is a UUID, 32 hexadecimal digits with hyphens or without");
}

call_key call_key::make() {
    call_key key;
    if (::getrandom(key.bytes_.data(), key.bytes_.size(), 0) != static_cast<ssize_t>(key.bytes_.size()))
        throw std::system_error(errno, std::generic_category(), "getrandom");
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    put_big_endian(
        key.bytes_, 0, static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(now).count()));
    key.bytes_[6] = static_cast<std::uint8_t>((key.bytes_[6] & 0x0f) | 0x70);
    key.bytes_[8] = static_cast<std::uint8_t>((key.bytes_[8] & 0x3f) | 0x80);
    return key;
}

call_key call_key::numbered(std::uint64_t n) const {
    if (n >> 48 != 0)
        throw std::invalid_argument("call_key::numbered: the number has more than 48 bits");
    auto key = *this;
    put_big_endian(key.bytes_, 10, n);
    return key;
}

std::string call_key::text() const {
    static constexpr std::string_view digits = "0123456789abcdef";
    std::string result;
    for (std::size_t i = 0; i != bytes_.size(); ++i) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            result += '-';
        result += digits[bytes_[i] >> 4];
        result += digits[bytes_[i] & 0x0f];
    }
    return result;
}

} // namespace muster::postgres
