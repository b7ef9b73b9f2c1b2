// SPDX-License-Identifier: MIT
#include "support/virtual_run.hpp"

#include <muster/future.hpp>
#include <muster/wait.hpp>

#include <gtest/gtest.h>

using namespace play;
using muster::wait_until;

namespace {
std::vector<muster::task_handle<int>> three() {
    std::vector<muster::task_handle<int>> all;
    all.push_back(muster::create_task(value_after(30ms, 0)));
    all.push_back(muster::create_task(fail_after(20ms)));
    all.push_back(muster::create_task(value_after(10ms, 2)));
    return all;
}
} // namespace

TEST(wait, for_all_gives_all_in_input_order_and_throws_for_none) {
    expect_run(
        []() -> muster::task<> {
            const auto all = three();
            auto result = co_await muster::wait(all);
            EXPECT_EQ(result.done, all);
            EXPECT_TRUE(result.pending.empty());
            EXPECT_TRUE(all[1].exception() != nullptr);
        },
        30ms);
}

TEST(wait, for_the_first_completed) {
    expect_run(
        []() -> muster::task<> {
            const auto all = three();
            auto result = co_await muster::wait(all, wait_until::first_completed);
            EXPECT_EQ(result.done.size(), 1u);
            EXPECT_EQ(result.done.at(0), all[2]);
            EXPECT_EQ(result.pending.size(), 2u);
            auto rest = co_await muster::wait(result.pending);
            EXPECT_EQ(rest.done.size(), 2u);
            EXPECT_TRUE(all[1].exception() != nullptr);
        },
        30ms);
}

TEST(wait, for_the_first_exception_which_a_cancellation_is_not) {
    expect_run(
        []() -> muster::task<> {
            auto all = three();
            all.push_back(muster::create_task(cancels_itself_after(1ms)));
            auto result = co_await muster::wait(all, wait_until::first_exception);
            EXPECT_EQ(result.done.size(), 3u);
            EXPECT_EQ(result.pending.size(), 1u);
            EXPECT_TRUE(all[1].exception() != nullptr);
            auto last = co_await all[0];
            EXPECT_EQ(last, 0);
        },
        30ms);
}

TEST(wait, whose_time_is_up_says_what_is_pending_and_cancels_nothing) {
    expect_run(
        []() -> muster::task<> {
            const auto all = three();
            auto result = co_await muster::wait(all, wait_until::all_completed, 15ms);
            EXPECT_EQ(result.done.size(), 1u);
            EXPECT_EQ(result.pending.size(), 2u);
            EXPECT_FALSE(all[0].cancelled());
            auto rest = co_await muster::wait(all);
            EXPECT_EQ(rest.done.size(), 3u);
            EXPECT_TRUE(all[1].exception() != nullptr);
        },
        30ms);
}

TEST(wait, for_what_has_ended_already_goes_on) {
    expect_run(
        []() -> muster::task<> {
            auto h = muster::create_task(value_now(1));
            co_await muster::sleep_for(1ms);
            std::vector<muster::any_handle> one;
            one.push_back(h);
            auto result = co_await muster::wait(std::move(one), wait_until::first_completed);
            EXPECT_EQ(result.done.size(), 1u);
        },
        1ms);
}

TEST(wait, for_nothing_is_an_error) {
    expect_run(
        []() -> muster::task<> {
            auto ended = co_await ending(muster::wait(std::vector<muster::any_handle>()));
            EXPECT_TRUE(ended.failed_with<std::invalid_argument>());
        },
        0ms);
}

TEST(wait, cancelled_leaves_the_handles_alone) {
    expect_run(
        []() -> muster::task<> {
            auto h = muster::create_task(value_after(30ms, 3));
            auto waiter = [](muster::any_handle on) -> muster::task<> {
                std::vector<muster::any_handle> one;
                one.push_back(on);
                auto result = co_await muster::wait(std::move(one));
                EXPECT_TRUE(result.done.empty()) << "not reached";
            };
            auto w = muster::create_task(waiter(h));
            co_await muster::sleep_for(5ms);
            w.cancel("stop");
            auto ended = co_await ending(w);
            EXPECT_EQ(ended.message(), "stop");
            auto got = co_await h;
            EXPECT_EQ(got, 3);
        },
        30ms);
}

TEST(wait, cancelled_before_it_begins_leaves_the_handles_alone) {
    expect_run(
        []() -> muster::task<> {
            auto h = muster::create_task(value_after(5ms, 3));
            auto waiter = [](muster::any_handle on) -> muster::task<> {
                muster::this_task::cancel("early");
                std::vector<muster::any_handle> one;
                one.push_back(on);
                auto result = co_await muster::wait(std::move(one));
                EXPECT_TRUE(result.done.empty()) << "not reached";
            };
            auto ended = co_await ending(muster::create_task(waiter(h)));
            EXPECT_EQ(ended.message(), "early");
            auto got = co_await h;
            EXPECT_EQ(got, 3);
        },
        5ms);
}

TEST(wait, takes_futures_and_handles_of_what_can_only_be_moved) {
    expect_run(
        []() -> muster::task<> {
            auto f = muster::make_future<std::unique_ptr<int>>();
            auto h = muster::create_task(pointer_after(5ms, 1));
            std::vector<muster::any_handle> both;
            both.push_back(f);
            both.push_back(h);
            auto result = co_await muster::wait(both, wait_until::first_completed);
            EXPECT_EQ(result.done.at(0), h);
            EXPECT_EQ(result.pending.at(0), f);
        },
        5ms);
}

TEST(wait, that_is_over_in_time_does_not_keep_the_clock) {
    expect_run(
        []() -> muster::task<> {
            std::vector<muster::any_handle> one;
            one.push_back(muster::create_task(value_after(5ms, 1)));
            auto result = co_await muster::wait(one, wait_until::all_completed, 1h);
            EXPECT_EQ(result.done.size(), 1u);
        },
        5ms);
}

TEST(wait, for_a_handle_that_refers_to_nothing_is_refused) {
    expect_run(
        []() -> muster::task<> {
            std::vector<muster::any_handle> none(1);
            auto ended = co_await ending(muster::wait(none));
            EXPECT_TRUE(ended.failed_with<muster::invalid_state_error>());
        },
        0ms);
}

TEST(wait, without_any_time_still_sees_what_was_made_ready_in_the_turn_in_which_it_began) {
    expect_run(
        []() -> muster::task<> {
            auto f = muster::make_future<int>();
            auto sets = [](muster::future<int> to_set) -> muster::task<> {
                co_await muster::sleep_for(1ms);
                to_set.set_value(1);
            };
            auto follows = [](muster::future<int> set) -> muster::task<> {
                co_await set;
                co_await muster::yield();
            };
            std::vector<muster::task_handle<>> all{muster::create_task(sets(f)), muster::create_task(follows(f))};
            co_await muster::sleep_for(1ms); // goes on before `sets` does
            auto result = co_await muster::wait(all, muster::wait_until::all_completed, 0ns);
            EXPECT_EQ(result.done.size(), 2u);
        },
        1ms);
}
