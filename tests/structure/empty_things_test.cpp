// SPDX-License-Identifier: MIT
// Every function of this folder and of the primitives with every empty thing: moved-from, default-made or given back.
// Each throws invalid_state_error, at the call or when it is awaited, and nothing is reported.
#include "support/virtual_run.hpp"

#include <muster/as_completed.hpp>
#include <muster/cleanup.hpp>
#include <muster/future.hpp>
#include <muster/generator.hpp>
#include <muster/mutex.hpp>
#include <muster/semaphore.hpp>
#include <muster/shield.hpp>
#include <muster/task_group.hpp>
#include <muster/timeout.hpp>
#include <muster/wait.hpp>

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

using namespace play;

namespace {

struct empty_use {
    empty_use(std::string said, std::function<muster::task<>()> called)
        : name(std::move(said)),
          call(std::move(called)) {}
    std::string name;
    std::function<muster::task<>()> call;
};

muster::task<> awaited_before() {
    auto t = nothing_after(1ms);
    co_await std::move(t);
    co_await std::move(t); // NOLINT: as above
}
muster::generator<int> numbers() { co_yield 1; }
muster::task<> nothing_yet() { co_return; }

std::vector<empty_use> uses() {
    using handle = muster::task_handle<void>;
    return {
        {"wait",
            []() -> muster::task<> {
                std::vector<handle> none(1);
                auto result = co_await muster::wait(none);
                static_cast<void>(result);
            }},
        {"as_completed",
            []() -> muster::task<> {
                std::vector<handle> none(1);
                muster::as_completed each(none);
                co_return;
            }},
        {"shield of a handle", []() -> muster::task<> { co_await muster::shield(handle()); }},
        {"shield of a future", []() -> muster::task<> { co_await muster::shield(muster::future<void>()); }},
        {"shield of a handle, started",
            []() -> muster::task<> {
                auto f = muster::shield(handle()).start();
                co_await f;
            }},
        {"wait_for a handle", []() -> muster::task<> { co_await muster::wait_for(handle(), 1s); }},
        {"wait_for a handle at once", []() -> muster::task<> { co_await muster::wait_for(handle(), 0s); }},
        {"await twice", awaited_before},
        {"hold_cancellation",
            []() -> muster::task<> {
                auto t = nothing_yet();
                co_await std::move(t);
                co_await muster::hold_cancellation(std::move(t)); // NOLINT
            }},
        {"with_cleanup",
            []() -> muster::task<> {
                auto t = nothing_yet();
                co_await std::move(t);
                auto body = [&t] { return std::move(t); };
                auto cleanup = [] {};
                co_await muster::with_cleanup(body, cleanup);
            }},
        {"generator::next",
            []() -> muster::task<> {
                auto g = numbers();
                auto moved = std::move(g);
                auto n = co_await g.next(); // NOLINT
                static_cast<void>(n);
            }},
        {"for_each",
            []() -> muster::task<> {
                auto g = numbers();
                auto moved = std::move(g);
                const auto f = [](int) {};
                co_await muster::for_each(g, f); // NOLINT
            }},
        {"mutex::guard::unlock",
            []() -> muster::task<> {
                muster::mutex::guard none;
                none.unlock();
                co_return;
            }},
        {"mutex::guard::unlock after a move",
            []() -> muster::task<> {
                muster::mutex m;
                auto guard = co_await m.scoped_lock();
                auto moved = std::move(guard);
                guard.unlock(); // NOLINT
            }},
        {"semaphore::permit::release",
            []() -> muster::task<> {
                muster::semaphore::permit none;
                none.release();
                co_return;
            }},
        {"task_group::create_task outside of its run",
            []() -> muster::task<> {
                muster::task_group g;
                g.create_task(nothing_yet());
                co_return;
            }},
        {"timeout_scope::reschedule outside of its run",
            []() -> muster::task<> {
                muster::timeout_scope s;
                s.reschedule(std::nullopt);
                co_return;
            }},
    };
}

} // namespace

TEST(empty_things, are_refused_with_invalid_state_error) {
    for (const auto& one : uses()) {
        SCOPED_TRACE(one.name);
        muster::testing::manual_loop loop;
        auto call = [&one]() -> muster::task<> {
            auto ended = co_await ending(one.call());
            EXPECT_TRUE(ended.failed_with<muster::invalid_state_error>()) << to_string(ended);
        };
        loop.run(call());
    }
}

TEST(empty_things, that_hold_nothing_to_wait_for_are_over_at_once) {
    expect_run(
        []() -> muster::task<> {
            std::vector<muster::task_handle<void>> none;
            muster::as_completed each(none);
            auto h = co_await each.next();
            EXPECT_FALSE(h.has_value());
            auto body = [] {};
            co_await muster::with_task_group(body);
            muster::semaphore::permit no_permit;
            const muster::mutex::guard no_guard;
        },
        0ms);
}
