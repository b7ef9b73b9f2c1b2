// SPDX-License-Identifier: MIT
#include "support/virtual_run.hpp"

#include <muster/future.hpp>
#include <muster/shield.hpp>

#include <gtest/gtest.h>

#include <optional>

using namespace play;

TEST(shield_start, ends_as_what_it_shields) {
    expect_run(
        []() -> muster::task<> {
            auto value = muster::shield(value_after(2ms, 1)).start();
            auto one = co_await value;
            EXPECT_EQ(one, 1);
            auto nothing = muster::shield(nothing_after(1ms)).start();
            co_await nothing;
            int x = 1;
            auto reference = muster::shield(reference_after(1ms, x)).start();
            auto& same = co_await reference;
            EXPECT_EQ(&same, &x);
            auto pointer = muster::shield(pointer_after(1ms, 4)).start();
            auto box = co_await std::move(pointer);
            EXPECT_EQ(*box, 4);
            auto inner = muster::create_task(fail_after(1ms));
            auto failed = muster::shield(inner).start();
            auto ended = co_await ending(failed);
            EXPECT_EQ(text_of<std::runtime_error>(ended), "bad");
        },
        6ms);
}

TEST(shield_start, has_ended_before_callbacks_that_were_added_later) {
    expect_run(
        []() -> muster::task<> {
            auto inner = muster::make_future<int>();
            auto outer = muster::shield(inner).start();
            bool ended = false;
            inner.add_done_callback([&](const muster::any_handle&) { ended = outer.done(); });
            inner.set_value(1);
            EXPECT_FALSE(outer.done());
            co_await muster::yield();
            EXPECT_TRUE(ended);
            auto at_once = muster::shield(inner).start();
            EXPECT_EQ(at_once.result(), 1);
        },
        0ms);
}

TEST(shield_start, cancelling_it_ends_it_at_once_and_leaves_what_it_shields_alone) {
    expect_run(
        []() -> muster::task<> {
            auto inner = muster::create_task(value_after(9ms, 1));
            auto outer = muster::shield(inner).start();
            co_await muster::sleep_for(1ms);
            EXPECT_TRUE(outer.cancel("stop"));
            EXPECT_TRUE(outer.cancelled());
            EXPECT_FALSE(outer.cancel());
            auto one = co_await inner;
            EXPECT_EQ(one, 1);
        },
        9ms);
}

TEST(shield_start, is_cancelled_if_what_it_shields_is) {
    expect_run(
        []() -> muster::task<> {
            auto inner = muster::create_task(value_after(9ms, 1));
            auto outer = muster::shield(inner).start();
            co_await muster::sleep_for(1ms);
            inner.cancel("stop");
            auto ended = co_await ending(outer);
            EXPECT_TRUE(outer.cancelled());
            EXPECT_EQ(ended.message(), "stop");
        },
        1ms);
}

TEST(shield_start, never_loses_a_failure) {
    expect_run(
        []() -> muster::task<> {
            auto cancelled = muster::shield(fail_after(2ms, "after it was cancelled")).start();
            auto in_one_turn = muster::make_future<int>("inner");
            auto outer = muster::shield(in_one_turn).start();
            co_await muster::sleep_for(1ms);
            cancelled.cancel();
            in_one_turn.set_exception(std::runtime_error("in one turn"));
            outer.cancel();
            in_one_turn = {};
            static_cast<void>(muster::shield(fail_after(3ms, "nobody refers to it")).start());
            auto set = muster::shield(fail_after(3ms, "somebody has set it")).start();
            set.set_value(1);
            co_await muster::sleep_for(9ms);
        },
        10ms,
        {"never retrieved: inner: std::runtime_error: in one turn",
            "never retrieved: Task-2: std::runtime_error: after it was cancelled",
            "never retrieved: Future-7: std::runtime_error: nobody refers to it",
            "never retrieved: Task-8: std::runtime_error: somebody has set it"});
}

TEST(shield_start, may_be_pending_when_the_loop_ends) {
    std::optional<muster::future<int>> kept;
    auto never = std::optional<muster::future<int>>();
    expect_run(
        [&]() -> muster::task<> {
            never = muster::make_future<int>();
            kept = muster::shield(*never).start();
            static_cast<void>(muster::shield(muster::make_future<int>()).start());
            co_return;
        },
        0ms);
    never->set_value(1);
    EXPECT_FALSE(kept->done());
    EXPECT_TRUE(kept->cancel());
    EXPECT_THROW(static_cast<void>(muster::shield(*never).start()), muster::invalid_state_error);
}
