// SPDX-License-Identifier: MIT
// In which order things run that were asked for with .depth_first(). CPython has nothing like it, so the orders that
// are recorded here are what is specified.
#include "support/virtual_run.hpp"

#include <muster/gather.hpp>
#include <muster/map.hpp>
#include <muster/race.hpp>
#include <muster/task_handle.hpp>
#include <muster/testing/faults.hpp>
#include <muster/thread_pool.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <ranges>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

using namespace play;
using muster::task;

namespace {

enum class order { in_turn, depth_first };

/// A leaf of a tree: it writes its name down and ends.
task<int> leaf(lines& log, std::string name) {
    log.push_back(std::move(name));
    co_return 1;
}
task<int> failing_leaf(lines& log, std::string name) {
    log.push_back(name);
    throw std::runtime_error(name);
    co_return 0;
}
task<int> yielding_leaf(lines& log, std::string name) {
    log.push_back(name + " begins");
    co_await muster::yield();
    log.push_back(name + " ends");
    co_return 1;
}

std::vector<task<int>> two(task<int> first, task<int> second) {
    std::vector<task<int>> both;
    both.push_back(std::move(first));
    both.push_back(std::move(second));
    return both;
}

/// An inner node: it gathers its children in the order that is asked for.
task<int> node(lines& log, std::string name, order how, std::vector<task<int>> children) {
    log.push_back(name + " begins");
    auto some = muster::gather(std::move(children));
    int sum = 0;
    try {
        if (how == order::depth_first) {
            auto values = co_await std::move(some).depth_first();
            sum = static_cast<int>(values.size());
        } else {
            auto values = co_await std::move(some);
            sum = static_cast<int>(values.size());
        }
    } catch (const muster::cancelled_error&) {
        log.push_back(name + " cancelled");
        throw;
    } catch (const std::exception& e) {
        log.push_back(name + " failed: " + e.what());
        throw;
    }
    log.push_back(name + " ends");
    co_return sum;
}
task<int> node(lines& log, const std::string& name, order how) {
    return node(log, name, how, two(leaf(log, name + "1"), leaf(log, name + "2")));
}

} // namespace

TEST(depth_first, children_begin_after_the_caller_has_suspended_and_before_anything_else_that_is_ready) {
    const auto traced = [](order how) {
        lines log;
        expect_run(
            [&log, how]() -> task<> {
                auto other = muster::create_task(leaf(log, "another task"));
                auto some = muster::gather(leaf(log, "a"), yielding_leaf(log, "b"));
                log.push_back("made");
                if (how == order::depth_first) {
                    auto both = co_await std::move(some).depth_first();
                    static_cast<void>(both);
                } else {
                    auto both = co_await std::move(some);
                    static_cast<void>(both);
                }
                log.push_back("after");
                co_await muster::yield();
            },
            0ms);
        return log;
    };
    EXPECT_EQ(traced(order::depth_first), (lines{"made", "a", "b begins", "another task", "b ends", "after"}));
    EXPECT_EQ(traced(order::in_turn), (lines{"made", "another task", "a", "b begins", "b ends", "after"}));
}

TEST(depth_first, the_caller_goes_on_before_anything_else_that_is_ready) {
    lines log;
    expect_run(
        [&log]() -> task<> {
            auto other = muster::create_task(leaf(log, "another task"));
            auto both = co_await muster::gather(leaf(log, "a"), leaf(log, "b")).depth_first();
            static_cast<void>(both);
            log.push_back("after");
            co_await std::move(other);
        },
        0ms);
    EXPECT_EQ(log, (lines{"a", "b", "after", "another task"}));
}

TEST(depth_first, a_tree_runs_as_nested_calls_do) {
    lines log;
    expect_run(
        [&log]() -> task<> {
            co_await node(log, "root", order::depth_first,
                two(node(log, "a", order::depth_first), node(log, "b", order::depth_first)));
        },
        0ms);
    EXPECT_EQ(
        log, (lines{"root begins", "a begins", "a1", "a2", "a ends", "b begins", "b1", "b2", "b ends", "root ends"}));
}

TEST(depth_first, a_tree_in_the_ordinary_order_runs_level_by_level) {
    lines log;
    expect_run(
        [&log]() -> task<> {
            co_await node(
                log, "root", order::in_turn, two(node(log, "a", order::in_turn), node(log, "b", order::in_turn)));
        },
        0ms);
    EXPECT_EQ(
        log, (lines{"root begins", "a begins", "b begins", "a1", "a2", "b1", "b2", "a ends", "b ends", "root ends"}));
}

TEST(depth_first, ordinary_gathers_within_one_wait_their_turn_and_let_their_siblings_begin) {
    lines log;
    expect_run(
        [&log]() -> task<> {
            co_await node(log, "root", order::depth_first,
                two(node(log, "a", order::in_turn), node(log, "b", order::depth_first)));
        },
        0ms);
    EXPECT_EQ(
        log, (lines{"root begins", "a begins", "b begins", "b1", "b2", "b ends", "a1", "a2", "a ends", "root ends"}));
}

TEST(depth_first, those_within_an_ordinary_gather_keep_the_order_of_their_callers) {
    lines log;
    expect_run(
        [&log]() -> task<> {
            auto other = muster::create_task(leaf(log, "another task"));
            co_await node(log, "root", order::in_turn,
                two(node(log, "a", order::depth_first), node(log, "b", order::depth_first)));
        },
        0ms);
    EXPECT_EQ(log, (lines{"root begins", "another task", "a begins", "b begins", "a1", "a2", "a ends", "b1", "b2",
                       "b ends", "root ends"}));
}

TEST(depth_first, a_child_that_waits_lets_the_next_begin) {
    lines log;
    expect_run(
        [&log]() -> task<> {
            co_await node(log, "root", order::depth_first,
                two(node(log, "a", order::depth_first, two(logged(log, "a1", 2ms), leaf(log, "a2"))),
                    node(log, "b", order::depth_first, two(yielding_leaf(log, "b1"), logged(log, "b2", 1ms)))));
        },
        2ms);
    EXPECT_EQ(log, (lines{"root begins", "a begins", "a1 begins", "a2", "b begins", "b1 begins", "b2 begins", "b1 ends",
                       "b2 ends", "b ends", "a1 ends", "a ends", "root ends"}));
}

TEST(depth_first, of_a_tree_one_branch_is_alive_at_a_time) {
    struct counted {
        std::int64_t before = muster::testing::live_frames();
        std::int64_t most = 0;
        std::size_t leaves = 0;
    };
    struct tree {
        static task<> leaf_of(counted& c) {
            c.most = std::max(c.most, muster::testing::live_frames() - c.before);
            ++c.leaves;
            co_return;
        }
        static task<> of_ten(counted& c, int levels) {
            std::vector<task<>> children;
            for (int i = 0; i != 10; ++i)
                children.push_back(levels == 1 ? leaf_of(c) : of_ten(c, levels - 1));
            co_await muster::gather(std::move(children)).depth_first();
        }
    };
    expect_run(
        []() -> task<> {
            counted c;
            co_await tree::of_ten(c, 4);
            EXPECT_EQ(c.leaves, 10'000u);
            EXPECT_EQ(c.most, 1 + 4 * 10); // the root, and at each level the children of one node
        },
        0ms);
}

TEST(depth_first, a_chain_of_any_depth_needs_no_stack) {
    struct chain {
        static task<int> of(int depth) {
            if (depth == 0)
                co_return 0;
            std::vector<task<int>> one;
            one.push_back(of(depth - 1));
            auto below = co_await muster::gather(std::move(one)).depth_first();
            co_return below[0] + 1;
        }
    };
    expect_run(
        []() -> task<> {
            auto depth = co_await chain::of(20'000);
            EXPECT_EQ(depth, 20'000);
        },
        0ms);
}

// ---- failures ----

TEST(depth_first, a_failure_keeps_the_children_that_have_not_begun_from_beginning) {
    lines log;
    expect_run(
        [&log]() -> task<> {
            auto children =
                two(node(log, "a", order::depth_first, two(leaf(log, "a1"), failing_leaf(log, "a2"))), leaf(log, "b"));
            auto ended = co_await ending(node(log, "root", order::depth_first, std::move(children)));
            EXPECT_EQ(text_of<std::runtime_error>(ended), "a2");
        },
        0ms);
    EXPECT_EQ(log, (lines{"root begins", "a begins", "a1", "a2", "a failed: a2", "root failed: a2"}));
}

TEST(depth_first, also_in_its_first_step) {
    lines log;
    expect_run(
        [&log]() -> task<> {
            auto ended =
                co_await ending(node(log, "root", order::depth_first, two(failing_leaf(log, "a"), leaf(log, "b"))));
            EXPECT_EQ(text_of<std::runtime_error>(ended), "a");
        },
        0ms);
    EXPECT_EQ(log, (lines{"root begins", "a", "root failed: a"}));
}

TEST(depth_first, the_ledger_counts_those_that_were_kept_from_beginning_as_cancelled) {
    lines log;
    expect_run(
        [&log]() -> task<> {
            auto ended = co_await muster::gather(leaf(log, "a"), failing_leaf(log, "b"), leaf(log, "c"))
                             .stop_after_failures(1)
                             .depth_first()
                             .settle();
            expect_adds_up(ended, 3, 1, 1, 1, 0);
            EXPECT_EQ(ended.get<2>().reason(), muster::cancel_reason::stopped);
            ended.mark_all_looked_at();
        },
        0ms);
    EXPECT_EQ(log, (lines{"a", "b"}));
}

TEST(depth_first, a_failure_cancels_the_children_that_wait) {
    lines log;
    expect_run(
        [&log]() -> task<> {
            auto children = two(node(log, "a", order::depth_first, two(logged(log, "a1", 5ms), leaf(log, "a2"))),
                node(log, "b", order::depth_first, two(failing_leaf(log, "b1"), leaf(log, "b2"))));
            auto ended = co_await ending(node(log, "root", order::depth_first, std::move(children)));
            EXPECT_EQ(text_of<std::runtime_error>(ended), "b1");
        },
        0ms);
    EXPECT_EQ(log, (lines{"root begins", "a begins", "a1 begins", "a2", "b begins", "b1", "b failed: b1",
                       "a1 cancelled (parent cancelled)", "a cancelled", "root failed: b1"}));
}

TEST(depth_first, settle_and_finish_siblings_run_all) {
    lines log;
    expect_run(
        [&log]() -> task<> {
            auto settled =
                co_await muster::settle(failing_leaf(log, "a"), node(log, "b", order::depth_first)).depth_first();
            expect_adds_up(settled, 2, 1, 1, 0, 0);
            settled.mark_all_looked_at();
            auto ended = co_await ending(
                muster::gather(failing_leaf(log, "c"), failing_leaf(log, "d")).depth_first().finish_siblings());
            EXPECT_TRUE(ended.failed_with<muster::exception_group>());
        },
        0ms);
    EXPECT_EQ(log, (lines{"a", "b begins", "b1", "b2", "b ends", "c", "d"}));
}

// ---- cancellation and time ----

TEST(depth_first, a_cancellation_in_the_middle_ends_what_runs_and_keeps_the_rest_from_beginning) {
    lines log;
    expect_run(
        [&log]() -> task<> {
            muster::task_handle<int> root;
            const auto asks = [](lines& l, muster::task_handle<int>& h) -> task<int> {
                l.push_back("a1 asks the root to stop");
                h.cancel();
                co_return 1;
            };
            root = muster::create_task(node(log, "root", order::depth_first,
                two(node(log, "a", order::depth_first, two(asks(log, root), leaf(log, "a2"))), leaf(log, "b"))));
            auto ended = co_await ending(root);
            EXPECT_TRUE(ended.was_cancelled());
        },
        0ms);
    EXPECT_EQ(log, (lines{"root begins", "a begins", "a1 asks the root to stop", "a cancelled", "root cancelled"}));
}

TEST(depth_first, a_cancellation_while_all_wait_reaches_each) {
    lines log;
    expect_run(
        [&log]() -> task<> {
            auto root = muster::create_task(node(log, "root", order::depth_first,
                two(node(log, "a", order::depth_first, two(logged(log, "a1", 5ms), logged(log, "a2", 5ms))),
                    logged(log, "b", 5ms))));
            co_await muster::sleep_for(1ms);
            root.cancel();
            auto ended = co_await ending(root);
            EXPECT_TRUE(ended.was_cancelled());
        },
        1ms);
    // A cancellation wakes all that wait, as always; the nodes then go on before what else is ready.
    EXPECT_EQ(log,
        (lines{"root begins", "a begins", "a1 begins", "a2 begins", "b begins", "b cancelled (parent cancelled)",
            "a1 cancelled (parent cancelled)", "a2 cancelled (parent cancelled)", "a cancelled", "root cancelled"}));
}

TEST(depth_first, time_limits_strike_as_always) {
    lines log;
    expect_run(
        [&log]() -> task<> {
            auto ended = co_await muster::gather(
                node(log, "a", order::depth_first, two(logged(log, "a1", 5ms), leaf(log, "a2"))), leaf(log, "b"))
                             .depth_first()
                             .within(3ms)
                             .settle();
            expect_adds_up(ended, 2, 1, 0, 1, 0);
            EXPECT_TRUE(ended.deadline_struck());
            auto each =
                co_await muster::gather(value_after(5ms, 1), value_now(2)).depth_first().each_within(2ms).settle();
            expect_adds_up(each, 2, 1, 1, 0, 0);
            each.mark_all_looked_at();
        },
        5ms);
    EXPECT_EQ(log, (lines{"a begins", "a1 begins", "a2", "b", "a1 cancelled (parent cancelled)", "a cancelled"}));
}

// ---- limits, races, maps ----

TEST(depth_first, a_limit_bounds_how_many_run_at_once_and_a_free_place_is_taken_before_anything_else) {
    lines log;
    expect_run(
        [&log]() -> task<> {
            std::vector<task<int>> children;
            children.push_back(yielding_leaf(log, "a"));
            children.push_back(node(log, "b", order::depth_first));
            children.push_back(leaf(log, "c"));
            children.push_back(yielding_leaf(log, "d"));
            children.push_back(leaf(log, "e"));
            auto other = muster::create_task(yielding_leaf(log, "another task"));
            auto values = co_await muster::gather(std::move(children)).limit(2).depth_first();
            EXPECT_EQ(values.size(), 5u);
            co_await std::move(other);
        },
        0ms);
    EXPECT_EQ(log, (lines{"a begins", "b begins", "b1", "b2", "b ends", "c", "d begins", "another task begins",
                       "a ends", "e", "d ends", "another task ends"}));
}

TEST(depth_first, a_race_is_decided_before_the_next_begins) {
    lines log;
    expect_run(
        [&log]() -> task<> {
            auto won = co_await muster::race(node(log, "a", order::depth_first), leaf(log, "b")).depth_first();
            EXPECT_EQ(won.index(), 0u);
            auto settled =
                co_await muster::race(yielding_leaf(log, "c"), leaf(log, "d"), leaf(log, "e")).depth_first().settle();
            expect_adds_up(settled, 3, 1, 0, 1, 1);
        },
        0ms);
    EXPECT_EQ(log, (lines{"a begins", "a1", "a2", "a ends", "c begins", "d"}));
}

TEST(depth_first, a_map_pulls_its_next_element_when_a_child_has_gone_as_far_as_it_can) {
    lines log;
    expect_run(
        [&log]() -> task<> {
            auto input = std::views::iota(0, 3) | std::views::transform([&log](int i) {
                log.push_back("pulled " + std::to_string(i));
                return i;
            });
            auto f = [&log](int i) { return node(log, std::to_string(i), order::depth_first); };
            auto values = co_await muster::map(input, muster::take(f)).depth_first();
            EXPECT_EQ(values.size(), 3u);
        },
        0ms);
    EXPECT_EQ(log, (lines{"pulled 0", "0 begins", "01", "02", "0 ends", "pulled 1", "1 begins", "11", "12", "1 ends",
                       "pulled 2", "2 begins", "21", "22", "2 ends"}));
}

TEST(depth_first, a_map_with_a_limit_lets_others_run_after_as_many_children) {
    lines log;
    expect_run(
        [&log]() -> task<> {
            auto other = muster::create_task(yielding_leaf(log, "another task"));
            auto f = [&log](int i) { return node(log, std::to_string(i), order::depth_first); };
            auto values = co_await muster::map(std::views::iota(0, 5), muster::take(f)).limit(2).depth_first();
            EXPECT_EQ(values.size(), 5u);
        },
        0ms);
    EXPECT_EQ(log, (lines{"0 begins", "01", "02", "0 ends", "1 begins", "11", "12", "1 ends", "another task begins",
                       "2 begins", "21", "22", "2 ends", "3 begins", "31", "32", "3 ends", "another task ends",
                       "4 begins", "41", "42", "4 ends"}));
}

TEST(depth_first, another_attempt_goes_before_a_child_that_has_not_begun) {
    lines log;
    expect_run(
        [&log]() -> task<> {
            int attempts = 0;
            auto f = [&](int i) -> task<int> {
                log.push_back(std::to_string(i));
                if (i == 0 && ++attempts == 1)
                    throw std::runtime_error("once");
                co_await muster::sleep_for(1ms);
                co_return i;
            };
            auto values = co_await muster::map(std::views::iota(0, 3), muster::take(f)).limit(1).retry(1).depth_first();
            EXPECT_EQ(values, (std::vector<int>{0, 1, 2}));
        },
        3ms);
    EXPECT_EQ(log, (lines{"0", "1", "0", "2"}));
}

// ---- where it means nothing ----

TEST(depth_first, is_refused_for_handles_which_run_already) {
    lines log;
    expect_run(
        [&log]() -> task<> {
            const std::string why =
                "limit, rate, each_within and depth_first are for tasks: a handle's task runs already";
            auto h = muster::create_task(leaf(log, "a"));
            auto ended = co_await ending(muster::gather(h, leaf(log, "b")).depth_first());
            EXPECT_EQ(text_of<std::invalid_argument>(ended), why);
            std::vector<muster::task_handle<int>> handles{h};
            ended = co_await ending(muster::gather(handles).depth_first());
            EXPECT_EQ(text_of<std::invalid_argument>(ended), why);
            EXPECT_THROW(
                static_cast<void>(muster::gather(leaf(log, "c")).depth_first().start()), std::invalid_argument);
            muster::thread_pool pool(muster::thread_pool_options().threads(1));
            EXPECT_THROW(
                static_cast<void>(muster::map(std::vector<int>{1}, [](int i) { return i; }).depth_first().on(pool)),
                std::invalid_argument);
            co_await std::move(h);
        },
        0ms);
}
