// SPDX-License-Identifier: MIT
#include <muster/run_options.hpp>

#include <muster/event_loop.hpp>
#include <muster/run.hpp>
#include <muster/sleep.hpp>

#include <atomic>
#include <chrono>
#include <csignal>
#include <initializer_list>
#include <stdexcept>
#include <string>
#include <thread>

#include <gtest/gtest.h>

#include <unistd.h>

namespace {

using namespace std::chrono_literals;

/// Whoever runs the tests may have them ignore a signal, as a shell does with what it runs in the background.
class run_interrupted : public ::testing::Test {
protected:
    run_interrupted() {
        for (const int signal : signals)
            std::signal(signal, SIG_DFL);
    }
    ~run_interrupted() override {
        for (const int signal : signals)
            std::signal(signal, SIG_DFL);
    }

    static muster::task<> raise_and_wait(int signal) {
        std::raise(signal);
        co_await muster::sleep_for(60s);
    }
    /// *Returns* the message of the cancellation that the signal becomes.
    static std::string message_after(int signal, const muster::run_options& options = {}) {
        try {
            muster::run(raise_and_wait(signal), options);
        } catch (const muster::cancelled_error& e) {
            EXPECT_EQ(e.reason(), muster::cancel_reason::requested);
            return std::string(e.message());
        }
        return "not cancelled";
    }
    static bool is_default(int signal) {
        struct sigaction now {};
        sigaction(signal, nullptr, &now);
        return now.sa_handler == SIG_DFL;
    }

    static constexpr std::initializer_list<int> signals{SIGINT, SIGTERM, SIGHUP, SIGUSR1};
};

TEST_F(run_interrupted, sigint_cancels_main_unless_others_are_chosen) {
    EXPECT_EQ(message_after(SIGINT), "interrupted by SIGINT");
    EXPECT_TRUE(is_default(SIGINT));
}

TEST_F(run_interrupted, each_of_the_chosen_signals_cancels_main_and_says_which) {
    const auto options = muster::run_options().interrupt_signals({SIGINT, SIGTERM, SIGUSR1, SIGRTMIN});
    EXPECT_EQ(message_after(SIGINT, options), "interrupted by SIGINT");
    EXPECT_EQ(message_after(SIGTERM, options), "interrupted by SIGTERM");
    EXPECT_EQ(message_after(SIGUSR1, options), "interrupted by SIGUSR1");
    EXPECT_EQ(message_after(SIGRTMIN, options), "interrupted by signal " + std::to_string(SIGRTMIN));
    for (const int signal : {SIGINT, SIGTERM, SIGUSR1, SIGRTMIN})
        EXPECT_TRUE(is_default(signal));
}

TEST_F(run_interrupted, after_the_first_signal_all_are_the_systems_again) {
    const auto body = []() -> muster::task<bool> {
        EXPECT_FALSE(is_default(SIGINT));
        EXPECT_FALSE(is_default(SIGTERM));
        auto waiting = raise_and_wait(SIGTERM);
        auto ended = co_await muster::as_outcome(std::move(waiting));
        EXPECT_TRUE(ended.was_cancelled());
        muster::this_task::uncancel();
        co_return is_default(SIGINT) && is_default(SIGTERM);
    };
    EXPECT_TRUE(muster::run(body(), muster::run_options().interrupt_signals({SIGINT, SIGTERM})));
}

TEST_F(run_interrupted, a_signal_that_is_not_chosen_is_not_watched) {
    const auto body = []() -> muster::task<bool> { co_return is_default(SIGINT) && is_default(SIGTERM); };
    EXPECT_FALSE(muster::run(body()));
    EXPECT_TRUE(muster::run(body(), muster::run_options().handle_interrupt(false)));
    EXPECT_TRUE(muster::run(body(), muster::run_options().interrupt_signals({})));
    EXPECT_FALSE(muster::run_options().interrupt_signals({}).handles_interrupt());
}

std::atomic<int> own_handler_calls{0};

TEST_F(run_interrupted, a_signal_that_the_program_ignores_or_handles_itself_is_left_alone) {
    const auto body = []() -> muster::task<> {
        std::raise(SIGINT);
        co_await muster::sleep_for(5ms);
    };
    std::signal(SIGINT, SIG_IGN);
    muster::run(body());
    std::signal(SIGINT, [](int) { ++own_handler_calls; });
    muster::run(body());
    muster::run(body());
    EXPECT_EQ(own_handler_calls, 2) << "the loop took the program's handler away";
}

TEST_F(run_interrupted, loops_on_two_threads_are_both_interrupted) {
    std::atomic<int> begun{0};
    std::atomic<int> cancelled{0};
    const auto wait = [&begun]() -> muster::task<> {
        ++begun;
        co_await muster::sleep_for(60s);
    };
    const auto on_a_thread = [&] {
        try {
            muster::run(wait());
        } catch (const muster::cancelled_error&) {
            ++cancelled;
        }
    };
    std::thread first(on_a_thread);
    std::thread second(on_a_thread);
    while (begun != 2)
        std::this_thread::sleep_for(1ms);
    ::kill(::getpid(), SIGINT);
    first.join();
    second.join();
    EXPECT_EQ(cancelled, 2);
    EXPECT_TRUE(is_default(SIGINT));
}

TEST_F(run_interrupted, what_is_no_signal_is_refused) {
    for (const int wrong : {0, -1, 65, SIGKILL, SIGSTOP})
        EXPECT_THROW(muster::run_options().interrupt_signals({SIGINT, wrong}), std::invalid_argument);
}

} // namespace
