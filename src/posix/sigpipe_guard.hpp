// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The one guard against SIGPIPE: a peer that went away must be an error of the call that writes, and must not end the
/// program. The program's own action for SIGPIPE is not touched: the signal is blocked in this thread
/// for as long as the guard lives, and one that the guarded calls raised is taken before it is unblocked. Calls that
/// can pass MSG_NOSIGNAL need no guard. Private to the library.
///
///     const sigpipe_guard guard;
///     SSL_write(...);

#include <cerrno>
#include <csignal>
#include <ctime>

#include <pthread.h>
#include <signal.h>

namespace muster::detail {

/// *Thread safety*: begins and ends on one thread; guards may be nested. errno stays as it was.
class sigpipe_guard {
public:
    sigpipe_guard() noexcept {
        const sigset_t pipe = only_sigpipe();
        pthread_sigmask(SIG_BLOCK, &pipe, &before_);
        if (sigismember(&before_, SIGPIPE) == 0)
            return;
        // The caller blocked it before, and may have one pending, which the guard must not take away.
        sigset_t pending;
        sigpending(&pending);
        takes_one_ = sigismember(&pending, SIGPIPE) == 0;
    }
    ~sigpipe_guard() {
        const int error = errno;
        if (takes_one_) {
            const sigset_t pipe = only_sigpipe();
            const timespec at_once{};
            sigtimedwait(&pipe, nullptr, &at_once);
        }
        pthread_sigmask(SIG_SETMASK, &before_, nullptr);
        errno = error;
    }
    sigpipe_guard(const sigpipe_guard&) = delete;
    sigpipe_guard& operator=(const sigpipe_guard&) = delete;

    /// The guarded calls are known to have raised none, which saves a system call.
    void none_was_raised() noexcept { takes_one_ = false; }

private:
    static sigset_t only_sigpipe() noexcept {
        sigset_t set;
        sigemptyset(&set);
        sigaddset(&set, SIGPIPE);
        return set;
    }

    sigset_t before_{};
    bool takes_one_ = true; ///< a pending SIGPIPE, at the end, was raised by the guarded calls
};

} // namespace muster::detail
