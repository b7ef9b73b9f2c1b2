// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// What is set for a signal belongs to the whole program: loops (event_loop.cpp) and signal watchers (io/signals.cpp) may take
/// the same one over, one after the other, and end in any order.

#include <csignal>

namespace muster::detail {

/// Gives a signal back to who had it before: `before`, or the system if that was a loop that has ended since.
void put_back_signal(int signal, const struct sigaction& before) noexcept;

} // namespace muster::detail
