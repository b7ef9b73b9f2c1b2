// SPDX-License-Identifier: MIT
// These functions ask the system whether a descriptor is a terminal and how large its window is; a size of zero counts
// as unknown.
#include <muster/io/terminal.hpp>

#include <sys/ioctl.h>
#include <unistd.h>

namespace muster::io {

bool is_terminal(int fd) noexcept { return ::isatty(fd) == 1; }

std::optional<window_size> terminal_size(int fd) noexcept {
    winsize found{};
    if (::ioctl(fd, TIOCGWINSZ, &found) != 0 || found.ws_col == 0 || found.ws_row == 0)
        return std::nullopt;
    return window_size{found.ws_col, found.ws_row};
}

} // namespace muster::io
