// SPDX-License-Identifier: MIT
// Primitives that are used on a thread that is not their loop's: each call throws an error that names the thread-safe
// way, and the task that waits is not disturbed.
#include <muster/barrier.hpp>
#include <muster/condition.hpp>
#include <muster/event.hpp>
#include <muster/mutex.hpp>
#include <muster/queue.hpp>
#include <muster/report.hpp>
#include <muster/run.hpp>
#include <muster/semaphore.hpp>
#include <muster/sleep.hpp>
#include <muster/task.hpp>
#include <muster/task_handle.hpp>
#include <muster/testing/manual_loop.hpp>

#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

using namespace std::chrono_literals;
using muster::task;

namespace {

/// *Returns* the text of the invalid_state_error that `act` throws on a thread of its own.
std::string thrown_elsewhere(const std::function<void()>& act) {
    std::string text = "nothing";
    std::thread([&] {
        try {
            act();
        } catch (const muster::invalid_state_error& e) {
            text = e.what();
        }
    }).join();
    return text;
}

struct misuse {
    misuse(std::string said, std::function<void()> called) : name(std::move(said)), act(std::move(called)) {}
    std::string name;
    std::function<void()> act;
};

} // namespace

TEST(wrong_thread, every_call_of_a_primitive_throws_and_names_the_safe_way) {
    muster::event e;
    muster::mutex m;
    muster::semaphore s(0);
    muster::queue<int> q(1);
    muster::queue<int> full(1);
    muster::condition c;
    EXPECT_TRUE(m.try_lock());
    full.put_nowait(1);
    muster::testing::manual_loop loop;
    std::vector<muster::task_handle<void>> waiting;
    waiting.push_back(loop.start([](muster::event& on) -> task<> { co_await on.wait(); }(e), "event"));
    waiting.push_back(loop.start([](muster::mutex& on) -> task<> { co_await on.lock(); }(m), "mutex"));
    waiting.push_back(loop.start([](muster::semaphore& on) -> task<> { co_await on.acquire(); }(s), "semaphore"));
    waiting.push_back(
        loop.start([](muster::queue<int>& on) -> task<> { static_cast<void>(co_await on.get()); }(q), "q"));
    waiting.push_back(loop.start([](muster::queue<int>& on) -> task<> { co_await on.put(1); }(full), "full"));
    waiting.push_back(loop.start(
        [](muster::condition& on) -> task<> {
            auto guard = co_await on.scoped_lock();
            co_await on.wait();
        }(c),
        "condition"));
    loop.run_ready();
    const std::vector<misuse> table{
        {"event::set", [&] { e.set(); }},
        {"event::clear", [&] { e.clear(); }},
        {"mutex::unlock", [&] { m.unlock(); }},
        {"mutex::try_lock", [&] { static_cast<void>(m.try_lock()); }},
        {"semaphore::release", [&] { s.release(); }},
        {"semaphore::try_acquire", [&] { static_cast<void>(s.try_acquire()); }},
        {"queue::put_nowait", [&] { q.put_nowait(1); }},
        {"queue::get_nowait", [&] { static_cast<void>(full.get_nowait()); }},
        {"queue::shutdown", [&] { q.shutdown(); }},
        {"queue::task_done", [&] { full.task_done(); }},
        {"condition::notify", [&] { c.notify(); }},
    };
    for (const auto& one : table) {
        const auto text = thrown_elsewhere(one.act);
        EXPECT_EQ(text.substr(0, one.name.size()), one.name) << text;
        EXPECT_NE(text.find("loop_handle::post"), std::string::npos) << text;
    }
    loop.run_ready();
    for (const auto& h : waiting)
        EXPECT_FALSE(h.done()) << h.name();
    // On the loop's own thread, also outside of a run, each of them works.
    e.set();
    m.unlock();
    s.release();
    q.put_nowait(1);
    static_cast<void>(full.get_nowait());
    loop.run_ready();
    for (std::size_t i = 0; i != 5; ++i)
        EXPECT_TRUE(waiting[i].done()) << waiting[i].name();
    waiting.back().cancel();
    loop.run_ready();
}

TEST(wrong_thread, a_wait_of_another_loop_is_refused) {
    muster::event e;
    muster::testing::manual_loop loop;
    auto waits = [](muster::event& on) -> task<> { co_await on.wait(); };
    auto h = loop.start(waits(e), "waits");
    loop.run_ready();
    EXPECT_NE(thrown_elsewhere([&] { muster::run(waits(e)); }).find("another loop"), std::string::npos);
    e.set();
    loop.run_ready();
    EXPECT_TRUE(h.done());
}

TEST(wrong_thread, does_not_hold_for_a_primitive_whose_loop_has_ended) {
    muster::semaphore s(0);
    {
        muster::testing::manual_loop loop;
        auto takes = [](muster::semaphore& from) -> task<> { co_await from.acquire(); };
        auto h = loop.start(takes(s), "takes");
        loop.run_ready();
        s.release();
        loop.run_ready();
        EXPECT_TRUE(h.done());
    }
    EXPECT_EQ(thrown_elsewhere([&] { s.release(); }), "nothing");
    EXPECT_EQ(s.available(), 1);
}

TEST(wrong_thread, destructors_report_and_give_nothing_back) {
    static int reports = 0;
    reports = 0;
    const auto before = muster::set_report_handler(
        [](const muster::report& r) { reports += r.kind == muster::report_kind::wrong_thread ? 1 : 0; });
    muster::mutex m;
    muster::semaphore s(0);
    muster::testing::manual_loop loop;
    std::optional<muster::mutex::guard> guard;
    std::optional<muster::semaphore::permit> permit;
    EXPECT_TRUE(m.try_lock());
    auto locks = [&]() -> task<> { guard = co_await m.scoped_lock(); };
    auto takes = [&]() -> task<> { permit = co_await s.scoped_acquire(); };
    auto h = loop.start(locks(), "locks");
    auto p = loop.start(takes(), "takes");
    loop.run_ready();
    m.unlock();
    s.release();
    loop.run_ready();
    std::thread([&] {
        guard.reset();
        permit.reset();
    }).join();
    EXPECT_EQ(reports, 2);
    EXPECT_TRUE(m.locked());
    EXPECT_EQ(s.available(), 0);
    static_cast<void>(muster::set_report_handler(before));
}
