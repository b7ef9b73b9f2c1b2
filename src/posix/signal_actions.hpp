// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The action of a signal belongs to the whole program: loops (event_loop.cpp) and signal watchers (io/signals.cpp)
/// may take the same one over, one after the other, and end in any order.

#include <csignal>

#include <pthread.h>
#include <signal.h>

namespace muster::detail {

/// Gives a signal back to who had it before: `before`, or the system if that was a loop that has ended since.
void put_back_signal(int signal, const struct sigaction& before) noexcept;

/// Blocks every signal of this thread for as long as it lives. A thread that is started meanwhile inherits that for
/// good: signals are for the program's own threads.
class all_signals_blocked {
public:
    all_signals_blocked() noexcept {
        sigset_t all;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before_);
    }
    ~all_signals_blocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
    all_signals_blocked(const all_signals_blocked&) = delete;
    all_signals_blocked& operator=(const all_signals_blocked&) = delete;

private:
    sigset_t before_{};
};

} // namespace muster::detail
