// SPDX-License-Identifier: MIT
#include <muster/semaphore.hpp>

#include <muster/sleep.hpp>
#include <muster/task_handle.hpp>
#include <muster/testing/manual_loop.hpp>

#include "support/stage.hpp"

#include <gtest/gtest.h>

#include <algorithm>
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

struct stage : play::stage<stage, muster::semaphore> {
    explicit stage(std::ptrdiff_t permits) : play::stage<stage, muster::semaphore>(permits) {}

    muster::semaphore& sem = subject;
    /// A task that takes a permit and ends without giving it back.
    muster::task_handle<void> taker(const std::string& name) {
        return muster::create_task(
            [](stage& s) -> task<> {
                co_await s.sem.acquire();
                s.say("has one");
            }(*this),
            name);
    }
};

} // namespace

TEST(semaphore, without_permits_is_locked) {
    muster::semaphore s(0);
    EXPECT_TRUE(s.locked());
    EXPECT_FALSE(s.try_acquire());
    EXPECT_EQ(s.available(), 0);
}

TEST(semaphore, has_one_permit_by_default) {
    muster::semaphore s;
    EXPECT_EQ(s.available(), 1);
    EXPECT_TRUE(s.try_acquire());
    EXPECT_TRUE(s.locked());
}

TEST(semaphore, can_not_have_fewer_permits_than_none_and_says_so) {
    EXPECT_THROW(muster::semaphore(-1), std::invalid_argument);
    try {
        muster::bounded_semaphore s(-3);
        ADD_FAILURE() << "-3 permits were accepted";
    } catch (const std::invalid_argument& e) {
        EXPECT_STREQ(e.what(), "semaphore: the number of permits must not be negative, and is -3: pass 0 or more");
    }
}

TEST(semaphore, permit_is_given_back_and_may_be_taken_again) {
    stage s(1);
    s.run([](stage& st) -> task<> {
        muster::this_task::cancel();
        co_await st.sem.acquire();
        muster::this_task::uncancel();
        EXPECT_TRUE(st.sem.locked());
        st.sem.release();
        EXPECT_FALSE(st.sem.locked());
        {
            auto permit = co_await st.sem.scoped_acquire();
            EXPECT_TRUE(permit.holds());
            EXPECT_TRUE(st.sem.locked());
            auto moved = std::move(permit);
            EXPECT_FALSE(permit.holds());
            EXPECT_TRUE(st.sem.locked());
        }
        EXPECT_EQ(st.sem.available(), 1);
        auto early = co_await st.sem.scoped_acquire();
        early.release();
        EXPECT_EQ(st.sem.available(), 1);
        EXPECT_THROW(early.release(), muster::invalid_state_error);
        early = muster::semaphore::permit();
        EXPECT_EQ(st.sem.available(), 1);
    });
    EXPECT_EQ(s.loop->elapsed(), 0ms);
}

TEST(semaphore, hands_permits_out_in_the_order_in_which_they_were_asked_for) {
    stage s(3);
    s.run([](stage& st) -> task<> {
        co_await st.sem.acquire();
        co_await st.sem.acquire();
        EXPECT_FALSE(st.sem.locked());
        auto t1 = st.taker("t1");
        auto t2 = st.taker("t2");
        auto t3 = st.taker("t3");
        co_await muster::sleep_for(1ms);
        EXPECT_EQ(st.said, (lines{"0 t1 has one"}));
        EXPECT_TRUE(st.sem.locked());
        auto t4 = st.taker("t4");
        st.sem.release();
        st.sem.release();
        EXPECT_EQ(st.sem.available(), 0);
        co_await muster::sleep_for(1ms);
        EXPECT_TRUE(st.sem.locked());
        EXPECT_FALSE(t4.done());
        st.sem.release();
        co_await t4;
    });
    EXPECT_EQ(s.said, (lines{"0 t1 has one", "1 t2 has one", "1 t3 has one", "2 t4 has one"}));
}

TEST(semaphore, is_shared_fairly_by_tasks_that_ask_again) {
    stage s(1);
    s.run([](stage& st) -> task<> {
        auto twice = [](stage& on) -> task<> {
            for (int i = 0; i < 2; ++i) {
                co_await on.sem.acquire();
                on.say("has one");
                co_await muster::sleep_for(10ms);
                on.sem.release();
            }
        };
        auto c1 = muster::create_task(twice(st), "c1");
        auto c2 = muster::create_task(twice(st), "c2");
        auto c3 = muster::create_task(twice(st), "c3");
        co_await c1;
        co_await c2;
        co_await c3;
    });
    EXPECT_EQ(s.loop->elapsed(), 60ms);
    EXPECT_EQ(s.said,
        (lines{"0 c1 has one", "10 c2 has one", "20 c3 has one", "30 c1 has one", "40 c2 has one", "50 c3 has one"}));
}

TEST(semaphore, waiter_that_is_cancelled_takes_no_permit) {
    stage s(1);
    s.run([](stage& st) -> task<> {
        co_await st.sem.acquire();
        auto t = st.taker("t");
        co_await muster::sleep_for(1ms);
        EXPECT_TRUE(t.cancel());
        co_await muster::yield();
        EXPECT_TRUE(t.cancelled());
        st.sem.release();
        EXPECT_FALSE(st.sem.locked());
        co_await st.sem.acquire();
    });
}

TEST(semaphore, release_skips_waiters_that_were_cancelled_and_have_not_run_yet) {
    stage s(0);
    s.run([](stage& st) -> task<> {
        auto t1 = st.taker("t1");
        auto t2 = st.taker("t2");
        auto t3 = st.taker("t3");
        auto t4 = st.taker("t4");
        co_await muster::sleep_for(1ms);
        t1.cancel();
        t2.cancel();
        st.sem.release();
        co_await muster::sleep_for(1ms);
        EXPECT_TRUE(t1.cancelled());
        EXPECT_TRUE(t2.cancelled());
        EXPECT_TRUE(t3.done());
        EXPECT_FALSE(t4.done());
    });
    EXPECT_EQ(s.said, (lines{"1 t3 has one"}));
}

TEST(semaphore, order_is_kept_when_the_first_in_line_is_cancelled) {
    stage s(0);
    s.run([](stage& st) -> task<> {
        auto t1 = st.taker("t1");
        auto t2 = st.taker("t2");
        auto t3 = st.taker("t3");
        co_await muster::sleep_for(1ms);
        t1.cancel();
        co_await muster::sleep_for(1ms);
        st.sem.release();
        st.sem.release();
        co_await t2;
        co_await t3;
        EXPECT_TRUE(t1.cancelled());
    });
    EXPECT_EQ(s.said, (lines{"2 t2 has one", "2 t3 has one"}));
}

TEST(semaphore, permit_released_as_the_first_in_line_is_cancelled_goes_to_the_second) {
    stage s(0);
    s.run([](stage& st) -> task<> {
        auto t1 = st.taker("t1");
        auto t2 = st.taker("t2");
        co_await muster::sleep_for(1ms);
        t1.cancel();
        st.sem.release();
        co_await muster::sleep_for(1ms);
        EXPECT_TRUE(st.sem.locked());
        EXPECT_TRUE(t1.cancelled());
        EXPECT_TRUE(t2.done());
    });
    EXPECT_EQ(s.said, (lines{"1 t2 has one"}));
}

TEST(semaphore, waiter_that_is_woken_and_cancelled_in_one_instant_passes_its_permit_on) {
    stage s(0);
    s.run([](stage& st) -> task<> {
        auto t1 = st.taker("t1");
        auto t2 = st.taker("t2");
        co_await muster::sleep_for(1ms);
        st.sem.release();
        t1.cancel();
        EXPECT_TRUE(st.sem.locked());
        co_await t2;
        EXPECT_TRUE(t1.cancelled());
        EXPECT_EQ(st.sem.available(), 0);
    });
    EXPECT_EQ(s.said, (lines{"1 t2 has one"}));
}

TEST(semaphore, permit_of_a_waiter_woken_and_cancelled_in_one_instant_with_nobody_behind_it_is_left) {
    stage s(0);
    s.run([](stage& st) -> task<> {
        auto t1 = st.taker("t1");
        co_await muster::sleep_for(1ms);
        st.sem.release();
        t1.cancel();
        co_await muster::yield();
        EXPECT_TRUE(t1.cancelled());
        EXPECT_EQ(st.sem.available(), 1);
        EXPECT_FALSE(st.sem.locked());
    });
}

TEST(semaphore, does_not_hang_when_a_holder_cancels_the_one_it_lets_in) {
    stage s(1);
    s.run([](stage& st) -> task<> {
        muster::task_handle<void> t2;
        auto first = [](stage& on, muster::task_handle<void>& other) -> task<> {
            {
                auto permit = co_await on.sem.scoped_acquire();
                co_await muster::yield();
            }
            EXPECT_TRUE(other.cancel());
        };
        auto t1 = muster::create_task(first(st, t2), "t1");
        t2 = st.taker("t2");
        co_await t1;
        co_await muster::yield();
        EXPECT_TRUE(t2.cancelled());
        co_await st.sem.acquire();
    });
    EXPECT_EQ(s.loop->elapsed(), 0ms);
    EXPECT_TRUE(s.said.empty());
}

TEST(semaphore, newcomer_waits_while_one_that_was_woken_has_not_run_though_a_permit_is_left) {
    stage s(0);
    s.run([](stage& st) -> task<> {
        auto t1 = st.taker("t1");
        co_await muster::sleep_for(1ms);
        st.sem.release();
        st.sem.release();
        EXPECT_EQ(st.sem.available(), 1);
        EXPECT_TRUE(st.sem.locked());
        EXPECT_FALSE(st.sem.try_acquire());
        co_await st.sem.acquire();
        st.say("has one");
    });
    EXPECT_EQ(s.said, (lines{"1 t1 has one", "1 main has one"}));
}

TEST(bounded_semaphore, refuses_permits_that_were_not_taken) {
    muster::bounded_semaphore s(2);
    EXPECT_TRUE(s.try_acquire());
    s.release();
    EXPECT_THROW(s.release(), std::out_of_range);
    EXPECT_EQ(s.available(), 2);
}

TEST(semaphore, takes_more_permits_than_it_had) {
    muster::semaphore s(0);
    s.release();
    s.release();
    EXPECT_EQ(s.available(), 2);
}

TEST(semaphore, destroyed_while_tasks_wait_for_it_ends_their_waits_with_an_error) {
    stage s(0);
    auto sem = std::make_unique<muster::semaphore>(0);
    auto take = [](muster::semaphore& from) -> task<> { co_await from.acquire(); };
    auto woken = s.loop->start(take(*sem), "woken");
    auto cancelled = s.loop->start(take(*sem), "cancelled");
    auto waits = s.loop->start(take(*sem), "waits");
    s.loop->run_ready();
    sem->release();
    cancelled.cancel();
    sem.reset();
    s.loop->run_ready();
    EXPECT_TRUE(woken.ended_as().failed_with<muster::invalid_state_error>());
    EXPECT_TRUE(cancelled.cancelled());
    EXPECT_TRUE(waits.ended_as().failed_with<muster::invalid_state_error>());
}

TEST(semaphore, of_a_loop_that_is_destroyed_has_its_permits_back) {
    stage s(1);
    const auto before = muster::set_report_handler([](const muster::report&) {});
    auto hold = [](muster::semaphore& from) -> task<> {
        auto permit = co_await from.scoped_acquire();
        co_await muster::sleep_for(1h);
    };
    std::vector<muster::task_handle<void>> all;
    for (int i = 0; i < 3; ++i)
        all.push_back(s.loop->start(hold(s.sem), "t"));
    s.loop->run_ready();
    EXPECT_NE(s.loop->waiters().at(2).find("waits for semaphore::acquire"), std::string::npos);
    s.sem.release(); // granted to the second, which never runs
    s.loop.reset();
    EXPECT_EQ(s.sem.available(), 2);
    EXPECT_FALSE(s.sem.locked());
    static_cast<void>(muster::set_report_handler(before));
}

TEST(semaphore, with_a_hundred_permits_lets_a_hundred_of_a_hundred_thousand_in_at_a_time) {
    stage s(100);
    s.run([](stage& st) -> task<> {
        struct {
            int inside = 0, most = 0, all = 0;
        } count;
        auto visit = [](muster::semaphore& from, auto& n) -> task<> {
            auto permit = co_await from.scoped_acquire();
            n.most = std::max(n.most, ++n.inside);
            co_await muster::yield();
            --n.inside;
            ++n.all;
        };
        std::vector<muster::task_handle<void>> all;
        for (int i = 0; i < 100'000; ++i)
            all.push_back(muster::create_task(visit(st.sem, count)));
        for (const auto& h : all)
            co_await h;
        EXPECT_EQ(count.most, 100);
        EXPECT_EQ(count.all, 100'000);
        EXPECT_EQ(st.sem.available(), 100);
    });
}
