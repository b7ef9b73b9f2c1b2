// SPDX-License-Identifier: MIT
// Rules that decide cases: start, depth, not started and cancelled, undelivered cancellation.
#include "support/virtual_run.hpp"

#include <muster/map.hpp>
#include <muster/race.hpp>
#include <muster/task_group.hpp>

#include <gtest/gtest.h>

#include <ranges>
#include <sstream>

using namespace play;

TEST(rule_start, create_task_and_a_groups_start_never_run_the_child_before_the_creator_suspends) {
    expect_run(
        []() -> muster::task<> {
            lines log;
            auto body = [&log](muster::task_group& group) -> muster::task<> {
                group.create_task(logged(log, "grouped", 0ms));
                static_cast<void>(muster::create_task(logged(log, "free", 0ms)));
                log.push_back("creator");
                co_await muster::sleep_for(1ms);
            };
            co_await muster::with_task_group(body);
            EXPECT_EQ(log.at(0), "creator");
            EXPECT_EQ(log.at(1), "grouped begins");
            EXPECT_EQ(log.at(2), "free begins");
        },
        1ms);
}

TEST(rule_start, children_of_gather_and_map_start_in_argument_order_after_the_caller_has_suspended) {
    expect_run(
        []() -> muster::task<> {
            lines log;
            static_cast<void>(muster::create_task(logged(log, "before", 0ms)));
            auto both = co_await muster::gather(logged(log, "a", 0ms), logged(log, "b", 0ms));
            static_cast<void>(both);
            EXPECT_EQ(lines(log.begin(), log.begin() + 3), (lines{"before begins", "a begins", "b begins"}));
            log.clear();
            const std::vector<int> in{1, 2, 3};
            auto child = [&log](int n) { return logged(log, std::to_string(n), 0ms); };
            auto got = co_await muster::map(in, child);
            EXPECT_EQ(got.size(), 3u);
            EXPECT_EQ(lines(log.begin(), log.begin() + 3), (lines{"1 begins", "2 begins", "3 begins"}));
        },
        0ms);
}

TEST(rule_start, a_child_that_fails_on_its_first_step_does_not_keep_a_gathers_later_children_from_theirs) {
    expect_run(
        []() -> muster::task<> {
            lines log;
            auto ended = co_await ending(muster::gather(fail_now(), logged(log, "b", 5ms), logged(log, "c", 5ms)));
            EXPECT_TRUE(ended.failed());
            EXPECT_EQ(
                log, (lines{"b begins", "c begins", "b cancelled (sibling failed)", "c cancelled (sibling failed)"}));
        },
        0ms);
}

TEST(rule_start, a_child_that_fails_on_its_first_step_does_not_keep_a_groups_later_children_from_theirs) {
    expect_run(
        []() -> muster::task<> {
            lines log;
            auto body = [&log](muster::task_group& group) -> muster::task<> {
                group.create_task(fail_now());
                group.create_task(logged(log, "b", 5ms));
                co_return;
            };
            auto ended = co_await ending(muster::with_task_group(body));
            EXPECT_TRUE(ended.failed());
            EXPECT_EQ(log, (lines{"b begins", "b cancelled (sibling failed)"}));
        },
        0ms);
}

TEST(rule_start, in_map_what_is_not_pulled_is_not_started) {
    expect_run(
        []() -> muster::task<> {
            const std::vector<int> in{1, 2, 3, 4};
            int calls = 0;
            auto child = [&calls](int) {
                ++calls;
                return fail_after(1ms);
            };
            auto all = co_await muster::map(in, child).limit(1).stop_after_failures(2).settle();
            expect_adds_up(all, 4, 0, 2, 0, 2);
            EXPECT_EQ(calls, 2);
            EXPECT_TRUE(all.any_failed<std::runtime_error>());
        },
        2ms);
}

namespace {

muster::task<int> nested_gather(int depth) {
    if (depth == 0)
        co_return 1;
    std::vector<muster::task<int>> one;
    one.push_back(nested_gather(depth - 1));
    auto got = co_await muster::gather(std::move(one));
    co_return got[0];
}
muster::task<> never_ends() { co_await muster::sleep_for(1h); }
muster::task<> deep_wait(int depth) {
    auto below = depth == 0 ? never_ends() : deep_wait(depth - 1);
    co_await std::move(below);
}
muster::task<> nested_wait(int depth) {
    std::vector<muster::task<>> one;
    one.push_back(depth == 0 ? never_ends() : nested_wait(depth - 1));
    co_await muster::gather(std::move(one));
}

} // namespace

TEST(rule_depth, a_deep_nest_of_gathers_starts_and_ends) {
    expect_run(
        []() -> muster::task<> {
            auto got = co_await nested_gather(10'000);
            EXPECT_EQ(got, 1);
        },
        0ms);
}

TEST(rule_depth, a_deep_chain_that_waits_is_cancelled_and_destroyed) {
    expect_run(
        []() -> muster::task<> {
            auto h = muster::create_task(deep_wait(100'000));
            auto n = muster::create_task(nested_wait(10'000));
            co_await muster::sleep_for(1ms);
            h.cancel();
            n.cancel();
            auto a = co_await ending(h);
            EXPECT_TRUE(a.was_cancelled());
            auto b = co_await ending(n);
            EXPECT_TRUE(b.was_cancelled());
        },
        1ms);
}

TEST(rule_depth, a_deep_chain_that_waits_is_destroyed_with_its_loop_bottom_up) {
    const auto frames = muster::testing::live_frames();
    lines seen;
    const auto before = muster::set_report_handler([&](const muster::report& r) { seen.push_back(line_of(r)); });
    {
        muster::testing::manual_loop loop;
        static_cast<void>(loop.start(deep_wait(100'000), "chain"));
        static_cast<void>(loop.start(nested_wait(10'000), "nest"));
        loop.run_ready();
    }
    muster::set_report_handler(before);
    EXPECT_EQ(seen.size(), 2u);
    EXPECT_EQ(muster::testing::live_frames(), frames);
}

TEST(rule_not_started_and_cancelled, cancelled_is_asked_to_stop_whether_or_not_its_body_began) {
    expect_run(
        []() -> muster::task<> {
            lines log;
            std::vector<muster::task<int>> tasks;
            tasks.push_back(logged(log, "a", 1h));
            tasks.push_back(logged(log, "b", 1h));
            auto all = co_await muster::settle(std::move(tasks)).limit(1).within(5ms);
            expect_adds_up(all, 2, 0, 0, 2, 0);
            EXPECT_EQ(log.size(), 2u) << "b never began, and its task was there";
        },
        5ms);
}

TEST(rule_not_started_and_cancelled, not_started_is_submitted_but_its_callable_was_never_called) {
    expect_run(
        []() -> muster::task<> {
            const std::vector<int> in{1, 2, 3};
            auto child = [](int) { return nothing_after(1h); };
            auto all = co_await muster::map(in, child).limit(1).within(5ms).settle();
            expect_adds_up(all, 3, 0, 0, 1, 2);
            EXPECT_EQ(muster::to_string(all[0]), "cancelled (deadline)");
            EXPECT_EQ(muster::to_string(all[2]), "not started (deadline)");
        },
        5ms);
}

TEST(rule_not_started_and_cancelled, submitted_is_every_element_pulled_of_an_input_of_unknown_length_with_a_flag) {
    expect_run(
        []() -> muster::task<> {
            std::istringstream text("1 2 3 4 5 6");
            auto child = [](int) { return nothing_after(10ms); };
            auto all = co_await muster::map(std::views::istream<int>(text), child).limit(2).within(15ms).settle();
            expect_adds_up(all, 4, 2, 0, 2, 0);
            EXPECT_FALSE(all.exhausted());
        },
        15ms);
}

TEST(rule_undelivered_cancellation, a_child_that_caught_a_delivered_cancellation_and_returns_has_a_value) {
    expect_run(
        []() -> muster::task<> {
            auto h = muster::create_task(stubborn_for(5ms, 3));
            co_await muster::sleep_for(1ms);
            h.cancel();
            auto value = co_await h;
            EXPECT_EQ(value, 3);
            EXPECT_EQ(h.cancelling(), 1);
        },
        5ms);
}

TEST(rule_undelivered_cancellation, one_that_returns_while_a_cancellation_is_undelivered_is_cancelled) {
    expect_run(
        []() -> muster::task<> {
            auto body = []() -> muster::task<int> {
                muster::this_task::cancel("too late to hear of");
                co_return 3;
            };
            auto h = muster::create_task(body());
            auto ended = co_await ending(h);
            EXPECT_TRUE(ended.was_cancelled());
            EXPECT_EQ(ended.message(), "too late to hear of");
            auto all = co_await muster::settle(body(), value_now(1));
            expect_adds_up(all, 2, 1, 0, 1, 0);
        },
        0ms);
}
