// SPDX-License-Identifier: MIT
#include "support/virtual_run.hpp"

#include <muster/map.hpp>

#include <gtest/gtest.h>

#include <limits>

using namespace play;

namespace {

/// Fails until it has been called `good_at` times.
struct flaky {
    explicit flaky(int n) : good_at(n) {}
    int good_at;
    int calls = 0;
    std::vector<std::chrono::nanoseconds> at;
    auto child() {
        return [this](int n) -> muster::task<int> {
            ++calls;
            at.push_back(muster::loop_clock::now().time_since_epoch());
            if (calls < good_at)
                throw http_error(503);
            co_return n;
        };
    }
};

} // namespace

TEST(map_retry, tries_again_at_once_until_it_succeeds) {
    expect_run(
        []() -> muster::task<> {
            flaky f(3);
            const std::vector<int> in{7};
            auto all = co_await muster::map(in, f.child()).retry(5).settle();
            expect_adds_up(all, 1, 1, 0, 0, 0);
            EXPECT_EQ(all.retries(), 2u);
            EXPECT_EQ(f.calls, 3);
        },
        0ms);
}

TEST(map_retry, gives_up_after_n_further_attempts_with_the_last_failure) {
    expect_run(
        []() -> muster::task<> {
            flaky f(100);
            const std::vector<int> in{7};
            auto ended = co_await ending(muster::map(in, f.child()).retry(2));
            EXPECT_TRUE(ended.failed_with<http_error>());
            EXPECT_EQ(f.calls, 3);
        },
        0ms);
}

TEST(map_retry, waits_longer_each_time_up_to_the_longest_delay) {
    expect_run(
        []() -> muster::task<> {
            flaky f(5);
            const std::vector<int> in{7};
            auto policy = muster::retry_policy(4).first_delay(100ms).factor(3).longest_delay(500ms);
            auto got = co_await muster::map(in, f.child()).retry(policy);
            EXPECT_EQ(got.at(0), 7);
            EXPECT_EQ(f.at, (std::vector<std::chrono::nanoseconds>{0ms, 100ms, 400ms, 900ms, 1400ms}));
        },
        1400ms);
}

TEST(map_retry, jitter_shortens_a_delay_by_no_more_than_its_part) {
    expect_run(
        []() -> muster::task<> {
            flaky f(3);
            const std::vector<int> in{7};
            auto policy = muster::retry_policy(4).first_delay(100ms).factor(1).jitter(0.5);
            auto got = co_await muster::map(in, f.child()).retry(policy);
            EXPECT_EQ(got.size(), 1u);
            const auto first = f.at.at(1) - f.at.at(0);
            const auto second = f.at.at(2) - f.at.at(1);
            EXPECT_GE(first, 50ms);
            EXPECT_LE(first, 100ms);
            EXPECT_NE(first, second);
            co_await muster::sleep_for(1s - muster::loop_clock::now().time_since_epoch());
        },
        1s);
}

TEST(map_retry, tries_only_what_the_policy_says_again) {
    expect_run(
        []() -> muster::task<> {
            flaky f(100);
            const std::vector<int> in{7};
            auto policy = muster::retry_policy(3).when_failed_with<std::bad_alloc>();
            auto ended = co_await ending(muster::map(in, f.child()).retry(policy));
            EXPECT_TRUE(ended.failed_with<http_error>());
            EXPECT_EQ(f.calls, 1);
        },
        0ms);
}

TEST(map_retry, gives_each_attempt_its_own_time) {
    expect_run(
        []() -> muster::task<> {
            int calls = 0;
            auto slow_twice = [&calls](int) -> muster::task<int> {
                const int call = ++calls;
                co_await muster::sleep_for(call < 3 ? 50ms : 5ms);
                co_return call;
            };
            const std::vector<int> in{7};
            auto got = co_await muster::map(in, slow_twice).each_within(10ms).retry(5);
            EXPECT_EQ(got.at(0), 3);
        },
        25ms);
}

TEST(map_retry, cancelled_while_it_waits_to_try_again_the_last_failure_stands) {
    expect_run(
        []() -> muster::task<> {
            flaky f(100);
            const std::vector<int> in{7};
            auto policy = muster::retry_policy(3).first_delay(1h).longest_delay(1h);
            auto all = co_await muster::map(in, f.child()).retry(policy).within(5ms).settle();
            expect_adds_up(all, 1, 0, 1, 0, 0);
            EXPECT_TRUE(all[0].failed_with<http_error>());
        },
        5ms);
}

TEST(map_retry, a_cancelled_child_is_not_tried_again) {
    expect_run(
        []() -> muster::task<> {
            int calls = 0;
            auto raises = [&calls](int) {
                ++calls;
                return cancels_itself_after(1ms);
            };
            const std::vector<int> in{7};
            auto all = co_await muster::map(in, raises).retry(5).settle();
            expect_adds_up(all, 1, 0, 0, 1, 0);
            EXPECT_EQ(calls, 1);
        },
        1ms);
}

TEST(map_retry, refuses_what_makes_no_sense) {
    EXPECT_THROW(muster::retry_policy(1).factor(0.5), std::invalid_argument);
    EXPECT_THROW(muster::retry_policy(1).jitter(2), std::invalid_argument);
    EXPECT_THROW(muster::retry_policy(1).jitter(std::numeric_limits<double>::quiet_NaN()), std::invalid_argument);
    EXPECT_THROW(muster::retry_policy(1).first_delay(-1s), std::invalid_argument);
    EXPECT_THROW(muster::retry_policy(1).longest_delay(-1s), std::invalid_argument);
}

TEST(map_retry, a_million_times_with_a_growing_delay_never_exceeds_the_longest) {
    expect_run(
        []() -> muster::task<> {
            flaky f(2000);
            const std::vector<int> in{7};
            auto policy = muster::retry_policy(1'000'000).first_delay(1ns).longest_delay(1ms);
            auto got = co_await muster::map(in, f.child()).retry(policy);
            EXPECT_EQ(got.size(), 1u);
            EXPECT_LE(f.at.back() - f.at.at(1998), 1ms);
            co_await muster::sleep_for(3s - muster::loop_clock::now().time_since_epoch());
        },
        3s);
}

TEST(map_retry, a_child_that_waits_for_its_next_attempt_is_in_the_list_of_those_who_wait) {
    muster::testing::manual_loop loop;
    auto handle = loop.start(
        []() -> muster::task<> {
            flaky f(2);
            const std::vector<int> in{7};
            auto all = co_await muster::map(in, f.child()).retry(muster::retry_policy(1).first_delay(1h));
            static_cast<void>(all);
        }(),
        "caller");
    loop.run_ready();
    const auto waiting = loop.waiters();
    EXPECT_EQ(waiting.size(), 1u);
    EXPECT_NE(waiting.at(0).find("'map[0]'"), std::string::npos) << waiting.at(0);
    EXPECT_NE(waiting.at(0).find("waits for its next attempt"), std::string::npos) << waiting.at(0);
    loop.advance(1h);
    EXPECT_TRUE(handle.done());
}
