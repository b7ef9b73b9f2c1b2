// SPDX-License-Identifier: MIT
#include <muster/event.hpp>

#include <muster/sleep.hpp>
#include <muster/task_handle.hpp>
#include <muster/testing/manual_loop.hpp>

#include "support/stage.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

using namespace std::chrono_literals;
using muster::task;

namespace {

using lines = std::vector<std::string>;

/// A loop, an event, and what the tasks have said, each line with its time in milliseconds.
struct stage : play::stage<stage, muster::event> {
    muster::event& e = subject;
    muster::task_handle<void> waiter(const std::string& name) {
        return muster::create_task(
            [](stage& s) -> task<> {
                co_await s.e.wait();
                s.say("went on");
            }(*this),
            name);
    }
};

} // namespace

TEST(event, is_not_set_at_first_and_is_what_it_was_told_last) {
    muster::event e;
    EXPECT_FALSE(e.is_set());
    e.set();
    EXPECT_TRUE(e.is_set());
    e.set();
    EXPECT_TRUE(e.is_set());
    e.clear();
    EXPECT_FALSE(e.is_set());
}

TEST(event, that_is_set_is_not_waited_for_and_is_no_cancellation_point) {
    stage s;
    s.run([](stage& st) -> task<> {
        st.e.set();
        muster::this_task::cancel();
        co_await st.e.wait();
        EXPECT_TRUE(st.e.is_set());
        muster::this_task::uncancel();
    });
    EXPECT_EQ(s.loop->elapsed(), 0ms);
}

TEST(event, wakes_all_that_wait_in_the_order_in_which_they_came_even_if_it_is_cleared_at_once) {
    stage s;
    s.run([](stage& st) -> task<> {
        auto t1 = st.waiter("t1");
        auto t2 = st.waiter("t2");
        co_await muster::sleep_for(1ms);
        EXPECT_TRUE(st.said.empty());
        st.e.set();
        st.e.clear();
        EXPECT_FALSE(st.e.is_set());
        auto t3 = st.waiter("t3");
        st.say("set and cleared");
        co_await muster::sleep_for(1ms);
        EXPECT_TRUE(t1.done());
        EXPECT_TRUE(t2.done());
        EXPECT_FALSE(t3.done());
        st.e.set();
        co_await t3;
    });
    EXPECT_EQ(s.said, (lines{"1 main set and cleared", "1 t1 went on", "1 t2 went on", "2 t3 went on"}));
}

TEST(event, that_is_set_again_before_the_woken_have_run_wakes_them_once) {
    stage s;
    s.run([](stage& st) -> task<> {
        auto t1 = st.waiter("t1");
        co_await muster::sleep_for(1ms);
        st.e.set();
        st.e.clear();
        st.e.set();
        st.e.clear();
        co_await t1;
        auto t2 = st.waiter("t2");
        co_await muster::sleep_for(1ms);
        st.e.set();
        co_await t2;
    });
    EXPECT_EQ(s.said, (lines{"1 t1 went on", "2 t2 went on"}));
}

TEST(event, waits_of_which_one_is_cancelled_leave_the_others_waiting) {
    stage s;
    s.run([](stage& st) -> task<> {
        auto t1 = st.waiter("t1");
        auto t2 = st.waiter("t2");
        auto t3 = st.waiter("t3");
        co_await muster::sleep_for(5ms);
        EXPECT_TRUE(t2.cancel());
        co_await muster::sleep_for(1ms);
        EXPECT_TRUE(t2.cancelled());
        st.e.set();
        co_await t1;
        co_await t3;
    });
    EXPECT_EQ(s.said, (lines{"6 t1 went on", "6 t3 went on"}));
}

TEST(event, wait_that_is_woken_and_cancelled_in_one_instant_is_cancelled) {
    stage s;
    s.run([](stage& st) -> task<> {
        auto t1 = st.waiter("t1");
        auto t2 = st.waiter("t2");
        co_await muster::sleep_for(1ms);
        st.e.set();
        EXPECT_TRUE(t1.cancel());
        auto o = co_await muster::as_outcome([](muster::task_handle<void> h) -> task<> { co_await h; }(t1));
        EXPECT_TRUE(o.was_cancelled());
        co_await t2;
    });
    EXPECT_EQ(s.said, (lines{"1 t2 went on"}));
}

TEST(event, that_is_destroyed_while_tasks_wait_for_it_ends_their_waits_with_an_error) {
    stage s;
    auto e = std::make_unique<muster::event>();
    auto wait = [](muster::event& waited_for) -> task<> { co_await waited_for.wait(); };
    auto waits = s.loop->start(wait(*e), "waits");
    auto woken = s.loop->start([](muster::event& waited_for) -> task<> { co_await waited_for.wait(); }(s.e), "woken");
    s.loop->run_ready();
    e.reset();
    s.loop->run_ready();
    EXPECT_TRUE(waits.ended_as().failed_with<muster::invalid_state_error>());
    s.e.set();
    s.loop->run_ready();
    EXPECT_TRUE(woken.done());
}

TEST(event, waiters_of_a_loop_that_is_destroyed_are_gone) {
    stage s;
    const auto before = muster::set_report_handler([](const muster::report&) {});
    auto h = s.loop->start([](stage& st) -> task<> { co_await st.e.wait(); }(s), "left");
    s.loop->run_ready();
    EXPECT_EQ(s.loop->waiters().at(0).substr(0, 6), "'left'");
    EXPECT_NE(s.loop->waiters().at(0).find("waits for event::wait"), std::string::npos);
    s.loop.reset();
    s.e.set();
    EXPECT_TRUE(s.e.is_set());
    static_cast<void>(muster::set_report_handler(before));
}

TEST(event, of_a_hundred_thousand_waiters_wakes_each) {
    stage s;
    s.run([](stage& st) -> task<> {
        std::size_t went_on = 0;
        auto wait = [](muster::event& e, std::size_t& n) -> task<> {
            co_await e.wait();
            ++n;
        };
        std::vector<muster::task_handle<void>> all;
        for (int i = 0; i < 100'000; ++i)
            all.push_back(muster::create_task(wait(st.e, went_on)));
        co_await muster::yield();
        st.e.set();
        EXPECT_EQ(went_on, 0u);
        co_await all.back();
        EXPECT_EQ(went_on, 100'000u);
    });
}

// g++ 12 destroys the operands of such an expression twice: a wait must need no destructor.
static_assert(std::is_trivially_destructible_v<decltype(std::declval<muster::event&>().wait())>);

TEST(event, may_be_chosen_where_it_is_awaited) {
    muster::event other;
    stage s;
    s.run([&other](stage& st) -> task<> {
        for (const bool first : {true, false}) {
            auto waits = [](stage& on, muster::event& second, bool take_first) -> task<> {
                co_await (take_first ? on.e.wait() : second.wait());
            };
            auto h = muster::create_task(waits(st, other, first));
            co_await muster::yield();
            EXPECT_FALSE(h.done());
            (first ? st.e : other).set();
            co_await h;
        }
    });
}
