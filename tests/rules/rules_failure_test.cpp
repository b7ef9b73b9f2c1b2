// SPDX-License-Identifier: MIT
// Rules that decide cases: first failure, error beats cancellation; the policies; cancellation in C++; departures.
#include "support/virtual_run.hpp"

#include <muster/cleanup.hpp>
#include <muster/future.hpp>
#include <muster/map.hpp>
#include <muster/race.hpp>
#include <muster/task_group.hpp>
#include <muster/timeout.hpp>

#include <gtest/gtest.h>

#include <type_traits>

using namespace play;

TEST(rule_first_failure, means_first_in_order_of_completion) {
    expect_run(
        []() -> muster::task<> {
            auto ended = co_await ending(muster::gather(fail_cleaning_up(1h, 1ms, "late"), status_after(5ms, 1)));
            EXPECT_TRUE(ended.failed_with<http_error>());
        },
        6ms, {"suppressed: gather[0]: std::runtime_error: late"});
}

TEST(rule_first_failure, in_one_instant_is_the_one_that_ended_first) {
    expect_run(
        []() -> muster::task<> {
            auto a = muster::create_task(fail_after(5ms, "older timer"));
            co_await muster::yield();
            auto ended = co_await ending(muster::gather(fail_after(5ms, "younger timer"), a));
            EXPECT_TRUE(ended.failed());
            EXPECT_EQ(text_of<std::runtime_error>(ended), "younger timer")
                << "a handle is watched: its end is told in a turn of its own";
            EXPECT_TRUE(a.exception() != nullptr);
        },
        5ms);
}

TEST(rule_first_failure, with_leave_siblings_the_first_that_ended_and_did_not_succeed_decides_cancelled_or_failed) {
    expect_run(
        []() -> muster::task<> {
            auto a = muster::create_task(value_after(1h, 1));
            auto b = muster::create_task(fail_after(20ms));
            auto c = muster::create_task(value_after(1ms, 2));
            auto killer = [](muster::any_handle h) -> muster::task<> {
                co_await muster::sleep_for(10ms);
                h.cancel("first to end");
            };
            static_cast<void>(muster::create_task(killer(a)));
            auto ended = co_await ending(muster::gather(a, b, c).leave_siblings());
            EXPECT_TRUE(ended.was_cancelled());
            EXPECT_EQ(ended.message(), "first to end");
            auto late = co_await ending(b);
            EXPECT_TRUE(late.failed());
        },
        20ms);
}

TEST(rule_first_failure, a_child_that_somebody_cancelled_ends_a_throwing_gather_with_cancelled_error) {
    expect_run(
        []() -> muster::task<> {
            auto h = muster::create_task(value_after(1h, 1));
            auto killer = [](muster::any_handle victim) -> muster::task<> {
                co_await muster::sleep_for(5ms);
                victim.cancel();
            };
            static_cast<void>(muster::create_task(killer(h)));
            lines log;
            auto ended = co_await ending(muster::gather(h, logged(log, "b", 1h)));
            EXPECT_TRUE(ended.was_cancelled());
            EXPECT_EQ(log.size(), 2u) << "the sibling was cancelled and has ended";
            EXPECT_EQ(muster::this_task::cancelling(), 0);
        },
        5ms);
}

TEST(rule_first_failure, settle_records_a_child_that_somebody_cancelled) {
    expect_run(
        []() -> muster::task<> {
            auto h = muster::create_task(value_after(1h, 1));
            h.cancel("by hand");
            auto [a, b] = co_await muster::settle(h, value_after(1ms, 2));
            EXPECT_EQ(a.message(), "by hand");
            EXPECT_EQ(a.reason(), muster::cancel_reason::requested);
            EXPECT_EQ(*b, 2);
        },
        1ms);
}

TEST(rule_error_beats_cancellation, a_caller_cancelled_while_a_failed_gather_winds_down_gets_the_error_now) {
    expect_run(
        []() -> muster::task<> {
            auto caller = []() -> muster::task<> {
                auto ended = co_await ending(muster::gather(status_after(5ms, 1), tidy_up(1h, 10ms)));
                EXPECT_TRUE(ended.failed_with<http_error>());
                EXPECT_EQ(muster::this_task::cancelling(), 1) << "the count stays";
                co_await muster::sleep_for(1h);
            };
            auto h = muster::create_task(caller());
            co_await muster::sleep_for(10ms);
            h.cancel("kept");
            auto ended = co_await ending(h);
            EXPECT_EQ(ended.message(), "kept");
        },
        10ms);
}

TEST(rule_error_beats_cancellation, cancellation_caused_by_a_siblings_failure_is_an_error_in_no_group) {
    expect_run(
        []() -> muster::task<> {
            auto body = [](muster::task_group& group) -> muster::task<> {
                group.create_task(fail_after(1ms));
                group.create_task(value_after(1h, 1));
                group.create_task(tidy_up(1h, 1ms));
                co_await muster::sleep_for(1h);
            };
            auto ended = co_await ending(muster::with_task_group(body));
            const auto* group = ended.error_as<muster::exception_group>();
            EXPECT_NE(group, nullptr);
            if (group != nullptr) {
                EXPECT_EQ(group->leaf_count(), 1u);
            }
            auto all = co_await muster::gather(fail_after(1ms), cancels_itself_after(1ms)).settle();
            expect_adds_up(all, 2, 0, 1, 1, 0);
            const auto pointer = all.as_group();
            EXPECT_EQ(muster::as_group(pointer)->size(), 1u);
        },
        3ms);
}

TEST(cancellation_in_cpp, cancelled_error_is_no_std_exception_and_neither_is_a_group_that_holds_one) {
    static_assert(!std::is_base_of_v<std::exception, muster::cancelled_error>);
    static_assert(!std::is_base_of_v<std::exception, muster::base_exception_group>);
    std::vector<std::exception_ptr> mixed;
    mixed.push_back(std::make_exception_ptr(http_error(1)));
    mixed.push_back(std::make_exception_ptr(muster::cancelled_error()));
    const auto group = muster::make_exception_group("mixed", mixed);
    EXPECT_FALSE(muster::is_a<std::exception>(group));
    EXPECT_TRUE(muster::is_a<muster::base_exception_group>(group));
}

TEST(cancellation_in_cpp, catching_std_exception_does_not_swallow_it) {
    expect_run(
        []() -> muster::task<> {
            bool swallowed = false;
            auto body = [](bool& caught) -> muster::task<> {
                try {
                    co_await muster::sleep_for(1h);
                } catch (const std::exception&) {
                    caught = true;
                }
            };
            auto h = muster::create_task(body(swallowed));
            co_await muster::yield();
            h.cancel();
            auto ended = co_await ending(h);
            EXPECT_TRUE(ended.was_cancelled());
            EXPECT_FALSE(swallowed);
        },
        0ms);
}

TEST(cancellation_in_cpp, any_other_type_that_is_thrown_is_an_error_int_included) {
    expect_run(
        []() -> muster::task<> {
            auto body = []() -> muster::task<int> {
                throw 42;
                co_return 0;
            };
            auto h = muster::create_task(body());
            auto ended = co_await ending(h);
            EXPECT_TRUE(ended.failed());
            EXPECT_TRUE(ended.failed_with<int>());
            EXPECT_FALSE(h.cancelled());
        },
        0ms);
}

TEST(cancellation_in_cpp, a_clean_up_that_awaits_sees_how_the_body_ended) {
    expect_run(
        []() -> muster::task<> {
            std::vector<muster::outcome_state> seen;
            auto cleanup = [&seen](const muster::outcome<int>& ended) -> muster::task<> {
                seen.push_back(ended.state());
                co_await muster::sleep_for(1ms);
            };
            auto good = [] { return value_after(1ms, 1); };
            auto bad = [] { return fail_after(1ms); };
            auto cancelled = [] { return cancels_itself_after(1ms); };
            auto after_value = co_await ending(muster::with_cleanup(good, cleanup));
            auto after_error = co_await ending(muster::with_cleanup(bad, cleanup));
            auto after_cancellation = co_await ending(muster::with_cleanup(cancelled, cleanup));
            EXPECT_TRUE(after_value.succeeded() && after_error.failed() && after_cancellation.was_cancelled());
            using state = muster::outcome_state;
            EXPECT_EQ(seen, (std::vector<state>{state::value, state::error, state::cancelled}));
        },
        6ms);
}

TEST(departure_from_asyncio, gather_waits_for_its_children_by_default) {
    expect_run(
        []() -> muster::task<> {
            int in_my_frame = 0;
            auto uses_it = [](int& n) -> muster::task<> {
                auto step = tidy_up(1h, 5ms);
                auto ended = co_await ending(std::move(step));
                ++n;
                EXPECT_TRUE(ended.was_cancelled());
            };
            auto ended = co_await ending(muster::gather(uses_it(in_my_frame), fail_after(5ms)));
            EXPECT_TRUE(ended.failed());
            EXPECT_EQ(in_my_frame, 1);
        },
        10ms);
}

TEST(departure_from_asyncio, second_and_later_failures_are_reported_and_not_marked_as_retrieved) {
    expect_run(
        []() -> muster::task<> {
            auto a = muster::create_task(fail_after(5ms, "a"), "a");
            auto b = muster::create_task(fail_after(5ms, "b"), "b");
            auto ended = co_await ending(muster::gather(std::move(a), std::move(b), fail_after(5ms, "c")));
            EXPECT_TRUE(ended.failed());
            EXPECT_EQ(text_of<std::runtime_error>(ended), "c");
        },
        5ms, {"suppressed: a: std::runtime_error: a", "suppressed: b: std::runtime_error: b"});
}

TEST(departure_from_asyncio, looking_through_an_aggregate_counts_only_if_somebody_reads_it) {
    expect_run(
        []() -> muster::task<> {
            {
                auto unread = co_await muster::settle(fail_after(1ms, "unread"), value_now(1));
                EXPECT_EQ(unread.failed(), 1u);
            }
            auto read = co_await muster::settle(fail_after(1ms, "read"), value_now(1));
            EXPECT_TRUE(read.get<0>().failed());
        },
        2ms, {"unread outcome: settle[0]: std::runtime_error: unread"});
}

TEST(departure_from_asyncio, a_loop_with_nothing_left_to_run_ends_with_who_waits_and_where) {
    muster::testing::manual_loop loop;
    auto body = []() -> muster::task<> {
        auto f = muster::make_future<int>("reply");
        auto reader = [](muster::future<int> from) -> muster::task<> {
            auto value = co_await from;
            static_cast<void>(value);
        };
        auto h = muster::create_task(reader(f), "reader");
        co_await h;
    };
    try {
        loop.run(body());
        ADD_FAILURE() << "it must not end";
    } catch (const muster::deadlock_error& e) {
        ASSERT_EQ(e.waiters().size(), 2u);
        EXPECT_EQ(e.waiters()[0].find("'main' (created at "), 0u) << e.waiters()[0];
        EXPECT_EQ(e.waiters()[1].find("'reader' (created at "), 0u) << e.waiters()[1];
        EXPECT_NE(e.waiters()[1].find("waits for "), std::string::npos);
    }
}

TEST(departure_from_asyncio, a_timeout_of_zero_does_not_swallow_a_cancellation_that_was_pending) {
    expect_run(
        []() -> muster::task<> {
            bool timed_out = false;
            auto caller = [](bool& t) -> muster::task<> {
                muster::this_task::cancel("pending");
                auto body = [] { return nothing_after(1h); };
                try {
                    co_await muster::timeout(0s, body);
                } catch (const muster::timeout_error&) {
                    t = true;
                }
            };
            auto h = muster::create_task(caller(timed_out));
            auto ended = co_await ending(h);
            EXPECT_FALSE(timed_out);
            EXPECT_EQ(ended.message(), "pending");
            EXPECT_EQ(h.cancelling(), 1);
        },
        0ms);
}
