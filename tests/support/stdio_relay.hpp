// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The main of a test program that stands between a launcher and an agent, and carries what both say over their
/// standard input and output: late, or cut off.
///
///     if (argc > 4 && argv[1] == "--relay"sv) stdio_relay(atoi(argv[2]), atol(argv[3]), argv + 4);

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <random>
#include <thread>

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

/// Starts the words. Each piece is late by up to so many milliseconds; after so many bytes of both directions it ends,
/// if that is not 0. It ends with either side, too.
[[noreturn]] inline void stdio_relay(unsigned late_by, long cut_at, char** words) {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0)
        std::_Exit(1);
    if (::fork() == 0) {
        ::dup2(ends[1], STDIN_FILENO);
        ::dup2(ends[1], STDOUT_FILENO);
        ::close(ends[0]);
        ::close(ends[1]);
        ::execvp(words[0], words);
        std::_Exit(127);
    }
    ::close(ends[1]);
    std::minstd_rand random(static_cast<unsigned>(::getpid()));
    for (;;) {
        std::array<pollfd, 2> polled{{{STDIN_FILENO, POLLIN, 0}, {ends[0], POLLIN, 0}}};
        ::poll(polled.data(), polled.size(), -1);
        for (const std::size_t from : {0U, 1U}) {
            if (polled[from].revents == 0)
                continue;
            std::array<char, 4096> bytes{};
            auto n = ::read(polled[from].fd, bytes.data(), bytes.size());
            if (n <= 0)
                std::_Exit(0);
            if (late_by != 0)
                std::this_thread::sleep_for(std::chrono::milliseconds(random() % (late_by + 1)));
            if (cut_at != 0)
                n = std::min<ssize_t>(n, cut_at);
            const char* next = bytes.data();
            for (auto left = n; left != 0;) {
                const auto written = ::write(from == 0 ? ends[0] : STDOUT_FILENO, next, static_cast<std::size_t>(left));
                if (written <= 0)
                    std::_Exit(0);
                next += written;
                left -= written;
            }
            if (cut_at != 0 && (cut_at -= n) == 0)
                std::_Exit(0);
        }
    }
}
