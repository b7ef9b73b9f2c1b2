// SPDX-License-Identifier: MIT
#include "support/virtual_run.hpp"

#include <muster/future.hpp>
#include <muster/shield.hpp>
#include <muster/task_group.hpp>
#include <muster/timeout.hpp>

#include <gtest/gtest.h>

using namespace play;

TEST(shield, gives_the_value_of_a_handle_a_future_or_a_task) {
    expect_run(
        []() -> muster::task<> {
            auto h = muster::create_task(value_after(5ms, 1));
            auto a = co_await muster::shield(h);
            EXPECT_EQ(a, 1);
            auto b = co_await muster::shield(value_after(5ms, 2));
            EXPECT_EQ(b, 2);
            auto f = muster::make_future<int>();
            f.set_value(3);
            auto c = co_await muster::shield(f);
            EXPECT_EQ(c, 3);
            co_await muster::shield(nothing_after(1ms));
            auto p = muster::create_task(pointer_after(1ms, 4));
            const auto& box = co_await muster::shield(p);
            EXPECT_EQ(*box, 4);
            int x = 1;
            auto& same = co_await muster::shield(reference_after(1ms, x));
            EXPECT_EQ(&same, &x);
        },
        13ms);
}

TEST(shield, keeps_a_cancellation_of_the_waiter_from_what_it_waits_for) {
    expect_run(
        []() -> muster::task<> {
            auto inner = muster::create_task(value_after(30ms, 7));
            auto waiter = [](muster::task_handle<int> on) -> muster::task<> {
                auto got = co_await muster::shield(on);
                EXPECT_EQ(got, 99) << "not reached";
            };
            auto w = muster::create_task(waiter(inner));
            co_await muster::sleep_for(10ms);
            w.cancel("stop");
            auto ended = co_await ending(w);
            EXPECT_EQ(ended.message(), "stop");
            auto got = co_await inner;
            EXPECT_EQ(got, 7);
        },
        30ms);
}

TEST(shield, cancelled_before_it_waits_leaves_it_running) {
    expect_run(
        []() -> muster::task<> {
            auto inner = muster::create_task(value_after(5ms, 7));
            auto waiter = [](muster::task_handle<int> on) -> muster::task<> {
                muster::this_task::cancel();
                auto got = co_await muster::shield(on);
                EXPECT_EQ(got, 99) << "not reached";
            };
            auto ended = co_await ending(muster::create_task(waiter(inner)));
            EXPECT_TRUE(ended.was_cancelled());
            auto got = co_await inner;
            EXPECT_EQ(got, 7);
        },
        5ms);
}

TEST(shield, never_loses_the_failure_of_what_it_waited_for) {
    expect_run(
        []() -> muster::task<> {
            auto waiter = []() -> muster::task<> {
                auto got = co_await muster::shield(fail_after(30ms, "shielded"));
                EXPECT_EQ(got, 99) << "not reached";
            };
            auto w = muster::create_task(waiter());
            co_await muster::sleep_for(10ms);
            w.cancel();
            auto ended = co_await ending(w);
            EXPECT_TRUE(ended.was_cancelled());
            co_await muster::sleep_for(30ms);
        },
        40ms, {"never retrieved: Task-3: std::runtime_error: shielded"});
}

TEST(shield, throws_a_failure_or_a_cancellation_of_what_it_waits_for) {
    expect_run(
        []() -> muster::task<> {
            auto bad = co_await ending(muster::shield(status_after(5ms, 1)));
            EXPECT_TRUE(bad.failed_with<http_error>());
            auto h = muster::create_task(value_after(1h, 1));
            h.cancel("by hand");
            auto cancelled = co_await ending(muster::shield(h));
            EXPECT_EQ(cancelled.message(), "by hand");
            EXPECT_EQ(muster::this_task::cancelling(), 0);
        },
        5ms);
}

TEST(hold_cancellation, delivers_what_came_meanwhile_at_the_next_wait_after_its_end) {
    expect_run(
        []() -> muster::task<> {
            int got = 0;
            auto body = [](int& out) -> muster::task<> {
                out = co_await muster::hold_cancellation(value_after(20ms, 4));
                co_await muster::sleep_for(1h);
            };
            auto h = muster::create_task(body(got));
            co_await muster::sleep_for(5ms);
            h.cancel("held");
            auto ended = co_await ending(h);
            EXPECT_EQ(got, 4);
            EXPECT_TRUE(ended.was_cancelled());
            EXPECT_EQ(ended.message(), "held");
        },
        20ms);
}

TEST(hold_cancellation, of_void_references_and_what_can_only_be_moved) {
    expect_run(
        []() -> muster::task<> {
            int x = 1;
            co_await muster::hold_cancellation(nothing_after(1ms));
            auto& same = co_await muster::hold_cancellation(reference_after(1ms, x));
            EXPECT_EQ(&same, &x);
            auto box = co_await muster::hold_cancellation(pointer_after(1ms, 4));
            EXPECT_EQ(*box, 4);
        },
        3ms);
}

TEST(hold_cancellation, holds_one_that_was_pending_before) {
    expect_run(
        []() -> muster::task<> {
            bool through = false;
            auto body = [](bool& t) -> muster::task<> {
                muster::this_task::cancel();
                co_await muster::hold_cancellation(nothing_after(5ms));
                t = true;
                co_await muster::sleep_for(1h);
            };
            auto ended = co_await ending(muster::create_task(body(through)));
            EXPECT_TRUE(through);
            EXPECT_TRUE(ended.was_cancelled());
        },
        5ms);
}

TEST(hold_cancellation, gives_the_failure_of_the_body_first_and_keeps_the_cancellation) {
    expect_run(
        []() -> muster::task<> {
            auto body = []() -> muster::task<bool> {
                auto ended = co_await ending(muster::hold_cancellation(status_after(20ms, 1)));
                auto next = co_await ending(muster::sleep_for(1h));
                co_return ended.failed_with<http_error>() && next.was_cancelled();
            };
            auto h = muster::create_task(body());
            co_await muster::sleep_for(5ms);
            h.cancel();
            auto both = co_await h;
            EXPECT_TRUE(both);
        },
        20ms);
}

TEST(hold_cancellation, reaches_over_a_gather_in_its_body) {
    expect_run(
        []() -> muster::task<> {
            lines log;
            auto commit = [](lines& l) -> muster::task<> {
                co_await muster::gather(logged(l, "a", 20ms), logged(l, "b", 30ms));
            };
            auto body = [commit](lines& l) -> muster::task<> {
                co_await muster::hold_cancellation(commit(l));
                co_await muster::sleep_for(1h);
            };
            auto h = muster::create_task(body(log));
            co_await muster::sleep_for(5ms);
            h.cancel();
            auto ended = co_await ending(h);
            EXPECT_TRUE(ended.was_cancelled());
            EXPECT_EQ(log, (lines{"a begins", "b begins", "a ends", "b ends"}));
        },
        30ms);
}

TEST(hold_cancellation, does_not_hold_back_a_time_limit_inside_its_body) {
    expect_run(
        []() -> muster::task<> {
            auto limited = []() -> muster::task<> { co_await muster::wait_for(nothing_after(1h), 10ms); };
            auto ended = co_await ending(muster::hold_cancellation(limited()));
            EXPECT_TRUE(ended.failed_with<muster::timeout_error>());
        },
        10ms);
}

TEST(hold_cancellation, does_not_hold_back_a_task_group_inside_its_body) {
    expect_run(
        []() -> muster::task<> {
            auto grouped = []() -> muster::task<> {
                auto body = [](muster::task_group& group) -> muster::task<> {
                    group.create_task(fail_after(10ms));
                    co_await muster::sleep_for(1h);
                };
                co_await muster::with_task_group(body);
            };
            auto ended = co_await ending(muster::hold_cancellation(grouped()));
            EXPECT_TRUE(ended.failed_with<muster::exception_group>());
        },
        10ms);
}

TEST(hold_cancellation, tells_a_limit_inside_its_body_from_a_cancellation_that_is_held_back_meanwhile) {
    expect_run(
        []() -> muster::task<> {
            auto caller = []() -> muster::task<bool> {
                auto limited = []() -> muster::task<> { co_await muster::wait_for(nothing_after(1h), 10ms); };
                auto held = [limited]() -> muster::task<bool> {
                    auto ended = co_await ending(limited());
                    co_await muster::sleep_for(5ms);
                    co_return ended.failed_with<muster::timeout_error>();
                };
                auto timed_out = co_await muster::hold_cancellation(held());
                auto next = co_await ending(muster::sleep_for(1h));
                EXPECT_EQ(next.message(), "outside");
                co_return timed_out;
            };
            auto h = muster::create_task(caller());
            co_await muster::sleep_for(5ms);
            h.cancel("outside");
            auto both = co_await h;
            EXPECT_TRUE(both);
            EXPECT_EQ(h.cancelling(), 1);
        },
        15ms);
}

TEST(hold_cancellation, nests_and_delivers_after_the_outermost) {
    expect_run(
        []() -> muster::task<> {
            lines log;
            auto inner = [](lines& l) -> muster::task<> {
                co_await muster::hold_cancellation(nothing_after(10ms));
                co_await muster::sleep_for(10ms);
                l.push_back("inner ends");
            };
            auto caller = [inner](lines& l) -> muster::task<> {
                co_await muster::hold_cancellation(inner(l));
                co_await muster::sleep_for(1h);
            };
            auto h = muster::create_task(caller(log));
            co_await muster::sleep_for(5ms);
            h.cancel("nested");
            auto ended = co_await ending(h);
            EXPECT_EQ(ended.message(), "nested");
            EXPECT_EQ(log, lines{"inner ends"});
        },
        20ms);
}

TEST(hold_cancellation, taken_back_meanwhile_is_not_delivered) {
    expect_run(
        []() -> muster::task<> {
            auto caller = []() -> muster::task<> {
                co_await muster::hold_cancellation(nothing_after(10ms));
                co_await muster::sleep_for(10ms);
            };
            auto h = muster::create_task(caller());
            co_await muster::sleep_for(5ms);
            h.cancel();
            EXPECT_EQ(h.uncancel(), 0);
            co_await h;
        },
        20ms);
}

TEST(hold_cancellation, inside_a_time_limit_lets_the_limit_strike_after_its_end) {
    expect_run(
        []() -> muster::task<> {
            bool through = false;
            auto body = [&through]() -> muster::task<> {
                co_await muster::hold_cancellation(nothing_after(30ms));
                through = true;
                co_await muster::sleep_for(1h);
            };
            auto ended = co_await ending(muster::timeout(10ms, body));
            EXPECT_TRUE(through);
            EXPECT_TRUE(ended.failed_with<muster::timeout_error>());
        },
        30ms);
}

TEST(shield, of_a_handle_that_refers_to_nothing_is_refused) {
    expect_run(
        []() -> muster::task<> {
            auto ended = co_await ending(muster::shield(muster::task_handle<int>()));
            EXPECT_TRUE(ended.failed_with<muster::invalid_state_error>());
        },
        0ms);
}
