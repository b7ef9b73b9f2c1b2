// SPDX-License-Identifier: MIT
// This file catches the signals: the constructor blocks them and makes a signalfd, and the thread that listen() starts
// reads it. Each signal that is to end the program is counted and passed on, and the third ends it once the loop has
// carried it out, or does not come to that; the others are passed on. end_listening() wakes the thread through an
// eventfd and joins it.
#include "stop_signals.hpp"

#include <muster/loop_handle.hpp>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <memory>
#include <system_error>
#include <utility>
#include <vector>

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

namespace tool {

stop_signals::stop_signals() {
    sigemptyset(&caught_);
    const auto handler_of = [](int signal) {
        struct sigaction now {};
        return ::sigaction(signal, nullptr, &now) == 0 ? now.sa_handler : SIG_IGN;
    };
    for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGUSR1}) {
        if (handler_of(signal) != SIG_IGN)
            sigaddset(&caught_, signal);
    }
    // These would end the program, too, and what it has started would go on without it.
    std::vector<int> others{SIGUSR2, SIGALRM, SIGVTALRM, SIGPROF, SIGXCPU, SIGIO, SIGPWR, SIGSTKFLT};
    for (int signal = SIGRTMIN; signal <= SIGRTMAX; ++signal)
        others.push_back(signal);
    for (const int signal : others) {
        if (handler_of(signal) == SIG_DFL)
            sigaddset(&caught_, signal);
    }
    pthread_sigmask(SIG_BLOCK, &caught_, &before_);
    signals_ = muster::detail::owned_fd(::signalfd(-1, &caught_, SFD_CLOEXEC));
    end_ = muster::detail::owned_fd(::eventfd(0, EFD_CLOEXEC));
    if (!signals_.is_open() || !end_.is_open())
        throw std::system_error(errno, std::generic_category(), "signals can't be watched");
}

stop_signals::~stop_signals() {
    end_listening();
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
}

bool stop_signals::has_come() const noexcept {
    sigset_t waiting;
    if (sigpending(&waiting) != 0)
        return false;
    for (int signal = 1; signal <= SIGRTMAX; ++signal) {
        if (signal != SIGTSTP && signal != SIGUSR1 && sigismember(&caught_, signal) == 1 &&
            sigismember(&waiting, signal) == 1)
            return true;
    }
    return false;
}

void stop_signals::end_listening() {
    if (!thread_.joinable())
        return;
    const std::uint64_t one = 1;
    static_cast<void>(!::write(end_.get(), &one, sizeof one));
    thread_.join();
}

void stop_signals::listen(std::function<void(int, int)> on_signal, std::function<void(int)> right_away) {
    const auto loop = muster::loop_handle::current();
    thread_ = std::jthread([this, loop, call = std::move(on_signal), now = std::move(right_away)] {
        const auto carried_out = std::make_shared<std::atomic<int>>(0);
        int posted = 0;
        for (int count = 0;;) {
            pollfd both[2] = {{signals_.get(), POLLIN, 0}, {end_.get(), POLLIN, 0}};
            if (::poll(both, 2, -1) < 0)
                continue;
            if (both[1].revents != 0)
                return;
            signalfd_siginfo info{};
            if (::read(signals_.get(), &info, sizeof info) != static_cast<ssize_t>(sizeof info))
                continue;
            const int signal = static_cast<int>(info.ssi_signo);
            if (signal != SIGTSTP && signal != SIGUSR1) {
                count = signal == SIGQUIT && count == 0 ? 2 : count + 1;
                if (count < 3)
                    now(count);
            }
            ++posted;
            loop.post([call, signal, count, carried_out] {
                call(signal, count);
                ++*carried_out;
            });
            if (count == 3) {
                // The loop may not have come to this one or to the one before, which kills what runs.
                for (int i = 0; i != 50 && *carried_out != posted; ++i)
                    std::this_thread::sleep_for(std::chrono::milliseconds(10));
                ::_exit(128 + signal);
            }
        }
    });
}

} // namespace tool
