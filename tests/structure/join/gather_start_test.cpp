// SPDX-License-Identifier: MIT
#include "support/virtual_run.hpp"

#include <muster/future.hpp>
#include <muster/gather.hpp>
#include <muster/wait.hpp>

#include <gtest/gtest.h>

#include <map>
#include <optional>
#include <thread>

using namespace play;

namespace {

using handles = std::vector<muster::task_handle<int>>;

/// What a future failed with, as text; looking at it counts.
std::string failure_of(const muster::any_handle& f) {
    if (!f.done())
        return "pending";
    if (f.cancelled())
        return "was cancelled";
    const auto error = f.exception();
    return error ? muster::describe(error) : "none";
}

} // namespace

TEST(gather_start, gives_what_awaiting_would_give) {
    expect_run(
        []() -> muster::task<> {
            int x = 1;
            auto pair = muster::gather(value_after(5ms, 7), nothing_after(2ms), reference_after(1ms, x)).start();
            auto [seven, nothing, same] = co_await pair;
            EXPECT_EQ(seven, 7);
            EXPECT_EQ(nothing, muster::nothing());
            EXPECT_EQ(&same, &x);

            std::vector<muster::task<int>> tasks;
            tasks.push_back(value_after(5ms, 1));
            tasks.push_back(value_after(2ms, 2));
            auto list = muster::gather(std::move(tasks)).start();
            const auto& values = co_await list;
            EXPECT_EQ(values, (std::vector<int>{1, 2}));

            std::vector<muster::task<>> plain;
            plain.push_back(nothing_after(3ms));
            auto ended = muster::gather(std::move(plain)).start();
            co_await ended;

            std::map<std::string, muster::task<int>> by_name;
            by_name.emplace("a", value_after(1ms, 3));
            auto named = muster::gather(std::move(by_name)).start();
            const auto& map = co_await named;
            EXPECT_EQ(map.at("a"), 3);

            std::vector<muster::task<std::unique_ptr<int>>> pointers;
            pointers.push_back(pointer_after(1ms, 4));
            auto boxes = muster::gather(std::move(pointers)).start();
            auto taken = co_await std::move(boxes);
            EXPECT_EQ(*taken.front(), 4);
        },
        15ms);
}

TEST(gather_start, starts_tasks_at_once_and_in_argument_order) {
    expect_run(
        []() -> muster::task<> {
            lines log;
            auto all = muster::gather(logged(log, "a", 1ms), logged(log, "b", 1ms)).named("pair").start();
            EXPECT_EQ(all.name(), "pair");
            EXPECT_TRUE(log.empty());
            std::vector<std::string> names;
            for (const auto& h : muster::all_tasks())
                names.push_back(h.name());
            EXPECT_EQ(names.back(), "pair[1]");
            co_await muster::yield();
            EXPECT_EQ(log, (lines{"a begins", "b begins"}));
            co_await all;
        },
        1ms);
}

TEST(gather_start, has_ended_before_callbacks_that_were_added_to_the_last_child_later) {
    expect_run(
        []() -> muster::task<> {
            auto a = muster::make_future<int>();
            auto b = muster::make_future<int>();
            auto all = muster::gather(a, b).leave_siblings().start();
            lines log;
            b.add_done_callback([&](const muster::any_handle&) { log.push_back(all.done() ? "done" : "pending"); });
            all.add_done_callback([&](const muster::any_handle&) { log.push_back("told"); });
            a.set_value(1);
            b.set_value(2);
            EXPECT_FALSE(all.done());
            co_await muster::yield();
            EXPECT_EQ(log, (lines{"done"}));
            co_await muster::yield();
            EXPECT_EQ(log, (lines{"done", "told"}));
            EXPECT_EQ(all.result(), std::make_tuple(1, 2));
        },
        0ms);
}

TEST(gather_start, looks_at_once_at_what_has_ended) {
    expect_run(
        []() -> muster::task<> {
            auto a = muster::make_future<int>();
            a.set_value(1);
            auto both = muster::gather(a, a).leave_siblings().start();
            EXPECT_EQ(both.result(), std::make_tuple(1, 1));

            auto b = muster::make_future<int>();
            auto c = muster::make_future<int>();
            c.set_exception(http_error(503));
            auto mixed = muster::gather(b, c).leave_siblings().start();
            EXPECT_EQ(failure_of(mixed), "play::http_error: status 503");
            EXPECT_FALSE(mixed.cancel());
            EXPECT_FALSE(b.done());

            auto none = muster::gather(handles()).leave_siblings().start();
            EXPECT_TRUE(none.result().empty());
            auto no_outcomes = muster::settle(handles()).start();
            EXPECT_TRUE(no_outcomes.result().empty());
            co_return;
        },
        0ms);
}

TEST(gather_start, of_leave_siblings_fails_at_once_and_the_others_go_on) {
    expect_run(
        []() -> muster::task<> {
            handles all{muster::create_task(fail_after(5ms, "first")), muster::create_task(fail_after(10ms, "second")),
                muster::create_task(value_after(15ms, 3))};
            auto f = muster::gather(all).leave_siblings().start();
            auto ended = co_await ending(f);
            EXPECT_EQ(text_of<std::runtime_error>(ended), "first");
            EXPECT_FALSE(all[1].done());
            auto three = co_await all[2];
            EXPECT_EQ(three, 3);
        },
        15ms, {"suppressed: Task-3: std::runtime_error: second"});
}

TEST(gather_start, by_default_fails_when_the_siblings_have_been_cancelled) {
    expect_run(
        []() -> muster::task<> {
            lines log;
            auto f = muster::gather(fail_after(5ms, "first"), tidy_up(60ms, 3ms), logged(log, "c", 60ms)).start();
            co_await muster::sleep_for(6ms);
            EXPECT_FALSE(f.done());
            EXPECT_EQ(log, (lines{"c begins", "c cancelled (sibling failed)"}));
            auto ended = co_await ending(f);
            EXPECT_EQ(text_of<std::runtime_error>(ended), "first");
        },
        8ms);
}

TEST(gather_start, finish_siblings_fails_with_a_group) {
    expect_run(
        []() -> muster::task<> {
            auto f = muster::gather(fail_after(5ms, "a"), fail_after(9ms, "b")).finish_siblings().start();
            auto ended = co_await ending(f);
            EXPECT_EQ(ended.error_as<muster::exception_group>()->size(), 2u);
        },
        9ms);
}

TEST(gather_start, ends_with_the_cancellation_of_a_child_as_its_error) {
    expect_run(
        []() -> muster::task<> {
            auto a = muster::create_task(value_after(50ms, 1));
            auto b = muster::create_task(value_after(9ms, 2));
            auto f = muster::gather(a, b).leave_siblings().start();
            co_await muster::sleep_for(1ms);
            a.cancel("not wanted");
            auto ended = co_await ending(f);
            EXPECT_TRUE(ended.was_cancelled()) << "what awaits it unwinds as from a cancellation";
            EXPECT_EQ(ended.message(), "not wanted");
            EXPECT_FALSE(f.cancelled());
            EXPECT_TRUE(f.ended_as().failed_with<muster::cancelled_error>());
            EXPECT_FALSE(b.done());
            co_await b;
        },
        9ms);
}

TEST(gather_start, cancel_asks_every_child_and_does_not_end_it_at_once) {
    expect_run(
        []() -> muster::task<> {
            lines log;
            auto a = muster::create_task(tidy_up(60ms, 4ms));
            auto f = muster::gather(a, logged(log, "b", 60ms)).start();
            co_await muster::sleep_for(1ms);
            EXPECT_TRUE(f.cancel("stop"));
            EXPECT_FALSE(f.done());
            auto ended = co_await ending(f);
            EXPECT_EQ(log, (lines{"b begins", "b stop"}));
            EXPECT_TRUE(ended.was_cancelled());
            EXPECT_EQ(ended.message(), "stop");
            EXPECT_TRUE(a.cancelled());
            EXPECT_FALSE(f.cancel()) << "it has ended";
        },
        5ms);
}

TEST(gather_start, that_was_cancelled_ends_so_even_if_the_children_go_on_to_values) {
    expect_run(
        []() -> muster::task<> {
            for (const bool settled : {false, true}) {
                handles all{muster::create_task(stubborn_for(5ms, 1)), muster::create_task(stubborn_for(7ms, 2))};
                co_await muster::sleep_for(1ms);
                muster::any_handle f;
                if (settled) {
                    auto g = muster::settle(all).start();
                    f = g;
                } else {
                    auto g = muster::gather(all).leave_siblings().start();
                    f = g;
                }
                EXPECT_TRUE(f.cancel());
                const std::vector<muster::any_handle> both{all[0], all[1]};
                auto ended = co_await muster::wait(both);
                EXPECT_EQ(ended.done.size(), 2u);
                EXPECT_EQ(all[1].result(), 2);
                EXPECT_EQ(failure_of(f), "cancelled (requested)");
            }
        },
        14ms);
}

TEST(gather_start, can_no_longer_be_cancelled_when_all_children_have_ended) {
    expect_run(
        []() -> muster::task<> {
            auto a = muster::make_future<int>();
            auto inner = muster::gather(a).leave_siblings().start();
            auto outer = muster::gather(inner, inner).leave_siblings().start();
            auto waiter = [](auto on) -> muster::task<> { co_await on; };
            auto w = muster::create_task(waiter(outer));
            co_await muster::yield();
            a.set_value(1);
            EXPECT_FALSE(inner.done());
            EXPECT_FALSE(inner.cancel());
            EXPECT_FALSE(outer.cancel());
            EXPECT_TRUE(w.cancel("only the waiter"));
            auto ended = co_await ending(w);
            EXPECT_EQ(ended.message(), "only the waiter");
            EXPECT_EQ(std::get<0>(outer.result()), std::make_tuple(1));
        },
        0ms);
}

TEST(gather_start, passes_the_cancellation_of_who_awaits_it_on_to_the_children) {
    expect_run(
        []() -> muster::task<> {
            auto a = muster::create_task(value_after(50ms, 1));
            auto f = muster::gather(a).leave_siblings().start();
            auto waiter = [](auto on) -> muster::task<> { co_await on; };
            auto w = muster::create_task(waiter(f));
            co_await muster::sleep_for(1ms);
            w.cancel("stop");
            auto ended = co_await ending(w);
            EXPECT_EQ(ended.message(), "stop");
            EXPECT_TRUE(a.cancelled());
            EXPECT_FALSE(f.cancelled());
            EXPECT_TRUE(f.done());
        },
        1ms);
}

TEST(gather_start, settle_gives_every_outcome) {
    expect_run(
        []() -> muster::task<> {
            auto c = muster::create_task(value_after(50ms, 3));
            auto f = muster::settle(value_after(1ms, 1), fail_after(2ms, "b"), c).start();
            co_await muster::sleep_for(3ms);
            EXPECT_FALSE(f.done());
            c.cancel();
            auto all = co_await std::move(f);
            expect_adds_up(all, 3, 1, 1, 1, 0);
            EXPECT_EQ(muster::to_string(all.template get<1>()), "std::runtime_error: b");
        },
        3ms);
}

TEST(gather_start, settle_that_was_cancelled_delivers_no_outcome) {
    expect_run(
        []() -> muster::task<> {
            auto f = muster::settle(fail_cleaning_up(50ms, 2ms), value_after(50ms, 1)).start();
            co_await muster::sleep_for(1ms);
            EXPECT_TRUE(f.cancel("stop"));
            auto ended = co_await ending(f);
            EXPECT_TRUE(ended.was_cancelled());
        },
        3ms, {"suppressed: settle[0]: std::runtime_error: clean-up"});
}

TEST(gather_start, makes_a_future_of_what_the_function_makes_of_the_result) {
    expect_run(
        []() -> muster::task<> {
            auto sum = muster::gather(value_after(1ms, 1), value_after(2ms, 2)).start([](const auto& values) {
                return std::get<0>(values) + std::get<1>(values);
            });
            static_assert(std::is_same_v<decltype(sum), muster::future<int>>);
            auto three = co_await sum;
            EXPECT_EQ(three, 3);
            auto refused = muster::gather(value_after(1ms, 1)).start([](const auto&) { throw http_error(500); });
            static_assert(std::is_same_v<decltype(refused), muster::future<void>>);
            auto ended = co_await ending(refused);
            EXPECT_EQ(ended.error_as<http_error>()->status, 500);
        },
        3ms);
}

TEST(gather_start, that_nobody_refers_to_any_more_calls_its_callbacks_and_reports_its_failure) {
    expect_run(
        []() -> muster::task<> {
            auto told = std::make_shared<bool>(false);
            {
                auto f = muster::gather(fail_after(5ms)).start();
                f.add_done_callback([told](const muster::any_handle&) { *told = true; });
            }
            co_await muster::sleep_for(6ms);
            EXPECT_TRUE(*told);
        },
        6ms, {"never retrieved: gather: std::runtime_error: bad"});
}

TEST(gather_start, delivers_nothing_if_somebody_else_has_set_it) {
    expect_run(
        []() -> muster::task<> {
            auto a = muster::create_task(fail_after(5ms));
            auto f = muster::gather(a).leave_siblings().start([](const auto&) { return 1; });
            f.set_value(2);
            co_await muster::sleep_for(6ms);
            EXPECT_EQ(f.result(), 2);
        },
        6ms, {"suppressed: Task-2: std::runtime_error: bad"});
}

TEST(gather_start, within_a_time_fails_with_timeout_error) {
    expect_run(
        []() -> muster::task<> {
            auto a = muster::create_task(value_after(50ms, 1));
            auto f = muster::gather(a, a).leave_siblings().within(5ms).start();
            auto ended = co_await ending(f);
            EXPECT_TRUE(ended.failed_with<muster::timeout_error>());
            EXPECT_TRUE(a.cancelled());

            auto g = muster::settle(value_after(1ms, 1), value_after(50ms, 2)).within(5ms).start();
            auto all = co_await std::move(g);
            expect_adds_up(all, 2, 1, 0, 1, 0);
        },
        10ms);
}

TEST(gather_start, refuses_what_needs_somebody_who_waits) {
    expect_run(
        []() -> muster::task<> {
            EXPECT_THROW(static_cast<void>(muster::gather(value_now(1)).limit(1).start()), std::invalid_argument);
            auto first = value_now(1);
            auto awaited = std::move(first);
            co_await std::move(awaited);
            std::vector<muster::task<int>> tasks;
            tasks.push_back(value_now(1));
            tasks.push_back(std::move(awaited));
            const auto before = muster::all_tasks().size();
            EXPECT_THROW(static_cast<void>(muster::gather(std::move(tasks)).start()), muster::invalid_state_error);
            EXPECT_EQ(muster::all_tasks().size(), before) << "none of them was started";
        },
        0ms);
    EXPECT_THROW(static_cast<void>(muster::gather(muster::future<int>(), muster::future<int>()).start()),
        muster::invalid_state_error);
}

TEST(gather_start, nested_to_any_depth_ends_and_is_cancelled) {
    expect_run(
        []() -> muster::task<> {
            const auto chain = [](muster::future<int> innermost, int depth) {
                auto f = innermost;
                for (int i = 0; i != depth; ++i)
                    f = muster::gather(std::vector{f}).leave_siblings().start([](const auto& v) {
                        return v.front() + 1;
                    });
                return f;
            };
            auto a = muster::make_future<int>();
            auto deep = chain(a, 100'000);
            a.set_value(0);
            auto depth = co_await deep;
            EXPECT_EQ(depth, 100'000);

            auto b = muster::make_future<int>();
            auto stopped = chain(b, 1'000);
            EXPECT_TRUE(stopped.cancel("stop"));
            EXPECT_TRUE(b.cancelled());
            auto ended = co_await ending(stopped);
            EXPECT_EQ(ended.message(), "stop");
        },
        0ms);
}

TEST(gather_start, may_be_pending_when_the_loop_ends) {
    std::optional<muster::future<std::tuple<int, int>>> kept;
    auto never = std::optional<muster::future<int>>();
    expect_run(
        [&]() -> muster::task<> {
            never = muster::make_future<int>();
            kept = muster::gather(*never, value_after(1ms, 1)).start();
            for (int i = 0; i != 3; ++i)
                static_cast<void>(muster::gather(muster::make_future<int>()).start());
            co_await muster::sleep_for(1ms);
        },
        1ms);
    EXPECT_FALSE(kept->done());
    EXPECT_FALSE(kept->cancel());
    never->set_value(1);
    EXPECT_FALSE(kept->done());
}

TEST(gather_start, is_cancelled_from_another_thread) {
    expect_run(
        []() -> muster::task<> {
            auto a = muster::make_future<int>();
            auto f = muster::gather(a).leave_siblings().start();
            std::jthread([f] { EXPECT_TRUE(f.request_cancel("from outside")); }).join();
            auto ended = co_await ending(f);
            EXPECT_EQ(ended.message(), "from outside");
        },
        0ms);
}

TEST(gather_start, tells_of_an_end_in_the_last_turn) {
    auto log = std::make_shared<lines>();
    expect_run(
        [log]() -> muster::task<> {
            auto a = muster::make_future<int>();
            auto f = muster::gather(a).leave_siblings().start();
            f.add_done_callback([log](const muster::any_handle& h) { log->push_back(failure_of(h)); });
            a.set_value(1);
            co_return;
        },
        0ms);
    EXPECT_EQ(*log, (lines{"none"}));
}

namespace {

enum class by { await, gather, started_gather };

/// Tasks each of which waits for the next, and the last for the first.
muster::task<> wait_in_a_circle(by how, std::size_t length) {
    auto ring = std::make_shared<std::vector<muster::task_handle<>>>();
    const auto waits_for = [how](std::shared_ptr<std::vector<muster::task_handle<>>> all,
                               std::size_t i) -> muster::task<> {
        co_await muster::yield();
        const std::vector next{all->at(i)};
        if (how == by::await) {
            co_await next.front();
        } else if (how == by::gather) {
            co_await muster::gather(next);
        } else {
            auto f = muster::gather(next).leave_siblings().start();
            co_await f;
        }
    };
    for (std::size_t i = 0; i != length; ++i)
        ring->push_back(muster::create_task(waits_for(ring, (i + 1) % length)));
    const auto first = ring->front();
    co_await first;
}

} // namespace

TEST(gather_start, tasks_that_wait_for_each_other_in_a_circle_are_a_deadlock) {
    const auto before = muster::set_report_handler([](const muster::report&) {});
    for (const auto how : {by::await, by::gather, by::started_gather}) {
        for (const std::size_t length : {1u, 2u, 3u, 7u, 100u}) {
            if (how != by::started_gather && length == 1)
                continue; // refused by the await
            muster::testing::manual_loop loop;
            EXPECT_THROW(loop.run(wait_in_a_circle(how, length)), muster::deadlock_error) << length;
        }
    }
    muster::set_report_handler(before);
    EXPECT_EQ(muster::testing::live_frames(), 0u);
}
