// SPDX-License-Identifier: MIT
#include "support/virtual_run.hpp"

#include <muster/event.hpp>
#include <muster/future.hpp>
#include <muster/shield.hpp>
#include <muster/timeout.hpp>

#include <gtest/gtest.h>

using namespace play;

TEST(timeout, gives_what_the_body_gives_if_it_is_in_time) {
    expect_run(
        []() -> muster::task<> {
            int x = 1;
            auto value = [] { return value_after(5ms, 3); };
            auto got = co_await muster::timeout(10ms, value);
            EXPECT_EQ(got, 3);
            auto none = [] { return nothing_after(1ms); };
            co_await muster::timeout(10ms, none);
            auto reference = [&x] { return reference_after(1ms, x); };
            auto& same = co_await muster::timeout(10ms, reference);
            EXPECT_EQ(&same, &x);
            auto pointer = [] { return pointer_after(1ms, 4); };
            auto box = co_await muster::timeout(10ms, pointer);
            EXPECT_EQ(*box, 4);
        },
        8ms);
}

TEST(timeout, that_strikes_is_an_error_and_never_a_cancellation) {
    expect_run(
        []() -> muster::task<> {
            lines log;
            auto body = [&log] { return logged(log, "body", 50ms); };
            auto ended = co_await ending(muster::timeout(10ms, body));
            EXPECT_TRUE(ended.failed_with<muster::timeout_error>());
            EXPECT_EQ(log.back(), "body cancelled (deadline)");
            EXPECT_EQ(muster::this_task::cancelling(), 0);
            co_await muster::sleep_for(1ms);
        },
        11ms);
}

TEST(timeout, gives_a_failure_of_the_body_as_itself_also_in_its_clean_up) {
    expect_run(
        []() -> muster::task<> {
            auto bad = [] { return status_after(1ms, 500); };
            auto ended = co_await ending(muster::timeout(10ms, bad));
            EXPECT_TRUE(ended.failed_with<http_error>());
            auto cleaning = [] { return fail_cleaning_up(50ms, 5ms); };
            auto later = co_await ending(muster::timeout(10ms, cleaning));
            EXPECT_EQ(text_of<std::runtime_error>(later), "clean-up");
            EXPECT_EQ(muster::this_task::cancelling(), 0);
        },
        16ms);
}

TEST(timeout, of_a_body_that_ignores_it_waits_and_gives_its_value) {
    expect_run(
        []() -> muster::task<> {
            auto body = [] { return stubborn_for(30ms, 6); };
            auto got = co_await muster::timeout(10ms, body);
            EXPECT_EQ(got, 6);
            EXPECT_EQ(muster::this_task::cancelling(), 0);
            co_await muster::sleep_for(1ms);
        },
        31ms);
}

TEST(timeout, of_zero_does_not_swallow_a_cancellation_that_was_already_pending) {
    expect_run(
        []() -> muster::task<> {
            auto caller = []() -> muster::task<> {
                muster::this_task::cancel("mine");
                auto body = [] { return nothing_after(1h); };
                co_await muster::timeout(0ms, body);
            };
            auto ended = co_await ending(muster::create_task(caller()));
            EXPECT_TRUE(ended.was_cancelled());
            EXPECT_EQ(ended.message(), "mine");
        },
        0ms);
}

TEST(timeout, of_zero_strikes_at_the_first_wait) {
    expect_run(
        []() -> muster::task<> {
            auto body = [] { return nothing_after(1h); };
            auto ended = co_await ending(muster::timeout(0ms, body));
            EXPECT_TRUE(ended.failed_with<muster::timeout_error>());
            auto quick = [] { return value_now(3); };
            auto got = co_await muster::timeout(0ms, quick);
            EXPECT_EQ(got, 3);
        },
        0ms);
}

TEST(timeout, cancelled_while_waiting_is_a_cancellation) {
    expect_run(
        []() -> muster::task<> {
            auto caller = []() -> muster::task<> {
                auto body = [] { return nothing_after(1h); };
                co_await muster::timeout(20ms, body);
            };
            auto h = muster::create_task(caller());
            co_await muster::sleep_for(10ms);
            h.cancel("stop");
            auto ended = co_await ending(h);
            EXPECT_EQ(ended.message(), "stop");
        },
        10ms);
}

TEST(timeout, cancelled_in_the_instant_in_which_it_strikes_is_a_cancellation) {
    expect_run(
        []() -> muster::task<> {
            auto caller = []() -> muster::task<> {
                auto body = [] { return nothing_after(1h); };
                co_await muster::timeout(10ms, body);
            };
            auto h = muster::create_task(caller());
            co_await muster::sleep_for(10ms);
            h.cancel("stop");
            auto ended = co_await ending(h);
            EXPECT_TRUE(ended.was_cancelled()) << muster::to_string(ended);
        },
        10ms);
}

TEST(timeout, nests_and_the_one_that_struck_throws) {
    expect_run(
        []() -> muster::task<> {
            bool inner_failed = false;
            auto inner = [] { return nothing_after(1h); };
            auto outer = [&]() -> muster::task<> {
                auto ended = co_await ending(muster::timeout(10ms, inner));
                inner_failed = ended.failed_with<muster::timeout_error>();
                co_await muster::sleep_for(1h);
            };
            auto ended = co_await ending(muster::timeout(30ms, outer));
            EXPECT_TRUE(inner_failed);
            EXPECT_TRUE(ended.failed_with<muster::timeout_error>());
        },
        30ms);
}

TEST(timeout, of_an_outer_scope_passes_through_an_inner_one) {
    expect_run(
        []() -> muster::task<> {
            bool inner_timed_out = false;
            auto inner = [] { return nothing_after(1h); };
            auto outer = [&]() -> muster::task<> {
                try {
                    co_await muster::timeout(30ms, inner);
                } catch (const muster::timeout_error&) {
                    inner_timed_out = true;
                }
            };
            auto ended = co_await ending(muster::timeout(10ms, outer));
            EXPECT_TRUE(ended.failed_with<muster::timeout_error>());
            EXPECT_FALSE(inner_timed_out);
        },
        10ms);
}

TEST(timeout_at, strikes_at_a_time_of_the_loops_clock) {
    expect_run(
        []() -> muster::task<> {
            auto body = [] { return nothing_after(1h); };
            auto ended = co_await ending(muster::timeout_at(muster::loop_clock::now() + 7ms, body));
            EXPECT_TRUE(ended.failed_with<muster::timeout_error>());
        },
        7ms);
}

TEST(timeout_scope, can_be_moved_and_taken_off) {
    expect_run(
        []() -> muster::task<> {
            muster::timeout_scope scope(10ms);
            auto body = [](muster::timeout_scope& s) -> muster::task<> {
                s.reschedule(muster::loop_clock::now() + 30ms);
                co_await muster::sleep_for(20ms);
                EXPECT_FALSE(s.expired());
                s.reschedule(std::nullopt);
                EXPECT_FALSE(s.when());
                co_await muster::sleep_for(50ms);
                s.reschedule(muster::loop_clock::now() - 1ms);
                co_await muster::sleep_for(1h);
            };
            auto ended = co_await ending(scope.run(body));
            EXPECT_TRUE(ended.failed_with<muster::timeout_error>());
            EXPECT_TRUE(scope.expired());
            EXPECT_THROW(scope.reschedule(std::nullopt), muster::invalid_state_error);
            auto again = co_await ending(scope.run(body));
            EXPECT_TRUE(again.failed_with<muster::invalid_state_error>());
        },
        70ms);
}

TEST(timeout_scope, without_a_limit_has_none) {
    expect_run(
        []() -> muster::task<> {
            muster::timeout_scope scope;
            EXPECT_THROW(scope.reschedule(std::nullopt), muster::invalid_state_error);
            auto body = [] { return nothing_after(1h); };
            co_await scope.run(body);
            EXPECT_FALSE(scope.expired());
            EXPECT_THROW(scope.reschedule(std::nullopt), muster::invalid_state_error);
        },
        1h);
}

TEST(wait_for, gives_the_value_of_a_task_a_handle_a_future_or_an_event) {
    expect_run(
        []() -> muster::task<> {
            auto got = co_await muster::wait_for(value_after(5ms, 1), 10ms);
            EXPECT_EQ(got, 1);
            auto h = muster::create_task(value_after(5ms, 2));
            auto kept = co_await muster::wait_for(h, 10ms);
            EXPECT_EQ(kept, 2);
            EXPECT_EQ(h.result(), 2);
            auto f = muster::make_future<int>();
            f.set_value(3);
            auto set = co_await muster::wait_for(f, 10ms);
            EXPECT_EQ(set, 3);
            auto box = co_await muster::wait_for(pointer_after(1ms, 4), 10ms);
            EXPECT_EQ(*box, 4);
            int x = 5;
            auto& same = co_await muster::wait_for(reference_after(1ms, x), 10ms);
            EXPECT_EQ(&same, &x);
            co_await muster::wait_for(nothing_after(1ms), 10ms);
            muster::event e;
            auto ended = co_await ending(muster::wait_for(e.wait(), 10ms));
            EXPECT_TRUE(ended.failed_with<muster::timeout_error>());
        },
        23ms);
}

TEST(wait_for, throws_timeout_error_after_what_it_waited_for_has_been_cancelled_and_has_ended) {
    expect_run(
        []() -> muster::task<> {
            auto h = muster::create_task(tidy_up(50ms, 5ms));
            auto ended = co_await ending(muster::wait_for(h, 10ms));
            EXPECT_TRUE(ended.failed_with<muster::timeout_error>());
            EXPECT_TRUE(h.cancelled());
        },
        15ms);
}

TEST(wait_for, gives_a_failure_as_itself_and_a_cancellation_on) {
    expect_run(
        []() -> muster::task<> {
            auto bad = co_await ending(muster::wait_for(status_after(1ms, 1), 10ms));
            EXPECT_TRUE(bad.failed_with<http_error>());
            lines log;
            auto caller = [](lines& l) -> muster::task<> {
                auto got = co_await muster::wait_for(logged(l, "inner", 50ms), 20ms);
                EXPECT_EQ(got, 99) << "not reached";
            };
            auto h = muster::create_task(caller(log));
            co_await muster::sleep_for(5ms);
            h.cancel("stop");
            auto ended = co_await ending(h);
            EXPECT_EQ(ended.message(), "stop");
            EXPECT_EQ(log.back(), "inner stop");
        },
        6ms);
}

TEST(wait_for, of_zero_gives_what_has_ended_and_cancels_what_has_not) {
    expect_run(
        []() -> muster::task<> {
            auto done = muster::create_task(value_now(1));
            co_await muster::yield();
            auto got = co_await muster::wait_for(done, 0ms);
            EXPECT_EQ(got, 1);
            auto h = muster::create_task(value_after(1h, 1));
            auto ended = co_await ending(muster::wait_for(h, 0ms));
            EXPECT_TRUE(ended.failed_with<muster::timeout_error>());
            EXPECT_TRUE(h.cancelled());
            auto never = co_await ending(muster::wait_for(value_now(1), -1ms));
            EXPECT_TRUE(never.failed_with<muster::timeout_error>());
        },
        0ms);
}

TEST(wait_for, of_a_shielded_task_leaves_it_running) {
    expect_run(
        []() -> muster::task<> {
            auto h = muster::create_task(value_after(30ms, 4));
            auto ended = co_await ending(muster::wait_for(muster::shield(h), 10ms));
            EXPECT_TRUE(ended.failed_with<muster::timeout_error>());
            auto got = co_await h;
            EXPECT_EQ(got, 4);
        },
        30ms);
}

TEST(wait_for, longer_than_the_clock_can_say_is_for_ever) {
    expect_run(
        []() -> muster::task<> {
            auto got = co_await muster::wait_for(value_after(5ms, 1), std::chrono::hours::max());
            EXPECT_EQ(got, 1);
        },
        5ms);
}

TEST(wait_for, no_time_of_a_started_gather_fails_with_timeout_error) {
    expect_run(
        []() -> muster::task<> {
            auto child = muster::create_task(value_after(10ms, 1));
            auto all = muster::gather(child).start();
            auto ended = co_await ending(muster::wait_for(all, 0ms));
            EXPECT_TRUE(ended.failed_with<muster::timeout_error>());
            EXPECT_TRUE(child.cancelled());
        },
        0ms);
}
