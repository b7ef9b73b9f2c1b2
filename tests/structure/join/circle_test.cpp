// SPDX-License-Identifier: MIT
// Tasks that wait for each other, by whatever combinator, hear of a cancellation like any others: the circle is cut.
#include "support/virtual_run.hpp"

#include <muster/race.hpp>
#include <muster/task_group.hpp>

#include <gtest/gtest.h>

#include <functional>

using namespace play;

namespace {

using handle = muster::task_handle<int>;

/// How one task waits for another.
using wait_for_other = std::function<muster::task<>(handle)>;

muster::task<> by_await(handle h) {
    auto value = co_await h;
    static_cast<void>(value);
}
muster::task<> by_gather(handle h) {
    auto values = co_await muster::gather(std::move(h), value_after(50ms, 1));
    static_cast<void>(values);
}
muster::task<> by_gather_of_handles(handle h) {
    auto values = co_await muster::gather(std::move(h));
    static_cast<void>(values);
}
muster::task<> by_range(handle h) {
    std::vector<handle> all;
    all.push_back(std::move(h));
    auto values = co_await muster::gather(std::move(all));
    static_cast<void>(values);
}
muster::task<> by_settle(handle h) {
    auto all = co_await muster::settle(std::move(h));
    static_cast<void>(all);
}
muster::task<> by_race(handle h) {
    auto first = co_await muster::race(std::move(h), value_after(1h, 1));
    static_cast<void>(first);
}
muster::task<> by_start(handle h) {
    auto started = muster::gather(std::move(h)).start();
    auto values = co_await started;
    static_cast<void>(values);
}
muster::task<> by_inner_task(handle h) {
    auto values = co_await muster::gather(by_await(std::move(h)), nothing_after(1ms));
    static_cast<void>(values);
}

muster::task<> by_task_of_a_group(handle h) {
    auto body = [&h](muster::task_group& group) { group.create_task(by_await(std::move(h))); };
    co_await muster::with_task_group(body);
}
muster::task<> by_task_of_an_inner_group(handle h) {
    auto body = [&h](muster::task_group& group) {
        group.create_task(by_task_of_a_group(std::move(h)));
        group.create_task(nothing_after(1h));
    };
    co_await muster::with_task_group(body);
}
muster::task<> by_body_of_a_group(handle h) {
    auto body = [&h](muster::task_group& group) -> muster::task<> {
        group.create_task(nothing_after(1h));
        co_await by_await(std::move(h));
    };
    co_await muster::with_task_group(body);
}
muster::task<> by_gather_in_a_group(handle h) {
    auto body = [&h](muster::task_group& group) { group.create_task(by_gather(std::move(h))); };
    co_await muster::with_task_group(body);
}

muster::task<int> member(std::vector<handle>& ring, std::size_t next, wait_for_other wait) {
    auto waiting = wait(ring[next]);
    co_await std::move(waiting);
    co_return 0;
}

/// A ring of tasks, each waiting for the next in its way: one is cancelled, and all end.
void expect_cut(std::vector<wait_for_other> ways, milliseconds elapsed) {
    expect_run(
        [&ways]() -> muster::task<> {
            std::vector<handle> ring;
            for (std::size_t i = 0; i != ways.size(); ++i)
                ring.push_back(muster::create_task(member(ring, (i + 1) % ways.size(), ways[i])));
            co_await muster::sleep_for(5ms);
            ring.front().cancel();
            for (auto& h : ring) {
                auto kept = h;
                auto ended = co_await ending(std::move(kept));
                EXPECT_TRUE(ended.was_cancelled()) << muster::to_string(ended);
            }
            ring.clear();
        },
        elapsed);
}

} // namespace

TEST(circle, of_tasks_that_wait_for_each_other_in_any_two_ways_is_cut) {
    const std::vector<wait_for_other> ways{by_await, by_gather, by_gather_of_handles, by_range, by_settle, by_race,
        by_start, by_inner_task, by_task_of_a_group, by_task_of_an_inner_group, by_body_of_a_group,
        by_gather_in_a_group};
    for (std::size_t a = 0; a != ways.size(); ++a) {
        for (std::size_t b = 0; b != ways.size(); ++b) {
            SCOPED_TRACE(std::to_string(a) + " and " + std::to_string(b));
            expect_cut({ways[a], ways[b]}, 5ms);
        }
    }
}

TEST(circle, of_many_is_cut) {
    expect_cut({by_gather, by_settle, by_await, by_race, by_start}, 5ms);
    expect_cut(std::vector<wait_for_other>(200, by_gather_of_handles), 5ms);
}

TEST(circle, behind_a_task_that_is_cancelled_is_cut) {
    expect_run(
        []() -> muster::task<> {
            std::vector<handle> ring;
            ring.push_back(muster::create_task(member(ring, 1, by_gather_of_handles)));
            ring.push_back(muster::create_task(member(ring, 0, by_settle)));
            auto outside = muster::create_task(by_gather_of_handles(ring[0]));
            co_await muster::sleep_for(5ms);
            outside.cancel();
            auto ended = co_await ending(std::move(outside));
            EXPECT_TRUE(ended.was_cancelled());
            ring.clear();
        },
        5ms);
}

TEST(circle, two_ways_to_the_same_child_are_none) {
    expect_run(
        []() -> muster::task<> {
            auto slow = muster::create_task(tidy_up(1h, 20ms));
            auto left = muster::create_task(by_gather_of_handles(slow));
            auto right = muster::create_task(by_gather_of_handles(slow));
            auto top = muster::create_task([](auto a, auto b) -> muster::task<> {
                auto both = co_await muster::gather(std::move(a), std::move(b));
                static_cast<void>(both);
            }(left, right));
            co_await muster::sleep_for(5ms);
            top.cancel();
            auto ended = co_await ending(std::move(top));
            EXPECT_TRUE(ended.was_cancelled());
            EXPECT_TRUE(slow.done()) << "all waited for it to clean up";
        },
        25ms);
}

TEST(circle, of_one_a_task_that_gathers_its_own_handle_gets_an_error) {
    expect_run(
        []() -> muster::task<> {
            std::vector<handle> own;
            auto body = [](std::vector<handle>& me) -> muster::task<int> {
                auto kept = me.front();
                auto values = co_await muster::gather(std::move(kept), value_now(1));
                static_cast<void>(values);
                co_return 0;
            };
            own.push_back(muster::create_task(body(own), "narcissus"));
            auto kept = own.front();
            auto ended = co_await ending(std::move(kept));
            EXPECT_EQ(text_of<muster::invalid_state_error>(ended),
                "task 'narcissus' can't be a child of a gather that it awaits: it would wait for itself");
            own.clear();
        },
        0ms);
}

TEST(circle, by_the_tasks_of_a_group_that_stops_by_itself_is_cut) {
    expect_run(
        []() -> muster::task<> {
            std::vector<handle> own;
            auto body = [](std::vector<handle>& me) -> muster::task<int> {
                auto group_body = [&me](muster::task_group& group) -> muster::task<> {
                    group.create_task(by_await(me.front()));
                    co_await muster::sleep_for(5ms);
                    throw std::runtime_error("bad");
                };
                co_await muster::with_task_group(group_body);
                co_return 0;
            };
            own.push_back(muster::create_task(body(own)));
            auto kept = own.front();
            auto ended = co_await ending(std::move(kept));
            EXPECT_TRUE(ended.failed_with<muster::exception_group>()) << muster::to_string(ended);
            own.clear();
        },
        5ms);
}
