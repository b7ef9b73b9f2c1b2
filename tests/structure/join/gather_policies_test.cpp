// SPDX-License-Identifier: MIT
#include "support/virtual_run.hpp"

#include <muster/gather.hpp>

#include <gtest/gtest.h>

using namespace play;

TEST(gather_policies, leave_siblings_throws_at_once_and_the_others_go_on) {
    expect_run(
        []() -> muster::task<> {
            auto a = muster::create_task(value_after(30ms, 1));
            auto b = muster::create_task(fail_after(10ms));
            auto ended = co_await ending(muster::gather(a, b).leave_siblings());
            EXPECT_EQ(text_of<std::runtime_error>(ended), "bad");
            EXPECT_FALSE(a.done());
            auto value = co_await a;
            EXPECT_EQ(value, 1);
        },
        30ms);
}

TEST(gather_policies, leave_siblings_reports_a_later_failure_that_nobody_reads) {
    expect_run(
        []() -> muster::task<> {
            {
                auto a = muster::create_task(fail_after(30ms, "late"), "a");
                auto b = muster::create_task(fail_after(10ms, "early"), "b");
                auto ended = co_await ending(muster::gather(a, b).leave_siblings());
                EXPECT_EQ(text_of<std::runtime_error>(ended), "early");
            }
            co_await muster::sleep_for(30ms);
        },
        40ms, {"suppressed: a: std::runtime_error: late"});
}

TEST(gather_policies, finish_siblings_lets_all_run_and_throws_a_group_of_all_failures) {
    expect_run(
        []() -> muster::task<> {
            lines log;
            auto ended = co_await ending(
                muster::gather(status_after(10ms, 500), logged(log, "b", 30ms), fail_after(20ms)).finish_siblings());
            const auto* group = ended.error_as<muster::exception_group>();
            EXPECT_NE(group, nullptr);
            if (group != nullptr) {
                EXPECT_EQ(group->size(), 2u);
                EXPECT_TRUE(group->contains<http_error>());
                EXPECT_TRUE(group->contains<std::runtime_error>());
            }
            EXPECT_EQ(log, (lines{"b begins", "b ends"}));
        },
        30ms);
}

TEST(gather_policies, finish_siblings_cancelled_after_a_failure_throws_the_group_and_keeps_the_cancellation) {
    expect_run(
        []() -> muster::task<> {
            auto body = []() -> muster::task<bool> {
                auto ended = co_await ending(muster::gather(fail_after(5ms), value_after(1h, 1)).finish_siblings());
                auto next = co_await ending(muster::sleep_for(1h));
                co_return ended.failed_with<muster::exception_group>() && next.was_cancelled();
            };
            auto h = muster::create_task(body());
            co_await muster::sleep_for(10ms);
            h.cancel();
            auto both = co_await h;
            EXPECT_TRUE(both);
        },
        10ms);
}

TEST(gather_policies, leave_siblings_is_for_tasks_that_run_already) {
    expect_run(
        []() -> muster::task<> {
            auto ended = co_await ending(muster::gather(value_now(1), value_now(2)).leave_siblings());
            EXPECT_TRUE(ended.failed_with<std::invalid_argument>());
        },
        0ms);
}

TEST(gather_policies, stop_after_failures_on_a_throwing_gather_throws_a_group_of_those) {
    expect_run(
        []() -> muster::task<> {
            lines log;
            auto ended =
                co_await ending(muster::gather(fail_after(1ms, "one"), fail_after(2ms, "two"), logged(log, "c", 1h))
                                    .stop_after_failures(2));
            const auto* group = ended.error_as<muster::exception_group>();
            EXPECT_NE(group, nullptr);
            if (group != nullptr) {
                EXPECT_EQ(group->size(), 2u);
            }
            EXPECT_EQ(log.back(), "c cancelled (stopped after failures)");
        },
        2ms);
}

TEST(gather_policies, a_cancelled_sibling_knows_whose_failure_it_was) {
    expect_run(
        []() -> muster::task<> {
            auto h = muster::create_task(value_after(1h, 1));
            auto ended = co_await ending(muster::gather(h, fail_after(1ms)).named("pages"));
            EXPECT_TRUE(ended.failed());
            EXPECT_EQ(h.ended_as().requested_by(), "pages[1]");
        },
        1ms);
}

TEST(settle, of_handles_that_is_cancelled_reports_the_failures_that_nobody_can_look_at_any_more_together) {
    const auto settles = [](std::vector<muster::task_handle<int>> handles) -> muster::task<> {
        auto all = co_await muster::settle(std::move(handles));
        static_cast<void>(all);
    };
    expect_run(
        [&]() -> muster::task<> {
            auto kept = muster::create_task(fail_after(1ms, "kept"));
            std::vector<muster::task_handle<int>> handles;
            for (const char* text : {"a", "b", "c"})
                handles.push_back(muster::create_task(fail_after(1ms, text)));
            handles.push_back(kept);
            handles.push_back(muster::create_task(value_after(1h, 1)));
            auto caller = muster::create_task(settles(std::move(handles)));
            co_await muster::sleep_for(5ms);
            caller.cancel();
            auto ended = co_await ending(std::move(caller));
            EXPECT_TRUE(ended.was_cancelled());
            EXPECT_EQ(text_of<std::runtime_error>(kept.ended_as()), "kept") << "its handle is still there";
        },
        5ms, {"suppressed: settle: muster::exception_group: 3 failures (3 sub-exceptions)"});
}
