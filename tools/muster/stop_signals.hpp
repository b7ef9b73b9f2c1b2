// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Signals that would end the program become calls, so that the program can print its ledger first: SIGINT, SIGTERM,
/// SIGHUP, SIGQUIT, and every other one whose default is to end a program, but those of a fault in it (SIGSEGV). Each
/// makes two calls: one on the thread that waits for signals, at once, even if the loop is busy, and then one on the
/// loop's thread. The third signal ends the program at once; SIGQUIT counts as the second. SIGTSTP and SIGUSR1 do not
/// end a run: they make the call on the loop's thread only.
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

    /// Whether a signal that ends the program waits for listen(). *Thread safety*: the thread of the constructor.
    [[nodiscard]] bool has_come() const noexcept;
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
