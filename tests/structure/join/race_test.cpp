// SPDX-License-Identifier: MIT
#include "support/virtual_run.hpp"

#include <muster/future.hpp>
#include <muster/race.hpp>

#include <gtest/gtest.h>

using namespace play;

TEST(race, gives_the_first_to_succeed_with_its_index_and_cancels_the_others) {
    expect_run(
        []() -> muster::task<> {
            lines log;
            auto first = co_await muster::race(logged(log, "a", 50ms), value_after(10ms, 7), logged(log, "c", 50ms));
            EXPECT_EQ(first.index(), 1u);
            EXPECT_EQ(first.value(), 7);
            EXPECT_EQ(log, (lines{"a begins", "c begins", "a cancelled (race lost)", "c cancelled (race lost)"}));
        },
        10ms);
}

TEST(race, of_void_references_and_what_can_only_be_moved) {
    expect_run(
        []() -> muster::task<> {
            auto none = co_await muster::race(nothing_after(2ms), nothing_after(1ms));
            EXPECT_EQ(none.index(), 1u);
            auto pointer = co_await muster::race(pointer_after(2ms, 1), pointer_after(1ms, 2));
            auto value = std::move(pointer).value();
            EXPECT_EQ(*value, 2);
            int x = 1, y = 2;
            auto reference = co_await muster::race(reference_after(2ms, x), reference_after(1ms, y));
            EXPECT_EQ(&reference.value(), &y);
        },
        3ms);
}

TEST(race, of_nothing_is_an_error) {
    expect_run(
        []() -> muster::task<> {
            auto ended = co_await ending(muster::race(std::vector<muster::task<int>>()));
            EXPECT_TRUE(ended.failed_with<std::invalid_argument>());
        },
        0ms);
}

TEST(race, of_one_is_that_one) {
    expect_run(
        []() -> muster::task<> {
            auto first = co_await muster::race(value_after(5ms, 3));
            EXPECT_EQ(first.value(), 3);
        },
        5ms);
}

TEST(race, is_not_ended_by_a_failure_while_somebody_can_win_and_reports_it) {
    expect_run(
        []() -> muster::task<> {
            auto first = co_await muster::race(fail_after(5ms), value_after(10ms, 7));
            EXPECT_EQ(first.index(), 1u);
        },
        10ms, {"suppressed: race[0]: std::runtime_error: bad"});
}

TEST(race, that_nobody_wins_throws_a_group_of_all_failures) {
    expect_run(
        []() -> muster::task<> {
            auto ended = co_await ending(muster::race(fail_after(5ms), status_after(10ms, 500)));
            const auto* group = ended.error_as<muster::exception_group>();
            EXPECT_NE(group, nullptr);
            if (group != nullptr) {
                EXPECT_EQ(group->size(), 2u);
            }
        },
        10ms);
}

TEST(race, names_itself_in_the_group_it_throws) {
    expect_run(
        []() -> muster::task<> {
            auto ended = co_await ending(muster::race(fail_now(), fail_now()).named("mirrors"));
            const auto* group = ended.error_as<muster::exception_group>();
            EXPECT_NE(group, nullptr);
            if (group != nullptr) {
                EXPECT_EQ(group->message(), "2 of 2 failed in mirrors");
            }
        },
        0ms);
}

TEST(race, the_winner_is_the_first_although_a_loser_that_ignores_cancellation_succeeds_as_well) {
    expect_run(
        []() -> muster::task<> {
            auto first = co_await muster::race(stubborn_for(30ms, 1), value_after(10ms, 2));
            EXPECT_EQ(first.index(), 1u);
            EXPECT_EQ(first.value(), 2);
        },
        30ms, {"suppressed: race[0]"});
}

TEST(race, a_loser_that_fails_in_its_clean_up_is_reported) {
    expect_run(
        []() -> muster::task<> {
            auto first = co_await muster::race(fail_cleaning_up(50ms, 5ms), value_after(10ms, 2));
            EXPECT_EQ(first.value(), 2);
        },
        15ms, {"suppressed: race[0]: std::runtime_error: clean-up"});
}

TEST(race, cancelled_before_it_starts_runs_nobody) {
    expect_run(
        []() -> muster::task<> {
            lines log;
            auto body = [](lines& l) -> muster::task<> {
                muster::this_task::cancel();
                auto first = co_await muster::race(logged(l, "a", 1ms), logged(l, "b", 1ms));
                EXPECT_EQ(first.index(), 99u) << "not reached";
            };
            auto ended = co_await ending(muster::create_task(body(log)));
            EXPECT_TRUE(ended.was_cancelled());
            EXPECT_TRUE(log.empty());
        },
        0ms);
}

TEST(race, cancelled_while_waiting_cancels_everybody) {
    expect_run(
        []() -> muster::task<> {
            lines log;
            auto body = [](lines& l) -> muster::task<> {
                auto first = co_await muster::race(logged(l, "a", 50ms), tidy_up(50ms, 5ms));
                EXPECT_EQ(first.index(), 99u) << "not reached";
            };
            auto h = muster::create_task(body(log));
            co_await muster::sleep_for(5ms);
            h.cancel("stop");
            auto ended = co_await ending(h);
            EXPECT_EQ(ended.message(), "stop");
            EXPECT_EQ(log, (lines{"a begins", "a stop"}));
        },
        10ms);
}

TEST(race, all_of_whose_children_were_cancelled_is_cancelled) {
    expect_run(
        []() -> muster::task<> {
            auto ended = co_await ending(muster::race(cancels_itself_after(1ms), cancels_itself_after(2ms)));
            EXPECT_TRUE(ended.was_cancelled());
        },
        2ms);
}

TEST(race, within_throws_timeout_error_when_nobody_was_in_time) {
    expect_run(
        []() -> muster::task<> {
            auto ended = co_await ending(muster::race(value_after(50ms, 1), value_after(60ms, 2)).within(20ms));
            EXPECT_TRUE(ended.failed_with<muster::timeout_error>());
        },
        20ms);
}

TEST(race, settled_says_why_the_others_lost_and_who_won) {
    expect_run(
        []() -> muster::task<> {
            auto all = co_await muster::race(value_after(50ms, 1), value_after(10ms, 2), fail_after(5ms)).settle();
            expect_adds_up(all, 3, 1, 1, 1, 0);
            EXPECT_EQ(all.get<0>().reason(), muster::cancel_reason::race_lost);
            EXPECT_EQ(all.get<0>().requested_by(), "race[1]");
            EXPECT_EQ(*all.get<1>(), 2);
            EXPECT_TRUE(all.get<2>().failed());
        },
        10ms);
}

TEST(race, of_handles_cancels_the_tasks_that_lost) {
    expect_run(
        []() -> muster::task<> {
            std::vector<muster::task_handle<int>> handles;
            handles.push_back(muster::create_task(value_after(50ms, 1)));
            handles.push_back(muster::create_task(value_after(10ms, 2)));
            auto first = co_await muster::race(handles);
            EXPECT_EQ(first.index(), 1u);
            EXPECT_TRUE(handles[0].cancelled());
            EXPECT_EQ(handles[1].result(), 2);
        },
        10ms);
}

TEST(race, never_awaited_is_reported) {
    expect_run(
        []() -> muster::task<> {
            {
                auto never = muster::race(value_now(1));
                static_cast<void>(never);
            }
            {
                auto never = muster::race(value_now(1)).settle();
                static_cast<void>(never);
            }
            co_return;
        },
        0ms, {"never awaited: race", "never awaited: race"});
}
