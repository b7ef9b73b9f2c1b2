// SPDX-License-Identifier: MIT
// map over an input that is awaited: a queue until it is shut down, a generator.
#include "support/virtual_run.hpp"

#include <muster/generator.hpp>
#include <muster/map.hpp>
#include <muster/queue.hpp>
#include <muster/timeout.hpp>

#include <gtest/gtest.h>

using namespace play;

namespace {

muster::task<int> twice(int x) {
    co_await muster::sleep_for(10ms);
    co_return 2 * x;
}
muster::task<int> twice_or_fail(int x) {
    co_await muster::sleep_for(10ms);
    if (x < 0)
        throw std::runtime_error("negative");
    co_return 2 * x;
}
muster::task<> feed(muster::queue<int>& q, int n, milliseconds pause) {
    for (int i = 1; i <= n; ++i) {
        co_await muster::sleep_for(pause);
        q.put_nowait(int(i));
    }
    q.shutdown();
}
muster::generator<int> count_to(int n, milliseconds pause) {
    for (int i = 1; i <= n; ++i) {
        co_await muster::sleep_for(pause);
        co_yield i;
    }
}
muster::generator<int> fails_after(int n) {
    for (int i = 1; i <= n; ++i)
        co_yield i;
    throw std::runtime_error("no more");
}
muster::generator<int> yields_all_the_same() {
    co_yield 1;
    bool cancelled = false;
    try {
        co_await muster::sleep_for(1h);
    } catch (const muster::cancelled_error&) {
        cancelled = true;
    }
    if (cancelled)
        co_yield 2;
}

} // namespace

TEST(map_of_a_queue, takes_elements_until_it_is_shut_down) {
    expect_run(
        []() -> muster::task<> {
            muster::queue<int> q;
            auto feeding = muster::create_task(feed(q, 5, 1ms));
            auto values = co_await muster::map(q, twice).limit(10);
            EXPECT_EQ(values, (std::vector<int>{2, 4, 6, 8, 10}));
        },
        15ms);
}

TEST(map_of_a_queue, takes_no_more_than_there_is_room_for) {
    expect_run(
        []() -> muster::task<> {
            muster::queue<int> q;
            for (int i = 0; i != 6; ++i)
                q.put_nowait(int(i));
            q.shutdown();
            auto left = muster::create_task([](muster::queue<int>& all) -> muster::task<std::size_t> {
                co_await muster::sleep_for(5ms);
                co_return all.size();
            }(q));
            auto values = co_await muster::map(q, twice).limit(2);
            EXPECT_EQ(values.size(), 6u);
            auto at_5ms = co_await std::move(left);
            EXPECT_EQ(at_5ms, 4u);
        },
        30ms);
}

TEST(map_of_a_queue, that_stops_leaves_the_rest_in_the_queue) {
    expect_run(
        []() -> muster::task<> {
            muster::queue<int> q;
            for (int i : {1, -1, 3, 4, 5})
                q.put_nowait(int(i));
            auto ended = co_await ending(muster::map(q, twice_or_fail).limit(2));
            EXPECT_EQ(text_of<std::runtime_error>(ended), "negative");
            EXPECT_EQ(q.size(), 3u);
            EXPECT_EQ(q.get_nowait(), 3);
        },
        10ms);
}

TEST(map_of_a_queue, gives_back_an_element_that_was_handed_to_it_as_it_stopped) {
    expect_run(
        []() -> muster::task<> {
            muster::queue<int> q;
            q.put_nowait(-1);
            auto putting = muster::create_task([](muster::queue<int>& all) -> muster::task<> {
                co_await muster::sleep_for(10ms);
                all.put_nowait(7); // in the turn in which the first fails
            }(q));
            auto all = co_await muster::map(q, twice_or_fail).limit(2).stop_after_failures(1).settle();
            EXPECT_EQ(all.failed(), 1u);
            all.mark_all_looked_at();
            EXPECT_FALSE(all.exhausted());
            co_await std::move(putting);
            std::size_t kept = q.size() + all.not_started() + all.cancelled() + all.succeeded();
            EXPECT_EQ(kept, 1u) << "the element is in the queue or in the ledger";
        },
        10ms);
}

TEST(map_of_a_queue, cancelled_while_it_waits_for_an_element_ends_at_once) {
    expect_run(
        []() -> muster::task<> {
            muster::queue<int> q;
            auto body = [](muster::queue<int>& all) -> muster::task<std::vector<int>> {
                auto values = co_await muster::map(all, twice).limit(2);
                co_return values;
            };
            auto waiting = muster::create_task(body(q));
            co_await muster::sleep_for(3ms);
            waiting.cancel();
            auto ended = co_await ending(std::move(waiting));
            EXPECT_TRUE(ended.was_cancelled());
            q.put_nowait(1);
            EXPECT_EQ(q.size(), 1u);
        },
        3ms);
}

TEST(map_of_a_queue, that_a_deadline_ends_says_that_the_input_was_not_read_to_its_end) {
    expect_run(
        []() -> muster::task<> {
            muster::queue<int> q;
            q.put_nowait(1);
            auto all = co_await muster::map(q, twice).limit(2).within(25ms).settle();
            expect_adds_up(all, 1, 1, 0, 0, 0);
            EXPECT_TRUE(all.deadline_struck());
            EXPECT_FALSE(all.exhausted());
        },
        25ms);
}

TEST(map_of_a_queue, streams_and_keeps_its_rate) {
    expect_run(
        []() -> muster::task<> {
            muster::queue<int> q;
            for (int i = 1; i <= 5; ++i)
                q.put_nowait(int(i));
            q.shutdown();
            int sum = 0;
            auto sink = [&sum](std::size_t, muster::outcome<int>&& o) { sum += *o; };
            auto pending = muster::map(q, twice).limit(10).rate(2, 100ms).for_each(sink);
            auto summary = co_await std::move(pending);
            EXPECT_EQ(sum, 30);
            EXPECT_EQ(summary.submitted(), 5u);
            EXPECT_TRUE(summary.exhausted());
        },
        210ms);
}

TEST(map_of_a_generator, runs_it_between_the_children) {
    expect_run(
        []() -> muster::task<> {
            auto values = co_await muster::map(count_to(4, 3ms), twice).limit(2);
            EXPECT_EQ(values, (std::vector<int>{2, 4, 6, 8}));
        },
        29ms); // the third is asked for when the first has ended, at 13, and the fourth at 16
}

TEST(map_of_a_generator, that_is_kept_goes_on_where_the_map_left_it) {
    expect_run(
        []() -> muster::task<> {
            auto numbers = count_to(10, 1ms);
            auto all = co_await muster::map(numbers, twice).limit(3).quorum(1);
            EXPECT_EQ(all.at(0).value(), 2);
            auto next = co_await numbers.next();
            EXPECT_EQ(next, 4);
        },
        12ms);
}

TEST(map_of_a_generator, ends_with_what_the_generator_throws) {
    expect_run(
        []() -> muster::task<> {
            auto ended = co_await ending(muster::map(fails_after(3), twice).limit(10));
            EXPECT_EQ(text_of<std::runtime_error>(ended), "no more");
        },
        0ms);
}

TEST(map_of_a_generator, counts_an_element_that_came_as_it_stopped_as_not_started) {
    expect_run(
        []() -> muster::task<> {
            auto all = co_await muster::map(yields_all_the_same(), twice).limit(2).within(20ms).settle();
            expect_adds_up(all, 2, 1, 0, 0, 1);
            EXPECT_EQ(all[1].reason(), muster::cancel_reason::deadline);
        },
        20ms);
}

TEST(map_of_a_generator, without_a_limit_is_refused) {
    expect_run(
        []() -> muster::task<> {
            auto ended = co_await ending(muster::map(count_to(3, 1ms), twice));
            EXPECT_TRUE(ended.failed_with<std::invalid_argument>());
        },
        0ms);
}

TEST(map_of_a_queue, destroyed_with_its_loop_leaves_no_frame) {
    const auto frames = muster::testing::live_frames();
    muster::queue<int> q;
    {
        muster::testing::manual_loop loop;
        const auto ignore = [](const muster::report&) {};
        auto body = [](muster::queue<int>& all) -> muster::task<> {
            auto values = co_await muster::map(all, twice).limit(2);
            static_cast<void>(values);
        };
        EXPECT_THROW(loop.run(body(q), muster::run_options().on_report(ignore)), muster::deadlock_error);
    }
    EXPECT_EQ(muster::testing::live_frames(), frames);
}
