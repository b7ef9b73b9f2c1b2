// SPDX-License-Identifier: MIT
#include "support/virtual_run.hpp"

#include <muster/future.hpp>
#include <muster/gather.hpp>

#include <gtest/gtest.h>

#include <functional>
#include <source_location>
#include <tuple>
#include <variant>

using namespace play;

TEST(gather, gives_the_values_in_argument_order_after_the_longest) {
    expect_run(
        []() -> muster::task<> {
            auto [a, b, c] = co_await muster::gather(value_after(30ms, 1), value_after(10ms, 2), value_now(3));
            EXPECT_EQ(a, 1);
            EXPECT_EQ(b, 2);
            EXPECT_EQ(c, 3);
        },
        30ms);
}

TEST(gather, gives_nothing_for_void_and_references_and_what_can_only_be_moved_as_they_are) {
    expect_run(
        []() -> muster::task<> {
            int x = 7;
            auto got = co_await muster::gather(nothing_after(5ms), reference_after(1ms, x), pointer_after(2ms, 9));
            static_assert(std::same_as<decltype(got), std::tuple<muster::nothing, int&, std::unique_ptr<int>>>);
            EXPECT_EQ(&std::get<1>(got), &x);
            EXPECT_EQ(*std::get<2>(got), 9);
        },
        5ms);
}

TEST(gather, of_nothing_is_an_empty_tuple_at_once) {
    expect_run(
        []() -> muster::task<> {
            auto got = co_await muster::gather();
            static_assert(std::same_as<decltype(got), std::tuple<>>);
        },
        0ms);
}

TEST(gather, takes_tasks_handles_futures_and_other_awaitables_mixed) {
    expect_run(
        []() -> muster::task<> {
            auto h = muster::create_task(value_after(10ms, 1));
            auto f = muster::make_future<int>();
            auto setter = [](muster::future<int> to) -> muster::task<> {
                co_await muster::sleep_for(20ms);
                to.set_value(2);
            };
            auto running = setter(f);
            auto [a, b, c, d, e] =
                co_await muster::gather(h, f, value_after(1ms, 3), muster::sleep_for(4ms), std::move(running));
            EXPECT_EQ(a, 1);
            EXPECT_EQ(b, 2);
            EXPECT_EQ(c, 3);
            EXPECT_EQ(h.result(), 1);
            static_cast<void>(d);
            static_cast<void>(e);
        },
        20ms);
}

TEST(gather, cancels_the_siblings_of_the_first_failure_waits_for_them_and_throws_it_as_itself) {
    expect_run(
        []() -> muster::task<> {
            lines log;
            auto ended =
                co_await ending(muster::gather(logged(log, "a", 50ms), status_after(10ms, 503), tidy_up(50ms, 5ms)));
            EXPECT_EQ(text_of<http_error>(ended), "status 503");
            EXPECT_EQ(log, (lines{"a begins", "a cancelled (sibling failed)"}));
        },
        15ms);
}

TEST(gather, reports_the_second_failure_with_index_name_and_site) {
    std::vector<muster::report> reports;
    muster::testing::manual_loop loop;
    std::uint_least32_t line = 0;
    auto body = [&line]() -> muster::task<> {
        line = std::source_location::current().line() + 2;
        auto ended = co_await ending(
            muster::gather(fail_after(5ms, "one"), value_after(9ms, 1), fail_after(5ms, "two")).named("pages"));
        EXPECT_EQ(text_of<std::runtime_error>(ended), "one");
    };
    loop.run(body(), muster::run_options().on_report([&](const muster::report& r) { reports.push_back(r); }));
    ASSERT_EQ(reports.size(), 1u);
    EXPECT_EQ(reports[0].kind, muster::report_kind::suppressed);
    EXPECT_EQ(reports[0].name, "pages");
    EXPECT_EQ(reports[0].index, 2u);
    EXPECT_EQ(reports[0].site.line(), line);
    EXPECT_EQ(muster::describe(reports[0].error), "std::runtime_error: two");
}

TEST(gather, reports_a_failure_during_the_clean_up_of_a_cancelled_child) {
    expect_run(
        []() -> muster::task<> {
            auto ended = co_await ending(muster::gather(fail_cleaning_up(50ms, 5ms), status_after(10ms, 500)));
            EXPECT_EQ(text_of<http_error>(ended), "status 500");
        },
        15ms, {"suppressed: gather[0]: std::runtime_error: clean-up"});
}

TEST(gather, waits_for_a_child_that_ignores_cancellation) {
    expect_run(
        []() -> muster::task<> {
            auto ended = co_await ending(muster::gather(stubborn_for(40ms, 1), fail_after(10ms)));
            EXPECT_EQ(text_of<std::runtime_error>(ended), "bad");
        },
        40ms);
}

TEST(gather, cancelled_before_its_children_start_runs_none_of_them) {
    expect_run(
        []() -> muster::task<> {
            lines log;
            auto body = [](lines& l) -> muster::task<> {
                muster::this_task::cancel("stop");
                co_await muster::gather(logged(l, "a", 5ms), logged(l, "b", 5ms));
            };
            auto h = muster::create_task(body(log));
            auto ended = co_await ending(h);
            EXPECT_TRUE(ended.was_cancelled());
            EXPECT_EQ(ended.message(), "stop");
            EXPECT_EQ(log, lines{});
        },
        0ms);
}

TEST(gather, cancelled_while_waiting_cancels_every_child_and_waits_for_them) {
    expect_run(
        []() -> muster::task<> {
            lines log;
            auto body = [](lines& l) -> muster::task<> {
                co_await muster::gather(logged(l, "a", 50ms), tidy_up(50ms, 7ms), logged(l, "b", 3ms));
            };
            auto h = muster::create_task(body(log));
            co_await muster::sleep_for(5ms);
            h.cancel("enough");
            auto ended = co_await ending(h);
            EXPECT_TRUE(ended.was_cancelled());
            EXPECT_EQ(ended.reason(), muster::cancel_reason::requested);
            EXPECT_EQ(ended.message(), "enough");
            EXPECT_EQ(log, (lines{"a begins", "b begins", "b ends", "a enough"}));
        },
        12ms);
}

TEST(gather, cancelled_by_its_own_child_in_its_first_step_runs_no_later_child_to_its_end) {
    expect_run(
        []() -> muster::task<> {
            lines log;
            muster::any_handle self;
            auto culprit = [](muster::any_handle& h) -> muster::task<int> {
                h.cancel("from inside");
                co_return 1;
            };
            auto body = [culprit](lines& l, muster::any_handle& h) -> muster::task<> {
                co_await muster::gather(culprit(h), logged(l, "b", 50ms), logged(l, "c", 50ms));
            };
            auto h = muster::create_task(body(log, self));
            self = h;
            auto ended = co_await ending(h);
            EXPECT_TRUE(ended.was_cancelled());
            EXPECT_EQ(log.size() % 2, 0u) << "who has begun has been told";
        },
        0ms);
}

TEST(gather, whose_caller_is_cancelled_while_it_winds_down_throws_the_failure_now_and_the_cancellation_next) {
    expect_run(
        []() -> muster::task<> {
            bool failed = false;
            int count = 0;
            auto body = [](bool& f, int& n) -> muster::task<> {
                auto ended = co_await ending(muster::gather(fail_after(10ms), tidy_up(50ms, 20ms)));
                f = ended.failed();
                n = muster::this_task::cancelling();
                co_await muster::sleep_for(1h);
            };
            auto h = muster::create_task(body(failed, count));
            co_await muster::sleep_for(15ms);
            h.cancel("later");
            auto ended = co_await ending(h);
            EXPECT_TRUE(failed);
            EXPECT_EQ(count, 1);
            EXPECT_TRUE(ended.was_cancelled());
            EXPECT_EQ(ended.message(), "later");
        },
        15ms);
}

TEST(gather, throws_the_failure_of_a_child_that_fails_while_its_callers_cancellation_is_carried_out) {
    expect_run(
        []() -> muster::task<> {
            auto body = []() -> muster::task<std::string> {
                auto ended = co_await ending(muster::gather(fail_cleaning_up(50ms, 5ms), value_after(50ms, 1)));
                EXPECT_EQ(muster::this_task::cancelling(), 1);
                auto after = co_await ending(muster::sleep_for(1h));
                EXPECT_TRUE(after.was_cancelled());
                co_return muster::to_string(ended);
            };
            auto h = muster::create_task(body());
            co_await muster::sleep_for(10ms);
            h.cancel();
            auto text = co_await h;
            EXPECT_EQ(text, "std::runtime_error: clean-up");
        },
        15ms);
}

TEST(gather, ends_with_cancelled_error_when_a_child_cancels_itself) {
    expect_run(
        []() -> muster::task<> {
            lines log;
            auto ended = co_await ending(muster::gather(cancels_itself_after(5ms), logged(log, "b", 50ms)));
            EXPECT_TRUE(ended.was_cancelled());
            EXPECT_EQ(ended.reason(), muster::cancel_reason::raised);
            EXPECT_EQ(ended.message(), "of its own accord");
            EXPECT_EQ(log.size(), 2u);
        },
        5ms);
}

TEST(gather, counts_a_handle_as_a_sibling_and_cancels_it) {
    expect_run(
        []() -> muster::task<> {
            auto h = muster::create_task(value_after(50ms, 1), "mine");
            auto ended = co_await ending(muster::gather(h, fail_after(5ms)));
            EXPECT_EQ(text_of<std::runtime_error>(ended), "bad");
            EXPECT_TRUE(h.cancelled());
            EXPECT_EQ(h.ended_as().reason(), muster::cancel_reason::sibling_failed);
        },
        5ms);
}

TEST(gather, given_the_same_handle_twice_gives_its_value_twice) {
    expect_run(
        []() -> muster::task<> {
            auto h = muster::create_task(value_after(5ms, 4));
            auto [a, b] = co_await muster::gather(h, h);
            EXPECT_EQ(a, 4);
            EXPECT_EQ(b, 4);
        },
        5ms);
}

TEST(gather, cancels_a_future_among_its_siblings) {
    expect_run(
        []() -> muster::task<> {
            auto f = muster::make_future<int>("reply");
            auto ended = co_await ending(muster::gather(f, fail_after(5ms)));
            EXPECT_TRUE(ended.failed());
            EXPECT_TRUE(f.cancelled());
        },
        5ms);
}

TEST(gather, within_cancels_what_has_not_ended_and_throws_timeout_error) {
    expect_run(
        []() -> muster::task<> {
            lines log;
            auto ended = co_await ending(muster::gather(value_after(5ms, 1), logged(log, "b", 50ms)).within(20ms));
            EXPECT_TRUE(ended.failed_with<muster::timeout_error>());
            EXPECT_EQ(log, (lines{"b begins", "b cancelled (deadline)"}));
        },
        20ms);
}

TEST(gather, each_within_makes_a_childs_expiry_that_childs_error) {
    expect_run(
        []() -> muster::task<> {
            auto ended = co_await ending(muster::gather(value_after(5ms, 1), value_after(50ms, 2)).each_within(20ms));
            EXPECT_TRUE(ended.failed_with<muster::timeout_error>());
        },
        20ms);
}

TEST(gather, never_awaited_is_reported_once_and_its_tasks_are_not) {
    expect_run(
        []() -> muster::task<> {
            {
                auto never = muster::gather(value_now(1), value_now(2));
                static_cast<void>(never);
            }
            {
                auto never = muster::gather(value_now(1)).settle();
                static_cast<void>(never);
            }
            {
                auto never = muster::settle(value_now(1));
                static_cast<void>(never);
            }
            co_return;
        },
        0ms, {"never awaited: gather", "never awaited: gather", "never awaited: settle"});
}

TEST(gather, never_awaited_is_not_reported_while_an_exception_unwinds) {
    expect_run(
        []() -> muster::task<> {
            try {
                auto never = muster::gather(value_now(1));
                static_cast<void>(never);
                throw std::runtime_error("unwinding");
            } catch (const std::runtime_error&) {}
            co_return;
        },
        0ms);
}

TEST(gather, of_a_task_that_was_awaited_before_fails_with_invalid_state) {
    expect_run(
        []() -> muster::task<> {
            auto t = value_now(1);
            auto first = co_await std::move(t);
            EXPECT_EQ(first, 1);
            auto ended = co_await ending(muster::gather(std::move(t), value_now(2)));
            EXPECT_TRUE(ended.failed_with<muster::invalid_state_error>());
        },
        0ms);
}

TEST(gather, limit_bounds_how_many_run_at_once) {
    expect_run(
        []() -> muster::task<> {
            auto got = co_await muster::gather(nothing_after(10ms), nothing_after(10ms), nothing_after(10ms)).limit(2);
            static_cast<void>(got);
        },
        20ms);
}

TEST(gather, of_a_handle_that_refers_to_nothing_is_refused) {
    expect_run(
        []() -> muster::task<> {
            bool refused = false;
            try {
                muster::task_handle<int> none;
                auto got = co_await muster::gather(none, value_now(1));
                static_cast<void>(got);
            } catch (const muster::invalid_state_error&) {
                refused = true;
            }
            EXPECT_TRUE(refused);
        },
        0ms);
}

TEST(gather, that_leaves_siblings_fails_with_timeout_error_within_its_time) {
    expect_run(
        []() -> muster::task<> {
            auto a = muster::create_task(value_after(50ms, 1));
            auto b = muster::create_task(tidy_up(50ms, 2ms));
            auto ended = co_await ending(muster::gather(a, b).leave_siblings().within(5ms));
            EXPECT_TRUE(ended.failed_with<muster::timeout_error>());
            EXPECT_TRUE(a.cancelled());
            EXPECT_TRUE(b.cancelled());
        },
        7ms);
}

TEST(gather, that_leaves_siblings_ends_with_the_first_text_if_it_is_cancelled_twice) {
    expect_run(
        []() -> muster::task<> {
            auto a = muster::create_task(value_after(50ms, 1));
            auto waiter = [](muster::task_handle<int> on) -> muster::task<> {
                co_await muster::gather(on).leave_siblings();
            };
            auto w = muster::create_task(waiter(a));
            co_await muster::sleep_for(1ms);
            w.cancel("first");
            w.cancel("second");
            auto ended = co_await ending(w);
            EXPECT_EQ(ended.message(), "first");
        },
        1ms);
}

TEST(gather, of_handles_that_have_ended_goes_on_without_a_wait) {
    expect_run(
        []() -> muster::task<> {
            auto a = muster::create_task(value_now(1));
            auto b = muster::create_task(fail_now());
            co_await muster::yield();
            auto other = muster::create_task(value_now(2));
            muster::this_task::cancel("at the next wait");
            auto [one, again] = co_await muster::gather(a, a);
            EXPECT_EQ(one + again, 2);
            auto outcomes = co_await muster::settle(a, b);
            EXPECT_TRUE(outcomes.get<1>().failed());
            auto left = co_await ending(muster::gather(b, other).leave_siblings());
            EXPECT_TRUE(left.failed_with<std::runtime_error>());
            EXPECT_FALSE(other.done());
            auto waits = co_await ending(muster::gather(other));
            EXPECT_EQ(waits.message(), "at the next wait");
        },
        0ms);
}
