// SPDX-License-Identifier: MIT
#include <muster/io/signals.hpp>

#include "support/io_play.hpp"

#include <muster/event_loop.hpp>
#include <muster/run.hpp>
#include <muster/sleep.hpp>
#include <muster/task_handle.hpp>
#include <muster/testing/manual_loop.hpp>

#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <optional>
#include <stdexcept>
#include <thread>

#include <sys/wait.h>
#include <unistd.h>

namespace {

using namespace std::chrono_literals;
using namespace io_test;
using muster::task;
using muster::io::signal_watcher;

bool is_default(int signal) {
    struct sigaction now {};
    ::sigaction(signal, nullptr, &now);
    return now.sa_handler == SIG_DFL;
}

TEST(io_signals, gives_each_signal_in_the_order_in_which_they_came) {
    const descriptor_audit audit;
    auto watch = []() -> task<> {
        signal_watcher signals({SIGUSR1, SIGUSR2});
        for (int i = 0; i != 3; ++i) {
            ::raise(SIGUSR1);
            ::raise(SIGUSR2);
        }
        for (int i = 0; i != 3; ++i) {
            const auto first = co_await signals.next();
            EXPECT_EQ(first, SIGUSR1);
            const auto second = co_await signals.next();
            EXPECT_EQ(second, SIGUSR2);
        }
    };
    muster::run(watch());
    EXPECT_TRUE(is_default(SIGUSR1));
    EXPECT_TRUE(is_default(SIGUSR2));
}

TEST(io_signals, keeps_its_loop_waiting) {
    const descriptor_audit audit;
    auto watch = []() -> task<> {
        signal_watcher signals({SIGUSR1});
        std::thread other([] {
            std::this_thread::sleep_for(5ms);
            ::kill(::getpid(), SIGUSR1);
        });
        const auto number = co_await signals.next();
        EXPECT_EQ(number, SIGUSR1);
        other.join();
    };
    muster::run(watch());
}

TEST(io_signals, every_watcher_gets_a_signal) {
    const descriptor_audit audit;
    auto watch = []() -> task<> {
        signal_watcher one({SIGUSR1});
        std::optional<signal_watcher> two(std::in_place, std::initializer_list<int>{SIGUSR1, SIGHUP});
        ::raise(SIGUSR1);
        const auto first = co_await one.next();
        const auto second = co_await two->next();
        EXPECT_EQ(first, second);
        two.reset();
        EXPECT_FALSE(is_default(SIGUSR1));
        EXPECT_TRUE(is_default(SIGHUP));
        ::raise(SIGUSR1);
        const auto third = co_await one.next();
        EXPECT_EQ(third, SIGUSR1);
    };
    muster::run(watch());
}

TEST(io_signals, a_cancelled_wait_loses_none) {
    const descriptor_audit audit;
    auto watch = []() -> task<> {
        signal_watcher signals({SIGUSR1});
        auto waiting = muster::create_task(signals.next());
        co_await muster::sleep_for(1ms);
        ::raise(SIGUSR1);
        waiting.cancel();
        co_await ended(waiting);
        EXPECT_TRUE(waiting.cancelled());
        const auto number = co_await signals.next();
        EXPECT_EQ(number, SIGUSR1);
    };
    muster::run(watch());
}

TEST(io_signals, may_be_destroyed_while_a_task_waits_and_after_its_loop) {
    const descriptor_audit audit;
    std::optional<signal_watcher> outlives;
    auto watch = [&]() -> task<> {
        std::optional<signal_watcher> signals(std::in_place, std::initializer_list<int>{SIGUSR1});
        auto waiting = muster::create_task(code_of(signals->next()));
        co_await muster::sleep_for(1ms);
        signals.reset();
        const auto code = co_await waiting;
        EXPECT_EQ(code, std::errc::operation_canceled);
        outlives.emplace(std::initializer_list<int>{SIGUSR2});
    };
    muster::run(watch());
    ::raise(SIGUSR2);
    outlives.reset();
    EXPECT_TRUE(is_default(SIGUSR2));
}

TEST(io_signals, brings_back_what_a_signal_did_before) {
    const descriptor_audit audit;
    ::signal(SIGUSR1, SIG_IGN);
    auto watch = []() -> task<> {
        signal_watcher signals({SIGUSR1});
        signal_watcher moved(std::move(signals));
        ::raise(SIGUSR1);
        const auto number = co_await moved.next();
        EXPECT_EQ(number, SIGUSR1);
    };
    muster::run(watch());
    struct sigaction now {};
    ::sigaction(SIGUSR1, nullptr, &now);
    EXPECT_EQ(now.sa_handler, SIG_IGN);
    ::signal(SIGUSR1, SIG_DFL);
}

TEST(io_signals, a_forked_child_does_not_tell_its_parent) {
    const descriptor_audit audit;
    auto watch = []() -> task<> {
        signal_watcher signals({SIGUSR1});
        const pid_t child = ::fork();
        if (child == 0) {
            ::raise(SIGUSR1);
            ::_exit(0);
        }
        int status = 0;
        while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {}
        EXPECT_EQ(status, 0);
        auto waiting = muster::create_task(signals.next());
        co_await muster::sleep_for(2ms);
        EXPECT_FALSE(waiting.done());
        ::raise(SIGUSR1);
        const auto number = co_await waiting;
        EXPECT_EQ(number, SIGUSR1);
    };
    muster::run(watch());
}

TEST(io_signals, refuses_what_can_not_be_watched) {
    const descriptor_audit audit;
    auto watch = []() -> task<> {
        EXPECT_THROW(signal_watcher({}), std::invalid_argument);
        EXPECT_THROW(signal_watcher({0}), std::invalid_argument);
        EXPECT_THROW(signal_watcher({SIGKILL}), std::invalid_argument);
        EXPECT_THROW(signal_watcher({65}), std::invalid_argument);
        EXPECT_THROW(signal_watcher({SIGUSR1, SIGSEGV}), std::invalid_argument);
        EXPECT_TRUE(is_default(SIGUSR1));
        // glibc keeps the first two real-time signals for itself.
        EXPECT_THROW(signal_watcher({SIGUSR1, 33}), std::system_error);
        EXPECT_TRUE(is_default(SIGUSR1));
        co_return;
    };
    muster::run(watch());
    EXPECT_THROW(signal_watcher({SIGUSR1}), muster::invalid_state_error);
    muster::testing::manual_loop loop;
    auto nothing = []() -> task<> {
        EXPECT_THROW(signal_watcher({SIGUSR1}), muster::invalid_state_error);
        co_return;
    };
    loop.run(nothing());
}

} // namespace
