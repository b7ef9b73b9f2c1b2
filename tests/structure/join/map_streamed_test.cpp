// SPDX-License-Identifier: MIT
#include "support/virtual_run.hpp"

#include <muster/map.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <ranges>
#include <sstream>

using namespace play;

namespace {

muster::task<int> odd_only(int n) {
    co_await muster::sleep_for(n * 1ms);
    if (n % 2 == 0)
        throw http_error(n);
    co_return n;
}

} // namespace

TEST(map_for_each, hands_each_outcome_to_the_sink_as_it_comes) {
    expect_run(
        []() -> muster::task<> {
            const std::vector<int> in{5, 1, 2};
            std::vector<std::size_t> order;
            auto sink = [&order](std::size_t i, muster::outcome<int>&& o) {
                order.push_back(i);
                EXPECT_EQ(o.failed(), i == 2);
            };
            auto summary = co_await muster::map(in, odd_only).for_each(sink);
            EXPECT_EQ(order, (std::vector<std::size_t>{1, 2, 0}));
            expect_adds_up(summary, 3, 2, 1, 0, 0);
        },
        5ms);
}

TEST(map_for_each, counts_what_was_not_started_when_it_stops) {
    expect_run(
        []() -> muster::task<> {
            const std::vector<int> in{2, 50, 3, 5};
            auto sink = [](std::size_t, muster::outcome<int>&&) {};
            auto summary = co_await muster::map(in, odd_only).limit(2).stop_after_failures(1).for_each(sink);
            expect_adds_up(summary, 4, 0, 1, 1, 2);
        },
        2ms);
}

TEST(map_for_each, a_sink_that_throws_ends_it_with_that_error) {
    expect_run(
        []() -> muster::task<> {
            const std::vector<int> in{1, 50, 3};
            auto sink = [](std::size_t i, muster::outcome<int>&&) {
                if (i == 0)
                    throw std::logic_error("full");
            };
            auto ended = co_await ending(muster::map(in, odd_only).for_each(sink));
            EXPECT_EQ(text_of<std::logic_error>(ended), "full");
        },
        1ms);
}

TEST(map_for_each, a_sink_that_throws_more_than_once_has_the_others_reported) {
    expect_run(
        []() -> muster::task<> {
            const std::vector<int> in{1, 50};
            auto sink = [](std::size_t i, muster::outcome<int>&&) {
                throw std::logic_error("full " + std::to_string(i));
            };
            auto ended = co_await ending(muster::map(in, odd_only).for_each(sink));
            EXPECT_EQ(text_of<std::logic_error>(ended), "full 0");
        },
        1ms, {"suppressed: map: std::logic_error: full 1"});
}

TEST(map_for_each, cancelled_after_a_failure_that_the_sink_was_given_reports_nothing) {
    expect_run(
        []() -> muster::task<> {
            auto body = []() -> muster::task<> {
                const std::vector<int> in{2, 50};
                auto sink = [](std::size_t, muster::outcome<int>&&) {};
                auto summary = co_await muster::map(in, odd_only).for_each(sink);
                EXPECT_EQ(summary.failed(), 99u) << "not reached";
            };
            auto h = muster::create_task(body());
            co_await muster::sleep_for(10ms);
            h.cancel();
            auto ended = co_await ending(h);
            EXPECT_TRUE(ended.was_cancelled());
        },
        10ms);
}

TEST(map_for_each, moves_values_that_can_only_be_moved_into_the_sink) {
    expect_run(
        []() -> muster::task<> {
            const std::vector<int> in{1, 2};
            int sum = 0;
            auto boxed = [](int n) { return pointer_after(n * 1ms, n); };
            auto sink = [&sum](
                            std::size_t, muster::outcome<std::unique_ptr<int>>&& o) { sum += *std::move(o).value(); };
            auto summary = co_await muster::map(in, boxed).for_each(sink);
            EXPECT_EQ(sum, 3);
            EXPECT_TRUE(summary.all_succeeded());
        },
        2ms);
}

TEST(map_for_each, does_not_start_more_than_the_limit_of_a_long_input_at_once) {
    expect_run(
        []() -> muster::task<> {
            std::size_t alive = 0, most = 0;
            auto child = [&](int) -> muster::task<> {
                most = std::max(most, ++alive);
                co_await muster::sleep_for(1ms);
                --alive;
            };
            auto sink = [](std::size_t, muster::outcome<>&&) {};
            auto summary = co_await muster::map(std::views::iota(0, 10'000), child).limit(100).for_each(sink);
            expect_adds_up(summary, 10'000, 10'000, 0, 0, 0);
            EXPECT_EQ(most, 100u);
        },
        100ms);
}

TEST(map_summarize, keeps_counts_by_type_examples_and_the_slowest) {
    expect_run(
        []() -> muster::task<> {
            auto summary = co_await muster::map(std::views::iota(0, 20), odd_only).summarize();
            expect_adds_up(summary, 20, 10, 10, 0, 0);
            const auto& types = summary.failures_by_type();
            EXPECT_EQ(types.size(), 1u);
            EXPECT_EQ(types.at(0).count, 10u);
            EXPECT_EQ(types.at(0).examples.size(), muster::summary::examples_kept);
            EXPECT_EQ(summary.slowest().size(), muster::summary::slowest_kept);
            EXPECT_EQ(summary.slowest().at(0).index, 19u);
            EXPECT_EQ(summary.slowest().at(0).duration, 19ms);
        },
        19ms);
}

TEST(map_summarize, that_nobody_looked_at_is_reported_once) {
    expect_run(
        []() -> muster::task<> {
            const std::vector<int> in{2, 4};
            auto summary = co_await muster::map(in, odd_only).named("pages").summarize();
            EXPECT_EQ(summary.failed(), 2u);
        },
        4ms, {"unread outcome: pages[0]: play::http_error: status 2"});
}

TEST(map_summarize, cancelled_after_a_failure_throws_the_cancellation_and_reports_the_failure) {
    expect_run(
        []() -> muster::task<> {
            auto body = []() -> muster::task<> {
                const std::vector<int> in{2, 50};
                auto summary = co_await muster::map(in, odd_only).named("pages").summarize();
                EXPECT_EQ(summary.failed(), 99u) << "not reached";
            };
            auto h = muster::create_task(body());
            co_await muster::sleep_for(10ms);
            h.cancel();
            auto ended = co_await ending(h);
            EXPECT_TRUE(ended.was_cancelled());
        },
        10ms, {"unread outcome: pages[0]: play::http_error: status 2"});
}

TEST(map_summarize, of_an_unsized_input_says_whether_it_was_exhausted) {
    expect_run(
        []() -> muster::task<> {
            std::istringstream text("1 3 5");
            auto summary = co_await muster::map(std::views::istream<int>(text), odd_only).limit(2).summarize();
            EXPECT_TRUE(summary.exhausted());
            expect_adds_up(summary, 3, 3, 0, 0, 0);
            std::istringstream more("2 3 5 7 9");
            auto stopped = co_await muster::map(std::views::istream<int>(more), odd_only)
                               .limit(2)
                               .stop_after_failures(1)
                               .summarize();
            EXPECT_FALSE(stopped.exhausted());
            EXPECT_EQ(stopped.failures_by_type().size(), 1u);
        },
        8ms);
}
