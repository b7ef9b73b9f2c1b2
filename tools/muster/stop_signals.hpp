// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Turns each SIGINT, SIGTERM, SIGHUP and SIGQUIT, which are to end the program, and each other signal that would end
/// it and stands for no fault, into two calls: one on the thread that waits for signals, which comes whatever the loop
/// is doing, then one on the loop's thread. While the object lives the signals do nothing else; at the third one the
/// program ends at once. SIGQUIT counts as the second of them. SIGTSTP and SIGUSR1 end nothing, and are the second call
/// only.
///
///     stop_signals signals;                                        // before a thread is started that does not block
///     all signals signals.listen(on_signal, [&](int) { out.hurry(); });   // in a task

#include "posix/owned_fd.hpp"

#include <functional>
#include <thread>

#include <csignal>

namespace tool {

/// Immovable. Signals that were ignored when the program was started stay so.
class stop_signals {
public:
    stop_signals();
    ~stop_signals();
    stop_signals(const stop_signals&) = delete;
    stop_signals& operator=(const stop_signals&) = delete;

    /// For each signal calls `right_away` on the thread that waits for signals, and then `on_signal` on the calling
    /// task's loop, with how many that end the program there have been. A signal that came before is not lost. To be
    /// called once.
    void listen(std::function<void(int signal, int count)> on_signal, std::function<void(int count)> right_away);
    /// After this neither is called; the destructor does it, too. Everything that they refer to must live until then.
    void end_listening();

private:
    sigset_t caught_;
    sigset_t before_;
    muster::detail::owned_fd signals_; ///< a signalfd
    muster::detail::owned_fd end_;     ///< an eventfd: readable when the thread is to end
    std::jthread thread_;
};

} // namespace tool
