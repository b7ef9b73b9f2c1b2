// SPDX-License-Identifier: MIT
// Lengths and depths at which a native stack, or a quadratic loop, would show. Nothing here is timed.
#include <muster/gather.hpp>
#include <muster/map.hpp>
#include <muster/run.hpp>
#include <muster/shield.hpp>
#include <muster/sleep.hpp>
#include <muster/testing/manual_loop.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <memory>
#include <ranges>
#include <stdexcept>
#include <vector>

using namespace std::chrono_literals;

namespace {

constexpr int depth = 100'000;

class scale : public testing::Test {
protected:
    void SetUp() override { frames_before_ = muster::testing::live_frames(); }
    void TearDown() override { EXPECT_EQ(muster::testing::live_frames(), frames_before_); }

private:
    std::int64_t frames_before_ = 0;
};

muster::task<int> ready(int n) { co_return n; }

enum class bottom { returns, suspends, throws };

muster::task<int> nested(int n, bottom what) {
    if (n == 0) {
        if (what == bottom::suspends)
            co_await muster::sleep_for(1s);
        if (what == bottom::throws)
            throw std::runtime_error("from the bottom");
        co_return 0;
    }
    auto below = co_await nested(n - 1, what);
    co_return below + 1;
}

muster::task<int> nested_gathers(int n, bottom what) {
    if (n == 0) {
        auto last = co_await nested(0, what);
        co_return last;
    }
    std::vector<muster::task<int>> one;
    one.push_back(nested_gathers(n - 1, what));
    auto below = co_await muster::gather(std::move(one));
    co_return below[0] + 1;
}

muster::task<int> nested_handles(int n, bottom what) {
    if (n == 0) {
        auto last = co_await nested(0, what);
        co_return last;
    }
    auto child = muster::create_task(nested_handles(n - 1, what));
    auto below = co_await child;
    co_return below + 1;
}

muster::task<> parked() { co_await muster::sleep_for(24h); }

std::size_t resident_bytes() {
    std::size_t pages = 0;
    std::size_t resident = 0;
    if (std::FILE* f = std::fopen("/proc/self/statm", "r")) {
        if (std::fscanf(f, "%zu %zu", &pages, &resident) != 2)
            resident = 0;
        std::fclose(f);
    }
    return resident * 4096;
}

} // namespace

TEST_F(scale, a_gather_of_a_million_children_that_complete_synchronously) {
    muster::testing::manual_loop loop;
    auto body = []() -> muster::task<> {
        std::vector<muster::task<int>> children;
        children.reserve(1'000'000);
        for (int i = 0; i != 1'000'000; ++i)
            children.push_back(ready(i));
        auto values = co_await muster::gather(std::move(children));
        EXPECT_EQ(values.size(), 1'000'000u);
        EXPECT_EQ(values.back(), 999'999);
    };
    loop.run(body());
}

TEST_F(scale, ten_million_awaits_one_after_the_other) {
    muster::testing::manual_loop loop;
    auto body = []() -> muster::task<long long> {
        long long sum = 0;
        for (int i = 0; i != 10'000'000; ++i) {
            auto value = co_await ready(i);
            sum += value;
        }
        co_return sum;
    };
    EXPECT_EQ(loop.run(body()), 49'999'995'000'000);
}

TEST_F(scale, a_chain_of_nested_children_completes) {
    muster::testing::manual_loop loop;
    EXPECT_EQ(loop.run(nested(depth, bottom::returns)), depth);
    EXPECT_EQ(loop.run(nested_gathers(depth, bottom::returns)), depth);
    EXPECT_EQ(loop.run(nested_handles(depth, bottom::returns)), depth);
}

TEST_F(scale, a_chain_that_suspends_at_the_bottom_completes) {
    muster::testing::manual_loop loop;
    EXPECT_EQ(loop.run(nested(depth, bottom::suspends)), depth);
    EXPECT_EQ(loop.run(nested_gathers(depth, bottom::suspends)), depth);
    EXPECT_EQ(loop.run(nested_handles(depth, bottom::suspends)), depth);
    EXPECT_EQ(loop.elapsed(), 3s);
}

TEST_F(scale, a_chain_that_is_cancelled_at_the_bottom_unwinds) {
    for (auto* make : {&nested, &nested_gathers, &nested_handles}) {
        muster::testing::manual_loop loop;
        auto h = loop.start(make(depth, bottom::suspends), "chain");
        loop.run_ready();
        EXPECT_TRUE(h.cancel("enough"));
        loop.run_ready();
        EXPECT_TRUE(h.cancelled());
        EXPECT_EQ(loop.live_tasks(), 0u);
    }
}

TEST_F(scale, a_chain_that_throws_at_the_bottom_unwinds) {
    muster::testing::manual_loop loop;
    EXPECT_THROW(loop.run(nested(depth, bottom::throws)), std::runtime_error);
    EXPECT_THROW(loop.run(nested_gathers(depth, bottom::throws)), std::runtime_error);
    EXPECT_THROW(loop.run(nested_handles(depth, bottom::throws)), std::runtime_error);
}

TEST_F(scale, a_chain_is_destroyed_with_its_outermost_frame) {
    int reports = 0;
    const auto before = muster::set_report_handler([&](const muster::report&) { ++reports; });
    {
        muster::testing::manual_loop loop;
        loop.start(nested(depth, bottom::suspends));
        loop.start(nested_gathers(depth, bottom::suspends));
        loop.run_ready();
    }
    EXPECT_EQ(reports, 2);
    {
        muster::testing::manual_loop loop;
        loop.start(nested_handles(depth, bottom::suspends));
        loop.run_ready();
    }
    EXPECT_EQ(reports, 2 + depth + 1);
    muster::set_report_handler(before);
}

TEST_F(scale, a_million_parked_children_are_cancelled_at_once_and_accounted_for) {
    muster::testing::manual_loop loop;
    auto body = []() -> muster::task<> {
        std::vector<muster::task<>> children;
        for (int i = 0; i != 1'000'000; ++i)
            children.push_back(parked());
        auto outcomes = co_await muster::settle(std::move(children)).within(1s);
        EXPECT_EQ(outcomes.submitted(), 1'000'000u);
        EXPECT_EQ(outcomes.cancelled(), 1'000'000u);
        EXPECT_EQ(outcomes[0].reason(), muster::cancel_reason::deadline);
        EXPECT_EQ(outcomes[999'999].reason(), muster::cancel_reason::deadline);
    };
    loop.run(body());
    EXPECT_EQ(loop.elapsed(), 1s);
}

TEST_F(scale, a_streamed_map_of_ten_million_inputs_keeps_its_memory) {
    muster::testing::manual_loop loop;
    std::size_t after_a_tenth = 0;
    std::size_t at_the_end = 0;
    std::int64_t most_frames = 0;
    auto body = [&]() -> muster::task<> {
        const auto sink = [&](std::size_t index, muster::outcome<int>&& o) {
            EXPECT_TRUE(o.succeeded());
            most_frames = std::max(most_frames, muster::testing::live_frames());
            if (index == 1'000'000)
                after_a_tenth = resident_bytes();
            if (index == 9'999'999)
                at_the_end = resident_bytes();
        };
        const auto twice = [](int i) -> muster::task<int> {
            if (i % 1000 == 0)
                co_await muster::yield();
            co_return 2 * i;
        };
        auto summary = co_await muster::map(std::views::iota(0, 10'000'000), twice).limit(100).for_each(sink);
        EXPECT_EQ(summary.succeeded(), 10'000'000u);
    };
    loop.run(body());
    EXPECT_LE(most_frames, 100 + 2);
    // A sanitizer keeps freed memory for a while, so that its resident size says nothing.
    if (!muster::detail::with_address_sanitizer) {
        ASSERT_GT(after_a_tenth, 0u);
        EXPECT_LT(at_the_end, after_a_tenth + (1u << 20));
    }
}
