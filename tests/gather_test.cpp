// SPDX-License-Identifier: MIT
#include <muster/gather.hpp>
#include <muster/sleep.hpp>
#include <muster/testing/manual_loop.hpp>

#include <gtest/gtest.h>

using namespace std::chrono_literals;

namespace {
muster::task<int> after(std::chrono::milliseconds d, int n) {
    co_await muster::sleep_for(d);
    co_return n;
}
muster::task<int> fail_after(std::chrono::milliseconds d) {
    co_await muster::sleep_for(d);
    throw std::runtime_error("bad");
}
muster::task<> simple() {
    auto [a, b] = co_await muster::gather(after(10ms, 1), after(20ms, 2));
    EXPECT_EQ(a + b, 3);
    std::vector<muster::task<int>> many;
    for (int i = 0; i < 10; ++i)
        many.push_back(after(10ms, i));
    auto v = co_await muster::gather(std::move(many)).limit(5);
    EXPECT_EQ(v.size(), 10u);
    EXPECT_EQ(v[9], 9);
    try {
        co_await muster::gather(after(10ms, 1), fail_after(5ms));
        ADD_FAILURE();
    } catch (const std::runtime_error& e) {
        EXPECT_STREQ(e.what(), "bad");
    }
    auto o = co_await muster::settle(after(10ms, 1), fail_after(5ms));
    EXPECT_EQ(o.failed(), 1u);
    EXPECT_TRUE(o.any_failed<std::exception>());
    auto& [x, y] = o;
    EXPECT_EQ(*x, 1);
}
} // namespace

TEST(gather, simple) {
    muster::testing::manual_loop loop;
    loop.run(simple());
    EXPECT_EQ(loop.elapsed(), 55ms);
    EXPECT_EQ(muster::testing::live_frames(), 0);
}
