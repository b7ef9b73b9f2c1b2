// SPDX-License-Identifier: MIT
// What is left at the end of a run: cancelled, waited for, named, left behind.
#include <muster/future.hpp>
#include <muster/gather.hpp>
#include <muster/report.hpp>
#include <muster/run_options.hpp>
#include <muster/sleep.hpp>
#include <muster/task_handle.hpp>
#include <muster/testing/manual_loop.hpp>

#include <chrono>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace {

using namespace std::chrono_literals;
using muster::testing::manual_loop;

/// Goes on for ever, whoever cancels it.
muster::task<> ignore_cancellation(int& steps) {
    for (;;) {
        ++steps;
        bool cancelled = false;
        try {
            co_await muster::sleep_for(1s);
        } catch (const muster::cancelled_error&) {
            cancelled = true;
        }
        static_cast<void>(cancelled);
    }
}

muster::task<> leave(muster::task<> stubborn) {
    muster::create_task(std::move(stubborn), "stubborn");
    co_await muster::sleep_for(1ms);
}

muster::task<> sleep(std::chrono::nanoseconds time) { co_await muster::sleep_for(time); }

struct collected {
    muster::run_options options() {
        return muster::run_options().grace(3s).on_report([this](const muster::report& r) { reports.push_back(r); });
    }
    std::vector<muster::report> reports;
};

TEST(a_task_that_ignores_its_cancellation, is_never_resumed_in_a_later_run) {
    const auto frames = muster::testing::live_frames();
    int steps = 0;
    {
        manual_loop loop;
        collected c;
        loop.run(leave(ignore_cancellation(steps)), c.options());
        ASSERT_EQ(c.reports.size(), 1u);
        EXPECT_EQ(c.reports[0].kind, muster::report_kind::ignores_cancellation);
        EXPECT_EQ(c.reports[0].name, "stubborn");
        const int steps_of_run = steps;
        loop.run(sleep(100s));
        EXPECT_EQ(steps, steps_of_run);
        // Nor is a second run held up by it.
        EXPECT_EQ(loop.elapsed(), 1ms + 3s + 100s);
        EXPECT_EQ(c.reports.size(), 1u);
    }
    EXPECT_EQ(muster::testing::live_frames(), frames);
}

TEST(a_task_that_ignores_its_cancellation, leaves_its_children_behind_with_it) {
    const auto frames = muster::testing::live_frames();
    int steps = 0;
    {
        manual_loop loop;
        collected c;
        loop.run(leave([](int& all) -> muster::task<> {
            co_await muster::gather(ignore_cancellation(all), ignore_cancellation(all));
        }(steps)),
            c.options());
        const int steps_of_run = steps;
        loop.run(sleep(100s));
        EXPECT_EQ(steps, steps_of_run);
    }
    EXPECT_EQ(muster::testing::live_frames(), frames);
}

TEST(the_report_handler_of_a_run, is_not_called_after_the_run) {
    manual_loop loop;
    collected c;
    std::vector<std::string> of_program;
    auto before = muster::set_report_handler([&](const muster::report& r) { of_program.push_back(r.name); });
    std::optional<muster::task_handle<>> kept;
    loop.run(
        [](std::optional<muster::task_handle<>>& handle) -> muster::task<> {
            handle = muster::create_task(
                []() -> muster::task<> {
                    throw std::runtime_error("bad");
                    co_return;
                }(),
                "failed");
            co_await muster::sleep_for(1ms);
        }(kept),
        c.options());
    loop.run([](std::optional<muster::task_handle<>>& handle) -> muster::task<> {
        handle.reset();
        co_return;
    }(kept));
    muster::set_report_handler(std::move(before));
    EXPECT_EQ(c.reports.size(), 0u);
    EXPECT_EQ(of_program, std::vector<std::string>{"failed"});
}

TEST(a_strict_run, reports_what_still_runs_when_main_ends) {
    manual_loop loop;
    collected c;
    EXPECT_THROW(loop.run(leave(sleep(10s)), c.options().strict()), muster::strict_error);
    ASSERT_EQ(c.reports.size(), 1u);
    EXPECT_EQ(c.reports[0].kind, muster::report_kind::stray);
    EXPECT_EQ(c.reports[0].name, "stubborn");
    EXPECT_EQ(c.reports[0].detail, "was still running when main ended, and waits for sleep");
    // The reports of one run are not those of the next.
    loop.run(sleep(1s), muster::run_options().strict());
}

TEST(a_deadlock, names_every_child_and_what_it_waits_for) {
    manual_loop loop;
    try {
        loop.run([]() -> muster::task<> {
            auto never = muster::make_future<void>("never");
            auto wait = [](muster::future<void> f) -> muster::task<> { co_await f; };
            co_await muster::gather(wait(never), wait(never), never);
        }());
        ADD_FAILURE() << "it ended";
    } catch (const muster::deadlock_error& e) {
        ASSERT_EQ(e.waiters().size(), 1u);
        const auto& main = e.waiters()[0];
        EXPECT_NE(main.find("waits for its children\n    'gather[0]' (created at "), std::string::npos) << main;
        EXPECT_NE(main.find("\n    'gather[1]' (created at "), std::string::npos) << main;
        EXPECT_NE(main.find("waits for a task or future\n        'never' (created at "), std::string::npos) << main;
    }
}

TEST(a_deadlock, of_very_many_children_says_how_many_more_there_are) {
    manual_loop loop;
    try {
        loop.run([]() -> muster::task<> {
            auto never = muster::make_future<void>("never");
            auto wait = [](muster::future<void> f) -> muster::task<> { co_await f; };
            std::vector<muster::task<>> all;
            for (int i = 0; i != 1000; ++i)
                all.push_back(wait(never));
            co_await muster::gather(std::move(all));
        }());
        ADD_FAILURE() << "it ended";
    } catch (const muster::deadlock_error& e) {
        ASSERT_EQ(e.waiters().size(), 1u);
        EXPECT_NE(e.waiters()[0].find(" more"), std::string::npos) << e.waiters()[0];
        EXPECT_LT(e.waiters()[0].size(), 20'000u);
    }
}

} // namespace
