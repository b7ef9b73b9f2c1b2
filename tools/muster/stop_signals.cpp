// SPDX-License-Identifier: MIT
#include "stop_signals.hpp"

#include <muster/loop_handle.hpp>

#include <cerrno>
#include <cstdint>
#include <system_error>
#include <utility>

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

namespace tool {

stop_signals::stop_signals() {
    sigemptyset(&watched_);
    for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
        struct sigaction now {};
        if (::sigaction(signal, nullptr, &now) == 0 && now.sa_handler != SIG_IGN)
            sigaddset(&watched_, signal);
    }
    // By default it is ignored; one that is handled ends a wait.
    struct sigaction wake {};
    wake.sa_handler = [](int) {};
    ::sigaction(SIGURG, &wake, nullptr);
    pthread_sigmask(SIG_BLOCK, &watched_, &before_);
    signals_ = descriptor(::signalfd(-1, &watched_, SFD_CLOEXEC));
    end_ = descriptor(::eventfd(0, EFD_CLOEXEC));
    if (!signals_.open() || !end_.open())
        throw std::system_error(errno, std::generic_category(), "signals can't be watched");
}

stop_signals::~stop_signals() {
    if (thread_.joinable()) {
        const std::uint64_t one = 1;
        static_cast<void>(!::write(end_.get(), &one, sizeof one));
        thread_.join();
    }
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
}

void stop_signals::listen(std::function<void(int, int)> on_signal) {
    const auto loop = muster::loop_handle::current();
    thread_ = std::jthread([this, loop, loops_thread = ::pthread_self(), call = std::move(on_signal)] {
        for (int count = 0;;) {
            pollfd watched[2] = {{signals_.get(), POLLIN, 0}, {end_.get(), POLLIN, 0}};
            if (::poll(watched, 2, -1) < 0)
                continue;
            if (watched[1].revents != 0)
                return;
            signalfd_siginfo info{};
            if (::read(signals_.get(), &info, sizeof info) != static_cast<ssize_t>(sizeof info))
                continue;
            const int signal = static_cast<int>(info.ssi_signo);
            if (++count == 3)
                ::_exit(128 + signal);
            loop.post([call, signal, count] { call(signal, count); });
            ::pthread_kill(loops_thread, SIGURG);
        }
    });
}

} // namespace tool
