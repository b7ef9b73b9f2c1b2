// SPDX-License-Identifier: MIT
#include "support/collected.hpp"

#include <muster/promise.hpp>

#include <muster/run.hpp>
#include <muster/sleep.hpp>
#include <muster/testing/manual_loop.hpp>

#include <atomic>
#include <latch>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

using namespace std::chrono_literals;
using muster::testing::live_frames;
using muster::testing::manual_loop;

TEST(promise, sends_a_value_from_another_thread_while_the_loop_waits) {
    const auto frames = live_frames();
    manual_loop loop;
    loop.run([]() -> muster::task<> {
        auto [p, f] = muster::make_promise<std::string>();
        std::jthread worker([mine = std::move(p)]() mutable {
            std::this_thread::sleep_for(5ms);
            EXPECT_TRUE(mine.set_value("kept"));
            EXPECT_FALSE(mine.valid());
        });
        auto& text = co_await f;
        EXPECT_EQ(text, "kept");
    }());
    EXPECT_EQ(loop.elapsed(), 0ms);
    EXPECT_EQ(live_frames(), frames);
}

TEST(promise, gives_void_references_and_move_only_values) {
    static int object = 0;
    muster::run([]() -> muster::task<> {
        auto [nothing, n] = muster::make_promise<void>();
        auto [reference, r] = muster::make_promise<int&>();
        auto [owner, o] = muster::make_promise<std::unique_ptr<int>>();
        std::jthread worker(
            [first = std::move(nothing), second = std::move(reference), third = std::move(owner)]() mutable {
                first.set_value();
                second.set_value(object);
                third.set_value(std::make_unique<int>(7));
            });
        co_await n;
        auto& same = co_await r;
        EXPECT_EQ(&same, &object);
        auto seven = co_await std::move(o);
        EXPECT_EQ(*seven, 7);
    }());
}

TEST(promise, sends_an_exception_as_itself) {
    muster::run([]() -> muster::task<> {
        auto [p, f] = muster::make_promise<int>();
        std::jthread worker([mine = std::move(p)]() mutable { mine.set_exception(std::out_of_range("too far")); });
        bool caught = false;
        try {
            co_await f;
        } catch (const std::out_of_range&) {
            caught = true;
        }
        EXPECT_TRUE(caught);
    }());
}

TEST(promise, that_is_destroyed_unset_fails_its_future) {
    manual_loop loop;
    loop.run([]() -> muster::task<> {
        auto [p, f] = muster::make_promise<int>();
        std::jthread worker([mine = std::move(p)] {});
        bool broken = false;
        try {
            co_await f;
        } catch (const muster::broken_promise_error&) {
            broken = true;
        }
        EXPECT_TRUE(broken);
    }());
}

TEST(promise, is_set_once) {
    manual_loop loop;
    loop.run([]() -> muster::task<> {
        auto [p, f] = muster::make_promise<int>();
        EXPECT_TRUE(p.set_value(1));
        bool refused = false;
        try {
            p.set_value(2);
        } catch (const muster::invalid_state_error&) {
            refused = true;
        }
        EXPECT_TRUE(refused);
        EXPECT_FALSE(f.done()); // it travels by letter
        auto n = co_await f;
        EXPECT_EQ(n, 1);
    }());
}

TEST(promise, refuses_a_cancellation_and_stays_unset) {
    manual_loop loop;
    loop.run([]() -> muster::task<> {
        auto [p, f] = muster::make_promise<int>();
        bool refused = false;
        try {
            p.set_exception(muster::cancelled_error());
        } catch (const std::invalid_argument&) {
            refused = true;
        }
        EXPECT_TRUE(refused);
        EXPECT_TRUE(p.set_value(1));
        auto n = co_await f;
        EXPECT_EQ(n, 1);
    }());
}

TEST(promise, stays_unset_when_making_the_value_throws) {
    struct fragile {
        explicit fragile(int n) : number(n) {
            if (n < 0)
                throw std::runtime_error("broken");
        }
        int number;
    };
    manual_loop loop;
    loop.run([]() -> muster::task<> {
        auto [p, f] = muster::make_promise<fragile>();
        bool threw = false;
        try {
            p.set_value(-1);
        } catch (const std::runtime_error&) {
            threw = true;
        }
        EXPECT_TRUE(threw);
        EXPECT_TRUE(p.set_value(1));
        auto& value = co_await f;
        EXPECT_EQ(value.number, 1);
    }());
}

TEST(promise, learns_that_its_future_was_cancelled) {
    manual_loop loop;
    loop.run([]() -> muster::task<> {
        auto [p, f] = muster::make_promise<int>();
        EXPECT_TRUE(p.wanted());
        f.cancel();
        EXPECT_FALSE(p.wanted());
        EXPECT_FALSE(p.set_value(1));
        EXPECT_TRUE(f.cancelled());
        co_return;
    }());
}

TEST(promise, an_error_that_crosses_a_cancellation_is_reported) {
    manual_loop loop;
    collected c;
    loop.run(
        []() -> muster::task<> {
            auto [p, f] = muster::make_promise<int>();
            EXPECT_TRUE(p.set_exception(std::runtime_error("crossed"))); // on its way
            f.cancel();
            co_await muster::yield();
        }(),
        c.options());
    ASSERT_EQ(c.reports.size(), 1u);
    EXPECT_EQ(c.reports[0].kind, muster::report_kind::suppressed);
}

TEST(promise, keeps_a_dropped_future_for_its_callbacks) {
    manual_loop loop;
    int called = 0;
    loop.run([](int& n) -> muster::task<> {
        auto [p, f] = muster::make_promise<int>();
        f.add_done_callback([&n](const muster::any_handle& h) { n += h.done() ? 1 : 0; });
        f = {};
        p.set_value(1);
        co_await muster::yield();
        co_await muster::yield();
    }(called));
    EXPECT_EQ(called, 1);
}

TEST(promise, that_outlives_its_loop_is_set_in_vain) {
    muster::promise<std::unique_ptr<int>> p;
    muster::future<std::unique_ptr<int>> f;
    muster::run([&]() -> muster::task<> {
        auto [made, its] = muster::make_promise<std::unique_ptr<int>>();
        p = std::move(made);
        f = its;
        co_return;
    }());
    EXPECT_FALSE(p.wanted());
    std::jthread worker([mine = std::move(p)]() mutable { EXPECT_FALSE(mine.set_value(std::make_unique<int>(1))); });
    worker.join();
    EXPECT_FALSE(f.done());
}

TEST(promise, that_outlives_its_loop_may_be_dropped_with_its_future) {
    muster::promise<int> p;
    muster::run([&]() -> muster::task<> {
        auto [made, f] = muster::make_promise<int>();
        p = std::move(made);
        co_return;
    }());
    EXPECT_FALSE(p.wanted());
}

TEST(promise, its_value_is_readable_when_the_loop_ended_with_it_on_its_way) {
    std::optional<manual_loop> loop(std::in_place);
    muster::promise<int> p;
    auto f = loop->run([](muster::promise<int>& out) -> muster::task<muster::future<int>> {
        auto [made, its] = muster::make_promise<int>();
        out = std::move(made);
        co_return its;
    }(p));
    f.add_done_callback([](const muster::any_handle&) { ADD_FAILURE() << "there is no loop to call this"; });
    EXPECT_TRUE(p.set_value(9)); // nothing runs any more before the loop ends
    loop.reset();
    EXPECT_EQ(f.result(), 9);
}

TEST(promise, many_threads_keep_theirs_while_futures_are_cancelled) {
    constexpr int threads = 4;
    constexpr int rounds = 500;
    const auto frames = live_frames();
    int kept = 0;
    int cancelled = 0;
    manual_loop loop;
    loop.run([](int& values, int& cancellations) -> muster::task<> {
        for (int round = 0; round != rounds; ++round) {
            std::vector<muster::future<int>> futures;
            std::vector<std::jthread> workers;
            auto go = std::make_shared<std::latch>(threads + 1);
            for (int i = 0; i != threads; ++i) {
                auto [p, f] = muster::make_promise<int>();
                futures.push_back(f);
                workers.emplace_back([mine = std::move(p), go, i]() mutable {
                    go->arrive_and_wait();
                    mine.set_value(i);
                });
            }
            go->arrive_and_wait();
            for (int i = 0; i < threads; i += 2)
                futures[static_cast<std::size_t>(i)].cancel();
            for (int i = 0; i != threads; ++i) {
                const auto& f = futures[static_cast<std::size_t>(i)];
                if (f.cancelled()) {
                    ++cancellations;
                    continue;
                }
                auto n = co_await f;
                EXPECT_EQ(n, i);
                ++values;
            }
        }
    }(kept, cancelled));
    EXPECT_EQ(kept + cancelled, threads * rounds);
    EXPECT_GE(kept, threads * rounds / 2);
    EXPECT_EQ(live_frames(), frames);
}

TEST(promise, may_be_set_while_its_loop_ends) {
    for (int round = 0; round != 200; ++round) {
        std::jthread worker;
        muster::run([](std::jthread& w) -> muster::task<> {
            auto [p, f] = muster::make_promise<std::string>();
            w = std::jthread([mine = std::move(p)]() mutable {
                static_cast<void>(mine.set_value("a string that is too long to be kept without an allocation"));
            });
            co_await muster::yield();
        }(worker));
    }
}
