// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The name of a call in a queue: 128 bits, written as a UUID. Whoever submits the same call under the same key once
/// more gets its outcome, and starts nothing.
///
///     auto key = muster::postgres::call_key::make();     // a UUID of version 7
///     auto same = muster::postgres::call_key(key.text());

#include <muster/config.hpp>

#include <array>
#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

namespace muster::postgres {

class call_key {
public:
    /// *Errors*: std::invalid_argument for what is no UUID: 32 hexadecimal digits, with hyphens or without.
    explicit call_key(std::string_view text);
    explicit call_key(const std::array<std::uint8_t, 16>& bytes) noexcept : bytes_(bytes) {}
    /// *Returns* a new one: the time in front, so that the database finds keys of one hour close together, and random
    /// bits behind. *Errors*: std::system_error if the system has no random numbers.
    [[nodiscard]] static call_key make();

    /// *Returns* the key of the `n`th part of what this is the key of: its last 48 bits are `n`. So the keys of a long
    /// list of calls are known by one. *Errors*: std::invalid_argument if n has more bits.
    [[nodiscard]] call_key numbered(std::uint64_t n) const;

    /// *Returns* "0192f0c1-7a3e-7b1c-9d53-3f1d2a9c55e0".
    [[nodiscard]] std::string text() const;
    [[nodiscard]] const std::array<std::uint8_t, 16>& bytes() const noexcept { return bytes_; }

    friend auto operator<=>(const call_key&, const call_key&) = default;

private:
    call_key() noexcept = default;
    std::array<std::uint8_t, 16> bytes_{};
};

} // namespace muster::postgres
