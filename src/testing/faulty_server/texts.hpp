// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The parts of HTTP's texts: names in any case, numbers, lists of tokens, reasons.
///
///     if (const auto length = number_in(value, 0, most)) ...

#include <cstdint>
#include <optional>
#include <string_view>

namespace muster::testing::faulty {

[[nodiscard]] bool equal_ignoring_case(std::string_view left, std::string_view right) noexcept;
[[nodiscard]] std::string_view without_blanks(std::string_view text) noexcept;
[[nodiscard]] std::optional<std::uint64_t> number_in(
    std::string_view text, std::uint64_t low, std::uint64_t high, int base = 10) noexcept;
/// True where the comma-separated field value has the token.
[[nodiscard]] bool lists_token(std::string_view value, std::string_view token) noexcept;
[[nodiscard]] std::string_view reason_of(unsigned status) noexcept;

} // namespace muster::testing::faulty
