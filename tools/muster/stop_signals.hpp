// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// SIGINT, SIGTERM and SIGHUP as calls on the loop's thread. While it lives they do nothing else, but that each ends a
/// write_stream() that waits for its reader; at the third the program ends at once, whatever its loop is doing.
///
///     stop_signals signals;                       // before there are threads
///     signals.listen([](int signal, int count) { ... });   // in a task

#include "streams.hpp"

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

    /// Calls `on_signal` on the calling task's loop, also for what came before. To be called once.
    void listen(std::function<void(int signal, int count)> on_signal);

private:
    sigset_t watched_;
    sigset_t before_;
    descriptor signals_;
    descriptor end_; ///< an eventfd
    std::jthread thread_;
};

} // namespace tool
