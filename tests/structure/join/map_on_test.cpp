// SPDX-License-Identifier: MIT
#include <muster/executor.hpp>
#include <muster/loop_handle.hpp>
#include <muster/map.hpp>
#include <muster/run.hpp>
#include <muster/sleep.hpp>
#include <muster/task_handle.hpp>
#include <muster/thread_pool.hpp>
#include <muster/timeout.hpp>

#include "support/raised_errors.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <latch>
#include <memory>
#include <mutex>
#include <numeric>
#include <ranges>
#include <set>
#include <span>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace {

using namespace std::chrono_literals;
using muster::task;
using muster::thread_pool;
using muster::thread_pool_options;

std::vector<int> numbers(std::size_t n) {
    std::vector<int> all(n);
    std::iota(all.begin(), all.end(), 0);
    return all;
}

muster::run_options collecting(std::vector<std::string>& reports) {
    return muster::run_options().on_report(
        [&reports](const muster::report& r) { reports.push_back(muster::to_string(r)); });
}

TEST(map_on, values_come_in_the_order_of_the_input) {
    thread_pool pool(thread_pool_options().threads(2));
    for (const std::size_t n : {0u, 1u, 63u, 64u, 65u, 1000u, 100'000u}) {
        const auto found = muster::run([](thread_pool& on, std::size_t count) -> task<std::vector<int>> {
            const auto input = numbers(count);
            auto values = co_await muster::map(input, [](int x) { return x * 2; }).on(on);
            co_return values;
        }(pool, n));
        ASSERT_EQ(found.size(), n);
        for (std::size_t i = 0; i != n; ++i)
            ASSERT_EQ(found[i], static_cast<int>(i) * 2);
    }
}

TEST(map_on, calls_are_made_on_the_pools_threads_and_elements_and_results_may_be_of_any_kind) {
    thread_pool pool(thread_pool_options().threads(2));
    muster::run([](thread_pool& on) -> task<> {
        const auto here = std::this_thread::get_id();
        std::vector<std::unique_ptr<int>> owned;
        for (int i = 0; i != 100; ++i)
            owned.push_back(std::make_unique<int>(i));
        auto copies = co_await muster::map(owned, [here](const std::unique_ptr<int>& x) {
            EXPECT_NE(std::this_thread::get_id(), here);
            return std::make_unique<int>(*x + 1);
        }).on(on);
        EXPECT_EQ(copies.size(), 100U);
        EXPECT_EQ(*copies[99], 100);

        auto same = co_await muster::map(owned, [](std::unique_ptr<int>& x) -> int& { return *x; }).on(on);
        EXPECT_EQ(&same[7].get(), owned[7].get());

        std::atomic<int> sum = 0;
        co_await muster::map(std::views::iota(0, 1000), [&sum](int x) { sum += x; }).on(on);
        EXPECT_EQ(sum, 499'500);
    }(pool));
}

TEST(map_on, settle_gives_every_outcome_and_the_counts_add_up) {
    thread_pool pool(thread_pool_options().threads(2));
    muster::run([](thread_pool& on) -> task<> {
        const auto input = numbers(1000);
        auto outcomes = co_await muster::map(input,
            [](int x) {
                if (x % 10 == 3)
                    throw std::out_of_range(std::to_string(x));
                if (x % 10 == 4)
                    throw muster::cancelled_error();
                return x;
            })
                            .named("tenths")
                            .on(on)
                            .settle();
        EXPECT_EQ(outcomes.submitted(), 1000U);
        EXPECT_EQ(outcomes.succeeded(), 800U);
        EXPECT_EQ(outcomes.failed(), 100U);
        EXPECT_EQ(outcomes.cancelled(), 100U);
        EXPECT_EQ(outcomes.not_started(), 0U);
        EXPECT_EQ(outcomes.name(), "tenths");
        EXPECT_EQ(outcomes[14].reason(), muster::cancel_reason::raised);
        const auto failures = outcomes.failures_of<std::logic_error>();
        EXPECT_EQ(failures.size(), 100U);
        EXPECT_EQ(failures[1].index(), 13U);
        EXPECT_STREQ(failures[1]->what(), "13");
    }(pool));
}

TEST(map_on, the_first_failure_is_thrown_as_itself_and_calls_that_have_not_begun_are_not_made) {
    std::vector<std::string> reports;
    thread_pool pool(thread_pool_options().threads(1));
    std::atomic<int> made = 0;
    muster::run(
        [](thread_pool& on, std::atomic<int>& calls) -> task<> {
            const auto input = numbers(1000);
            bool thrown = false;
            try {
                static_cast<void>(co_await muster::map(input, [&calls](int x) {
                    ++calls;
                    if (x == 100)
                        throw std::out_of_range("a hundred");
                    return x;
                }).on(on));
            } catch (const std::out_of_range& e) {
                thrown = true;
                EXPECT_STREQ(e.what(), "a hundred");
            }
            EXPECT_TRUE(thrown);
        }(pool, made),
        collecting(reports));
    EXPECT_EQ(made, 101);
    EXPECT_TRUE(reports.empty()) << reports.front();
}

TEST(map_on, a_second_failure_is_reported) {
    std::vector<std::string> reports;
    thread_pool pool(thread_pool_options().threads(2));
    muster::run(
        [](thread_pool& on) -> task<> {
            std::vector<int> input{0, 1};
            std::latch both(2);
            bool thrown = false;
            try {
                co_await muster::map(input, [&both](int x) {
                    both.arrive_and_wait(); // neither call can keep the other from being made
                    throw std::runtime_error("call " + std::to_string(x));
                }).on(on);
            } catch (const std::runtime_error&) {
                thrown = true;
            }
            EXPECT_TRUE(thrown);
        }(pool),
        collecting(reports));
    ASSERT_EQ(reports.size(), 1U);
    EXPECT_NE(reports[0].find("call "), std::string::npos);
}

TEST(map_on, a_cancellation_stops_between_two_calls_and_withdraws_what_has_not_begun) {
    std::vector<std::string> reports;
    thread_pool pool(thread_pool_options().threads(1));
    std::atomic<int> made = 0;
    muster::run(
        [](thread_pool& on, std::atomic<int>& calls) -> task<> {
            const auto loop = muster::loop_handle::current();
            muster::task_handle<void> handle;
            std::atomic<bool> cancelled = false;
            const auto call = [&](int x) {
                ++calls;
                if (x == 0)
                    throw std::runtime_error("before the cancellation");
                if (x == 5) {
                    loop.post([&] {
                        handle.cancel();
                        cancelled = true;
                    });
                    while (!cancelled)
                        std::this_thread::yield();
                }
            };
            const auto input = numbers(1000);
            auto ledger = [](thread_pool& p, const std::vector<int>& in, const decltype(call)& f) -> task<> {
                static_cast<void>(co_await muster::map(in, f).on(p).settle());
            };
            handle = muster::create_task(ledger(on, input, call));
            bool ended = false;
            try {
                co_await handle;
            } catch (const muster::cancelled_error&) {
                ended = true;
            }
            EXPECT_TRUE(ended);
        }(pool, made),
        collecting(reports));
    EXPECT_EQ(made, 6);
    ASSERT_EQ(reports.size(), 1U);
    EXPECT_NE(reports[0].find("before the cancellation"), std::string::npos);
}

TEST(map_on, a_pool_that_was_shut_down_fails_every_call) {
    thread_pool pool;
    pool.shutdown();
    muster::run([](thread_pool& on) -> task<> {
        const auto input = numbers(10);
        auto outcomes = co_await muster::map(input, [](int x) { return x; }).on(on).settle();
        EXPECT_EQ(outcomes.failed(), 10U);
        EXPECT_TRUE(outcomes.any_failed<muster::invalid_state_error>());
    }(pool));
}

TEST(map_on, words_that_need_a_task_for_each_element_are_refused) {
    thread_pool pool;
    muster::run([](thread_pool& on) -> task<> {
        const auto input = numbers(10);
        const auto same = [](int x) { return x; };
        EXPECT_THROW(static_cast<void>(muster::map(input, same).limit(2).on(on)), std::invalid_argument);
        EXPECT_THROW(static_cast<void>(muster::map(input, same).retry(2).on(on)), std::invalid_argument);
        EXPECT_THROW(static_cast<void>(muster::map(input, same).each_within(1s).on(on)), std::invalid_argument);
        EXPECT_THROW(static_cast<void>(muster::map(input, same).within(1s).on(on)), std::invalid_argument);
        EXPECT_THROW(static_cast<void>(muster::map(input, same).rate(1, 1s).on(on)), std::invalid_argument);
        EXPECT_THROW(static_cast<void>(muster::map(input, same).stop_after_failures(2).on(on)), std::invalid_argument);
        auto values = co_await muster::map(input, same).on(on, 1);
        EXPECT_EQ(values.size(), 10U);
    }(pool));
}

TEST(map_on, a_pool_that_is_gone_when_it_is_awaited_gives_an_error) {
    muster::run([]() -> task<> {
        auto pool = std::make_unique<thread_pool>();
        const auto input = numbers(10);
        auto mapped = muster::map(input, [](int x) { return x; }).on(*pool);
        pool.reset();
        auto ended = co_await muster::as_outcome(std::move(mapped).as_task());
        EXPECT_TRUE(ended.failed_with<muster::invalid_state_error>()) << muster::to_string(ended);
    }());
}

} // namespace
