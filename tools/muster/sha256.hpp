// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// SHA-256 in a hundred lines: loading libcrypto would take muster run a third of the time that it has to start in.
///
///     const auto digest = sha256("abc");    // ba 78 16 bf...

#include <array>
#include <cstdint>
#include <string_view>

namespace tool {

/// *Complexity*: linear.
[[nodiscard]] std::array<unsigned char, 32> sha256(std::string_view text) noexcept;

} // namespace tool
