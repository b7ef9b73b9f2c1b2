// SPDX-License-Identifier: MIT
#include <muster/condition.hpp>

#include <muster/sleep.hpp>
#include <muster/task_handle.hpp>
#include <muster/testing/manual_loop.hpp>

#include "support/stage.hpp"

#include <gtest/gtest.h>

#include <limits>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

using namespace std::chrono_literals;
using muster::task;

namespace {

using lines = std::vector<std::string>;

struct stage : play::stage<stage, muster::condition> {
    muster::condition& c = subject;
    muster::task_handle<void> waiter(const std::string& name) {
        return muster::create_task(
            [](stage& s) -> task<> {
                auto guard = co_await s.c.scoped_lock();
                co_await s.c.wait();
                s.say("was notified");
            }(*this),
            name);
    }
    /// A task that locks without a guard, waits, and ends holding the mutex.
    muster::task_handle<void> keeper(const std::string& name) {
        return muster::create_task(
            [](stage& s) -> task<> {
                co_await s.c.lock();
                co_await s.c.wait();
            }(*this),
            name);
    }
};

} // namespace

TEST(condition, has_a_mutex_of_its_own) {
    stage s;
    s.run([](stage& st) -> task<> {
        EXPECT_FALSE(st.c.locked());
        {
            auto guard = co_await st.c.scoped_lock();
            EXPECT_TRUE(st.c.locked());
        }
        EXPECT_FALSE(st.c.locked());
        co_await st.c.lock();
        EXPECT_TRUE(st.c.locked());
        st.c.unlock();
        EXPECT_FALSE(st.c.locked());
    });
}

TEST(condition, may_share_a_mutex) {
    stage s;
    s.run([](stage&) -> task<> {
        muster::mutex m;
        muster::condition filled(m);
        muster::condition emptied(m);
        auto guard = co_await filled.scoped_lock();
        EXPECT_TRUE(m.locked());
        EXPECT_TRUE(emptied.locked());
        guard.unlock();
        EXPECT_FALSE(emptied.locked());
    });
}

TEST(condition, needs_its_mutex_for_everything) {
    stage s;
    s.run([](stage& st) -> task<> {
        EXPECT_THROW(st.c.notify(), muster::invalid_state_error);
        EXPECT_THROW(st.c.notify_all(), muster::invalid_state_error);
        EXPECT_THROW(st.c.unlock(), muster::invalid_state_error);
        auto o = co_await muster::as_outcome(st.c.wait());
        EXPECT_TRUE(o.failed_with<muster::invalid_state_error>());
        EXPECT_FALSE(st.c.locked());
    });
}

TEST(condition, notifies_as_many_as_it_is_told_in_the_order_in_which_they_came) {
    stage s;
    s.run([](stage& st) -> task<> {
        auto t1 = st.waiter("t1");
        auto t2 = st.waiter("t2");
        auto t3 = st.waiter("t3");
        co_await muster::sleep_for(1ms);
        EXPECT_TRUE(st.said.empty());
        {
            auto guard = co_await st.c.scoped_lock();
            st.c.notify();
        }
        co_await muster::sleep_for(1ms);
        {
            auto guard = co_await st.c.scoped_lock();
            st.c.notify();
            st.c.notify(2048);
        }
        co_await muster::sleep_for(1ms);
        EXPECT_TRUE(t1.done());
        EXPECT_TRUE(t2.done());
        EXPECT_TRUE(t3.done());
        // The earlier notifications are forgotten: one who comes now waits.
        auto late = st.waiter("late");
        co_await muster::sleep_for(5ms);
        EXPECT_FALSE(late.done());
        late.cancel();
        co_await muster::yield();
        EXPECT_TRUE(late.cancelled());
        EXPECT_FALSE(st.c.locked());
    });
    EXPECT_EQ(s.said, (lines{"1 t1 was notified", "2 t2 was notified", "2 t3 was notified"}));
}

TEST(condition, notifies_nobody_when_told_so) {
    stage s;
    s.run([](stage& st) -> task<> {
        auto t = st.waiter("t");
        co_await muster::sleep_for(1ms);
        auto guard = co_await st.c.scoped_lock();
        st.c.notify(0);
        guard.unlock();
        co_await muster::sleep_for(1ms);
        EXPECT_FALSE(t.done());
        t.cancel();
        co_await muster::yield();
        EXPECT_TRUE(t.cancelled());
    });
}

TEST(condition, notifies_all) {
    stage s;
    s.run([](stage& st) -> task<> {
        auto t1 = st.waiter("t1");
        auto t2 = st.waiter("t2");
        co_await muster::sleep_for(1ms);
        {
            auto guard = co_await st.c.scoped_lock();
            st.c.notify_all();
            co_await muster::sleep_for(3ms); // they need the mutex to go on
            EXPECT_TRUE(st.said.empty());
        }
        co_await t2;
        EXPECT_TRUE(t1.done());
    });
    EXPECT_EQ(s.said, (lines{"4 t1 was notified", "4 t2 was notified"}));
}

TEST(condition, wait_with_a_predicate_ends_when_it_is_true_and_gives_what_it_gave) {
    stage s;
    s.run([](stage& st) -> task<> {
        int value = 0;
        auto wait_for_two = [](stage& on, int& v) -> task<int> {
            auto guard = co_await on.c.scoped_lock();
            auto two = co_await on.c.wait([&v] { return v >= 2 ? v : 0; });
            on.say("saw " + std::to_string(two));
            co_return two;
        };
        auto t = muster::create_task(wait_for_two(st, value), "t");
        for (int i = 0; i < 2; ++i) {
            co_await muster::sleep_for(1ms);
            auto guard = co_await st.c.scoped_lock();
            ++value;
            st.c.notify();
        }
        auto two = co_await t;
        EXPECT_EQ(two, 2);
        // True already: there is no wait, so the mutex is not even given back, or needed.
        auto at_once = co_await st.c.wait([&value] { return value == 2; });
        EXPECT_TRUE(at_once);
    });
    EXPECT_EQ(s.said, (lines{"2 t saw 2"}));
}

TEST(condition, wait_throws_what_its_predicate_throws_with_the_mutex_held) {
    stage s;
    s.run([](stage& st) -> task<> {
        auto fails = [](stage& on) -> task<> {
            co_await on.c.lock();
            co_await on.c.wait([]() -> bool { throw std::runtime_error("x"); });
        };
        auto o = co_await muster::as_outcome(fails(st));
        EXPECT_TRUE(o.failed_with<std::runtime_error>());
        EXPECT_TRUE(st.c.locked());
    });
}

TEST(condition, wait_that_is_cancelled_ends_with_the_mutex_held) {
    stage s;
    s.run([](stage& st) -> task<> {
        auto t = st.keeper("t");
        co_await muster::sleep_for(1ms);
        EXPECT_FALSE(st.c.locked());
        t.cancel();
        co_await muster::yield();
        EXPECT_TRUE(t.cancelled());
        EXPECT_TRUE(st.c.locked());
    });
}

TEST(condition, wait_that_is_cancelled_while_another_holds_the_mutex_ends_when_it_has_it) {
    stage s;
    s.run([](stage& st) -> task<> {
        auto t = st.waiter("t");
        co_await muster::sleep_for(1ms);
        co_await st.c.lock();
        t.cancel();
        co_await muster::sleep_for(50ms);
        EXPECT_FALSE(t.done());
        st.c.unlock();
        co_await muster::yield();
        EXPECT_TRUE(t.cancelled());
        EXPECT_FALSE(st.c.locked());
    });
    EXPECT_TRUE(s.said.empty());
}

TEST(condition, wait_that_is_cancelled_again_while_it_wants_the_mutex_says_what_the_last_one_said) {
    stage s;
    s.run([](stage& st) -> task<> {
        auto wait = [](muster::condition& c) -> task<std::string> {
            auto guard = co_await c.scoped_lock();
            std::string message;
            try {
                co_await c.wait();
            } catch (const muster::cancelled_error& e) {
                EXPECT_TRUE(c.locked());
                message = e.message();
            }
            co_return message;
        };
        auto t = muster::create_task(wait(st.c), "t");
        co_await muster::sleep_for(1ms);
        co_await st.c.lock();
        t.cancel("first");
        co_await muster::sleep_for(1ms);
        t.cancel("second");
        co_await muster::sleep_for(1ms);
        t.cancel("third");
        co_await muster::sleep_for(1ms);
        EXPECT_FALSE(t.done());
        EXPECT_EQ(t.cancelling(), 3);
        st.c.unlock();
        auto message = co_await t;
        EXPECT_EQ(message, "third");
    });
}

TEST(condition, wait_that_is_notified_and_cancelled_in_one_instant_ends_with_the_mutex_held) {
    stage s;
    s.run([](stage& st) -> task<> {
        auto t = st.keeper("t");
        co_await muster::sleep_for(1ms);
        co_await st.c.lock();
        st.c.notify();
        t.cancel();
        st.c.unlock();
        co_await muster::yield();
        EXPECT_TRUE(t.cancelled());
        EXPECT_TRUE(st.c.locked());
    });
}

TEST(condition, wait_that_is_notified_and_cancelled_in_one_instant_passes_its_notification_on) {
    stage s;
    s.run([](stage& st) -> task<> {
        auto t1 = st.waiter("t1");
        auto t2 = st.waiter("t2");
        co_await muster::sleep_for(1ms);
        co_await st.c.lock();
        st.c.notify();
        t1.cancel();
        st.c.unlock();
        co_await muster::sleep_for(1ms);
        EXPECT_TRUE(t1.cancelled());
        EXPECT_TRUE(t2.done());
    });
    EXPECT_EQ(s.said, (lines{"1 t2 was notified"}));
}

TEST(condition, wait_that_is_cancelled_while_it_wants_the_mutex_passes_its_notification_on) {
    stage s;
    s.run([](stage& st) -> task<> {
        auto t1 = st.waiter("t1");
        auto t2 = st.waiter("t2");
        co_await muster::sleep_for(1ms);
        co_await st.c.lock();
        st.c.notify();
        co_await muster::sleep_for(1ms); // t1 was notified and wants the mutex
        t1.cancel();
        co_await muster::sleep_for(1ms);
        EXPECT_FALSE(t1.done());
        st.c.unlock();
        co_await t2;
        EXPECT_TRUE(t1.cancelled());
    });
    EXPECT_EQ(s.said, (lines{"3 t2 was notified"}));
}

TEST(condition, waits_of_a_loop_that_is_destroyed_are_gone_whoever_holds_the_mutex) {
    stage s;
    const auto before = muster::set_report_handler([](const muster::report&) {});
    auto wait = [](muster::condition& c) -> task<> {
        auto guard = co_await c.scoped_lock();
        co_await c.wait();
    };
    auto hold = [](muster::condition& c) -> task<> {
        auto guard = co_await c.scoped_lock();
        c.notify();
        co_await muster::sleep_for(1h);
    };
    auto t1 = s.loop->start(wait(s.c), "t1");
    auto t2 = s.loop->start(wait(s.c), "t2");
    s.loop->run_ready();
    EXPECT_NE(s.loop->waiters().at(0).find("waits for condition::wait"), std::string::npos);
    auto t3 = s.loop->start(hold(s.c), "t3");
    s.loop->run_ready();
    EXPECT_NE(s.loop->waiters().at(0).find("waits for mutex::lock"), std::string::npos);
    s.loop.reset();
    EXPECT_FALSE(s.c.locked());
    static_cast<void>(muster::set_report_handler(before));
}

TEST(condition, destroyed_while_a_task_waits_for_it_and_is_cancelled_ends_the_wait_with_the_cancellation) {
    stage s;
    auto c = std::make_unique<muster::condition>();
    auto wait = [](muster::condition& on) -> task<> {
        co_await on.lock();
        co_await on.wait();
    };
    auto t = s.loop->start(wait(*c), "t");
    s.loop->run_ready();
    c.reset();
    t.cancel();
    s.loop->run_ready();
    EXPECT_TRUE(t.cancelled());
}
