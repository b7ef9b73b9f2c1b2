// SPDX-License-Identifier: MIT
#include "support/virtual_run.hpp"

#include <muster/map.hpp>
#include <muster/race.hpp>
#include <muster/task.hpp>
#include <muster/task_group.hpp>
#include <muster/timeout.hpp>

#include <gtest/gtest.h>

#include <array>
#include <functional>

using namespace play;

namespace {

muster::task<int> remembers_that_it_ran(bool& ran) {
    ran = true;
    co_return 1;
}
muster::task<int> fails_without_a_throw(bool& destroyed) {
    struct mark {
        explicit mark(bool& b) : flag(b) {}
        ~mark() { flag = true; }
        bool& flag;
    } here(destroyed);
    co_await muster::fail(http_error(7));
    co_return 0;
}
/// Holds a task that it comes to after an hour.
muster::task<int> holds(muster::task<int> inner) {
    co_await muster::sleep_for(1h);
    co_return co_await std::move(inner);
}
muster::task<int> fails_holding(muster::task<int> inner) {
    co_await muster::sleep_for(1ms);
    if (inner.valid())
        throw http_error(1);
    co_return co_await std::move(inner);
}
template <class T>
muster::task<> look_at(muster::task<T> t) {
    auto ended = co_await muster::as_outcome(std::move(t));
    EXPECT_FALSE(ended.succeeded());
}
muster::task<> cancels_without_a_throw() { co_await muster::fail(muster::cancelled_error("quietly")); }
muster::task<int> sum_of(int depth) {
    if (depth == 0)
        co_return 0;
    auto below = co_await sum_of(depth - 1);
    co_return below + 1;
}

} // namespace

TEST(task, does_nothing_until_it_is_awaited) {
    expect_run(
        []() -> muster::task<> {
            bool ran = false;
            auto t = remembers_that_it_ran(ran);
            EXPECT_TRUE(t.valid());
            EXPECT_FALSE(ran);
            auto value = co_await std::move(t);
            EXPECT_TRUE(ran);
            EXPECT_EQ(value, 1);
            EXPECT_FALSE(t.valid());
        },
        0ms);
}

TEST(task, gives_values_void_references_and_what_can_only_be_moved) {
    expect_run(
        []() -> muster::task<> {
            int x = 1;
            auto& same = co_await reference_after(1ms, x);
            EXPECT_EQ(&same, &x);
            auto box = co_await pointer_after(1ms, 4);
            EXPECT_EQ(*box, 4);
            co_await nothing_after(1ms);
        },
        3ms);
}

TEST(task, awaited_twice_or_moved_from_fails_with_invalid_state) {
    expect_run(
        []() -> muster::task<> {
            auto t = value_now(1);
            auto first = co_await std::move(t);
            EXPECT_EQ(first, 1);
            auto second = co_await ending(std::move(t));
            EXPECT_TRUE(second.failed_with<muster::invalid_state_error>());
            EXPECT_THROW(static_cast<void>(muster::create_task(std::move(t))), muster::invalid_state_error);
        },
        0ms);
}

TEST(task, throws_what_it_threw_as_itself) {
    expect_run(
        []() -> muster::task<> {
            bool caught = false;
            try {
                auto value = co_await status_after(1ms, 404);
                static_cast<void>(value);
            } catch (const http_error& e) {
                caught = e.status == 404;
            }
            EXPECT_TRUE(caught);
        },
        1ms);
}

TEST(task, destroyed_unstarted_is_reported_with_its_functions_name_and_line) {
    std::vector<muster::report> seen;
    const auto before = muster::set_report_handler([&](const muster::report& r) { seen.push_back(r); });
    const void* id = nullptr;
    {
        bool ran = false;
        auto t = remembers_that_it_ran(ran);
        id = t.id();
    }
    muster::set_report_handler(before);
    ASSERT_EQ(seen.size(), 1u);
    EXPECT_EQ(seen[0].kind, muster::report_kind::never_awaited);
    EXPECT_NE(seen[0].name.find("remembers_that_it_ran"), std::string::npos);
    EXPECT_NE(seen[0].site.line(), 0u);
    EXPECT_EQ(seen[0].id, id);
    EXPECT_NE(muster::to_string(seen[0]).find("coroutine function at"), std::string::npos)
        << "labelled as what it is: " << muster::to_string(seen[0]);
}

TEST(task, destroyed_unstarted_while_an_exception_unwinds_is_not_reported) {
    expect_run(
        []() -> muster::task<> {
            try {
                auto t = value_now(1);
                EXPECT_TRUE(t.valid());
                throw http_error(1);
            } catch (const http_error&) {}
            co_return;
        },
        0ms);
}

TEST(task, assigned_over_reports_the_one_that_is_lost) {
    expect_run(
        []() -> muster::task<> {
            auto t = value_now(1);
            t = value_now(2);
            auto value = co_await std::move(t);
            EXPECT_EQ(value, 2);
        },
        0ms, {"never awaited: muster::task<int> play::value_now(int)"});
}

TEST(fail, ends_a_task_with_an_error_without_unwinding_and_destroys_its_locals) {
    expect_run(
        []() -> muster::task<> {
            bool destroyed = false;
            auto ended = co_await muster::as_outcome(fails_without_a_throw(destroyed));
            EXPECT_EQ(text_of<http_error>(ended), "status 7");
            EXPECT_TRUE(destroyed);
            auto cancelled = co_await muster::as_outcome(cancels_without_a_throw());
            EXPECT_TRUE(cancelled.was_cancelled());
            EXPECT_EQ(cancelled.message(), "quietly");
            EXPECT_THROW(static_cast<void>(muster::fail(std::exception_ptr())), std::invalid_argument);
        },
        0ms);
}

TEST(fail, of_a_child_is_that_childs_failure_in_every_combinator) {
    expect_run(
        []() -> muster::task<> {
            bool destroyed = false;
            auto ended = co_await ending(muster::gather(fails_without_a_throw(destroyed), nothing_after(1h)));
            EXPECT_TRUE(ended.failed_with<http_error>());
            auto h = muster::create_task(fails_without_a_throw(destroyed));
            auto again = co_await ending(h);
            EXPECT_TRUE(again.failed_with<http_error>());
        },
        0ms);
}

TEST(as_outcome, gives_the_outcome_and_throws_nothing) {
    expect_run(
        []() -> muster::task<> {
            auto value = co_await muster::as_outcome(value_after(1ms, 3));
            EXPECT_EQ(*value, 3);
            auto error = co_await muster::as_outcome(fail_after(1ms));
            EXPECT_TRUE(error.failed_with<std::runtime_error>());
            auto none = co_await muster::as_outcome(nothing_after(1ms));
            EXPECT_TRUE(none.succeeded());
            auto box = co_await muster::as_outcome(pointer_after(1ms, 4));
            EXPECT_EQ(**box, 4);
            int x = 1;
            auto reference = co_await muster::as_outcome(reference_after(1ms, x));
            EXPECT_EQ(&reference.value(), &x);
        },
        5ms);
}

TEST(as_outcome, keeps_the_callers_own_cancellation_due_at_its_next_wait) {
    expect_run(
        []() -> muster::task<> {
            bool went_on = false;
            auto caller = [&went_on]() -> muster::task<int> {
                auto ended = co_await muster::as_outcome(nothing_after(1h));
                EXPECT_TRUE(ended.was_cancelled());
                EXPECT_EQ(ended.message(), "stop");
                EXPECT_EQ(muster::this_task::cancelling(), 1);
                went_on = true;
                co_await muster::sleep_for(1h);
                co_return 1;
            };
            auto h = muster::create_task(caller());
            co_await muster::sleep_for(1ms);
            h.cancel("stop");
            auto ended = co_await ending(h);
            EXPECT_TRUE(went_on);
            EXPECT_TRUE(ended.was_cancelled());
            EXPECT_EQ(ended.message(), "stop");
        },
        1ms);
}

TEST(as_outcome, of_the_last_child_of_a_cancelled_caller_leaves_the_caller_cancelled) {
    expect_run(
        []() -> muster::task<> {
            auto caller = []() -> muster::task<int> {
                auto ended = co_await muster::as_outcome(nothing_after(1h));
                co_return ended.was_cancelled() ? 1 : 0;
            };
            auto h = muster::create_task(caller());
            co_await muster::sleep_for(1ms);
            h.cancel();
            auto ended = co_await ending(h);
            EXPECT_TRUE(ended.was_cancelled());
        },
        1ms);
}

TEST(as_outcome, keeps_a_cancellation_that_came_before_it) {
    expect_run(
        []() -> muster::task<> {
            auto caller = []() -> muster::task<int> {
                muster::this_task::cancel("early");
                auto ended = co_await muster::as_outcome(nothing_after(1h));
                EXPECT_TRUE(ended.was_cancelled());
                co_await muster::sleep_for(1h);
                co_return 1;
            };
            auto h = muster::create_task(caller());
            auto ended = co_await ending(h);
            EXPECT_EQ(ended.message(), "early");
        },
        0ms);
}

TEST(as_outcome, of_a_child_that_somebody_else_cancelled_cancels_the_caller_not) {
    expect_run(
        []() -> muster::task<> {
            auto other = muster::create_task(nothing_after(1h));
            auto waits = [](muster::task_handle<void> h) -> muster::task<> { co_await h; };
            auto caller = [&]() -> muster::task<int> {
                auto ended = co_await muster::as_outcome(waits(other));
                EXPECT_TRUE(ended.was_cancelled());
                co_await muster::sleep_for(1ms);
                auto raised = co_await muster::as_outcome(cancels_without_a_throw());
                EXPECT_TRUE(raised.was_cancelled());
                co_await muster::sleep_for(1ms);
                co_return muster::this_task::cancelling();
            };
            auto h = muster::create_task(caller());
            co_await muster::sleep_for(1ms);
            other.cancel();
            auto count = co_await h;
            EXPECT_EQ(count, 0);
        },
        3ms);
}

TEST(as_outcome, inside_a_time_limit_does_not_hold_the_limit_up) {
    expect_run(
        []() -> muster::task<> {
            auto body = []() -> muster::task<> {
                auto ended = co_await muster::as_outcome(nothing_after(1h));
                EXPECT_EQ(ended.reason(), muster::cancel_reason::deadline);
                co_await muster::sleep_for(1h);
            };
            auto ended = co_await ending(muster::timeout(5ms, body));
            EXPECT_TRUE(ended.failed_with<muster::timeout_error>());
            co_await muster::sleep_for(1ms);
        },
        6ms);
}

TEST(task, one_hundred_thousand_deep_and_a_million_in_a_row_use_no_native_stack) {
    expect_run(
        []() -> muster::task<> {
            auto depth = co_await sum_of(100'000);
            EXPECT_EQ(depth, 100'000);
            long long sum = 0;
            for (int i = 0; i != 1'000'000; ++i) {
                auto one = co_await value_now(1);
                sum += one;
            }
            EXPECT_EQ(sum, 1'000'000);
        },
        0ms);
}

TEST(task, that_never_began_or_was_stopped_takes_with_it_what_it_holds_and_none_of_that_is_reported) {
    struct body {
        const char* name;
        milliseconds elapsed;
        std::function<muster::task<>()> run;
    };
    const std::vector<body> bodies{
        {"a race inside a race that was decided before it", 0ms,
            []() -> muster::task<> {
                auto one = muster::race(value_now(1), value_now(2));
                auto other = muster::race(value_now(3), value_now(4));
                auto won = co_await muster::race(std::move(one), std::move(other)).limit(1);
                EXPECT_EQ(won.index(), 0u);
            }},
        {"a race whose time was up before it began", 0ms,
            [] { return look_at(muster::wait_for(muster::race(value_now(1), value_now(2)), 0ms)); }},
        {"a task that holds a task, whose time was up before it began", 0ms,
            [] { return look_at(muster::wait_for(holds(value_now(1)), 0ms)); }},
        {"a loser that was not begun", 0ms,
            []() -> muster::task<> {
                auto won = co_await muster::race(value_now(1), holds(value_now(2))).limit(1);
                EXPECT_EQ(won.index(), 0u);
            }},
        {"a loser that was stopped", 0ms,
            []() -> muster::task<> {
                auto won = co_await muster::race(holds(value_now(2)), value_now(1));
                EXPECT_EQ(won.index(), 1u);
            }},
        {"a task that failed", 1ms, [] { return look_at(fails_holding(value_now(1))); }},
        {"a child that failed, and its sibling that is stopped", 1ms,
            []() -> muster::task<> {
                co_await look_at(only_await(muster::gather(fails_holding(value_now(1)), holds(value_now(2)))));
            }},
        {"a task that was cancelled before it began", 0ms,
            []() -> muster::task<> {
                auto h = muster::create_task(holds(value_now(1)));
                h.cancel();
                auto ended = co_await ending(std::move(h));
                EXPECT_TRUE(ended.was_cancelled());
            }},
        {"a child of a map that was not begun", 1ms,
            []() -> muster::task<> {
                const std::vector<int> in{1, 2, 3};
                auto make = [](int i) { return holds(value_now(i)); };
                auto all = co_await muster::map(in, make).limit(1).within(1ms).settle();
                EXPECT_EQ(all.cancelled() + all.not_started(), 3u);
            }},
        {"a task of a group that failed", 0ms,
            []() -> muster::task<> {
                auto body = [](muster::task_group& group) -> muster::task<> {
                    group.create_task(holds(value_now(1)));
                    throw http_error(1);
                    co_return;
                };
                co_await look_at(muster::with_task_group(body));
            }},
    };
    for (const auto& b : bodies) {
        SCOPED_TRACE(b.name);
        expect_run(b.run, b.elapsed);
    }
}

TEST(task, a_gather_that_is_never_awaited_is_reported_and_not_its_children_again) {
    expect_run(
        []() -> muster::task<> {
            auto inner = muster::race(value_now(1), value_now(2));
            auto dropped = muster::gather(std::move(inner), holds(value_now(3)));
            static_cast<void>(dropped);
            co_return;
        },
        0ms, {"never awaited: gather"});
}
