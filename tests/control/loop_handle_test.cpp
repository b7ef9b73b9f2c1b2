// SPDX-License-Identifier: MIT
#include "support/collected.hpp"

#include <muster/loop_handle.hpp>

#include <muster/future.hpp>
#include <muster/run.hpp>
#include <muster/sleep.hpp>
#include <muster/testing/manual_loop.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <numeric>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

using namespace std::chrono_literals;
using muster::testing::live_frames;
using muster::testing::manual_loop;

namespace {

muster::task<int> add(int a, int b) {
    co_await muster::yield();
    co_return a + b;
}

muster::task<> for_ever() { co_await muster::sleep_for(std::chrono::hours(1000)); }

} // namespace

TEST(loop_handle, calls_functions_on_the_loops_thread_in_order) {
    manual_loop loop;
    std::vector<int> called;
    loop.run([](std::vector<int>& order) -> muster::task<> {
        const auto here = std::this_thread::get_id();
        auto last = muster::make_future<void>();
        std::jthread other([h = muster::loop_handle::current(), here, &order, last = &last] {
            for (int i = 0; i != 3; ++i) {
                EXPECT_TRUE(h.post([&order, here, i] {
                    EXPECT_EQ(std::this_thread::get_id(), here);
                    order.push_back(i);
                }));
            }
            h.post([last] { last->set_value(); });
        });
        co_await last;
    }(called));
    EXPECT_EQ(called, (std::vector<int>{0, 1, 2}));
}

TEST(loop_handle, a_posted_function_may_be_large_and_have_an_alignment_of_its_own) {
    struct alignas(64) wide {
        std::array<int, 16> numbers{};
    };
    struct large {
        std::array<int, 2000> numbers{};
    };
    manual_loop loop;
    int sum = 0;
    loop.run([](int& total) -> muster::task<> {
        auto last = muster::make_future<void>();
        std::jthread other([h = muster::loop_handle::current(), &total, last = &last] {
            wide w;
            w.numbers.fill(1);
            large l;
            l.numbers.fill(1);
            h.post([w, &total] {
                EXPECT_EQ(reinterpret_cast<std::uintptr_t>(&w) % alignof(wide), 0u);
                total += std::accumulate(w.numbers.begin(), w.numbers.end(), 0);
            });
            h.post([l, &total] { total += std::accumulate(l.numbers.begin(), l.numbers.end(), 0); });
            h.post([last] { last->set_value(); });
        });
        co_await last;
    }(sum));
    EXPECT_EQ(sum, 2016);
}

TEST(loop_handle, what_a_posted_function_throws_is_reported) {
    manual_loop loop;
    collected c;
    loop.run(
        []() -> muster::task<> {
            auto h = muster::loop_handle::current();
            h.post([] { throw std::runtime_error("posted"); });
            co_await muster::yield();
            co_await muster::yield();
        }(),
        c.options());
    ASSERT_EQ(c.reports.size(), 1u);
    EXPECT_EQ(c.reports[0].kind, muster::report_kind::callback_failed);
    EXPECT_NE(c.reports[0].site.line(), 0u);
}

TEST(loop_handle, runs_coroutines_for_other_threads) {
    const auto frames = live_frames();
    manual_loop loop;
    loop.run([]() -> muster::task<> {
        auto over = muster::make_future<void>();
        std::jthread other([h = muster::loop_handle::current(), &over] {
            auto sum = h.submit([] { return add(1, 2); }, "sum");
            EXPECT_EQ(sum.get(), 3);
            EXPECT_TRUE(sum.done());
            EXPECT_THROW(sum.get(), muster::invalid_state_error);

            auto fails = h.submit([]() -> muster::task<std::unique_ptr<int>> {
                co_await muster::yield();
                throw std::out_of_range("far");
            });
            EXPECT_THROW(fails.get(), std::out_of_range);

            auto owner = h.submit([]() -> muster::task<std::unique_ptr<int>> {
                auto made = std::make_unique<int>(4);
                co_return made;
            });
            EXPECT_EQ(*owner.get(), 4);

            auto broken = h.submit([]() -> muster::task<> { throw std::runtime_error("no task was made"); });
            EXPECT_THROW(broken.get(), std::runtime_error);
            h.post([&over] { over.set_value(); });
        });
        co_await over;
    }());
    EXPECT_EQ(live_frames(), frames);
}

TEST(loop_handle, a_coroutine_can_be_cancelled_and_waited_for_with_a_limit) {
    muster::run([]() -> muster::task<> {
        auto over = muster::make_future<void>();
        std::jthread other([h = muster::loop_handle::current(), &over] {
            auto t = h.submit(for_ever);
            EXPECT_FALSE(t.wait_for(1ms));
            EXPECT_TRUE(t.cancel("that will do"));
            bool cancelled = false;
            try {
                t.get();
            } catch (const muster::cancelled_error& e) {
                cancelled = e.message() == "that will do" && e.reason() == muster::cancel_reason::requested;
            }
            EXPECT_TRUE(cancelled);
            h.post([&over] { over.set_value(); });
        });
        co_await over;
    }());
}

TEST(loop_handle, a_submitted_failure_that_nobody_takes_is_reported) {
    manual_loop loop;
    collected c;
    loop.run(
        []() -> muster::task<> {
            auto h = muster::loop_handle::current();
            {
                auto dropped = h.submit(
                    []() -> muster::task<> {
                        co_await muster::yield();
                        throw std::runtime_error("unheard");
                    },
                    "dropped");
            }
            co_await muster::sleep_for(1ms);
        }(),
        c.options());
    ASSERT_EQ(c.reports.size(), 1u);
    EXPECT_EQ(c.reports[0].kind, muster::report_kind::never_retrieved);
    EXPECT_EQ(c.reports[0].name, "dropped");
}

TEST(loop_handle, the_loops_own_thread_cannot_block_for_it) {
    manual_loop loop;
    loop.run([]() -> muster::task<> {
        auto h = muster::loop_handle::current();
        auto sum = h.submit([] { return add(1, 2); });
        EXPECT_THROW(sum.get(), muster::invalid_state_error);
        co_await muster::sleep_for(1ms);
        EXPECT_EQ(sum.get(), 3);
    }());
}

TEST(loop_handle, of_a_loop_that_has_ended_takes_nothing) {
    std::optional<muster::loop_handle> h;
    std::optional<muster::remote_task<void>> left;
    muster::run([&]() -> muster::task<> {
        h = muster::loop_handle::current();
        EXPECT_TRUE(h->alive());
        left = h->submit(for_ever);
        co_await muster::yield();
        co_await muster::yield();
    }());
    EXPECT_FALSE(h->alive());
    auto kept = std::make_shared<int>(0);
    EXPECT_FALSE(h->post([kept] { ADD_FAILURE(); }));
    EXPECT_EQ(kept.use_count(), 1);
    auto late = h->submit([] { return add(1, 2); });
    auto reason = muster::cancel_reason::none;
    try {
        late.get();
    } catch (const muster::cancelled_error& e) {
        reason = e.reason();
    }
    EXPECT_EQ(reason, muster::cancel_reason::shutdown);
    EXPECT_TRUE(left->done());
    EXPECT_THROW(left->get(), muster::cancelled_error);
    EXPECT_FALSE(left->cancel());
}

TEST(loop_handle, keeps_a_loop_waiting_while_it_lives) {
    manual_loop loop;
    loop.run([]() -> muster::task<> {
        auto f = muster::make_future<void>();
        std::jthread other([h = muster::loop_handle::current(), &f] {
            std::this_thread::sleep_for(10ms); // by now a loop without a handle would have given up
            h.post([&f] { f.set_value(); });
        });
        co_await f;
    }());
}

TEST(external_work_guard, keeps_a_loop_waiting_until_the_last_one_is_gone) {
    manual_loop loop;
    std::atomic<bool> dropped = false;
    bool deadlock = false;
    std::jthread other;
    try {
        loop.run([](std::jthread& holder, std::atomic<bool>& gone) -> muster::task<> {
            auto f = muster::make_future<void>();
            muster::external_work_guard guard;
            holder = std::jthread([g = std::move(guard), copy = guard, &gone]() mutable {
                auto second = g;
                { auto first = std::move(g); }
                std::this_thread::sleep_for(10ms);
                gone = true;
            });
            co_await f;
        }(other, dropped));
    } catch (const muster::deadlock_error&) {
        deadlock = true;
    }
    EXPECT_TRUE(deadlock);
    EXPECT_TRUE(dropped);
    EXPECT_THROW(muster::external_work_guard(), muster::invalid_state_error);
}

TEST(loop_handle, eight_threads_post_while_the_loop_ends) {
    constexpr int threads = 8;
    constexpr int letters = 100'000;
    std::vector<std::jthread> posters;
    std::atomic<long> accepted = 0;
    std::atomic<long> refused = 0;
    std::atomic<long> freed = 0;
    long called = 0;
    struct counts_its_end {
        explicit counts_its_end(std::atomic<long>& n) noexcept : count(&n) {}
        counts_its_end(counts_its_end&& other) noexcept : count(std::exchange(other.count, nullptr)) {}
        ~counts_its_end() {
            if (count != nullptr)
                count->fetch_add(1, std::memory_order_relaxed);
        }
        std::atomic<long>* count;
    };
    muster::run([&]() -> muster::task<> {
        for (int t = 0; t != threads; ++t)
            posters.emplace_back([&, h = muster::loop_handle::current()] {
                for (int i = 0; i != letters; ++i) {
                    if (h.post([&called, end = counts_its_end(freed)] { ++called; }))
                        accepted.fetch_add(1, std::memory_order_relaxed);
                    else
                        refused.fetch_add(1, std::memory_order_relaxed);
                }
            });
        while (called < threads * letters / 4)
            co_await muster::yield();
    }());
    for (auto& p : posters)
        p.join();
    EXPECT_EQ(accepted + refused, long{threads} * letters);
    EXPECT_EQ(freed, long{threads} * letters);
    EXPECT_GE(called, threads * letters / 4);
    EXPECT_LE(called, accepted);
}

TEST(loop_handle, submissions_race_cancellations_and_the_end_of_the_loop) {
    std::vector<std::jthread> submitters;
    std::atomic<int> ended = 0;
    muster::run([&]() -> muster::task<> {
        for (int t = 0; t != 4; ++t)
            submitters.emplace_back([&, h = muster::loop_handle::current(), t] {
                for (int i = 0; i != 500; ++i) {
                    auto sum = h.submit([t, i] { return add(t, i); });
                    if (i % 3 == 0)
                        sum.cancel();
                    try {
                        EXPECT_EQ(sum.get(), t + i);
                    } catch (const muster::cancelled_error&) {
                        // by the line above, or because the loop had ended
                    }
                    ++ended;
                }
            });
        while (ended < 700)
            co_await muster::sleep_for(100us);
    }());
    for (auto& s : submitters)
        s.join();
    EXPECT_EQ(ended, 2000);
}

TEST(loop_handle, submit_keeps_its_callable_as_long_as_the_coroutine_runs) {
    muster::run([]() -> muster::task<> {
        std::atomic<bool> got = false;
        std::jthread other([loop = muster::loop_handle::current(), &got] {
            auto text = loop.submit([captured = std::string(100, 'x')]() -> muster::task<std::string> {
                co_await muster::sleep_for(1ms);
                co_return captured;
            });
            EXPECT_EQ(text.get(), std::string(100, 'x'));
            got = true;
        });
        // The thread is joined only then: until then it needs the loop.
        while (!got)
            co_await muster::sleep_for(1ms);
    }());
}
