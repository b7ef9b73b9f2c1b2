// SPDX-License-Identifier: MIT
#include "support/virtual_run.hpp"

#include <muster/gather.hpp>
#include <muster/outcomes.hpp>

#include <gtest/gtest.h>

#include <source_location>

using namespace play;

namespace {
muster::task<std::runtime_error> returns_an_exception() { co_return std::runtime_error("only a value"); }
muster::task<int> throws_an_int() {
    throw 42;
    co_return 0;
}
} // namespace

TEST(outcomes, are_in_input_order_with_the_four_counts) {
    expect_run(
        []() -> muster::task<> {
            std::vector<muster::task<int>> tasks;
            tasks.push_back(value_after(9ms, 1));
            tasks.push_back(fail_after(5ms));
            tasks.push_back(cancels_itself_after(2ms));
            auto all = co_await muster::settle(std::move(tasks));
            expect_adds_up(all, 3, 1, 1, 1, 0);
            EXPECT_EQ(*all[0], 1);
            EXPECT_TRUE(all[1].failed());
            EXPECT_EQ(all[2].reason(), muster::cancel_reason::raised);
            EXPECT_EQ(all[2].message(), "of its own accord");
        },
        9ms);
}

TEST(outcomes, of_void_references_what_can_only_be_moved_and_an_exception_type) {
    expect_run(
        []() -> muster::task<> {
            int x = 3;
            auto [a, b, c, d] = co_await muster::settle(
                nothing_after(1ms), reference_after(1ms, x), pointer_after(1ms, 4), returns_an_exception());
            EXPECT_TRUE(a.succeeded());
            EXPECT_EQ(&b.value(), &x);
            EXPECT_EQ(**c, 4);
            EXPECT_TRUE(d.succeeded()) << "an exception object that was returned is a success";
            EXPECT_STREQ(d->what(), "only a value");
        },
        1ms);
}

TEST(outcomes, std_get_gives_the_outcome_and_counts_as_looking_at_it) {
    expect_run(
        []() -> muster::task<> {
            auto all = co_await muster::settle(value_after(1ms, 1), fail_void_after(1ms));
            EXPECT_EQ(*std::get<0>(all), 1);
            EXPECT_TRUE(std::get<1>(std::as_const(all)).failed()); // or it would be reported as never retrieved
            auto failed = std::get<1>(co_await muster::settle(value_after(1ms, 1), fail_void_after(1ms)));
            EXPECT_TRUE(failed.failed());
        },
        2ms);
}

TEST(outcomes, any_type_that_is_thrown_is_an_error_int_included) {
    expect_run(
        []() -> muster::task<> {
            auto all = co_await muster::settle(throws_an_int(), value_now(1));
            expect_adds_up(all, 2, 1, 1, 0, 0);
            EXPECT_TRUE(all.any_failed<int>());
            EXPECT_EQ(*all.get<0>().error_as<int>(), 42);
        },
        0ms);
}

TEST(outcomes, failures_know_index_name_site_error_and_duration) {
    expect_run(
        []() -> muster::task<> {
            std::vector<muster::task<int>> tasks;
            tasks.push_back(value_after(1ms, 1));
            tasks.push_back(status_after(7ms, 502));
            const auto line = std::source_location::current().line() + 1;
            auto all = co_await muster::gather(std::move(tasks)).named("pages").settle();
            const auto failures = all.failures();
            EXPECT_EQ(failures.size(), 1u);
            EXPECT_EQ(failures.at(0).index(), 1u);
            EXPECT_EQ(failures.at(0).name(), "pages[1]");
            EXPECT_EQ(failures.at(0).site().line(), line);
            EXPECT_EQ(failures.at(0).duration(), 7ms);
            EXPECT_EQ(failures.at(0).what(), "play::http_error: status 502");
            EXPECT_EQ(all.failures_of<http_error>().at(0)->status, 502);
        },
        7ms);
}

TEST(outcomes, see_through_base_classes_without_throwing) {
    expect_run(
        []() -> muster::task<> {
            std::vector<muster::task<int>> tasks;
            tasks.push_back(status_after(1ms, 502));
            tasks.push_back(fail_after(1ms));
            auto all = co_await muster::settle(std::move(tasks));
            EXPECT_EQ(all.failures_of<std::runtime_error>().size(), 2u);
            EXPECT_EQ(all.failures_of<std::exception>().size(), 2u);
            EXPECT_EQ(all.failures_of<http_error>().size(), 1u);
            EXPECT_FALSE(all.any_failed<std::logic_error>());
            EXPECT_EQ(all.error_types(), (lines{"play::http_error", "std::runtime_error"}));
        },
        1ms);
}

TEST(outcomes, successes_come_with_their_index) {
    expect_run(
        []() -> muster::task<> {
            std::vector<muster::task<int>> tasks;
            tasks.push_back(fail_after(1ms));
            tasks.push_back(value_after(1ms, 8));
            auto all = co_await muster::settle(std::move(tasks));
            const auto good = all.successes();
            EXPECT_EQ(good.size(), 1u);
            EXPECT_EQ(good.at(0).first, 1u);
            EXPECT_EQ(good.at(0).second.get(), 8);
            EXPECT_TRUE(all.any_failed<std::runtime_error>());
        },
        1ms);
}

TEST(outcomes, throw_if_any_failed_throws_one_group_of_everything) {
    expect_run(
        []() -> muster::task<> {
            std::vector<muster::task<int>> tasks;
            tasks.push_back(fail_after(1ms));
            tasks.push_back(status_after(1ms, 500));
            tasks.push_back(cancels_itself_after(1ms));
            auto all = co_await muster::settle(std::move(tasks));
            bool thrown = false;
            try {
                all.throw_if_any_failed();
            } catch (const muster::exception_group& group) {
                thrown = true;
                EXPECT_EQ(group.size(), 2u) << "a cancellation is no failure";
                EXPECT_EQ(group.message(), "2 of 3 failed in settle");
            }
            EXPECT_TRUE(thrown);
        },
        1ms);
}

TEST(outcomes, values_gives_them_all_or_throws) {
    expect_run(
        []() -> muster::task<> {
            std::vector<muster::task<std::unique_ptr<int>>> tasks;
            tasks.push_back(pointer_after(1ms, 1));
            auto all = co_await muster::settle(std::move(tasks));
            auto got = std::move(all).values();
            EXPECT_EQ(*got.at(0), 1);

            std::vector<muster::task<int>> cancelled;
            cancelled.push_back(cancels_itself_after(1ms));
            auto none = co_await muster::settle(std::move(cancelled));
            EXPECT_THROW(static_cast<void>(std::move(none).values()), muster::cancelled_error);

            std::vector<muster::task<int>> late;
            late.push_back(value_after(1h, 1));
            auto struck = co_await muster::settle(std::move(late)).within(1ms);
            EXPECT_THROW(static_cast<void>(std::move(struck).values()), muster::timeout_error);

            std::vector<muster::task<>> nothings;
            nothings.push_back(fail_void_after(1ms));
            auto bad = co_await muster::settle(std::move(nothings));
            EXPECT_THROW(std::move(bad).values(), muster::exception_group);
        },
        4ms);
}

TEST(outcomes, that_nobody_looked_at_are_reported_each_with_its_index) {
    expect_run(
        []() -> muster::task<> {
            std::vector<muster::task<int>> tasks;
            tasks.push_back(fail_after(1ms, "one"));
            tasks.push_back(value_after(1ms, 1));
            tasks.push_back(fail_after(1ms, "two"));
            tasks.push_back(fail_after(1ms, "three"));
            auto all = co_await muster::settle(std::move(tasks)).named("pages");
            EXPECT_EQ(all.failed(), 3u) << "counting is not looking";
            EXPECT_TRUE(all[2].failed());
        },
        1ms,
        {"unread outcome: pages[0]: std::runtime_error: one", "unread outcome: pages[3]: std::runtime_error: three"});
}

TEST(outcomes, moved_are_reported_once_by_whoever_has_them_last) {
    expect_run(
        []() -> muster::task<> {
            std::vector<muster::task<int>> tasks;
            tasks.push_back(fail_after(1ms, "one"));
            auto all = co_await muster::settle(std::move(tasks));
            {
                auto moved = std::move(all);
                EXPECT_EQ(moved.size(), 1u);
            }
            EXPECT_EQ(all.size(), 0u);
        },
        1ms, {"unread outcome: settle[0]: std::runtime_error: one"});
}

TEST(outcomes, of_a_tuple_that_nobody_looked_at_are_reported) {
    expect_run(
        []() -> muster::task<> {
            auto all = co_await muster::settle(fail_after(1ms, "one"), value_now(1));
            EXPECT_EQ(all.failed(), 1u);
        },
        1ms, {"unread outcome: settle[0]: std::runtime_error: one"});
}

TEST(outcomes, taken_apart_count_as_looked_at) {
    expect_run(
        []() -> muster::task<> {
            auto [a, b] = co_await muster::settle(fail_after(1ms, "one"), value_now(1));
            EXPECT_TRUE(a.failed());
            EXPECT_TRUE(b.succeeded());
        },
        1ms);
}

TEST(outcomes, of_handles_leave_the_handle_readable_and_report_what_nobody_read) {
    expect_run(
        []() -> muster::task<> {
            auto h = muster::create_task(fail_after(1ms, "one"), "h");
            {
                std::vector<muster::task_handle<int>> handles;
                handles.push_back(h);
                auto all = co_await muster::settle(handles);
                EXPECT_EQ(all.failed(), 1u);
            }
            EXPECT_TRUE(h.exception() != nullptr);
        },
        1ms, {"unread outcome: settle[0]: std::runtime_error: one"});
}

TEST(settle, never_throws_for_a_child_and_waits_for_all) {
    expect_run(
        []() -> muster::task<> {
            auto [a, b, c] = co_await muster::settle(fail_after(1ms), value_after(20ms, 1), fail_cleaning_up(3ms, 1ms));
            EXPECT_TRUE(a.failed());
            EXPECT_TRUE(b.succeeded());
            EXPECT_TRUE(c.succeeded());
        },
        20ms);
}

TEST(settle, records_a_handle_that_somebody_cancelled_with_who_asked) {
    expect_run(
        []() -> muster::task<> {
            auto h = muster::create_task(value_after(1h, 1));
            auto killer = [](muster::task_handle<int> victim) -> muster::task<> {
                co_await muster::sleep_for(5ms);
                victim.cancel("not needed");
            };
            auto k = muster::create_task(killer(h), "killer");
            auto [a, b] = co_await muster::settle(h, k);
            EXPECT_TRUE(a.was_cancelled());
            EXPECT_EQ(a.reason(), muster::cancel_reason::requested);
            EXPECT_EQ(a.message(), "not needed");
            EXPECT_EQ(a.requested_by(), "killer");
            EXPECT_TRUE(b.succeeded());
        },
        5ms);
}

TEST(settle, cancelled_before_it_starts_or_while_it_waits_throws_the_cancellation) {
    expect_run(
        []() -> muster::task<> {
            auto early = []() -> muster::task<> {
                muster::this_task::cancel("early");
                auto all = co_await muster::settle(value_now(1), value_now(2));
                EXPECT_EQ(all.size(), 99u) << "not reached";
            };
            auto ended = co_await ending(muster::create_task(early()));
            EXPECT_EQ(ended.message(), "early");
            auto late = []() -> muster::task<> {
                auto all = co_await muster::settle(fail_after(2ms, "lost"), value_after(50ms, 2));
                EXPECT_EQ(all.size(), 99u) << "not reached";
            };
            auto h = muster::create_task(late());
            co_await muster::sleep_for(5ms);
            h.cancel("late");
            auto later = co_await ending(h);
            EXPECT_EQ(later.message(), "late");
        },
        5ms, {"suppressed: settle[0]: std::runtime_error: lost"});
}

TEST(settle, says_of_a_child_that_was_cancelled_by_the_deadline_or_ignored_it_what_became_of_it) {
    expect_run(
        []() -> muster::task<> {
            auto all = co_await muster::settle(value_after(1h, 1), stubborn_for(30ms, 2), fail_cleaning_up(1h, 2ms))
                           .within(10ms);
            expect_adds_up(all, 3, 1, 1, 1, 0);
            EXPECT_TRUE(all.deadline_struck());
            EXPECT_EQ(all.get<0>().reason(), muster::cancel_reason::deadline);
            EXPECT_EQ(*all.get<1>(), 2);
            EXPECT_EQ(text_of<std::runtime_error>(all.get<2>()), "clean-up");
        },
        30ms);
}
