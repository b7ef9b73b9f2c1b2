// SPDX-License-Identifier: MIT
#include <muster/run.hpp>
#include <muster/sleep.hpp>
#include <muster/testing/manual_loop.hpp>

#include <gtest/gtest.h>

using namespace std::chrono_literals;

namespace {
muster::task<int> leaf(int n) {
    co_await muster::sleep_for(10ms);
    co_return n;
}
muster::task<int> sum() {
    auto a = co_await leaf(1);
    auto h = muster::create_task(leaf(2), "two");
    auto b = co_await h;
    co_return a + b;
}
muster::task<> deep(int n) {
    if (n > 0)
        co_await deep(n - 1);
    else
        co_await muster::sleep_for(1s);
}
} // namespace

TEST(smoke, runs) {
    muster::testing::manual_loop loop;
    EXPECT_EQ(loop.run(sum()), 3);
    EXPECT_EQ(loop.elapsed(), 20ms);
    EXPECT_EQ(muster::run(sum()), 3);
}
TEST(smoke, deep_chain) {
    muster::testing::manual_loop loop;
    loop.run(deep(100000));
    auto h = loop.start(deep(100000), "d");
    loop.run_ready();
    h.cancel("x");
    loop.run_ready();
    EXPECT_TRUE(h.cancelled());
    {
        muster::testing::manual_loop inner;
        auto k = inner.start(deep(100000), "gone");
        inner.run_ready();
    }
    h = {};
    EXPECT_EQ(muster::testing::live_frames(), 0);
}
