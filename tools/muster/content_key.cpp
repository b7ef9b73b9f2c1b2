// SPDX-License-Identifier: MIT
// Keys by the SHA-256 of libmd. 128 bits of the digest are kept: finding two contents that share them takes 2^64
// attempts.
#include "content_key.hpp"

#include <fmt/core.h>

#include <array>
#include <charconv>
#include <cstdint>
#include <system_error>

#include <sha2.h>

namespace tool {

content_key::content_key(std::string_view content) {
    std::array<std::uint8_t, SHA256_DIGEST_LENGTH> digest{};
    SHA2_CTX state;
    ::SHA256Init(&state);
    ::SHA256Update(&state, reinterpret_cast<const std::uint8_t*>(content.data()), content.size());
    ::SHA256Final(digest.data(), &state);
    for (std::size_t i = 0; i != sizeof high_; ++i) {
        high_ = high_ << 8U | digest[i];
        low_ = low_ << 8U | digest[sizeof high_ + i];
    }
}

std::optional<content_key> content_key::from(std::string_view text) noexcept {
    constexpr std::size_t digits = 16;
    if (text.size() != 2 * digits)
        return std::nullopt;
    content_key key;
    for (auto* number : {&key.high_, &key.low_}) {
        const auto [end, error] = std::from_chars(text.data(), text.data() + digits, *number, 16);
        if (error != std::errc() || end != text.data() + digits)
            return std::nullopt;
        text.remove_prefix(digits);
    }
    return key;
}

std::string content_key::text() const { return fmt::format("{:016x}{:016x}", high_, low_); }

} // namespace tool
