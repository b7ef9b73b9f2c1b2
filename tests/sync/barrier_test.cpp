// SPDX-License-Identifier: MIT
#include <muster/barrier.hpp>

#include <muster/sleep.hpp>
#include <muster/task_handle.hpp>
#include <muster/testing/manual_loop.hpp>

#include "support/stage.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

using namespace std::chrono_literals;
using muster::task;

namespace {

using lines = std::vector<std::string>;

struct stage : play::stage<stage, muster::barrier> {
    explicit stage(std::ptrdiff_t parties) : play::stage<stage, muster::barrier>(parties) {}

    muster::barrier& b = subject;
    /// Says its place, or that the barrier was broken.
    task<> visit() {
        auto o = co_await muster::as_outcome(b.wait());
        if (o.failed_with<muster::broken_barrier_error>())
            say("broken");
        else
            say(std::to_string(o.value()));
    }
    muster::task_handle<void> visitor(const std::string& name, std::chrono::milliseconds after = 0ms, int times = 1) {
        return muster::create_task(
            [](stage& s, std::chrono::milliseconds t, int n) -> task<> {
                if (t > 0ms)
                    co_await muster::sleep_for(t);
                for (int i = 0; i < n; ++i)
                    co_await s.visit();
            }(*this, after, times),
            name);
    }
};

#define EXPECT_BARRIER(barrier_, waiting_, broken_)                                                                    \
    EXPECT_EQ((barrier_).n_waiting(), (waiting_));                                                                     \
    EXPECT_EQ((barrier_).broken(), (broken_))

} // namespace

TEST(barrier, needs_a_party) {
    EXPECT_THROW(muster::barrier(0), std::invalid_argument);
    EXPECT_THROW(muster::barrier(-4), std::invalid_argument);
    muster::barrier b(5);
    EXPECT_EQ(b.parties(), 5u);
    EXPECT_BARRIER(b, 0u, false);
}

TEST(barrier, for_one_holds_nobody_up) {
    stage s(1);
    s.run([](stage& st) -> task<> {
        for (int i = 0; i < 3; ++i) {
            auto place = co_await st.b.wait();
            EXPECT_EQ(place, 0u);
        }
        EXPECT_BARRIER(st.b, 0u, false);
    });
    EXPECT_EQ(s.loop->elapsed(), 0ms);
}

TEST(barrier, lets_all_go_on_when_the_last_has_come_and_numbers_them_by_arrival) {
    stage s(3);
    s.run([](stage& st) -> task<> {
        auto t0 = st.visitor("t0", 10ms);
        auto t1 = st.visitor("t1", 20ms);
        auto t2 = st.visitor("t2", 5ms);
        co_await muster::sleep_for(15ms);
        EXPECT_BARRIER(st.b, 2u, false);
        co_await t0;
        co_await t1;
        co_await t2;
        EXPECT_BARRIER(st.b, 0u, false);
    });
    EXPECT_EQ(s.said, (lines{"20 t1 2", "20 t2 0", "20 t0 1"}));
}

TEST(barrier, can_be_used_again_by_those_who_come_back) {
    stage s(3);
    s.run([](stage& st) -> task<> {
        auto t0 = st.visitor("t0", 0ms, 2);
        auto t1 = st.visitor("t1", 0ms, 2);
        auto t2 = st.visitor("t2", 0ms, 2);
        co_await t0;
        co_await t1;
        co_await t2;
        EXPECT_BARRIER(st.b, 0u, false);
    });
    // The last to leave the first round, t1, is the first in the next; those who came back before were held up.
    EXPECT_EQ(s.said, (lines{"0 t2 2", "0 t0 0", "0 t1 1", "0 t0 2", "0 t1 0", "0 t2 1"}));
}

TEST(barrier, gives_each_place_once_after_one_who_waited_was_cancelled) {
    stage s(3);
    s.run([](stage& st) -> task<> {
        auto t1 = st.visitor("t1");
        co_await muster::sleep_for(1ms);
        EXPECT_BARRIER(st.b, 1u, false);
        auto t2 = st.visitor("t2");
        co_await muster::sleep_for(1ms);
        EXPECT_BARRIER(st.b, 2u, false);
        t1.cancel();
        co_await muster::sleep_for(1ms);
        EXPECT_BARRIER(st.b, 1u, false);
        EXPECT_TRUE(t1.cancelled());
        auto t3 = st.visitor("t3");
        co_await muster::sleep_for(1ms);
        EXPECT_BARRIER(st.b, 2u, false);
        auto t4 = st.visitor("t4");
        co_await t2;
        co_await t3;
        co_await t4;
        EXPECT_BARRIER(st.b, 0u, false);
    });
    EXPECT_EQ(s.said, (lines{"4 t4 2", "4 t2 0", "4 t3 1"}));
}

TEST(barrier, one_who_is_let_go_and_cancelled_in_one_instant_is_cancelled_and_the_next_round_is_complete) {
    stage s(2);
    s.run([](stage& st) -> task<> {
        auto t1 = st.visitor("t1");
        co_await muster::sleep_for(1ms);
        co_await st.visit();
        t1.cancel();
        EXPECT_EQ(st.b.n_waiting(), 0u);
        co_await muster::sleep_for(1ms);
        EXPECT_TRUE(t1.cancelled());
        auto t2 = st.visitor("t2");
        co_await muster::sleep_for(1ms);
        EXPECT_BARRIER(st.b, 1u, false);
        co_await st.visit();
        co_await t2;
    });
    EXPECT_EQ(s.said, (lines{"1 main 1", "3 main 1", "3 t2 0"}));
}

TEST(barrier, that_nobody_waits_at_can_be_reset) {
    stage s(1);
    s.run([](stage& st) -> task<> {
        co_await st.b.reset();
        EXPECT_BARRIER(st.b, 0u, false);
        co_await st.visit();
    });
    EXPECT_EQ(s.said, (lines{"0 main 0"}));
}

TEST(barrier, that_is_reset_fails_for_those_who_wait_and_is_as_new) {
    stage s(5);
    s.run([](stage& st) -> task<> {
        auto t0 = st.visitor("t0");
        auto t1 = st.visitor("t1");
        auto t2 = st.visitor("t2");
        auto t3 = st.visitor("t3");
        co_await muster::sleep_for(1ms);
        EXPECT_BARRIER(st.b, 4u, false);
        co_await st.b.reset();
        co_await t3;
        EXPECT_BARRIER(st.b, 0u, false);
        auto o = co_await muster::as_outcome([](muster::task_handle<void> h) -> task<> { co_await h; }(t0));
        EXPECT_TRUE(o.succeeded());
    });
    EXPECT_EQ(s.said, (lines{"1 t0 broken", "1 t1 broken", "1 t2 broken", "1 t3 broken"}));
}

TEST(barrier, that_is_reset_while_a_round_leaves_fails_for_those_who_have_not_left) {
    stage s(5);
    s.run([](stage& st) -> task<> {
        auto t0 = st.visitor("t0");
        auto resets = [](stage& on) -> task<> {
            auto place = co_await on.b.wait();
            on.say(std::to_string(place));
            co_await on.b.reset();
        };
        auto t1 = muster::create_task(resets(st), "t1");
        auto t2 = st.visitor("t2");
        auto t3 = st.visitor("t3");
        auto t4 = st.visitor("t4");
        co_await t0;
        co_await t1;
        co_await t2;
        co_await t3;
        co_await t4;
        EXPECT_BARRIER(st.b, 0u, false);
    });
    EXPECT_EQ(s.said, (lines{"0 t4 4", "0 t0 0", "0 t1 1", "0 t2 broken", "0 t3 broken"}));
}

TEST(barrier, that_is_aborted_is_broken_until_it_is_reset) {
    stage s(1);
    s.run([](stage& st) -> task<> {
        co_await st.b.abort();
        EXPECT_BARRIER(st.b, 0u, true);
        EXPECT_EQ(st.b.parties(), 1u);
        co_await st.visit();
        co_await st.b.reset();
        EXPECT_BARRIER(st.b, 0u, false);
        co_await st.visit();
    });
    EXPECT_EQ(s.said, (lines{"0 main broken", "0 main 0"}));
}

TEST(barrier, that_is_aborted_fails_for_those_who_wait) {
    stage s(3);
    s.run([](stage& st) -> task<> {
        auto t0 = st.visitor("t0");
        auto t1 = st.visitor("t1");
        co_await muster::sleep_for(1ms);
        co_await st.b.abort();
        co_await t0;
        co_await t1;
        EXPECT_BARRIER(st.b, 0u, true);
    });
    EXPECT_EQ(s.said, (lines{"1 t0 broken", "1 t1 broken"}));
}

TEST(barrier, that_is_aborted_by_one_who_fails_after_it_fails_for_those_who_have_not_left_or_come_back) {
    stage s(5);
    s.run([](stage& st) -> task<> {
        auto comes_back = [](stage& on) -> task<> {
            for (int i = 0; i < 2; ++i) {
                auto o = co_await muster::as_outcome(on.b.wait());
                if (o.failed()) {
                    on.say("broken");
                    co_return;
                }
                on.say(std::to_string(o.value()));
            }
        };
        auto fails = [](stage& on) -> task<> {
            auto o = co_await muster::as_outcome(on.b.wait());
            EXPECT_TRUE(o.succeeded());
            co_await on.b.abort();
        };
        std::vector<muster::task_handle<void>> all;
        for (int i = 0; i < 5; ++i)
            all.push_back(muster::create_task(i == 2 ? fails(st) : comes_back(st), "t" + std::to_string(i)));
        for (const auto& h : all)
            co_await h;
        EXPECT_BARRIER(st.b, 0u, true);
    });
    EXPECT_EQ(
        s.said, (lines{"0 t4 4", "0 t0 0", "0 t1 1", "0 t3 broken", "0 t4 broken", "0 t0 broken", "0 t1 broken"}));
}

TEST(barrier, visits_of_a_loop_that_is_destroyed_are_gone) {
    stage s(3);
    const auto before = muster::set_report_handler([](const muster::report&) {});
    auto visit = [](muster::barrier& b) -> task<> { static_cast<void>(co_await b.wait()); };
    auto t1 = s.loop->start(visit(s.b), "t1");
    auto t2 = s.loop->start(visit(s.b), "t2");
    s.loop->run_ready();
    EXPECT_BARRIER(s.b, 2u, false);
    EXPECT_NE(s.loop->waiters().at(0).find("waits for condition::wait"), std::string::npos);
    s.loop.reset();
    EXPECT_BARRIER(s.b, 0u, false);
    static_cast<void>(muster::set_report_handler(before));
}
