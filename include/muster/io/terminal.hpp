// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Whether a descriptor is a terminal, and how large its window is.
///
///     if (auto size = muster::io::terminal_size(1))
///         draw_progress(size->columns);

#include <muster/config.hpp>

#include <cstdint>
#include <optional>

namespace muster::io {

struct window_size {
    std::uint16_t columns = 0;
    std::uint16_t rows = 0;
};

/// *Returns* whether the descriptor is a terminal's.
[[nodiscard]] bool is_terminal(int fd) noexcept;
/// *Returns* nothing if it is none, or does not say. It changes when the program gets SIGWINCH: see signals.hpp.
[[nodiscard]] std::optional<window_size> terminal_size(int fd) noexcept;

} // namespace muster::io
