// SPDX-License-Identifier: MIT
#include <muster/task_local.hpp>

#include <muster/future.hpp>
#include <muster/gather.hpp>
#include <muster/loop_handle.hpp>
#include <muster/run.hpp>
#include <muster/task_handle.hpp>
#include <muster/testing/manual_loop.hpp>
#include <muster/thread_pool.hpp>
#include <muster/to_thread.hpp>

#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace {

using muster::testing::manual_loop;

muster::task_local<std::string> request_id;

std::string id_here() {
    const auto* id = request_id.get();
    return id != nullptr ? *id : "none";
}

TEST(task_local, reaches_a_call_on_a_thread_as_a_copy) {
    muster::run([]() -> muster::task<> {
        request_id.set("42");
        auto call = []() {
            const auto before = id_here();
            request_id.set("changed on the thread");
            return before + ", " + id_here();
        };
        auto seen = co_await muster::to_thread(call);
        EXPECT_EQ(seen, "42, changed on the thread");
        EXPECT_EQ(id_here(), "42");
    }());
}

TEST(task_local, reaches_a_call_on_a_pool_and_is_gone_for_the_next_one) {
    muster::thread_pool pool(muster::thread_pool_options().threads(1));
    muster::run([](muster::thread_pool& on) -> muster::task<> {
        auto with = muster::create_task([](muster::thread_pool& its_pool) -> muster::task<std::string> {
            request_id.set("a");
            auto seen = co_await muster::run_in_executor(its_pool, id_here);
            co_return seen;
        }(on));
        auto first = co_await with;
        auto second = co_await muster::run_in_executor(on, id_here);
        EXPECT_EQ(first, "a");
        EXPECT_EQ(second, "none");
    }(pool));
}

TEST(task_local, reaches_a_done_callback_as_it_was_when_that_was_added) {
    manual_loop loop;
    std::string seen;
    std::string made_there;
    loop.run([](std::string& in_callback, std::string& in_task) -> muster::task<> {
        auto done = muster::make_future<void>();
        request_id.set("when it was added");
        done.add_done_callback([&](const muster::any_handle&) {
            in_callback = id_here();
            muster::create_task([](std::string& found) -> muster::task<> {
                found = id_here();
                co_return;
            }(in_task));
        });
        request_id.set("later");
        done.set_value();
        co_await muster::sleep_for(std::chrono::milliseconds(1));
    }(seen, made_there));
    EXPECT_EQ(seen, "when it was added");
    EXPECT_EQ(made_there, "when it was added");
}

TEST(task_local, reaches_what_another_thread_submits_and_posts) {
    muster::run([]() -> muster::task<> {
        request_id.set("main");
        auto loop = muster::loop_handle::current();
        auto call = [loop]() {
            request_id.set("thread");
            std::string posted;
            loop.post([&posted] { posted = id_here(); });
            auto submitted = loop.submit([]() -> muster::task<std::string> { co_return id_here(); }).get();
            return posted + ", " + submitted;
        };
        auto seen = co_await muster::to_thread(call);
        EXPECT_EQ(seen, "thread, thread");
        EXPECT_EQ(id_here(), "main");
    }());
}

TEST(task_local, reaches_the_report_of_its_tasks_failure) {
    manual_loop loop;
    std::vector<std::string> seen;
    loop.run(
        []() -> muster::task<> {
            muster::create_task([]() -> muster::task<> {
                request_id.set("of the task that failed");
                throw std::runtime_error("bad");
                co_return;
            }());
            request_id.set("of main");
            co_await muster::sleep_for(std::chrono::milliseconds(1));
        }(),
        muster::run_options().on_report([&seen](const muster::report&) { seen.push_back(id_here()); }));
    EXPECT_EQ(seen, std::vector<std::string>{"of the task that failed"});
}

TEST(task_local, reaches_the_report_of_a_child_whose_failure_its_gather_does_not_throw) {
    manual_loop loop;
    std::vector<std::string> seen;
    loop.run(
        []() -> muster::task<> {
            request_id.set("of main");
            auto child = [](std::string own) -> muster::task<> {
                if (!own.empty())
                    request_id.set(own);
                co_await muster::sleep_for(std::chrono::milliseconds(1));
                throw std::runtime_error(own);
            };
            bool thrown = false;
            try {
                co_await muster::gather(child("first"), child("second"), child({}));
            } catch (const std::runtime_error&) {
                thrown = true;
            }
            EXPECT_TRUE(thrown);
        }(),
        muster::run_options().on_report([&seen](const muster::report&) { seen.push_back(id_here()); }));
    EXPECT_EQ(seen, (std::vector<std::string>{"second", "of main"}));
}

TEST(task_local, reaches_the_function_that_is_given_to_start) {
    manual_loop loop;
    loop.run([]() -> muster::task<> {
        auto later =
            muster::create_task([]() -> muster::task<> { co_await muster::sleep_for(std::chrono::milliseconds(1)); }());
        request_id.set("when it was started");
        auto all = muster::gather(later).start([](auto&&...) { return id_here(); });
        request_id.set("later");
        auto seen = co_await all;
        EXPECT_EQ(seen, "when it was started");
    }());
}

TEST(task_local, of_a_call_on_a_thread_is_hidden_from_a_loop_that_runs_there) {
    muster::run([]() -> muster::task<> {
        request_id.set("outside");
        auto call = [] { return muster::run([]() -> muster::task<std::string> { co_return id_here(); }()); };
        auto seen = co_await muster::to_thread(call);
        EXPECT_EQ(seen, "none");
    }());
}

} // namespace
