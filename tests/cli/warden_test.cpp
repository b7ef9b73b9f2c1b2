// SPDX-License-Identifier: MIT
// The warden of an agent that is killed: it ends what the agent has started, and nothing else.
#include "warden.hpp"

#include <chrono>
#include <csignal>
#include <fstream>
#include <string>
#include <thread>

#include <sys/wait.h>
#include <unistd.h>

#include <gtest/gtest.h>

namespace {

using namespace std::chrono_literals;

/// *Returns* a process that leads a group of its own and does nothing.
pid_t start_idle() {
    const pid_t pid = ::fork();
    if (pid == 0) {
        ::setpgid(0, 0);
        ::execlp("sleep", "sleep", "600", nullptr);
        ::_exit(127);
    }
    ::setpgid(pid, pid);
    return pid;
}

TEST(wardens, do_not_signal_a_process_that_has_the_number_of_a_command_that_has_ended) {
    // The agent was killed between taking its command off the system's list and telling so, and the number is taken.
    const pid_t foreign = start_idle();
    int ends[2];
    ASSERT_EQ(::pipe(ends), 0);
    const pid_t warden = ::fork();
    if (warden == 0) {
        auto report = tool::watch_over_this_agent();
        const auto observer = report.observer();
        const pid_t own = start_idle();
        static_cast<void>(!::write(ends[1], &own, sizeof own));
        observer.started(foreign);
        observer.started(own);
        ::kill(::getpid(), SIGKILL);
    }
    ::close(ends[1]);
    pid_t own = 0;
    ASSERT_EQ(::read(ends[0], &own, sizeof own), static_cast<ssize_t>(sizeof own));
    ::close(ends[0]);
    int status = 0;
    ASSERT_EQ(::waitpid(warden, &status, 0), warden);
    EXPECT_TRUE(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), 128 + SIGKILL);
    // The warden has waited for the end of the agent's own command.
    EXPECT_NE(::kill(own, 0), 0);
    EXPECT_EQ(::waitpid(foreign, &status, WNOHANG), 0) << "a process of somebody else was ended";
    ::kill(foreign, SIGKILL);
    EXPECT_EQ(::waitpid(foreign, &status, 0), foreign);
}

} // namespace
