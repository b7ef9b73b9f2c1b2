// SPDX-License-Identifier: MIT
#include "support/virtual_run.hpp"

#include <muster/task_group.hpp>

#include <gtest/gtest.h>

#include <cstddef>
#include <memory>
#include <optional>
#include <vector>

using namespace play;

TEST(task_group, waits_for_its_tasks_and_gives_what_the_body_returns) {
    expect_run(
        []() -> muster::task<> {
            auto body = [](muster::task_group& group) -> muster::task<int> {
                auto h = group.create_task(value_after(20ms, 1), "one");
                group.create_task(nothing_after(30ms));
                auto value = co_await h;
                EXPECT_EQ(group.running(), 1u);
                co_return value + 1;
            };
            auto got = co_await muster::with_task_group(body);
            EXPECT_EQ(got, 2);
        },
        30ms);
}

TEST(task_group, body_may_return_nothing_a_reference_or_what_can_only_be_moved) {
    expect_run(
        []() -> muster::task<> {
            int x = 1;
            auto none = [](muster::task_group&) -> muster::task<> { co_return; };
            co_await muster::with_task_group(none);
            auto reference = [&x](muster::task_group&) -> muster::task<int&> { co_return x; };
            auto& got = co_await muster::with_task_group(reference);
            EXPECT_EQ(&got, &x);
            auto pointer = [](muster::task_group&) { return pointer_after(1ms, 4); };
            auto box = co_await muster::with_task_group(pointer);
            EXPECT_EQ(*box, 4);
        },
        1ms);
}

TEST(task_group, a_failure_cancels_the_siblings_and_the_body_and_is_thrown_in_a_group_even_alone) {
    expect_run(
        []() -> muster::task<> {
            lines log;
            auto body = [&log](muster::task_group& group) -> muster::task<> {
                group.create_task(fail_after(10ms));
                group.create_task(logged(log, "sibling", 50ms));
                auto mine = logged(log, "body", 50ms);
                co_await std::move(mine);
            };
            auto ended = co_await ending(muster::with_task_group(body));
            const auto* group = ended.error_as<muster::exception_group>();
            EXPECT_NE(group, nullptr);
            if (group != nullptr) {
                EXPECT_EQ(group->size(), 1u);
                EXPECT_EQ(group->message(), "unhandled errors in a task_group");
            }
            EXPECT_EQ(muster::this_task::cancelling(), 0);
            EXPECT_EQ(log, (lines{"body begins", "sibling begins", "sibling cancelled (sibling failed)",
                               "body cancelled (sibling failed)"}));
        },
        10ms);
}

TEST(task_group, holds_two_failures_and_that_of_the_body_in_one_group) {
    expect_run(
        []() -> muster::task<> {
            auto body = [](muster::task_group& group) -> muster::task<> {
                group.create_task(fail_after(5ms, "one"));
                group.create_task(fail_cleaning_up(50ms, 5ms, "two"));
                auto mine = fail_cleaning_up(50ms, 1ms, "body");
                auto value = co_await std::move(mine);
                static_cast<void>(value);
            };
            auto ended = co_await ending(muster::with_task_group(body));
            const auto* group = ended.error_as<muster::exception_group>();
            EXPECT_NE(group, nullptr);
            if (group != nullptr) {
                EXPECT_EQ(group->size(), 3u);
            }
        },
        10ms);
}

TEST(task_group, a_body_that_fails_cancels_its_tasks_and_is_wrapped) {
    expect_run(
        []() -> muster::task<> {
            muster::task_handle<int> h;
            auto body = [&h](muster::task_group& group) -> muster::task<> {
                h = group.create_task(tidy_up(50ms, 5ms));
                co_await muster::sleep_for(1ms);
                throw http_error(500);
            };
            auto ended = co_await ending(muster::with_task_group(body));
            const auto* group = ended.error_as<muster::exception_group>();
            EXPECT_NE(group, nullptr);
            if (group != nullptr) {
                EXPECT_TRUE(group->contains<http_error>());
            }
            EXPECT_TRUE(h.cancelled());
            EXPECT_EQ(h.ended_as().reason(), muster::cancel_reason::sibling_failed);
        },
        6ms);
}

TEST(task_group, waits_for_a_task_that_ignores_cancellation) {
    expect_run(
        []() -> muster::task<> {
            auto body = [](muster::task_group& group) -> muster::task<> {
                group.create_task(stubborn_for(40ms, 1));
                group.create_task(fail_after(5ms));
                co_return;
            };
            auto ended = co_await ending(muster::with_task_group(body));
            EXPECT_TRUE(ended.failed_with<muster::exception_group>());
        },
        40ms);
}

TEST(task_group, a_task_that_was_cancelled_by_somebody_is_no_failure) {
    expect_run(
        []() -> muster::task<> {
            auto body = [](muster::task_group& group) -> muster::task<> {
                auto h = group.create_task(value_after(50ms, 1));
                group.create_task(nothing_after(10ms));
                co_await muster::sleep_for(5ms);
                h.cancel();
            };
            co_await muster::with_task_group(body);
        },
        10ms);
}

TEST(task_group, cancelled_before_it_starts_cancels_its_tasks_once_it_waits) {
    expect_run(
        []() -> muster::task<> {
            lines log;
            auto caller = [](lines& l) -> muster::task<> {
                auto body = [&l](muster::task_group& group) -> muster::task<> {
                    group.create_task(logged(l, "a", 5ms));
                    co_return;
                };
                muster::this_task::cancel("early");
                co_await muster::with_task_group(body);
            };
            auto ended = co_await ending(muster::create_task(caller(log)));
            EXPECT_TRUE(ended.was_cancelled());
            EXPECT_EQ(ended.message(), "early");
            // As in asyncio: the cancellation comes when the group waits, and the task's step was queued before.
            EXPECT_EQ(log, (lines{"a begins", "a cancelled (parent cancelled)"}));
        },
        0ms);
}

TEST(task_group, cancelled_while_waiting_cancels_its_tasks_waits_and_throws_the_cancellation) {
    expect_run(
        []() -> muster::task<> {
            auto caller = []() -> muster::task<> {
                auto body = [](muster::task_group& group) -> muster::task<> {
                    group.create_task(tidy_up(50ms, 5ms));
                    co_return;
                };
                co_await muster::with_task_group(body);
            };
            auto h = muster::create_task(caller());
            co_await muster::sleep_for(10ms);
            h.cancel("stop");
            auto ended = co_await ending(h);
            EXPECT_TRUE(ended.was_cancelled());
            EXPECT_EQ(ended.message(), "stop");
        },
        15ms);
}

TEST(task_group, whose_caller_is_cancelled_while_it_winds_down_throws_the_failures_and_keeps_the_cancellation) {
    expect_run(
        []() -> muster::task<> {
            auto caller = []() -> muster::task<bool> {
                auto body = [](muster::task_group& group) -> muster::task<> {
                    group.create_task(fail_after(5ms));
                    group.create_task(tidy_up(50ms, 10ms));
                    co_return;
                };
                auto ended = co_await ending(muster::with_task_group(body));
                const int count = muster::this_task::cancelling();
                auto next = co_await ending(muster::sleep_for(1h));
                co_return ended.failed_with<muster::exception_group>() && count == 1 && next.was_cancelled();
            };
            auto h = muster::create_task(caller());
            co_await muster::sleep_for(10ms);
            h.cancel("stop");
            auto all = co_await h;
            EXPECT_TRUE(all);
        },
        15ms);
}

TEST(task_group, nested_groups_keep_their_shape) {
    expect_run(
        []() -> muster::task<> {
            auto inner = [](muster::task_group& group) -> muster::task<> {
                group.create_task(status_after(5ms, 1));
                co_return;
            };
            auto outer = [&inner](muster::task_group& group) -> muster::task<> {
                group.create_task(muster::with_task_group(inner));
                co_return;
            };
            auto ended = co_await ending(muster::with_task_group(outer));
            const auto* group = ended.error_as<muster::exception_group>();
            EXPECT_NE(group, nullptr);
            if (group != nullptr) {
                EXPECT_NE(muster::as_group(group->exceptions().at(0)), nullptr);
                EXPECT_TRUE(group->contains<http_error>());
            }
        },
        5ms);
}

TEST(task_group, refuses_a_task_before_its_body_runs_after_its_end_and_while_it_shuts_down) {
    expect_run(
        []() -> muster::task<> {
            muster::task_group group;
            EXPECT_THROW(group.create_task(value_now(1)), muster::invalid_state_error);
            auto body = [](muster::task_group& g) -> muster::task<> {
                g.create_task(fail_now());
                try {
                    co_await muster::sleep_for(1h);
                } catch (const muster::cancelled_error&) {
                    EXPECT_THROW(g.create_task(value_now(1)), muster::invalid_state_error);
                    throw;
                }
            };
            auto ended = co_await ending(group.run(body));
            EXPECT_TRUE(ended.failed());
            EXPECT_THROW(group.create_task(value_now(1)), muster::invalid_state_error);
            auto again = co_await ending(group.run(body));
            EXPECT_TRUE(again.failed_with<muster::invalid_state_error>());
        },
        0ms);
}

TEST(task_group, takes_tasks_from_its_tasks_after_the_body_has_ended) {
    expect_run(
        []() -> muster::task<> {
            int ran = 0;
            auto body = [&ran](muster::task_group& group) -> muster::task<> {
                auto second = [](int& n) -> muster::task<> {
                    ++n;
                    co_return;
                };
                auto first = [second](muster::task_group& g, int& n) -> muster::task<> {
                    co_await muster::sleep_for(5ms);
                    g.create_task(second(n));
                };
                // The closures are named, and outlive what they made.
                group.create_task(first(group, ran));
                co_await muster::sleep_for(6ms);
            };
            co_await muster::with_task_group(body);
            EXPECT_EQ(ran, 1);
        },
        6ms);
}

TEST(task_group, cancel_ends_its_tasks_and_is_no_failure) {
    expect_run(
        []() -> muster::task<> {
            muster::task_handle<int> h;
            auto body = [&h](muster::task_group& group) -> muster::task<> {
                h = group.create_task(value_after(1h, 1));
                co_await muster::sleep_for(5ms);
                group.cancel("enough");
                EXPECT_THROW(group.create_task(value_now(1)), muster::invalid_state_error);
            };
            co_await muster::with_task_group(body);
            EXPECT_TRUE(h.cancelled());
            EXPECT_EQ(h.ended_as().message(), "enough");
        },
        5ms);
}

TEST(task_group, a_callable_that_throws_before_there_is_a_coroutine_is_a_failed_body) {
    expect_run(
        []() -> muster::task<> {
            auto body = [](muster::task_group&) -> muster::task<> { throw http_error(1); };
            auto ended = co_await ending(muster::with_task_group(body));
            EXPECT_TRUE(ended.failed_with<muster::exception_group>());
        },
        0ms);
}

TEST(task_group, is_told_of_an_end_in_the_order_of_the_ready_queue_also_of_ends_that_come_one_after_the_other) {
    expect_run(
        []() -> muster::task<> {
            std::vector<std::size_t> seen;
            auto looks = [&seen](muster::task_group& group) -> muster::task<int> {
                co_await muster::yield();
                seen.push_back(group.running());
                co_return 0;
            };
            auto body = [&looks](muster::task_group& group) -> muster::task<> {
                group.create_task(value_now(1));
                group.create_task(value_now(2));
                group.create_task(looks(group));
                group.create_task(value_now(3));
                group.create_task(looks(group));
                co_return;
            };
            co_await muster::with_task_group(body);
            // The first two ends stand in front of the first look, and the third stands between the two looks.
            EXPECT_EQ(seen, (std::vector<std::size_t>{3, 2}));
        },
        0ms);
}

TEST(task_group, takes_a_task_until_it_was_told_of_the_last_end) {
    expect_run(
        []() -> muster::task<> {
            muster::task_group group;
            lines log;
            auto adds = [&]() -> muster::task<> {
                co_await muster::yield(); // the only task has ended, and the group is told after this one has run
                group.create_task(logged(log, "late", 1ms));
            };
            auto body = [&](muster::task_group& g) -> muster::task<> {
                static_cast<void>(muster::create_task(adds()));
                g.create_task(value_now(1));
                co_return;
            };
            co_await group.run(body);
            EXPECT_EQ(log, (lines{"late begins", "late ends"}));
        },
        1ms);
}

TEST(task_group, a_failure_between_two_that_succeed_is_the_only_one_thrown) {
    expect_run(
        []() -> muster::task<> {
            auto fails = []() -> muster::task<> {
                throw http_error(500);
                co_return;
            };
            auto body = [&](muster::task_group& group) -> muster::task<> {
                group.create_task(value_now(1));
                group.create_task(fails());
                group.create_task(value_now(2));
                group.create_task(nothing_after(1s));
                co_return;
            };
            auto ended = co_await ending(muster::with_task_group(body));
            const auto* group = ended.error_as<muster::exception_group>();
            EXPECT_NE(group, nullptr);
            if (group != nullptr) {
                EXPECT_EQ(group->size(), 1u);
            }
        },
        0ms);
}

TEST(task_group, lets_the_value_of_a_task_go_when_the_task_ends_and_not_with_the_group) {
    expect_run(
        []() -> muster::task<> {
            std::weak_ptr<int> value;
            auto makes = [&value]() -> muster::task<std::shared_ptr<int>> {
                auto made = std::make_shared<int>(1);
                value = made;
                co_return made;
            };
            auto looks = [&value]() -> muster::task<bool> { co_return value.expired(); };
            auto body = [&](muster::task_group& group) -> muster::task<bool> {
                group.create_task(makes());
                auto looked = group.create_task(looks());
                auto expired = co_await looked;
                co_return expired;
            };
            auto expired = co_await muster::with_task_group(body);
            EXPECT_TRUE(expired);
        },
        0ms);
}

TEST(task_group, may_be_destroyed_while_ends_are_queued_for_it) {
    expect_run(
        []() -> muster::task<> {
            std::optional<muster::task_group> group;
            group.emplace();
            auto destroys = [&group]() -> muster::task<> {
                EXPECT_EQ(group->running(), 2u); // both tasks have ended, and the group was not told
                group.reset();
                co_return;
            };
            auto body = [&destroys](muster::task_group& g) -> muster::task<> {
                g.create_task(value_now(1));
                g.create_task(value_now(2));
                static_cast<void>(muster::create_task(destroys()));
                co_return;
            };
            auto ended = co_await ending(group->run(body));
            EXPECT_NE(ended.error_as<muster::invalid_state_error>(), nullptr);
        },
        0ms);
}

TEST(task_group, never_awaited_is_reported) {
    std::vector<muster::report> seen;
    const auto before = muster::set_report_handler([&](const muster::report& r) { seen.push_back(r); });
    {
        auto body = [](muster::task_group&) -> muster::task<> { co_return; };
        auto never = muster::with_task_group(body);
        EXPECT_TRUE(never.valid());
    }
    muster::set_report_handler(before);
    ASSERT_EQ(seen.size(), 1u);
    EXPECT_EQ(seen[0].kind, muster::report_kind::never_awaited);
}
