// SPDX-License-Identifier: MIT
#include <muster/stop_token.hpp>

#include <muster/future.hpp>
#include <muster/loop_handle.hpp>
#include <muster/run.hpp>
#include <muster/sleep.hpp>
#include <muster/testing/manual_loop.hpp>

#include <chrono>
#include <memory>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>

#include <gtest/gtest.h>

using namespace std::chrono_literals;
using muster::testing::live_frames;
using muster::testing::manual_loop;

namespace {

muster::task<int> slow(int n) {
    co_await muster::sleep_for(1s);
    co_return n;
}

template <class A>
muster::task<std::string> how_it_ends(A work) {
    try {
        static_cast<void>(co_await std::move(work));
    } catch (const muster::cancelled_error& e) {
        co_return e.what();
    }
    co_return "well";
}

} // namespace

TEST(stop_token, a_stop_cancels_the_task_that_it_is_linked_to) {
    const auto frames = live_frames();
    manual_loop loop;
    loop.run([]() -> muster::task<> {
        std::stop_source source;
        auto h = muster::create_task(slow(1));
        const auto link = muster::cancel_on(source.get_token(), h, "the user left");
        co_await muster::sleep_for(10ms);
        source.request_stop();
        auto end = co_await how_it_ends(h);
        EXPECT_EQ(end, "the user left");
        EXPECT_TRUE(h.cancelled());
    }());
    EXPECT_EQ(loop.elapsed(), 10ms);
    EXPECT_EQ(live_frames(), frames);
}

TEST(stop_token, a_stop_on_another_thread_cancels_a_future) {
    manual_loop loop;
    loop.run([]() -> muster::task<> {
        std::stop_source source;
        auto f = muster::make_future<int>();
        const auto link = muster::cancel_on(source.get_token(), f);
        const muster::external_work_guard guard;
        std::jthread other([&source] { source.request_stop(); });
        auto end = co_await how_it_ends(f);
        EXPECT_EQ(end, "stop requested");
        EXPECT_TRUE(f.cancelled());
    }());
}

TEST(stop_token, a_stop_that_was_requested_before_counts) {
    manual_loop loop;
    loop.run([]() -> muster::task<> {
        std::stop_source source;
        source.request_stop();
        auto end = co_await how_it_ends(muster::cancel_on(source.get_token(), slow(1)));
        EXPECT_EQ(end, "stop requested");
    }());
    EXPECT_EQ(loop.elapsed(), 0ms);
}

TEST(stop_token, without_a_stop_the_task_gives_its_value) {
    manual_loop loop;
    loop.run([]() -> muster::task<> {
        std::stop_source source;
        auto one = co_await muster::cancel_on(source.get_token(), slow(1));
        EXPECT_EQ(one, 1);
        source.request_stop(); // too late to matter
        auto two = co_await muster::cancel_on(std::stop_token(), slow(2));
        EXPECT_EQ(two, 2);
        auto owner = co_await muster::cancel_on(std::stop_token(), []() -> muster::task<std::unique_ptr<int>> {
            auto made = std::make_unique<int>(3);
            co_return made;
        }());
        EXPECT_EQ(*owner, 3);
        co_await muster::cancel_on(std::stop_token(), []() -> muster::task<> { co_return; }());
    }());
    EXPECT_EQ(loop.elapsed(), 2s);
}

TEST(stop_token, a_link_that_is_dropped_does_nothing) {
    manual_loop loop;
    loop.run([]() -> muster::task<> {
        std::stop_source source;
        auto h = muster::create_task(slow(1));
        { const auto link = muster::cancel_on(source.get_token(), h); }
        source.request_stop();
        auto one = co_await h;
        EXPECT_EQ(one, 1);
    }());
}

TEST(stop_token, cancelling_the_waiter_cancels_the_task) {
    manual_loop loop;
    loop.run([]() -> muster::task<> {
        std::stop_source source;
        auto h = muster::create_task(muster::cancel_on(source.get_token(), slow(1)));
        co_await muster::sleep_for(10ms);
        h.cancel("enough");
        auto end = co_await how_it_ends(h);
        EXPECT_EQ(end, "enough");
    }());
    EXPECT_EQ(loop.elapsed(), 10ms);
}

TEST(stop_token, a_link_to_nothing_is_refused) {
    EXPECT_THROW(
        static_cast<void>(muster::cancel_on(std::stop_token(), muster::any_handle())), muster::invalid_state_error);
}

TEST(stop_token, stops_race_the_end_of_the_task) {
    int ends = 0;
    muster::run([](int& n) -> muster::task<> {
        for (int round = 0; round != 500; ++round) {
            std::stop_source source;
            auto h = muster::create_task([]() -> muster::task<int> {
                co_await muster::yield();
                co_await muster::yield();
                co_return 1;
            }());
            const auto link = muster::cancel_on(source.get_token(), h);
            std::jthread other([&source] { source.request_stop(); });
            static_cast<void>(co_await how_it_ends(h));
            ++n;
        }
    }(ends));
    EXPECT_EQ(ends, 500);
}
