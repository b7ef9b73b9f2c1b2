// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Signals as something to await: they are taken in the order in which they came, none that the system delivered is
/// lost.
///
///     muster::io::signal_watcher signals({SIGHUP, SIGUSR1});
///     for (;;) {
///         auto number = co_await signals.next();
///         if (number == SIGHUP) reload();
///     }

#include <muster/config.hpp>
#include <muster/task.hpp>

#include <initializer_list>
#include <memory>

namespace muster::io {

/// While it lives, its signals do nothing but to be counted for it; then they do again what they did before, unless
/// another part of the program has changed that. Several watchers of a signal each get it. Up to 65,536 wait to be
/// taken; the system itself may deliver one signal for several of the same kind that were sent in quick succession. Its
/// loop waits for signals as long as one lives, even with nothing else to do: drop it when no more are wanted. Movable.
/// *Lifetime*: may be destroyed while next() waits, and outlive its loop. *Thread safety*: the loop's thread; the
/// signals may arrive on any. *Source*: loop.add_signal_handler.
class signal_watcher {
public:
    /// *Errors*: std::invalid_argument for no signals, for what is no signal, and for those that can't be watched
    /// (SIGKILL, SIGSTOP) or mean that the program is broken (SIGSEGV, SIGBUS, SIGFPE, SIGILL); std::system_error;
    /// invalid_state_error without a loop that does I/O.
    signal_watcher(std::initializer_list<int> signals);
    signal_watcher(signal_watcher&&) noexcept;
    signal_watcher& operator=(signal_watcher&&) noexcept;
    ~signal_watcher();

    /// Waits for a signal. *Returns* its number. *Errors*: std::errc::operation_canceled if the watcher is destroyed
    /// meanwhile; invalid_state_error if another task waits. *Cancellation*: ends the wait; no signal is lost.
    [[nodiscard]] task<int> next();

private:
    class state;
    std::unique_ptr<state> state_;
};

} // namespace muster::io
