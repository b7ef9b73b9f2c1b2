// SPDX-License-Identifier: MIT
#include "support/virtual_run.hpp"

#include <muster/as_completed.hpp>

#include <gtest/gtest.h>

using namespace play;

TEST(as_completed, gives_the_original_handles_in_order_of_completion) {
    expect_run(
        []() -> muster::task<> {
            std::vector<muster::task_handle<int>> handles;
            handles.push_back(muster::create_task(value_after(30ms, 0)));
            handles.push_back(muster::create_task(fail_after(10ms)));
            handles.push_back(muster::create_task(cancels_itself_after(20ms)));
            std::vector<muster::task_handle<int>> order;
            muster::as_completed each(handles);
            while (true) {
                auto h = co_await each.next();
                if (!h)
                    break;
                EXPECT_TRUE(h->done());
                order.push_back(*h);
            }
            EXPECT_EQ(order.size(), 3u);
            EXPECT_EQ(order.at(0), handles[1]);
            EXPECT_EQ(order.at(1), handles[2]);
            EXPECT_EQ(order.at(2), handles[0]);
            EXPECT_TRUE(handles[1].exception() != nullptr);
        },
        30ms);
}

TEST(as_completed, of_nothing_ends_at_once_and_stays_ended) {
    expect_run(
        []() -> muster::task<> {
            std::vector<muster::any_handle> none;
            muster::as_completed each(none);
            auto first = co_await each.next();
            EXPECT_FALSE(first.has_value());
            auto second = co_await each.next();
            EXPECT_FALSE(second.has_value());
        },
        0ms);
}

TEST(as_completed, gives_a_handle_that_occurs_twice_once) {
    expect_run(
        []() -> muster::task<> {
            auto h = muster::create_task(value_after(5ms, 1));
            std::vector<muster::any_handle> twice;
            twice.push_back(h);
            twice.push_back(h);
            muster::as_completed each(twice);
            auto first = co_await each.next();
            EXPECT_TRUE(first.has_value());
            auto second = co_await each.next();
            EXPECT_FALSE(second.has_value());
        },
        5ms);
}

TEST(as_completed, throws_timeout_error_for_each_that_had_not_ended_in_time) {
    expect_run(
        []() -> muster::task<> {
            std::vector<muster::task_handle<int>> handles;
            handles.push_back(muster::create_task(value_after(5ms, 0)));
            handles.push_back(muster::create_task(value_after(50ms, 1)));
            handles.push_back(muster::create_task(value_after(60ms, 2)));
            {
                muster::as_completed each(handles, 20ms);
                auto first = co_await each.next();
                EXPECT_EQ(first, handles[0]);
                for (int i = 0; i != 2; ++i) {
                    bool timed_out = false;
                    try {
                        auto next = co_await each.next();
                        EXPECT_FALSE(next.has_value()) << "not reached";
                    } catch (const muster::timeout_error&) {
                        timed_out = true;
                    }
                    EXPECT_TRUE(timed_out);
                }
                auto end = co_await each.next();
                EXPECT_FALSE(end.has_value());
            }
            auto last = co_await handles[2];
            EXPECT_EQ(last, 2) << "nothing was cancelled";
        },
        60ms);
}

TEST(as_completed, cancelled_while_it_waits_loses_nothing) {
    expect_run(
        []() -> muster::task<> {
            std::vector<muster::task_handle<int>> handles;
            handles.push_back(muster::create_task(value_after(20ms, 7)));
            muster::as_completed each(handles);
            auto reader = [](muster::as_completed<muster::task_handle<int>>& from) -> muster::task<> {
                auto h = co_await from.next();
                EXPECT_FALSE(h.has_value()) << "not reached";
            };
            auto r = muster::create_task(reader(each));
            co_await muster::sleep_for(5ms);
            r.cancel("stop");
            auto ended = co_await ending(r);
            EXPECT_EQ(ended.message(), "stop");
            auto h = co_await each.next();
            EXPECT_TRUE(h.has_value());
        },
        20ms);
}

TEST(as_completed, woken_and_cancelled_in_one_instant_passes_its_turn_on) {
    expect_run(
        []() -> muster::task<> {
            std::vector<muster::task_handle<int>> handles;
            handles.push_back(muster::create_task(value_after(10ms, 7)));
            muster::as_completed each(handles);
            auto reader = [](muster::as_completed<muster::task_handle<int>>& from) -> muster::task<> {
                auto h = co_await from.next();
                EXPECT_TRUE(h.has_value());
            };
            auto r = muster::create_task(reader(each));
            muster::any_handle victim = r;
            handles[0].add_done_callback([victim](const muster::any_handle&) { victim.cancel("same instant"); });
            auto ended = co_await ending(r);
            EXPECT_TRUE(ended.was_cancelled());
            auto h = co_await each.next();
            EXPECT_TRUE(h.has_value());
        },
        10ms);
}

TEST(as_completed, serves_several_readers_first_come_first_served) {
    expect_run(
        []() -> muster::task<> {
            std::vector<muster::task_handle<int>> handles;
            handles.push_back(muster::create_task(value_after(20ms, 2)));
            handles.push_back(muster::create_task(value_after(10ms, 1)));
            muster::as_completed each(handles);
            auto reader = [](muster::as_completed<muster::task_handle<int>>& from) -> muster::task<int> {
                auto h = co_await from.next();
                co_return h ? h->result() : 0;
            };
            auto [a, b, c] = co_await muster::gather(reader(each), reader(each), reader(each));
            EXPECT_EQ(a, 1);
            EXPECT_EQ(b, 2);
            EXPECT_EQ(c, 0);
        },
        20ms);
}

TEST(as_completed, left_early_leaves_the_others_running) {
    expect_run(
        []() -> muster::task<> {
            std::vector<muster::task_handle<int>> handles;
            handles.push_back(muster::create_task(value_after(5ms, 1)));
            handles.push_back(muster::create_task(value_after(10ms, 2)));
            {
                muster::as_completed each(handles, 1h);
                auto first = co_await each.next();
                EXPECT_EQ(first, handles[0]);
            }
            auto second = co_await handles[1];
            EXPECT_EQ(second, 2);
        },
        10ms);
}

TEST(as_completed, of_a_handle_that_refers_to_nothing_is_refused) {
    expect_run(
        []() -> muster::task<> {
            std::vector<muster::any_handle> none(1);
            EXPECT_THROW(muster::as_completed each(none), muster::invalid_state_error);
            co_return;
        },
        0ms);
}
