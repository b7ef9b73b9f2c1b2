// SPDX-License-Identifier: MIT
#include "support/collected.hpp"

#include <muster/thread_pool.hpp>

#include <muster/gather.hpp>
#include <muster/run.hpp>
#include <muster/sleep.hpp>
#include <muster/testing/manual_loop.hpp>
#include <muster/timeout.hpp>
#include <muster/to_thread.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <latch>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <type_traits>
#include <vector>

#include <pthread.h>
#include <sys/resource.h>

#include <gtest/gtest.h>

using namespace std::chrono_literals;
using muster::testing::live_frames;
using muster::testing::manual_loop;

namespace {

/// Holds the threads of a pool until it is opened.
class gate {
public:
    void open() {
        open_.store(true);
        open_.notify_all();
    }
    void pass() {
        entered_.fetch_add(1);
        entered_.notify_all();
        open_.wait(false);
    }
    void wait_for(int n) {
        for (int seen = entered_.load(); seen < n; seen = entered_.load())
            entered_.wait(seen);
    }
    [[nodiscard]] int entered() const { return entered_.load(); }

private:
    std::atomic<bool> open_{false};
    std::atomic<int> entered_{0};
};

muster::thread_pool_options sized(std::size_t n) { return muster::thread_pool_options().threads(n); }

std::string text_of_cancellation(const muster::any_handle& h) {
    try {
        static_cast<void>(h.exception());
    } catch (const muster::cancelled_error& e) {
        return e.what();
    }
    return "not cancelled";
}

/// Waits for a handle without taking part in how it ends.
muster::task<> until_done(muster::any_handle h) {
    while (!h.done())
        co_await muster::sleep_for(1ms);
}

int twice(int n) { return 2 * n; }

} // namespace

// ---- what a call gives ----

TEST(to_thread, runs_the_call_on_another_thread_and_gives_its_value) {
    const auto frames = live_frames();
    manual_loop loop;
    const auto here = std::this_thread::get_id();
    loop.run([](std::thread::id loops) -> muster::task<> {
        auto there = co_await muster::to_thread([] { return std::this_thread::get_id(); });
        EXPECT_NE(there, loops);
        auto four = co_await muster::to_thread(twice, 2);
        EXPECT_EQ(four, 4);
    }(here));
    EXPECT_EQ(loop.elapsed(), 0ms);
    EXPECT_EQ(live_frames(), frames);
}

TEST(to_thread, gives_void_references_and_move_only_values) {
    muster::run([]() -> muster::task<> {
        std::atomic<bool> called = false;
        co_await muster::to_thread([&called] { called = true; });
        EXPECT_TRUE(called);

        static int object = 3;
        auto& same = co_await muster::to_thread([]() -> int& { return object; });
        EXPECT_EQ(&same, &object);

        auto in = std::make_unique<int>(4);
        auto add = [](std::unique_ptr<int> p, int n) { return std::make_unique<int>(*p + n); };
        muster::to_thread call(add, std::move(in), 1);
        auto out = co_await call;
        EXPECT_EQ(*out, 5);

        int counted = 0;
        auto count = [](int& n) { ++n; };
        co_await muster::to_thread(count, std::ref(counted));
        EXPECT_EQ(counted, 1);
    }());
}

TEST(to_thread, throws_what_the_call_throws_as_itself) {
    muster::run([]() -> muster::task<> {
        auto fail = [](int n) -> int { throw std::out_of_range(std::to_string(n)); };
        bool caught = false;
        try {
            static_cast<void>(co_await muster::to_thread(fail, 7));
        } catch (const std::out_of_range& e) {
            caught = std::string_view(e.what()) == "7";
        }
        EXPECT_TRUE(caught);
    }());
}

TEST(to_thread, an_exception_object_that_was_returned_is_a_value) {
    muster::run([]() -> muster::task<> {
        auto& pool = muster::default_pool();
        auto returned = muster::start_in_executor(pool, [] { return std::runtime_error("returned"); });
        auto thrown = muster::start_in_executor(pool, []() -> int { throw std::runtime_error("thrown"); });
        auto value = co_await returned;
        EXPECT_EQ(std::string_view(value.what()), "returned");
        co_await until_done(thrown);
        EXPECT_TRUE(returned.ended_as().succeeded());
        EXPECT_TRUE(thrown.ended_as().failed_with<std::runtime_error>());
    }());
}

TEST(to_thread, calls_overlap_on_as_many_threads_as_are_needed) {
    muster::run([]() -> muster::task<> {
        muster::thread_pool pool(sized(4));
        std::latch all(4); // opens only if four calls run at once
        std::vector<muster::task_handle<void>> calls;
        for (int i = 0; i != 4; ++i)
            calls.push_back(muster::start_in_executor(pool, [&all] { all.arrive_and_wait(); }));
        for (auto& h : calls)
            co_await h;
        EXPECT_EQ(pool.threads(), 4u);
    }());
}

TEST(to_thread, can_be_made_a_task) {
    muster::run([]() -> muster::task<> {
        auto t = muster::to_thread(twice, 21).as_task();
        auto n = co_await std::move(t);
        EXPECT_EQ(n, 42);
        muster::task<int> converted = muster::to_thread(twice, 4);
        auto h = muster::create_task(std::move(converted));
        auto eight = co_await h;
        EXPECT_EQ(eight, 8);
    }());
}

TEST(to_thread, is_awaited_once) {
    muster::run([]() -> muster::task<> {
        muster::to_thread call(twice, 1);
        auto two = co_await call;
        EXPECT_EQ(two, 2);
        bool refused = false;
        try {
            static_cast<void>(co_await call);
        } catch (const muster::invalid_state_error&) {
            refused = true;
        }
        EXPECT_TRUE(refused);
    }());
}

TEST(to_thread, that_is_never_awaited_is_reported_with_its_place) {
    manual_loop loop;
    collected c;
    const auto line = std::source_location::current().line();
    loop.run(
        []() -> muster::task<> {
            muster::to_thread call(twice, 1);
            co_return;
        }(),
        c.options());
    ASSERT_EQ(c.reports.size(), 1u);
    EXPECT_EQ(c.reports[0].kind, muster::report_kind::never_awaited);
    EXPECT_EQ(c.reports[0].site.line(), line + 3);
}

TEST(start_in_executor, begins_at_once_and_can_be_read_after_the_loop_has_ended) {
    auto handles = muster::run([]() -> muster::task<std::vector<muster::task_handle<int>>> {
        std::vector<muster::task_handle<int>> calls;
        for (int i = 0; i != 10; ++i)
            calls.push_back(muster::start_in_executor(muster::default_pool(), [i] {
                if (i % 3 == 0)
                    throw std::runtime_error("call " + std::to_string(i));
                return i;
            }));
        for (auto& h : calls)
            co_await until_done(h);
        co_return calls;
    }());
    for (int i = 0; i != 10; ++i) {
        const auto& ended = handles[static_cast<std::size_t>(i)].ended_as();
        EXPECT_EQ(ended.succeeded(), i % 3 != 0);
        EXPECT_EQ(ended.failed_with<std::runtime_error>(), i % 3 == 0);
        if (ended.succeeded()) {
            EXPECT_EQ(*ended, i);
        }
    }
}

// ---- cancellation ----

TEST(run_in_executor, cancelled_before_it_was_submitted_is_never_called) {
    manual_loop loop;
    loop.run([]() -> muster::task<> {
        muster::thread_pool pool(sized(1));
        auto h = muster::start_in_executor(pool, [] { ADD_FAILURE(); });
        h.cancel();
        co_await until_done(h);
        EXPECT_TRUE(h.cancelled());
        EXPECT_EQ(pool.threads(), 0u);
    }());
}

TEST(run_in_executor, cancelling_a_queued_call_removes_it_at_once) {
    const auto frames = live_frames();
    manual_loop loop;
    loop.run([]() -> muster::task<> {
        muster::thread_pool pool(sized(1));
        gate g;
        auto busy = muster::start_in_executor(pool, [&g] { g.pass(); });
        auto queued = muster::start_in_executor(pool, [] { ADD_FAILURE() << "it was cancelled while queued"; });
        auto told = muster::start_in_executor(pool, [] { ADD_FAILURE() << "it was cancelled while queued"; });
        co_await muster::yield();
        g.wait_for(1);
        EXPECT_EQ(pool.queued(), 2u);
        queued.cancel();
        told.cancel("too slow");
        EXPECT_EQ(pool.queued(), 0u);
        co_await muster::yield();
        EXPECT_TRUE(queued.cancelled());
        EXPECT_EQ(text_of_cancellation(queued), "the call had not begun, and was never made");
        EXPECT_EQ(text_of_cancellation(told), "too slow");
        EXPECT_FALSE(busy.done());
        g.open();
        co_await busy;
    }());
    EXPECT_EQ(live_frames(), frames);
}

TEST(run_in_executor, cancelling_a_running_call_waits_for_it) {
    manual_loop loop;
    collected c;
    loop.run(
        []() -> muster::task<> {
            muster::thread_pool pool(sized(1));
            gate g;
            auto h = muster::start_in_executor(pool, [&g] {
                g.pass();
                return 1;
            });
            co_await muster::yield();
            g.wait_for(1);
            h.cancel("enough");
            h.cancel("enough now");
            co_await muster::yield();
            EXPECT_FALSE(h.done());
            g.open();
            co_await until_done(h);
            EXPECT_TRUE(h.cancelled());
            EXPECT_EQ(text_of_cancellation(h), "enough now");
        }(),
        c.options());
    EXPECT_TRUE(c.reports.empty());
}

TEST(run_in_executor, what_a_cancelled_call_threw_is_reported) {
    manual_loop loop;
    collected c;
    std::uint_least32_t line = 0;
    loop.run(
        [](std::uint_least32_t& made_at) -> muster::task<> {
            muster::thread_pool pool(sized(1));
            gate g;
            auto failing = [&g] {
                g.pass();
                throw std::runtime_error("too late");
            };
            made_at = std::source_location::current().line() + 1;
            auto h = muster::start_in_executor(pool, failing, "failing");
            co_await muster::yield();
            g.wait_for(1);
            h.cancel();
            g.open();
            co_await until_done(h);
            EXPECT_TRUE(h.cancelled());
        }(line),
        c.options());
    ASSERT_EQ(c.reports.size(), 1u);
    EXPECT_EQ(c.reports[0].kind, muster::report_kind::suppressed);
    EXPECT_EQ(c.reports[0].name, "failing");
    EXPECT_EQ(c.reports[0].site.line(), line);
    const auto* error = muster::get_if<std::runtime_error>(c.reports[0].error);
    EXPECT_TRUE(error != nullptr && std::string_view(error->what()) == "too late");
}

TEST(run_in_executor, a_request_that_is_taken_back_does_not_cost_the_value) {
    manual_loop loop;
    loop.run([]() -> muster::task<> {
        muster::thread_pool pool(sized(1));
        gate g;
        auto h = muster::start_in_executor(pool, [&g] {
            g.pass();
            return 5;
        });
        co_await muster::yield();
        g.wait_for(1);
        h.cancel();
        EXPECT_EQ(h.uncancel(), 0);
        g.open();
        auto five = co_await h;
        EXPECT_EQ(five, 5);
    }());
}

TEST(run_in_executor, woken_and_cancelled_in_one_instant_is_cancelled) {
    manual_loop loop;
    collected c;
    loop.run(
        []() -> muster::task<> {
            muster::thread_pool pool(sized(1));
            gate g;
            auto h = muster::start_in_executor(pool, [&g] {
                g.pass();
                throw std::runtime_error("dropped");
            });
            co_await muster::yield();
            g.wait_for(1);
            g.open();
            pool.shutdown(); // the letter is in the box
            h.cancel();
            co_await until_done(h);
            EXPECT_TRUE(h.cancelled());
        }(),
        c.options());
    ASSERT_EQ(c.reports.size(), 1u);
    EXPECT_EQ(c.reports[0].kind, muster::report_kind::suppressed);
}

TEST(run_in_executor, a_call_that_was_over_when_its_pool_ended_can_still_be_cancelled) {
    manual_loop loop;
    loop.run([]() -> muster::task<> {
        std::optional<muster::thread_pool> pool(std::in_place, sized(2));
        auto h = muster::start_in_executor(*pool, [] { return 1; });
        co_await muster::yield();
        pool.reset();
        h.cancel();
        co_await until_done(h);
        EXPECT_TRUE(h.cancelled());
    }());
}

TEST(run_in_executor, a_stop_token_is_stopped_when_the_waiting_task_is_cancelled) {
    manual_loop loop;
    loop.run([]() -> muster::task<> {
        muster::thread_pool pool(sized(1));
        gate g;
        bool saw_stop = false;
        auto poll = [&](std::stop_token stop) {
            g.open();
            while (!stop.stop_requested())
                std::this_thread::yield();
            saw_stop = true;
        };
        auto h = muster::start_in_executor(pool, poll);
        co_await muster::yield();
        g.pass();
        h.cancel();
        co_await until_done(h);
        EXPECT_TRUE(h.cancelled());
        EXPECT_TRUE(saw_stop);

        auto with_argument = [](std::stop_token stop, int n) { return stop.stop_possible() ? n : 0; };
        auto three = co_await muster::to_thread(with_argument, 3);
        EXPECT_EQ(three, 3);
    }());
}

// ---- abandon ----

TEST(abandon, leaves_a_running_call_behind) {
    const auto frames = live_frames();
    {
        muster::thread_pool pool(sized(1));
        auto g = std::make_shared<gate>();
        auto owned = std::make_shared<int>(0);
        manual_loop loop;
        loop.run([](muster::thread_pool& p, std::shared_ptr<gate> hold, std::shared_ptr<int> value) -> muster::task<> {
            auto waits = [](muster::thread_pool& on, std::shared_ptr<gate> h,
                             std::shared_ptr<int> v) -> muster::task<int> {
                auto slow = [h, v] {
                    h->pass();
                    return ++*v;
                };
                auto call = muster::run_in_executor(on, slow).abandon();
                auto n = co_await call;
                co_return n;
            };
            auto h = muster::create_task(waits(p, hold, value), "impatient");
            co_await muster::yield();
            hold->wait_for(1);
            h.cancel();
            co_await muster::yield();
            EXPECT_TRUE(h.cancelled()); // at once
        }(pool, g, owned));
        EXPECT_EQ(*owned, 0);
        g->open();
        pool.shutdown();
        EXPECT_EQ(*owned, 1);
        EXPECT_EQ(owned.use_count(), 2); // the letter with the call waits in the box for the loop's end
    }
    EXPECT_EQ(live_frames(), frames);
}

TEST(abandon, what_the_call_throws_afterwards_is_reported) {
    muster::thread_pool pool(sized(1));
    manual_loop loop;
    collected c;
    loop.run(
        [](muster::thread_pool& p) -> muster::task<> {
            auto g = std::make_shared<gate>();
            auto fails = [](muster::thread_pool& on, std::shared_ptr<gate> hold) -> muster::task<> {
                auto slow = [hold](std::stop_token stop) {
                    hold->pass();
                    EXPECT_TRUE(stop.stop_requested());
                    throw std::runtime_error("after all");
                };
                auto call = muster::run_in_executor(on, slow).abandon();
                co_await call;
            };
            auto h = muster::create_task(fails(p, g), "impatient");
            co_await muster::yield();
            g->wait_for(1);
            h.cancel();
            co_await muster::yield();
            EXPECT_TRUE(h.cancelled());
            g->open();
            p.shutdown();
            co_await muster::yield();
        }(pool),
        c.options());
    ASSERT_EQ(c.reports.size(), 1u);
    EXPECT_EQ(c.reports[0].kind, muster::report_kind::suppressed);
    EXPECT_EQ(c.reports[0].name, "impatient");
}

TEST(abandon, is_an_ordinary_call_unless_it_is_cancelled) {
    manual_loop loop;
    loop.run([]() -> muster::task<> {
        muster::thread_pool pool(sized(1));
        auto call = muster::run_in_executor(pool, [] { return std::make_unique<int>(6); }).abandon();
        auto six = co_await call;
        EXPECT_EQ(*six, 6);

        gate g;
        auto busy = muster::start_in_executor(pool, [&g] { g.pass(); });
        auto queued = muster::create_task([](muster::thread_pool& on) -> muster::task<> {
            auto never = muster::run_in_executor(on, [] { ADD_FAILURE(); }).abandon();
            co_await never;
        }(pool));
        co_await muster::yield();
        g.wait_for(1);
        queued.cancel();
        co_await muster::yield();
        EXPECT_EQ(text_of_cancellation(queued), "the call had not begun, and was never made");
        g.open();
        co_await busy;
    }());
}

TEST(abandon, a_failure_that_comes_after_the_loop_has_gone_is_reported_to_the_program) {
    static std::mutex lock;
    static std::vector<std::string> lines;
    lines.clear();
    const auto before = muster::set_report_handler([](const muster::report& r) {
        const std::lock_guard guard(lock);
        lines.push_back(r.name + ": " + muster::describe(r.error));
    });
    {
        muster::thread_pool pool(sized(1));
        auto g = std::make_shared<gate>();
        muster::run([](muster::thread_pool& p, std::shared_ptr<gate> hold) -> muster::task<> {
            auto fails = [](muster::thread_pool& on, std::shared_ptr<gate> h) -> muster::task<> {
                auto slow = [h] {
                    h->pass();
                    throw std::runtime_error("much later");
                };
                auto call = muster::run_in_executor(on, slow).abandon();
                co_await call;
            };
            auto h = muster::create_task(fails(p, hold), "impatient");
            co_await muster::yield();
            hold->wait_for(1);
            h.cancel();
            co_await muster::yield();
        }(pool, g));
        g->open();
    }
    muster::set_report_handler(before);
    ASSERT_EQ(lines.size(), 1u);
    EXPECT_NE(lines[0].find("impatient: "), std::string::npos);
    EXPECT_NE(lines[0].find("much later"), std::string::npos);
}

// ---- the pool ----

TEST(thread_pool, starts_threads_only_when_they_are_needed) {
    manual_loop loop;
    loop.run([]() -> muster::task<> {
        muster::thread_pool pool(sized(8));
        EXPECT_EQ(pool.threads(), 0u);
        co_await muster::run_in_executor(pool, [] {});
        EXPECT_EQ(pool.threads(), 1u);
    }());
}

TEST(thread_pool, makes_calls_in_the_order_in_which_they_came) {
    manual_loop loop;
    loop.run([]() -> muster::task<> {
        muster::thread_pool pool(sized(1));
        std::vector<int> order;
        std::vector<muster::task_handle<void>> calls;
        for (int i = 0; i != 100; ++i)
            calls.push_back(muster::start_in_executor(pool, [&order, i] { order.push_back(i); }));
        for (auto& h : calls)
            co_await h;
        bool sorted = order.size() == 100;
        for (std::size_t i = 0; i != order.size(); ++i)
            sorted = sorted && order[i] == static_cast<int>(i);
        EXPECT_TRUE(sorted);
    }());
}

TEST(thread_pool, a_call_that_blocks_keeps_no_other_from_a_free_thread) {
    manual_loop loop;
    loop.run([]() -> muster::task<> {
        muster::thread_pool pool(sized(2));
        gate g;
        std::mutex lock;
        std::vector<int> order;
        std::vector<muster::task_handle<void>> calls;
        for (int i = 0; i != 300; ++i)
            calls.push_back(muster::start_in_executor(pool, [&, i] {
                if (i == 1)
                    g.pass();
                const std::lock_guard own(lock);
                order.push_back(i);
            }));
        for (std::size_t i = 0; i != calls.size(); ++i) {
            if (i != 1)
                co_await calls[i];
        }
        EXPECT_EQ(g.entered(), 1);
        EXPECT_EQ(order.size(), 299u);
        // One thread has made all that came after the call that blocks.
        EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
        EXPECT_FALSE(calls[1].done());
        g.open();
        co_await calls[1];
    }());
}

TEST(thread_pool, shutdown_makes_the_calls_that_wait) {
    manual_loop loop;
    loop.run([]() -> muster::task<> {
        muster::thread_pool pool(sized(1));
        gate g;
        std::atomic<int> made = 0;
        auto busy = muster::start_in_executor(pool, [&] {
            g.pass();
            ++made;
        });
        auto queued = muster::start_in_executor(pool, [&] { ++made; });
        co_await muster::yield();
        g.wait_for(1);
        g.open();
        pool.shutdown();
        EXPECT_EQ(made, 2);
        co_await busy;
        co_await queued;
        bool refused = false;
        try {
            co_await muster::run_in_executor(pool, [] {});
        } catch (const muster::invalid_state_error&) {
            refused = true;
        }
        EXPECT_TRUE(refused);
        pool.shutdown(); // again: nothing is left to do
    }());
}

TEST(thread_pool, stop_does_not_make_the_calls_that_wait) {
    manual_loop loop;
    loop.run([]() -> muster::task<> {
        muster::thread_pool pool(sized(1));
        gate g;
        auto busy = muster::start_in_executor(pool, [&g] { g.pass(); });
        auto queued = muster::start_in_executor(pool, [] { ADD_FAILURE(); });
        co_await muster::yield();
        g.wait_for(1);
        std::jthread opener([&g, &pool] {
            while (pool.queued() != 0) // until the stop has taken it
                std::this_thread::yield();
            g.open();
        });
        pool.stop();
        co_await busy;
        co_await until_done(queued);
        EXPECT_TRUE(queued.cancelled());
        EXPECT_EQ(queued.ended_as().reason(), muster::cancel_reason::shutdown);
    }());
}

TEST(thread_pool, stop_asks_the_calls_that_are_being_made_to_stop) {
    manual_loop loop;
    loop.run([]() -> muster::task<> {
        muster::thread_pool pool(sized(2));
        gate begun;
        std::atomic<std::size_t> seen_by_callback = 99;
        const auto until_asked = [&](std::stop_token stop) {
            // A callback may ask the pool: it is not called with the pool's lock.
            const std::stop_callback callback(stop, [&] { seen_by_callback = pool.queued(); });
            begun.open();
            begun.pass();
            while (!stop.stop_requested())
                std::this_thread::yield();
            return 5;
        };
        auto one = muster::start_in_executor(pool, until_asked);
        auto two = muster::start_in_executor(pool, until_asked);
        co_await muster::yield();
        begun.wait_for(2);
        pool.stop();
        auto first = co_await one;
        auto second = co_await two;
        EXPECT_EQ(first + second, 10); // what they returned counts: nobody has cancelled them
        EXPECT_EQ(seen_by_callback, 0u);
    }());
}

TEST(thread_pool, may_be_shut_down_by_two_threads_at_once) {
    for (int round = 0; round != 100; ++round) {
        muster::thread_pool pool(sized(2));
        muster::run([](muster::thread_pool& p) -> muster::task<> { co_await muster::run_in_executor(p, [] {}); }(pool));
        std::jthread one([&pool] { pool.shutdown(); });
        std::jthread two([&pool] { pool.stop(); });
    }
}

TEST(thread_pool, cannot_be_shut_down_by_its_own_thread) {
    manual_loop loop;
    loop.run([]() -> muster::task<> {
        muster::thread_pool pool(sized(1));
        bool refused = false;
        try {
            co_await muster::run_in_executor(pool, [&pool] { pool.shutdown(); });
        } catch (const muster::invalid_state_error&) {
            refused = true;
        }
        EXPECT_TRUE(refused);
    }());
}

TEST(thread_pool, cannot_be_shut_down_by_its_own_thread_while_another_one_does) {
    muster::run([]() -> muster::task<> {
        muster::thread_pool pool(sized(1));
        gate g;
        auto h = muster::start_in_executor(pool, [&] {
            g.pass();
            pool.shutdown();
        });
        co_await muster::yield();
        g.wait_for(1);
        std::jthread closer([&pool] { pool.stop(); });
        bool closing = false;
        while (!closing) { // until the pool takes no more calls
            auto late = muster::start_in_executor(pool, [] {});
            co_await until_done(late);
            closing = late.ended_as().failed_with<muster::invalid_state_error>() || late.cancelled();
        }
        g.open();
        co_await until_done(h);
        EXPECT_TRUE(h.ended_as().failed_with<muster::invalid_state_error>());
    }());
}

TEST(thread_pool, a_full_queue_refuses_calls) {
    manual_loop loop;
    loop.run([]() -> muster::task<> {
        muster::thread_pool pool(sized(1).queue_limit(2));
        gate g;
        auto busy = muster::start_in_executor(pool, [&g] { g.pass(); });
        co_await muster::yield();
        g.wait_for(1);
        auto first = muster::start_in_executor(pool, [] {});
        auto second = muster::start_in_executor(pool, [] {});
        auto third = muster::start_in_executor(pool, [] { ADD_FAILURE(); });
        co_await muster::yield();
        EXPECT_TRUE(third.ended_as().failed_with<muster::queue_full>());
        EXPECT_FALSE(second.done());
        first.cancel(); // makes room
        auto fourth = muster::start_in_executor(pool, [] {});
        co_await muster::yield();
        g.open();
        co_await busy;
        co_await second;
        co_await fourth;
    }());
}

TEST(thread_pool, needs_at_least_one_thread) {
    EXPECT_THROW(muster::thread_pool_options().threads(0), std::invalid_argument);
}

TEST(thread_pool, names_its_threads) {
    muster::run([]() -> muster::task<> {
        muster::thread_pool pool(sized(1).name("a name that is long"));
        auto name = co_await muster::run_in_executor(pool, [] {
            std::array<char, 16> text{};
            pthread_getname_np(pthread_self(), text.data(), text.size());
            return std::string(text.data());
        });
        EXPECT_EQ(name, "a name that-0");
    }());
}

TEST(thread_pool, without_any_thread_a_call_fails) {
    manual_loop loop;
    loop.run([]() -> muster::task<> {
        muster::thread_pool pool(sized(2).stack_bytes(std::size_t{1} << 50));
        bool failed = false;
        try {
            co_await muster::run_in_executor(pool, [] { ADD_FAILURE(); });
        } catch (const std::system_error&) {
            failed = true;
        }
        EXPECT_TRUE(failed);
        EXPECT_EQ(pool.queued(), 0u);
    }());
}

TEST(thread_pool, serves_several_loops) {
    muster::thread_pool pool(sized(2));
    std::atomic<int> sum = 0;
    {
        std::vector<std::jthread> loops;
        for (int i = 0; i != 3; ++i)
            loops.emplace_back([&] {
                muster::run([](muster::thread_pool& p, std::atomic<int>& total) -> muster::task<> {
                    for (int n = 0; n != 200; ++n)
                        co_await muster::run_in_executor(p, [&total] { ++total; });
                }(pool, sum));
            });
    }
    EXPECT_EQ(sum, 600);
}

TEST(thread_pool, a_loop_that_is_destroyed_waits_for_its_running_calls) {
    muster::thread_pool pool(sized(1));
    gate g;
    bool made = false;
    std::vector<muster::report_kind> kinds;
    const auto before = muster::set_report_handler([&kinds](const muster::report& r) { kinds.push_back(r.kind); });
    {
        std::jthread opener;
        manual_loop loop;
        auto h = loop.start([](muster::thread_pool& p, gate& hold, bool& done) -> muster::task<> {
            co_await muster::run_in_executor(p, [&] {
                hold.pass();
                done = true;
            });
        }(pool, g, made));
        auto queued = loop.start([](muster::thread_pool& p) -> muster::task<> {
            co_await muster::run_in_executor(p, [] { ADD_FAILURE(); });
        }(pool));
        {
            std::jthread starter([&g] { g.wait_for(1); });
            loop.advance(0ns);
        }
        opener = std::jthread([&g, &pool] {
            while (pool.queued() != 0)
                std::this_thread::yield();
            g.open();
        });
    }
    muster::set_report_handler(before);
    EXPECT_TRUE(made);
    EXPECT_EQ(kinds, (std::vector<muster::report_kind>(2, muster::report_kind::destroyed_pending)));
}

TEST(thread_pool, a_loop_whose_grace_ends_names_the_call_that_it_waits_for) {
    muster::thread_pool pool(sized(1));
    gate g;
    std::vector<muster::report> reports;
    std::jthread opener;
    const auto options =
        muster::run_options().grace(1ms).on_report([&](const muster::report& r) { reports.push_back(r); });
    muster::run(
        [](muster::thread_pool& p, gate& hold, std::jthread& later) -> muster::task<> {
            auto h = muster::start_in_executor(
                p, [&hold] { hold.pass(); }, "stubborn");
            co_await muster::yield();
            hold.wait_for(1);
            later = std::jthread([&hold] {
                std::this_thread::sleep_for(50ms);
                hold.open();
            });
        }(pool, g, opener),
        options);
    ASSERT_EQ(reports.size(), 2u);
    EXPECT_EQ(reports[0].kind, muster::report_kind::ignores_cancellation);
    EXPECT_EQ(reports[0].name, "stubborn");
    EXPECT_EQ(reports[1].kind, muster::report_kind::destroyed_pending);
}

TEST(thread_pool, cancellations_race_completions) {
    const auto frames = live_frames();
    int values = 0;
    int cancelled = 0;
    std::atomic<int> made = 0;
    muster::run([](int& done, int& stopped, std::atomic<int>& calls) -> muster::task<> {
        muster::thread_pool pool(sized(2));
        for (int round = 0; round != 300; ++round) {
            std::vector<muster::task_handle<int>> handles;
            for (int i = 0; i != 20; ++i)
                handles.push_back(muster::start_in_executor(pool, [&calls, i] {
                    ++calls;
                    return i;
                }));
            co_await muster::yield();
            for (std::size_t i = static_cast<std::size_t>(round) % 3; i < handles.size(); i += 3)
                handles[i].cancel();
            for (auto& h : handles) {
                try {
                    static_cast<void>(co_await h);
                    ++done;
                } catch (const muster::cancelled_error&) {
                    ++stopped;
                }
            }
        }
    }(values, cancelled, made));
    EXPECT_EQ(values + cancelled, 6000);
    EXPECT_GE(values, 3900);
    EXPECT_GE(made, values);
    EXPECT_EQ(live_frames(), frames);
}

TEST(thread_pool, goes_on_with_fewer_threads_when_no_more_can_be_started) {
#if defined(__SANITIZE_THREAD__) || MUSTER_WITH_ASAN
    GTEST_SKIP() << "a sanitizer's address space can't be limited";
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
    GTEST_SKIP() << "a sanitizer's address space can't be limited";
#endif
#endif
    rlimit unlimited{};
    ASSERT_EQ(getrlimit(RLIMIT_AS, &unlimited), 0);
    manual_loop loop;
    loop.run([](rlimit all) -> muster::task<> {
        // Larger than any stack that the C library may have kept.
        muster::thread_pool pool(sized(4).stack_bytes(std::size_t{1} << 30));
        co_await muster::run_in_executor(pool, [] {});
        rlimit some = all;
        some.rlim_cur = std::size_t{3} << 29;
        EXPECT_EQ(setrlimit(RLIMIT_AS, &some), 0);
        std::vector<muster::task_handle<void>> calls;
        for (int i = 0; i != 10; ++i)
            calls.push_back(muster::start_in_executor(pool, [] {}));
        for (auto& h : calls)
            co_await h;
        EXPECT_EQ(pool.threads(), 1u);
        EXPECT_EQ(setrlimit(RLIMIT_AS, &all), 0);
    }(unlimited));
}

TEST(abandon, is_taken_by_wait_for_and_gather) {
    muster::run([]() -> muster::task<> {
        auto value = co_await muster::wait_for(muster::to_thread([] { return 1; }).abandon(), 10s);
        EXPECT_EQ(value, 1);
        auto both = co_await muster::gather(
            muster::to_thread([] { return 2; }).abandon(), muster::to_thread([] { return 3; }).abandon());
        EXPECT_EQ(std::get<0>(both) + std::get<1>(both), 5);
    }());
}

TEST(abandon, a_call_that_outlasts_its_time_limit_is_left_behind) {
    muster::thread_pool pool;
    auto go_on = std::make_shared<std::atomic<bool>>(false);
    muster::run([](muster::thread_pool& on, std::shared_ptr<std::atomic<bool>> flag) -> muster::task<> {
        auto stuck = [flag] { flag->wait(false); };
        bool expired = false;
        try {
            co_await muster::wait_for(muster::run_in_executor(on, stuck).abandon(), 300ms);
        } catch (const muster::timeout_error&) {
            expired = true;
        }
        EXPECT_TRUE(expired);
    }(pool, go_on));
    pool.shutdown(); // does not wait for the call
    EXPECT_EQ(pool.running(), 1u);
    *go_on = true;
    go_on->notify_all();
}

TEST(the_program_DeathTest, does_not_wait_for_a_call_that_was_left_behind_and_never_ends) {
    ::testing::FLAGS_gtest_death_test_style = "threadsafe";
    EXPECT_EXIT(
        {
            muster::run([]() -> muster::task<> {
                auto stuck = [] {
                    for (;;)
                        std::this_thread::sleep_for(1h);
                };
                bool expired = false;
                try {
                    co_await muster::wait_for(muster::to_thread(stuck).abandon(), 5ms);
                } catch (const muster::timeout_error&) {
                    expired = true;
                }
                EXPECT_TRUE(expired);
            }());
            std::exit(0);
        },
        ::testing::ExitedWithCode(0), "");
}

TEST(thread_pool, that_is_gone_when_a_call_made_for_it_is_awaited_gives_an_error) {
    muster::run([]() -> muster::task<> {
        auto pool = std::make_unique<muster::thread_pool>();
        auto call = muster::run_in_executor(*pool, [] { return 1; });
        auto task = muster::run_in_executor(*pool, [] { return 1; }).as_task();
        auto left = muster::run_in_executor(*pool, [] { return 1; }).abandon();
        auto started = muster::start_in_executor(*pool, [] { return 1; });
        pool.reset();
        const auto is_refused = [](const auto& ended) {
            return ended.template failed_with<muster::invalid_state_error>();
        };
        auto first = co_await muster::as_outcome(std::move(call).as_task());
        EXPECT_TRUE(is_refused(first)) << muster::to_string(first);
        auto second = co_await muster::as_outcome(std::move(task));
        EXPECT_TRUE(is_refused(second)) << muster::to_string(second);
        auto third = co_await muster::as_outcome(std::move(left).as_task());
        EXPECT_TRUE(is_refused(third)) << muster::to_string(third);
        auto last = co_await muster::settle(std::move(started));
        EXPECT_TRUE(is_refused(std::get<0>(last)));
    }());
}

/// Calls to_thread in its destructor, when the default pool is gone.
struct calls_when_destroyed {
    ~calls_when_destroyed() {
        try {
            muster::run([]() -> muster::task<> { co_await muster::to_thread([] {}); }());
        } catch (const muster::invalid_state_error& e) {
            std::fprintf(stderr, "refused: %s\n", e.what());
            std::_Exit(3);
        }
    }
};

TEST(the_default_pool_DeathTest, refuses_a_call_after_the_end_of_main) {
    ::testing::FLAGS_gtest_death_test_style = "threadsafe";
    EXPECT_EXIT(
        {
            static const calls_when_destroyed last;
            static_cast<void>(&last);
            muster::run([]() -> muster::task<> { co_await muster::to_thread([] {}); }());
            std::exit(0);
        },
        ::testing::ExitedWithCode(3), "refused: the pool 'muster' was shut down");
}
