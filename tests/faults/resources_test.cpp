// SPDX-License-Identifier: MIT
// The system has no more to give: no descriptors, no threads. Each is an error in the outcome of who
// asked, and the rest go on. No memory: bad_alloc_test.cpp.
#include "support/collected.hpp"

#include <muster/event_loop.hpp>
#include <muster/gather.hpp>
#include <muster/io/dns.hpp>
#include <muster/run.hpp>
#include <muster/sleep.hpp>
#include <muster/task.hpp>
#include <muster/testing/manual_loop.hpp>
#include <muster/thread_pool.hpp>
#include <muster/to_thread.hpp>

#include "support/short_supply.hpp"

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <unistd.h>

#include <gtest/gtest.h>

using namespace std::chrono_literals;
using muster::testing::live_frames;
using short_supply::descriptors_open;
using short_supply::few_descriptors;

namespace {

muster::task<int> number_after(std::chrono::nanoseconds time, int n) {
    co_await muster::sleep_for(time);
    co_return n;
}

int open_something() {
    const int descriptor = open("/", O_RDONLY | O_CLOEXEC);
    if (descriptor < 0)
        throw std::system_error(errno, std::generic_category(), "/");
    close(descriptor);
    return 1;
}

muster::task<int> opens_something() {
    auto n = co_await muster::to_thread(open_something);
    co_return n;
}

} // namespace

// ---- descriptors ----

namespace {

class descriptors : public testing::Test {
protected:
    void SetUp() override {
        if (muster::detail::with_address_sanitizer)
            GTEST_SKIP() << "the sanitizer opens descriptors of its own to check addresses";
    }
};

} // namespace

TEST_F(descriptors, too_few_for_a_loop_are_an_error_that_says_so_and_leave_none_open) {
    { const muster::event_loop first; }
    const auto before = descriptors_open();
    int failed = 0;
    for (int spare = 0;; ++spare) {
        ASSERT_LT(spare, 32) << "a loop does not need so many";
        std::string text;
        {
            const few_descriptors none(spare);
            try {
                const muster::event_loop loop;
            } catch (const std::system_error& e) {
                text = e.what();
                EXPECT_EQ(e.code(), std::errc::too_many_files_open) << text;
            }
        }
        EXPECT_EQ(descriptors_open(), before) << "with " << spare << " to spare";
        if (text.empty())
            break;
        ++failed;
        EXPECT_NE(text.find("event loop can be made"), std::string::npos) << text;
    }
    EXPECT_GE(failed, 1);
}

TEST_F(descriptors, too_few_for_the_first_loop_do_not_end_the_program) {
    GTEST_FLAG_SET(death_test_style, "threadsafe"); // a new program, in which there has not been any loop
    for (int spare = 0; spare != 4; ++spare) {
        const auto tries = [spare] {
            bool failed = false;
            {
                const few_descriptors none(spare);
                try {
                    const muster::event_loop loop;
                } catch (const std::system_error&) {
                    failed = true;
                }
            }
            const bool works = muster::run(number_after(0ns, 4)) == 4;
            std::_Exit(failed && works ? 0 : 1);
        };
        EXPECT_EXIT(tries(), testing::ExitedWithCode(0), "") << "with " << spare << " to spare";
    }
}

TEST_F(descriptors, a_run_without_any_throws_and_neither_loses_nor_reports_its_task) {
    const auto frames = live_frames();
    { const muster::event_loop first; }
    static int reports = 0;
    reports = 0;
    const auto before = muster::set_report_handler([](const muster::report&) { ++reports; });
    {
        const few_descriptors none(0);
        EXPECT_THROW(muster::run(number_after(0ns, 1)), std::system_error);
    }
    muster::set_report_handler(before);
    EXPECT_EQ(reports, 0);
    EXPECT_EQ(live_frames(), frames);
}

TEST_F(descriptors, a_child_that_finds_none_fails_and_its_siblings_and_other_loops_go_on) {
    const auto frames = live_frames();
    collected c;
    muster::run(
        []() -> muster::task<> {
            co_await opens_something(); // the pool has its thread, and whatever else is opened once
            const few_descriptors none(0);
            std::string other;
            std::thread another([&other] {
                try {
                    muster::run(number_after(0ns, 1));
                } catch (const std::system_error& e) {
                    other = e.what();
                }
            });
            another.join();
            EXPECT_NE(other.find("no event loop can be made"), std::string::npos) << other;

            auto outcomes = co_await muster::gather(number_after(1ms, 1), opens_something(), number_after(2ms, 3),
                muster::to_thread([] { return 4; }).as_task())
                                .settle();
            auto& [first, failed, third, on_a_thread] = outcomes;
            EXPECT_EQ(*first, 1);
            EXPECT_TRUE(failed.failed_with<std::system_error>()) << muster::to_string(failed);
            EXPECT_EQ(*third, 3);
            EXPECT_EQ(*on_a_thread, 4) << "a pool needs no descriptors";
        }(),
        c.options());
    EXPECT_TRUE(c.reports.empty());
    EXPECT_EQ(live_frames(), frames);
}

TEST_F(descriptors, too_few_for_a_look_up_are_not_taken_for_a_name_that_does_not_exist) {
    muster::run([]() -> muster::task<> {
        auto known = co_await muster::as_outcome(muster::io::resolve("localhost", "80"));
        if (!known.succeeded())
            co_return; // this machine has no such name, with descriptors or without
        const few_descriptors none(0);
        auto ended = co_await muster::as_outcome(muster::io::resolve("localhost", "80"));
        const auto* const error = ended.error_as<muster::io::resolve_error>();
        EXPECT_TRUE(error != nullptr) << muster::to_string(ended);
        if (error != nullptr) {
            EXPECT_EQ(error->code(), std::errc::too_many_files_open) << error->what();
        }
    }());
}

// ---- threads ----

#if MUSTER_TEST_CAN_REFUSE_THREADS

TEST(threads, that_cannot_be_started_fail_the_call_that_needed_one_and_the_pool_works_later) {
    collected c;
    muster::run(
        []() -> muster::task<> {
            muster::thread_pool pool(muster::thread_pool_options().threads(2));
            muster::task_handle<int> refused;
            {
                const short_supply::no_threads none;
                refused = muster::start_in_executor(pool, [] { return 1; });
                auto sibling = co_await number_after(1ms, 2);
                EXPECT_EQ(sibling, 2);
            }
            EXPECT_TRUE(refused.done());
            EXPECT_TRUE(refused.ended_as().failed_with<std::system_error>());
            EXPECT_NE(muster::describe(refused.exception()).find("no thread could be started"), std::string::npos);
            EXPECT_EQ(pool.queued(), 0u);
            auto n = co_await muster::run_in_executor(pool, [] { return 3; });
            EXPECT_EQ(n, 3);
            EXPECT_EQ(pool.threads(), 1u);
        }(),
        c.options());
    EXPECT_TRUE(c.reports.empty());
}

TEST(threads, that_cannot_be_started_beside_one_that_runs_leave_all_calls_to_that_one) {
    muster::run([]() -> muster::task<> {
        muster::thread_pool pool(muster::thread_pool_options().threads(4));
        co_await muster::run_in_executor(pool, [] {});
        const short_supply::no_threads none;
        std::vector<muster::task_handle<int>> calls;
        for (int i = 0; i != 20; ++i)
            calls.push_back(muster::start_in_executor(pool, [i] { return i; }));
        int sum = 0;
        for (auto& h : calls) {
            auto n = co_await h;
            sum += n;
        }
        EXPECT_EQ(sum, 190);
        EXPECT_EQ(pool.threads(), 1u);
    }());
}

TEST(threads, without_any_the_default_gather_throws_that_and_settle_keeps_the_rest) {
    muster::testing::manual_loop loop;
    loop.run([]() -> muster::task<> {
        muster::thread_pool pool(muster::thread_pool_options().threads(1));
        const short_supply::no_threads none;
        bool thrown = false;
        try {
            [[maybe_unused]] auto both =
                co_await muster::gather(number_after(1h, 1), muster::run_in_executor(pool, [] { return 2; }).as_task());
        } catch (const std::system_error& e) {
            thrown = e.code() == std::errc::resource_unavailable_try_again;
        }
        EXPECT_TRUE(thrown);
        auto outcomes =
            co_await muster::gather(number_after(1s, 1), muster::run_in_executor(pool, [] { return 2; }).as_task())
                .settle();
        auto& [slept, refused] = outcomes;
        EXPECT_EQ(*slept, 1);
        EXPECT_TRUE(refused.failed_with<std::system_error>());
    }());
    EXPECT_EQ(loop.elapsed(), 1s);
}

#endif
