// SPDX-License-Identifier: MIT
#include "support/virtual_run.hpp"

#include <muster/droppable_task.hpp>
#include <muster/event.hpp>
#include <muster/gather.hpp>
#include <muster/mutex.hpp>
#include <muster/timeout.hpp>

#include <gtest/gtest.h>

using namespace play;

namespace {

/// Says when it goes.
class witness {
public:
    witness(lines& log, std::string name) : log_(&log), name_(std::move(name)) {}
    witness(const witness&) = delete;
    witness& operator=(const witness&) = delete;
    ~witness() { log_->push_back(name_ + " goes"); }

private:
    lines* log_;
    std::string name_;
};

muster::droppable_task<int> sleeps(lines& log, std::string name, milliseconds d) {
    const witness w(log, name);
    try {
        co_await muster::sleep_for(d);
    } catch (...) {
        log.push_back(name + " caught it");
        throw;
    }
    co_return 1;
}

muster::droppable_task<int> awaits_one(lines& log, milliseconds d) {
    const witness w(log, "outer");
    auto inner = co_await sleeps(log, "inner", d);
    log.push_back("outer goes on");
    co_return inner + 1;
}

muster::task<int> ordinary_around(lines& log, milliseconds d) {
    try {
        auto inner = co_await sleeps(log, "inner", d);
        co_return inner;
    } catch (const muster::cancelled_error& e) {
        log.push_back(std::string("around it: ") + e.what());
        throw;
    }
}

} // namespace

TEST(droppable_task, gives_its_value_as_any_task) {
    expect_run(
        []() -> muster::task<> {
            lines log;
            auto direct = co_await awaits_one(log, 5ms);
            EXPECT_EQ(direct, 2);
            auto h = muster::create_task(sleeps(log, "spawned", 5ms));
            auto spawned = co_await h;
            EXPECT_EQ(spawned, 1);
            auto [a, b] = co_await muster::gather(sleeps(log, "a", 5ms), value_after(5ms, 7));
            EXPECT_EQ(a + b, 8);
            std::vector<muster::droppable_task<int>> many;
            many.push_back(sleeps(log, "c", 5ms));
            auto values = co_await muster::gather(std::move(many));
            EXPECT_EQ(values, std::vector<int>{1});
        },
        20ms);
}

TEST(droppable_task, is_destroyed_where_it_sleeps_and_no_handler_runs) {
    expect_run(
        []() -> muster::task<> {
            lines log;
            auto h = muster::create_task(sleeps(log, "it", 1h));
            co_await muster::sleep_for(5ms);
            h.cancel("enough");
            auto ended = co_await ending(h);
            EXPECT_EQ(ended.message(), "enough");
            EXPECT_EQ(log, lines{"it goes"});
        },
        5ms);
}

TEST(droppable_task, takes_the_droppable_tasks_that_await_it_along_innermost_first) {
    expect_run(
        []() -> muster::task<> {
            lines log;
            auto h = muster::create_task(awaits_one(log, 1h));
            co_await muster::sleep_for(5ms);
            h.cancel();
            static_cast<void>(co_await ending(h));
            EXPECT_TRUE(h.cancelled());
            EXPECT_EQ(log, (lines{"inner goes", "outer goes"}));
        },
        5ms);
}

TEST(droppable_task, is_a_cancelled_error_to_an_ordinary_task_that_awaits_it) {
    expect_run(
        []() -> muster::task<> {
            lines log;
            auto h = muster::create_task(ordinary_around(log, 1h));
            co_await muster::sleep_for(5ms);
            h.cancel("enough");
            static_cast<void>(co_await ending(h));
            EXPECT_EQ(log, (lines{"inner goes", "around it: enough"}));
        },
        5ms);
}

TEST(droppable_task, an_outcome_of_a_child_does_not_use_up_the_callers_own_cancellation) {
    expect_run(
        []() -> muster::task<> {
            lines log;
            auto around = [&log]() -> muster::droppable_task<int> {
                auto ended = co_await muster::as_outcome<int>(sleeps(log, "inner", 1h));
                EXPECT_TRUE(ended.was_cancelled());
                co_return 5;
            };
            auto h = muster::create_task(around());
            co_await muster::sleep_for(5ms);
            h.cancel("enough");
            auto ended = co_await ending(h);
            EXPECT_TRUE(ended.was_cancelled()) << "it returned while its own cancellation was still due";
            EXPECT_EQ(ended.message(), "enough");
        },
        5ms);
}

TEST(droppable_task, cancelled_as_it_begins_to_wait_is_dropped_there) {
    expect_run(
        []() -> muster::task<> {
            lines log;
            auto cancels_itself = [&log]() -> muster::droppable_task<> {
                const witness w(log, "it");
                muster::this_task::cancel();
                co_await muster::sleep_for(1h);
                log.push_back("goes on");
            };
            auto h = muster::create_task(cancels_itself());
            static_cast<void>(co_await ending(h));
            EXPECT_TRUE(h.cancelled());
            EXPECT_EQ(log, lines{"it goes"});
        },
        0ms);
}

TEST(droppable_task, under_a_time_limit_fails_with_timeout_error) {
    expect_run(
        []() -> muster::task<> {
            lines log;
            auto one = muster::wait_for(sleeps(log, "it", 1h), 5ms);
            auto ended = co_await muster::settle(std::move(one));
            EXPECT_TRUE(ended.get<0>().failed_with<muster::timeout_error>());
            std::vector<muster::droppable_task<int>> many;
            many.push_back(sleeps(log, "a", 1h));
            many.push_back(sleeps(log, "b", 1ms));
            auto limited = co_await muster::gather(std::move(many)).each_within(5ms).settle();
            EXPECT_TRUE(limited[0].failed_with<muster::timeout_error>());
            EXPECT_TRUE(limited[1].succeeded());
            EXPECT_EQ(log, (lines{"it goes", "b goes", "a goes"}));
        },
        10ms);
}

TEST(droppable_task, gathered_is_cancelled_with_its_siblings) {
    expect_run(
        []() -> muster::task<> {
            lines log;
            muster::event never;
            auto waits = [&log, &never]() -> muster::droppable_task<int> {
                const witness w(log, "waiter");
                co_await never.wait();
                co_return 1;
            };
            auto failing = [&]() -> muster::task<> {
                auto got = co_await muster::gather(
                    waits(), sleeps(log, "sleeper", 1h), muster::sleep_for(1h), fail_after(5ms));
                static_cast<void>(got);
            };
            auto ended = co_await muster::settle(failing());
            EXPECT_TRUE(ended.get<0>().failed());
            EXPECT_EQ(log, (lines{"waiter goes", "sleeper goes"}));
            EXPECT_FALSE(never.is_set());
            never.set(); // nobody is left on its list
        },
        5ms);
}

TEST(droppable_task, hears_of_a_cancellation_that_finds_it_waiting_for_a_lock_by_a_throw) {
    expect_run(
        []() -> muster::task<> {
            lines log;
            muster::mutex m;
            auto first = co_await m.scoped_lock();
            auto waits = [&]() -> muster::droppable_task<> {
                const witness w(log, "it");
                auto second = co_await m.scoped_lock();
                log.push_back("has it");
            };
            auto h = muster::create_task(waits());
            co_await muster::yield();
            h.cancel();
            static_cast<void>(co_await ending(h));
            EXPECT_TRUE(h.cancelled());
            EXPECT_EQ(log, lines{"it goes"});
        },
        0ms);
}

TEST(droppable_task, in_a_chain_of_any_length_needs_no_stack) {
    struct chain {
        static muster::droppable_task<int> of(int n) {
            if (n == 0) {
                co_await muster::sleep_for(1h);
                co_return 0;
            }
            auto below = co_await of(n - 1);
            co_return below + 1;
        }
    };
    expect_run(
        []() -> muster::task<> {
            auto h = muster::create_task(chain::of(100'000));
            co_await muster::yield();
            h.cancel();
            static_cast<void>(co_await ending(h));
            EXPECT_TRUE(h.cancelled());
        },
        0ms);
}
