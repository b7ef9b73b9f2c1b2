// SPDX-License-Identifier: MIT
#include "support/virtual_run.hpp"

#include <muster/report.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <source_location>

using namespace play;

namespace {

/// The body on a loop of its own: what its handler was given.
template <class Body>
std::vector<muster::report> reports_of(Body body, muster::run_options options = {}) {
    std::vector<muster::report> seen;
    muster::testing::manual_loop loop;
    loop.run(body(), options.on_report([&seen](const muster::report& r) { seen.push_back(r); }));
    return seen;
}

muster::task<> drops_a_failure() {
    static_cast<void>(muster::create_task(fail_after(1ms), "lost"));
    co_await muster::sleep_for(2ms);
}

} // namespace

TEST(report, without_any_handler_is_one_line_on_standard_error) {
    ::testing::internal::CaptureStderr();
    {
        muster::testing::manual_loop loop;
        loop.run(drops_a_failure());
    }
    const auto text = ::testing::internal::GetCapturedStderr();
    EXPECT_EQ(text.find("muster: never retrieved: lost (created at "), 0u) << text;
    EXPECT_NE(text.find("failed: std::runtime_error: bad"), std::string::npos) << text;
    EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1);
}

TEST(report, goes_to_the_loops_handler_before_the_programs) {
    lines of_program;
    const auto before = muster::set_report_handler([&](const muster::report& r) { of_program.push_back(line_of(r)); });
    const auto of_loop = reports_of(drops_a_failure);
    EXPECT_EQ(of_loop.size(), 1u);
    EXPECT_TRUE(of_program.empty());
    {
        muster::testing::manual_loop loop;
        loop.run(drops_a_failure());
    }
    EXPECT_EQ(of_program, lines{"never retrieved: lost: std::runtime_error: bad"});
    muster::set_report_handler(before);
}

TEST(report, of_a_strict_run_makes_it_throw) {
    muster::testing::manual_loop loop;
    lines seen;
    const auto options =
        muster::run_options().strict().on_report([&](const muster::report& r) { seen.push_back(line_of(r)); });
    try {
        loop.run(drops_a_failure(), options);
        ADD_FAILURE() << "it must throw";
    } catch (const muster::strict_error& e) {
        EXPECT_NE(std::string(e.what()).find("never retrieved: lost"), std::string::npos) << e.what();
    }
    EXPECT_EQ(seen.size(), 1u);
}

TEST(report, a_strict_run_that_reports_nothing_ends_well) {
    muster::testing::manual_loop loop;
    loop.run(nothing_after(1ms), muster::run_options().strict());
    EXPECT_EQ(loop.elapsed(), 1ms);
}

TEST(report, says_of_a_task_that_was_left_at_the_end_that_it_failed_during_shutdown) {
    const auto seen = reports_of([]() -> muster::task<> {
        static_cast<void>(muster::create_task(fail_cleaning_up(1h, 5ms), "left"));
        co_await muster::sleep_for(1ms);
    });
    ASSERT_EQ(seen.size(), 1u);
    EXPECT_EQ(line_of(seen[0]), "failed during shutdown: left: std::runtime_error: clean-up");
}

TEST(report, says_of_a_task_whose_loop_is_destroyed_that_it_was_pending) {
    lines seen;
    const auto frames = muster::testing::live_frames();
    const auto before = muster::set_report_handler([&](const muster::report& r) { seen.push_back(line_of(r)); });
    {
        muster::testing::manual_loop loop;
        auto h = loop.start(nothing_after(1h), "pending");
        loop.run_ready();
        EXPECT_FALSE(h.done());
    }
    muster::set_report_handler(before);
    EXPECT_EQ(seen, lines{"destroyed while pending: pending"});
    EXPECT_EQ(muster::testing::live_frames(), frames);
}

TEST(report, of_a_slow_step_names_the_task) {
    const auto seen = reports_of(
        []() -> muster::task<> {
            co_await muster::sleep_for(1ms);
            const auto end = std::chrono::steady_clock::now() + 3ms;
            while (std::chrono::steady_clock::now() < end) {}
        },
        muster::run_options().report_slow_steps(2ms));
    ASSERT_EQ(seen.size(), 1u);
    EXPECT_EQ(line_of(seen[0]), "slow step: main");
    EXPECT_EQ(seen[0].detail.find("kept the loop busy for "), 0u);
}

TEST(report, kinds_have_names) {
    using enum muster::report_kind;
    EXPECT_EQ(muster::to_string(never_retrieved), "never retrieved");
    EXPECT_EQ(muster::to_string(suppressed), "suppressed");
    EXPECT_EQ(muster::to_string(unread_outcomes), "unread outcome");
    EXPECT_EQ(muster::to_string(ignores_cancellation), "ignores cancellation");
}

TEST(report, set_report_handler_gives_back_the_one_before) {
    int a = 0;
    const auto before = muster::set_report_handler([&a](const muster::report&) { ++a; });
    const auto mine = muster::set_report_handler(before);
    ASSERT_TRUE(mine);
    mine(muster::report(muster::report_kind::suppressed));
    EXPECT_EQ(a, 1);
}
