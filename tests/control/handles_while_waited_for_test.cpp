// SPDX-License-Identifier: MIT
// Handles, futures, promises, loop handles and pools are destroyed, moved and assigned to while something waits: who
// waits gets a result or an error, never anything undefined.
#include <muster/future.hpp>
#include <muster/loop_handle.hpp>
#include <muster/promise.hpp>
#include <muster/run.hpp>
#include <muster/sleep.hpp>
#include <muster/task_handle.hpp>
#include <muster/testing/manual_loop.hpp>
#include <muster/thread_pool.hpp>
#include <muster/to_thread.hpp>

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace {

using namespace std::chrono_literals;
using muster::testing::manual_loop;

template <class H>
struct act {
    const char* name;
    std::function<void(std::optional<H>&)> on;
};

template <class H>
std::vector<act<H>> acts() {
    return {
        {"destroyed", [](std::optional<H>& h) { h.reset(); }},
        {"moved", [](std::optional<H>& h) { const H taken = std::move(*h); }},
        {"assigned to", [](std::optional<H>& h) { *h = H(); }},
        {"assigned from itself", [](std::optional<H>& h) { *h = H(*h); }},
    };
}

/// Awaits what `kept` holds at the moment. *Returns* the value, or what was thrown.
template <class H>
muster::task<std::string> result_of(std::optional<H>& kept) {
    std::string ended;
    try {
        auto value = co_await *kept;
        ended = std::to_string(value);
    } catch (const std::exception& e) {
        ended = muster::describe(std::current_exception());
    }
    co_return ended;
}

TEST(a_handle, may_be_destroyed_moved_and_assigned_to_while_a_task_waits_for_it) {
    for (const auto& a : acts<muster::task_handle<int>>()) {
        manual_loop loop;
        loop.run([](const act<muster::task_handle<int>>& what) -> muster::task<> {
            std::optional<muster::task_handle<int>> kept = muster::create_task([]() -> muster::task<int> {
                co_await muster::sleep_for(5ms);
                co_return 7;
            }());
            auto waiter = muster::create_task(result_of(kept));
            co_await muster::sleep_for(1ms);
            what.on(kept);
            auto got = co_await waiter;
            EXPECT_EQ(got, "7") << what.name;
        }(a));
    }
}

TEST(a_future, may_be_destroyed_moved_and_assigned_to_while_a_task_waits_for_it) {
    for (const auto& a : acts<muster::future<int>>()) {
        manual_loop loop;
        loop.run([](const act<muster::future<int>>& what) -> muster::task<> {
            auto setter = muster::make_future<int>("f");
            std::optional<muster::future<int>> kept = setter;
            auto waiter = muster::create_task(result_of(kept));
            co_await muster::sleep_for(1ms);
            what.on(kept);
            setter.set_value(7);
            auto got = co_await waiter;
            EXPECT_EQ(got, "7") << what.name;
        }(a));
    }
}

TEST(a_promise, that_goes_while_a_task_waits_breaks_and_one_that_is_moved_keeps) {
    using promise = muster::promise<int>;
    const std::vector<std::pair<act<promise>, std::string>> table{
        {{"destroyed", [](std::optional<promise>& p) { p.reset(); }}, "broken_promise_error"},
        {{"assigned to", [](std::optional<promise>& p) { *p = promise(); }}, "broken_promise_error"},
        {{"moved",
             [](std::optional<promise>& p) {
                 promise taken = std::move(*p);
                 taken.set_value(7);
             }},
            "7"},
        {{"moved into itself",
             [](std::optional<promise>& p) {
                 auto& same = *p;
                 *p = std::move(same);
                 p->set_value(7);
             }},
            "7"},
    };
    for (const auto& row : table) {
        manual_loop loop;
        loop.run([](const act<promise>& what, const std::string& expected) -> muster::task<> {
            auto made = muster::make_promise<int>();
            std::optional<promise> p = std::move(made.first);
            std::optional<muster::future<int>> f = std::move(made.second);
            auto waiter = muster::create_task(result_of(f));
            co_await muster::sleep_for(1ms);
            what.on(p);
            auto got = co_await waiter;
            EXPECT_NE(got.find(expected), std::string::npos) << what.name << ": " << got;
        }(row.first, row.second));
    }
}

TEST(a_loop_handle, may_go_while_a_thread_waits_for_what_it_submitted) {
    muster::run([]() -> muster::task<> {
        auto loop = std::make_optional(muster::loop_handle::current());
        std::string got;
        std::jthread other([&loop, &got] {
            auto remote = loop->submit([]() -> muster::task<int> {
                co_await muster::sleep_for(5ms);
                co_return 7;
            });
            loop.reset();
            got = std::to_string(remote.get());
        });
        co_await muster::sleep_for(50ms);
        other.join();
        EXPECT_EQ(got, "7");
    }());
}

TEST(a_pool, that_is_destroyed_while_a_task_waits_for_it_makes_the_call_first) {
    muster::run([]() -> muster::task<> {
        auto pool = std::make_optional<muster::thread_pool>(muster::thread_pool_options().threads(1));
        auto slow = [] {
            std::this_thread::sleep_for(5ms);
            return 7;
        };
        auto first = muster::start_in_executor(*pool, slow);
        auto second = muster::start_in_executor(*pool, slow);
        co_await muster::yield();
        pool.reset();
        auto a = co_await first;
        auto b = co_await second;
        EXPECT_EQ(a + b, 14);
    }());
}

TEST(a_pool, that_is_stopped_while_a_task_waits_for_it_cancels_what_has_not_begun) {
    muster::run([]() -> muster::task<> {
        muster::thread_pool pool(muster::thread_pool_options().threads(1));
        auto slow = [] {
            std::this_thread::sleep_for(20ms);
            return 7;
        };
        auto first = muster::start_in_executor(pool, slow);
        auto second = muster::start_in_executor(pool, slow);
        co_await muster::yield();
        while (pool.running() == 0)
            co_await muster::sleep_for(1ms);
        pool.stop();
        auto a = co_await first;
        EXPECT_EQ(a, 7);
        bool cancelled = false;
        try {
            co_await second;
        } catch (const muster::cancelled_error& e) {
            cancelled = e.reason() == muster::cancel_reason::shutdown;
        }
        EXPECT_TRUE(cancelled);
    }());
}

} // namespace
