// SPDX-License-Identifier: MIT
// limit and rate bound attempts, and counts count what was done.
#include "support/virtual_run.hpp"

#include <muster/map.hpp>

#include <gtest/gtest.h>

#include <limits>
#include <set>

using namespace play;

namespace {

/// Each element fails at its first attempt; all attempts are written down.
struct once_failing {
    std::set<int> seen;
    std::vector<milliseconds> at;
    std::vector<int> order;
    auto child(milliseconds takes = 0ms) {
        return [this, takes](int n) -> muster::task<int> {
            at.push_back(std::chrono::duration_cast<milliseconds>(muster::loop_clock::now().time_since_epoch()));
            order.push_back(n);
            co_await muster::sleep_for(takes);
            if (seen.insert(n).second)
                throw http_error(503);
            co_return n;
        };
    }
};

} // namespace

TEST(map_attempts, a_rate_bounds_retries_too) {
    expect_run(
        []() -> muster::task<> {
            once_failing f;
            const std::vector<int> in{1, 2, 3};
            auto all = co_await muster::map(in, f.child()).limit(10).rate(2, 100ms).retry(1).settle();
            expect_adds_up(all, 3, 3, 0, 0, 0);
            EXPECT_EQ(all.retries(), 3u);
            EXPECT_EQ(f.at.size(), 6u);
            for (std::size_t i = 2; i < f.at.size(); ++i)
                EXPECT_GE(f.at[i] - f.at[i - 2], 100ms) << i;
        },
        200ms);
}

TEST(map_attempts, retries_that_were_never_made_are_not_counted) {
    expect_run(
        []() -> muster::task<> {
            once_failing f;
            const std::vector<int> in{1, 2};
            auto policy = muster::retry_policy(3).first_delay(1h).longest_delay(1h);
            auto all = co_await muster::map(in, f.child()).retry(policy).within(10ms).settle();
            expect_adds_up(all, 2, 0, 2, 0, 0);
            all.mark_all_looked_at();
            EXPECT_EQ(all.retries(), 0u);
        },
        10ms);
}

TEST(map_attempts, a_child_that_waits_for_its_retry_leaves_its_place_to_another) {
    expect_run(
        []() -> muster::task<> {
            once_failing f;
            f.seen = {2, 3, 4};
            const std::vector<int> in{1, 2, 3, 4};
            auto policy = muster::retry_policy(1).first_delay(15ms);
            auto values = co_await muster::map(in, f.child(10ms)).limit(1).retry(policy);
            EXPECT_EQ(values, (std::vector<int>{1, 2, 3, 4}));
            EXPECT_EQ(f.order, (std::vector<int>{1, 2, 3, 1, 4})) << "due at 25 ms, it began when 3 had ended";
        },
        50ms);
}

TEST(map_attempts, no_new_child_begins_while_four_times_the_limit_wait) {
    expect_run(
        []() -> muster::task<> {
            once_failing f;
            std::vector<int> in(10);
            for (int i = 0; i != 10; ++i)
                in[static_cast<std::size_t>(i)] = i;
            auto policy = muster::retry_policy(1).first_delay(1s);
            auto values = co_await muster::map(in, f.child()).limit(1).retry(policy);
            EXPECT_EQ(values.size(), 10u);
            EXPECT_EQ(f.at.at(3), 0ms);
            EXPECT_EQ(f.at.at(4), 1s) << "four wait, so the fifth begins when the first has been tried again";
        },
        3s);
}

namespace {

/// *Returns* what the std::invalid_argument says that `act` throws.
template <class Act>
std::string refused_as(Act act) {
    try {
        static_cast<void>(act());
    } catch (const std::invalid_argument& e) {
        return e.what();
    }
    return "nothing was thrown";
}

} // namespace

TEST(map_attempts, nan_is_said_to_be_no_number_and_not_a_negative_time) {
    const auto nan = std::chrono::duration<double>(std::numeric_limits<double>::quiet_NaN());
    expect_run(
        [nan]() -> muster::task<> {
            std::vector<muster::task<int>> none;
            auto pending = muster::gather(std::move(none));
            EXPECT_EQ(refused_as([&] { return std::move(pending).within(nan); }),
                "within: the time is not a number (NaN): pass a time");
            EXPECT_EQ(refused_as([&] { return std::move(pending).each_within(nan); }),
                "each_within: the time is not a number (NaN): pass a time");
            EXPECT_EQ(refused_as([&] { return std::move(pending).rate(1, nan); }),
                "rate: the window is not a number (NaN): pass a time");
            EXPECT_EQ(
                refused_as([&] { return std::move(pending).within(-1ms); }), "within: the time must not be negative");
            EXPECT_EQ(refused_as([&] { return muster::retry_policy(1).first_delay(nan); }),
                "first_delay is not a number (NaN): pass a time");
            auto values = co_await std::move(pending);
            EXPECT_EQ(values.size(), 0u);
        },
        0ms);
}

TEST(map_attempts, nan_is_no_duration) {
    const auto nan = std::chrono::duration<double>(std::numeric_limits<double>::quiet_NaN());
    expect_run(
        [nan]() -> muster::task<> {
            EXPECT_THROW(static_cast<void>(muster::retry_policy(1).first_delay(nan)), std::invalid_argument);
            EXPECT_THROW(static_cast<void>(muster::retry_policy(1).longest_delay(nan)), std::invalid_argument);
            std::vector<muster::task<int>> none;
            auto pending = muster::gather(std::move(none));
            EXPECT_THROW(static_cast<void>(std::move(pending).within(nan)), std::invalid_argument);
            EXPECT_THROW(static_cast<void>(std::move(pending).each_within(nan)), std::invalid_argument);
            EXPECT_THROW(static_cast<void>(std::move(pending).rate(1, nan)), std::invalid_argument);
            auto values = co_await std::move(pending);
            EXPECT_EQ(values.size(), 0u);
        },
        0ms);
}
