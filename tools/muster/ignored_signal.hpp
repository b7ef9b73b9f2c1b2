// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Whether a signal was ignored when the program was started, by nohup say, or by a shell that has put it into the
/// background. Such a signal stays ignored: it must be neither caught nor blocked, because one that is blocked is kept
/// for whoever reads it.
///
///     if (!is_ignored(SIGHUP)) sigaddset(&to_read, SIGHUP);

#include <csignal>

namespace tool {

[[nodiscard]] inline bool is_ignored(int number) noexcept {
    struct sigaction now {};
    return ::sigaction(number, nullptr, &now) != 0 || now.sa_handler == SIG_IGN;
}

} // namespace tool
