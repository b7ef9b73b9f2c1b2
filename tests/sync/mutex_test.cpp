// SPDX-License-Identifier: MIT
#include <muster/mutex.hpp>

#include <muster/sleep.hpp>
#include <muster/task_handle.hpp>
#include <muster/testing/manual_loop.hpp>

#include "support/stage.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

using namespace std::chrono_literals;
using muster::task;

namespace {

using lines = std::vector<std::string>;

struct stage : play::stage<stage, muster::mutex> {
    muster::mutex& m = subject;
    /// A task that takes the mutex and ends without giving it back.
    muster::task_handle<void> taker(const std::string& name) {
        return muster::create_task(
            [](stage& s) -> task<> {
                co_await s.m.lock();
                s.say("has it");
            }(*this),
            name);
    }
    /// A task that holds the mutex for a time.
    muster::task_handle<void> holder(const std::string& name, std::chrono::milliseconds time) {
        return muster::create_task(
            [](stage& s, std::chrono::milliseconds t) -> task<> {
                auto guard = co_await s.m.scoped_lock();
                s.say("has it");
                if (t > 0ms)
                    co_await muster::sleep_for(t);
            }(*this, time),
            name);
    }
};

} // namespace

TEST(mutex, that_is_free_is_locked_at_once_and_is_no_cancellation_point) {
    stage s;
    s.run([](stage& st) -> task<> {
        EXPECT_FALSE(st.m.locked());
        muster::this_task::cancel();
        co_await st.m.lock();
        EXPECT_TRUE(st.m.locked());
        muster::this_task::uncancel();
        st.m.unlock();
        EXPECT_FALSE(st.m.locked());
        EXPECT_TRUE(st.m.try_lock());
        EXPECT_FALSE(st.m.try_lock());
        st.m.unlock();
    });
    EXPECT_EQ(s.loop->elapsed(), 0ms);
}

TEST(mutex, guard_unlocks_when_it_goes_also_by_an_exception) {
    stage s;
    s.run([](stage& st) -> task<> {
        {
            auto guard = co_await st.m.scoped_lock();
            EXPECT_TRUE(st.m.locked());
            EXPECT_TRUE(guard.holds());
        }
        EXPECT_FALSE(st.m.locked());
        auto fails = [](muster::mutex& m) -> task<> {
            auto guard = co_await m.scoped_lock();
            EXPECT_TRUE(m.locked());
            throw std::runtime_error("x");
        };
        auto o = co_await muster::as_outcome(fails(st.m));
        EXPECT_TRUE(o.failed_with<std::runtime_error>());
        EXPECT_FALSE(st.m.locked());
    });
}

TEST(mutex, guard_can_be_moved_and_unlocked_early) {
    stage s;
    s.run([](stage& st) -> task<> {
        muster::mutex other;
        auto first = co_await st.m.scoped_lock();
        auto second = std::move(first);
        EXPECT_FALSE(first.holds());
        EXPECT_TRUE(st.m.locked());
        auto of_other = co_await other.scoped_lock();
        second = std::move(of_other);
        EXPECT_FALSE(st.m.locked());
        EXPECT_TRUE(other.locked());
        second.unlock();
        EXPECT_FALSE(other.locked());
        EXPECT_THROW(second.unlock(), muster::invalid_state_error);
        muster::mutex::guard none;
        EXPECT_FALSE(none.holds());
    });
}

TEST(mutex, that_is_not_locked_can_not_be_unlocked) {
    muster::mutex m;
    EXPECT_THROW(m.unlock(), muster::invalid_state_error);
    EXPECT_FALSE(m.locked());
}

TEST(mutex, goes_to_those_who_wait_in_the_order_in_which_they_asked) {
    stage s;
    s.run([](stage& st) -> task<> {
        co_await st.m.lock();
        auto t1 = st.taker("t1");
        auto t2 = st.taker("t2");
        co_await muster::sleep_for(1ms);
        EXPECT_TRUE(st.said.empty());
        st.m.unlock();
        EXPECT_FALSE(st.m.locked());
        co_await muster::sleep_for(2ms);
        EXPECT_TRUE(st.m.locked());
        auto t3 = st.taker("t3");
        st.m.unlock();
        co_await muster::sleep_for(1ms);
        st.m.unlock();
        co_await muster::sleep_for(1ms);
        EXPECT_TRUE(t1.done());
        EXPECT_TRUE(t2.done());
        EXPECT_TRUE(t3.done());
        st.m.unlock();
    });
    EXPECT_EQ(s.said, (lines{"1 t1 has it", "3 t2 has it", "4 t3 has it"}));
}

TEST(mutex, is_not_had_by_one_who_gives_it_back_and_asks_again_while_others_wait) {
    stage s;
    s.run([](stage& st) -> task<> {
        co_await st.m.lock();
        auto t = st.holder("t", 10ms);
        co_await muster::sleep_for(1ms);
        st.m.unlock();
        EXPECT_FALSE(st.m.try_lock());
        co_await st.m.lock();
        st.say("has it again");
        st.m.unlock();
    });
    EXPECT_EQ(s.said, (lines{"1 t has it", "11 main has it again"}));
}

TEST(mutex, waiter_that_is_cancelled_leaves_the_line) {
    stage s;
    s.run([](stage& st) -> task<> {
        co_await st.m.lock();
        auto t1 = st.taker("t1");
        auto t2 = st.taker("t2");
        auto t3 = st.taker("t3");
        co_await muster::sleep_for(1ms);
        EXPECT_TRUE(t2.cancel());
        co_await muster::sleep_for(1ms);
        EXPECT_TRUE(t2.cancelled());
        st.m.unlock();
        co_await t1;
        st.m.unlock();
        co_await t3;
        st.m.unlock();
    });
    EXPECT_EQ(s.said, (lines{"2 t1 has it", "2 t3 has it"}));
}

TEST(mutex, waiter_that_is_woken_and_cancelled_in_one_instant_passes_its_turn_on) {
    stage s;
    s.run([](stage& st) -> task<> {
        auto a = st.holder("a", 3ms);
        co_await muster::sleep_for(1ms);
        EXPECT_TRUE(st.m.locked());
        auto b = st.holder("b", 0ms);
        co_await muster::sleep_for(1ms);
        auto c = st.holder("c", 0ms);
        co_await muster::sleep_for(1ms);
        // At 3 ms a's sleep ends too; it was armed before this one, so the mutex was given to b in this instant.
        EXPECT_FALSE(st.m.locked());
        EXPECT_TRUE(b.cancel());
        co_await muster::sleep_for(1ms);
        EXPECT_FALSE(st.m.locked());
        EXPECT_TRUE(b.cancelled());
        EXPECT_TRUE(c.done());
    });
    EXPECT_EQ(s.said, (lines{"0 a has it", "3 c has it"}));
}

TEST(mutex, waiter_that_is_cancelled_just_before_the_unlock_still_lets_the_next_have_it) {
    stage s;
    s.run([](stage& st) -> task<> {
        co_await st.m.lock();
        auto tb = st.taker("tb");
        co_await muster::sleep_for(1ms);
        auto tc = st.taker("tc");
        tb.cancel();
        st.m.unlock();
        co_await muster::sleep_for(1ms);
        EXPECT_TRUE(st.m.locked());
        EXPECT_TRUE(tb.cancelled());
        co_await tc;
    });
    EXPECT_EQ(s.said, (lines{"1 tc has it"}));
}

TEST(mutex, waiter_that_is_cancelled_just_after_the_unlock_still_lets_the_next_have_it) {
    stage s;
    s.run([](stage& st) -> task<> {
        co_await st.m.lock();
        auto tb = st.taker("tb");
        auto tc = st.taker("tc");
        co_await muster::sleep_for(1ms);
        st.m.unlock();
        tb.cancel();
        co_await muster::sleep_for(1ms);
        EXPECT_TRUE(st.m.locked());
        EXPECT_TRUE(tb.cancelled());
        co_await tc;
    });
    EXPECT_EQ(s.said, (lines{"1 tc has it"}));
}

TEST(mutex, that_is_free_and_whose_waiters_were_all_cancelled_is_had_at_once) {
    stage s;
    s.run([](stage& st) -> task<> {
        co_await st.m.lock();
        auto t1 = st.taker("t1");
        auto t2 = st.taker("t2");
        co_await muster::sleep_for(1ms);
        t1.cancel();
        t2.cancel();
        st.m.unlock();
        EXPECT_TRUE(st.m.try_lock());
        co_await muster::sleep_for(1ms);
        EXPECT_TRUE(t1.cancelled());
        EXPECT_TRUE(t2.cancelled());
        EXPECT_TRUE(st.m.locked());
    });
}

TEST(mutex, destroyed_while_tasks_wait_for_it_ends_their_waits_with_an_error) {
    stage s;
    auto m = std::make_unique<muster::mutex>();
    EXPECT_TRUE(m->try_lock());
    auto lock = [](muster::mutex& l) -> task<> { co_await l.lock(); };
    auto woken = s.loop->start(lock(*m), "woken");
    auto waits = s.loop->start(lock(*m), "waits");
    s.loop->run_ready();
    m->unlock();
    m.reset();
    s.loop->run_ready();
    EXPECT_TRUE(woken.ended_as().failed_with<muster::invalid_state_error>());
    EXPECT_TRUE(waits.ended_as().failed_with<muster::invalid_state_error>());
}

TEST(mutex, outlives_a_loop_that_is_destroyed_with_one_that_holds_it_and_others_that_wait) {
    stage s;
    const auto before = muster::set_report_handler([](const muster::report&) {});
    auto hold = [](muster::mutex& m) -> task<> {
        auto guard = co_await m.scoped_lock();
        co_await muster::sleep_for(1h);
    };
    std::vector<muster::task_handle<void>> all;
    for (int i = 0; i < 3; ++i)
        all.push_back(s.loop->start(hold(s.m), "t"));
    s.loop->run_ready();
    EXPECT_NE(s.loop->waiters().at(1).find("waits for mutex::lock"), std::string::npos);
    s.loop.reset();
    EXPECT_TRUE(s.m.try_lock());
    s.m.unlock();
    static_cast<void>(muster::set_report_handler(before));
}

TEST(mutex, that_was_granted_to_a_task_of_a_loop_that_is_destroyed_is_free) {
    stage s;
    const auto before = muster::set_report_handler([](const muster::report&) {});
    EXPECT_TRUE(s.m.try_lock());
    auto h = s.loop->start([](muster::mutex& m) -> task<> { co_await m.lock(); }(s.m), "t");
    s.loop->run_ready();
    s.m.unlock();
    s.loop.reset();
    EXPECT_TRUE(s.m.try_lock());
    static_cast<void>(muster::set_report_handler(before));
}

TEST(mutex, of_ten_thousand_waiters_every_other_cancelled_serves_the_rest_in_order) {
    stage s;
    s.run([](stage& st) -> task<> {
        std::vector<int> order;
        auto take = [](muster::mutex& m, std::vector<int>& to, int n) -> task<> {
            auto guard = co_await m.scoped_lock();
            to.push_back(n);
        };
        auto guard = co_await st.m.scoped_lock();
        std::vector<muster::task_handle<void>> all;
        for (int i = 0; i < 10'000; ++i)
            all.push_back(muster::create_task(take(st.m, order, i)));
        co_await muster::yield();
        for (std::size_t i = 0; i < all.size(); i += 2)
            all[i].cancel();
        guard.unlock();
        co_await all.back();
        EXPECT_EQ(order.size(), 5'000u);
        for (std::size_t i = 0; i < order.size(); ++i)
            EXPECT_EQ(order[i], static_cast<int>(2 * i + 1));
    });
}
