// SPDX-License-Identifier: MIT
// Rules that decide cases: threads, blocking calls, deadlock, foreign awaitables, async iteration. No test sleeps: a
// job on another thread waits for the word of the test.
#include "support/virtual_run.hpp"

#include <muster/event.hpp>
#include <muster/future.hpp>
#include <muster/generator.hpp>
#include <muster/loop_handle.hpp>
#include <muster/promise.hpp>
#include <muster/queue.hpp>
#include <muster/stop_token.hpp>
#include <muster/thread_pool.hpp>
#include <muster/to_thread.hpp>

#include <gtest/gtest.h>

#include <coroutine>
#include <latch>
#include <thread>

using namespace play;

TEST(rule_threads, request_cancel_may_be_called_on_any_thread_and_is_carried_out_by_the_loop) {
    expect_run(
        []() -> muster::task<> {
            const muster::external_work_guard outside;
            auto h = muster::create_task(nothing_after(1h));
            co_await muster::yield();
            std::thread other([&h] { EXPECT_TRUE(h.request_cancel("from afar")); });
            other.join();
            EXPECT_FALSE(h.done()) << "nothing happens on the other thread";
            auto ended = co_await ending(h);
            EXPECT_TRUE(ended.was_cancelled());
            EXPECT_EQ(ended.message(), "from afar");
        },
        0ms);
}

TEST(rule_threads, promise_is_the_setter_for_other_threads) {
    expect_run(
        []() -> muster::task<> {
            muster::promise<int> p;
            auto [made, f] = muster::make_promise<int>();
            p = std::move(made);
            std::thread other([q = std::move(p)]() mutable { EXPECT_TRUE(q.set_value(7)); });
            auto value = co_await f;
            EXPECT_EQ(value, 7);
            other.join();
        },
        0ms);
}

TEST(rule_blocking_calls, an_exception_arrives_as_itself_and_an_exception_that_is_returned_stays_a_value) {
    expect_run(
        []() -> muster::task<> {
            auto bad = []() -> int { throw http_error(3); };
            auto ended = co_await ending(muster::to_thread(bad).as_task());
            EXPECT_EQ(text_of<http_error>(ended), "status 3");
            auto returns_one = [] { return http_error(4); };
            auto value = co_await muster::to_thread(returns_one);
            EXPECT_EQ(value.status, 4);
        },
        0ms);
}

TEST(rule_blocking_calls, cancelling_a_queued_call_removes_it_and_it_is_not_started) {
    expect_run(
        []() -> muster::task<> {
            muster::thread_pool pool(muster::thread_pool_options().threads(1));
            std::latch go(1), begun(1);
            bool called = false;
            auto first = [&] {
                begun.count_down();
                go.wait();
            };
            auto second = [&called] { called = true; };
            auto a = muster::start_in_executor(pool, first);
            auto b = muster::start_in_executor(pool, second);
            co_await muster::yield();
            begun.wait();
            EXPECT_EQ(pool.queued(), 1u);
            b.cancel("not needed");
            auto ended = co_await ending(b);
            EXPECT_TRUE(ended.was_cancelled());
            EXPECT_EQ(ended.message(), "not needed");
            go.count_down();
            co_await a;
            EXPECT_FALSE(called);
        },
        0ms);
}

// A departure from asyncio, whose waiter ends at once and leaves the call behind.
TEST(rule_blocking_calls, cancelling_a_running_one_waits_for_it_and_then_delivers_the_cancellation) {
    expect_run(
        []() -> muster::task<> {
            muster::thread_pool pool(muster::thread_pool_options().threads(1));
            std::latch go(1), begun(1);
            bool ended_on_its_thread = false;
            auto call = [&] {
                begun.count_down();
                go.wait();
                ended_on_its_thread = true;
                return 3;
            };
            auto h = muster::start_in_executor(pool, call);
            co_await muster::yield();
            begun.wait();
            h.cancel("stop");
            EXPECT_FALSE(h.done());
            go.count_down();
            auto ended = co_await ending(h);
            EXPECT_TRUE(ended.was_cancelled());
            EXPECT_EQ(ended.message(), "stop");
            EXPECT_TRUE(ended_on_its_thread);
        },
        0ms);
}

TEST(rule_blocking_calls, what_a_cancelled_running_call_threw_is_not_lost) {
    std::vector<muster::report> seen;
    muster::testing::manual_loop loop;
    bool failed = false;
    auto body = [&failed]() -> muster::task<> {
        muster::thread_pool pool(muster::thread_pool_options().threads(1));
        std::latch go(1), begun(1);
        auto call = [&]() -> int {
            begun.count_down();
            go.wait();
            throw http_error(9);
        };
        auto h = muster::start_in_executor(pool, call);
        co_await muster::yield();
        begun.wait();
        h.cancel();
        go.count_down();
        auto ended = co_await ending(h);
        failed = ended.failed_with<http_error>();
    };
    loop.run(body(), muster::run_options().on_report([&](const muster::report& r) { seen.push_back(r); }));
    // Either it is the outcome, or it was reported: never both missing.
    EXPECT_TRUE(failed || (seen.size() == 1 && muster::is_a<http_error>(seen[0].error)));
}

TEST(rule_blocking_calls, abandon_leaves_a_running_one_behind) {
    expect_run(
        []() -> muster::task<> {
            muster::thread_pool pool(muster::thread_pool_options().threads(1));
            auto go = std::make_shared<std::latch>(1);
            auto begun = std::make_shared<std::latch>(1);
            auto call = [go, begun] {
                begun->count_down();
                go->wait();
            };
            auto waits = [](muster::thread_pool& p, auto f) -> muster::task<> {
                co_await muster::run_in_executor(p, muster::take(f)).abandon();
            };
            auto h = muster::create_task(waits(pool, call));
            co_await muster::yield();
            begun->wait();
            h.cancel();
            auto ended = co_await ending(h);
            EXPECT_TRUE(ended.was_cancelled());
            go->count_down();
        },
        0ms);
}

TEST(rule_deadlock, a_pool_job_a_promise_and_a_guard_keep_a_loop_waiting) {
    expect_run(
        []() -> muster::task<> {
            auto [made, f] = muster::make_promise<int>();
            std::thread other([p = std::move(made)]() mutable {
                std::this_thread::yield();
                p.set_value(1);
            });
            auto value = co_await f;
            EXPECT_EQ(value, 1);
            other.join();
        },
        0ms);
}

TEST(rule_deadlock, names_a_child_of_a_gather_that_waits_for_ever_by_its_gather) {
    muster::testing::manual_loop loop;
    auto body = []() -> muster::task<> {
        muster::event never;
        co_await muster::gather(never.wait(), never.wait());
    };
    try {
        loop.run(body());
        ADD_FAILURE() << "it must not end";
    } catch (const muster::deadlock_error& e) {
        ASSERT_GE(e.waiters().size(), 1u);
        EXPECT_EQ(e.waiters()[0].find("'main'"), 0u);
    }
}

namespace {

/// Another library's awaitable: resumes on a thread of its own when it is told to.
struct foreign {
    explicit foreign(std::latch& when, std::thread& on) : go(&when), thread(&on) {}
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> h) {
        *thread = std::thread([h, g = go] {
            g->wait();
            h.resume();
        });
    }
    int await_resume() const noexcept { return 5; }
    std::latch* go;
    std::thread* thread;
};

muster::generator<int> count_to(int n) {
    for (int i = 1; i <= n; ++i) {
        co_await muster::sleep_for(1ms);
        co_yield i;
    }
}

} // namespace

TEST(rule_foreign_awaitables, are_resumed_on_the_owning_loop_and_are_no_cancellation_point) {
    expect_run(
        []() -> muster::task<> {
            std::latch go(1);
            std::thread thread;
            int got = 0;
            auto waits = [](std::latch& g, std::thread& t, int& out) -> muster::task<> {
                const auto here = std::this_thread::get_id();
                out = co_await foreign(g, t);
                EXPECT_EQ(std::this_thread::get_id(), here);
                co_await muster::sleep_for(1h);
            };
            auto h = muster::create_task(waits(go, thread, got));
            co_await muster::yield();
            h.cancel("at the next wait");
            co_await muster::yield();
            EXPECT_FALSE(h.done());
            go.count_down();
            auto ended = co_await ending(h);
            EXPECT_EQ(got, 5);
            EXPECT_TRUE(ended.was_cancelled());
            EXPECT_EQ(ended.message(), "at the next wait");
            thread.join();
        },
        0ms);
}

TEST(rule_async_iteration, has_a_short_form_that_is_safe_everywhere) {
    expect_run(
        []() -> muster::task<> {
            int sum = 0;
            auto numbers = count_to(4);
            auto add = [&sum](int n) { sum += n; };
            co_await muster::for_each(numbers, add);
            EXPECT_EQ(sum, 10);
        },
        4ms);
}

TEST(rule_stop_token, a_stop_that_is_requested_cancels_and_a_cancellation_stops) {
    expect_run(
        []() -> muster::task<> {
            std::stop_source source;
            auto h = muster::create_task(nothing_after(1h));
            auto link = muster::cancel_on(source.get_token(), h);
            co_await muster::yield();
            source.request_stop();
            auto ended = co_await ending(h);
            EXPECT_TRUE(ended.was_cancelled());

            std::latch begun(1);
            auto polls = [&begun](std::stop_token token) {
                begun.count_down();
                while (!token.stop_requested())
                    std::this_thread::yield();
                return 1;
            };
            auto running = [polls]() -> muster::task<int> {
                auto value = co_await muster::to_thread(polls);
                co_return value;
            };
            auto t = muster::create_task(running());
            co_await muster::yield();
            begun.wait();
            t.cancel();
            auto stopped = co_await ending(t);
            EXPECT_TRUE(stopped.was_cancelled());
        },
        0ms);
}
