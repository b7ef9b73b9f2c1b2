// SPDX-License-Identifier: MIT
#include "support/virtual_run.hpp"

#include <muster/task_handle.hpp>

#include <gtest/gtest.h>

#include <source_location>

using namespace play;

TEST(create_task, never_runs_the_task_before_its_creator_suspends) {
    expect_run(
        []() -> muster::task<> {
            lines log;
            auto h = muster::create_task(logged(log, "a", 0ms));
            EXPECT_TRUE(log.empty());
            EXPECT_FALSE(h.done());
            co_await muster::yield();
            EXPECT_EQ(log.size(), 1u);
            auto value = co_await h;
            EXPECT_EQ(value, 0);
        },
        0ms);
}

TEST(create_task, outside_a_loop_is_refused) {
    auto t = value_now(1);
    EXPECT_THROW(static_cast<void>(muster::create_task(std::move(t))), muster::invalid_state_error);
}

TEST(task_handle, knows_its_name_site_and_state) {
    expect_run(
        []() -> muster::task<> {
            const auto line = std::source_location::current().line() + 1;
            auto h = muster::create_task(value_after(5ms, 1), "load");
            EXPECT_EQ(h.name(), "load");
            EXPECT_EQ(h.site().line(), line);
            EXPECT_FALSE(h.done());
            EXPECT_THROW(static_cast<void>(h.result()), muster::invalid_state_error);
            EXPECT_THROW(static_cast<void>(h.exception()), muster::invalid_state_error);
            h.set_name("loading");
            co_await muster::sleep_for(6ms);
            EXPECT_TRUE(h.done());
            EXPECT_FALSE(h.cancelled());
            EXPECT_EQ(h.result(), 1);
            EXPECT_EQ(h.exception(), nullptr);
            EXPECT_EQ(h.name(), "loading");
            EXPECT_FALSE(h.cancel());
        },
        6ms);
}

TEST(task_handle, can_be_awaited_more_than_once_and_gives_const_references) {
    expect_run(
        []() -> muster::task<> {
            auto h = muster::create_task(pointer_after(5ms, 7));
            const auto& a = co_await h;
            const auto& b = co_await h;
            static_assert(std::same_as<decltype(a), const std::unique_ptr<int>&>);
            EXPECT_EQ(&a, &b);
            auto taken = co_await std::move(h);
            EXPECT_EQ(*taken, 7);
            auto n = muster::create_task(nothing_after(1ms));
            co_await n;
            co_await n;
            n.result();
            int x = 2;
            auto r = muster::create_task(reference_after(1ms, x));
            auto& same = co_await r;
            EXPECT_EQ(&same, &x);
        },
        7ms);
}

TEST(task_handle, dropped_neither_cancels_nor_destroys_the_task) {
    expect_run(
        []() -> muster::task<> {
            lines log;
            static_cast<void>(muster::create_task(logged(log, "a", 5ms)));
            co_await muster::sleep_for(10ms);
            EXPECT_EQ(log, (lines{"a begins", "a ends"}));
        },
        10ms);
}

TEST(task_handle, dropped_unread_reports_a_failure_with_name_and_site) {
    std::vector<muster::report> seen;
    std::uint_least32_t line = 0;
    muster::testing::manual_loop loop;
    auto main = [&line]() -> muster::task<> {
        line = std::source_location::current().line() + 1;
        static_cast<void>(muster::create_task(fail_after(5ms), "load"));
        co_await muster::sleep_for(10ms);
    };
    loop.run(main(), muster::run_options().on_report([&](const muster::report& r) { seen.push_back(r); }));
    ASSERT_EQ(seen.size(), 1u);
    EXPECT_EQ(line_of(seen[0]), "never retrieved: load: std::runtime_error: bad");
    EXPECT_EQ(seen[0].site.line(), line);
}

TEST(task_handle, read_in_any_way_reports_nothing) {
    expect_run(
        []() -> muster::task<> {
            auto a = muster::create_task(fail_after(1ms));
            auto b = muster::create_task(fail_after(1ms));
            auto c = muster::create_task(fail_after(1ms));
            auto d = muster::create_task(fail_after(1ms));
            co_await muster::sleep_for(2ms);
            EXPECT_TRUE(a.exception() != nullptr);
            EXPECT_THROW(static_cast<void>(b.result()), std::runtime_error);
            EXPECT_TRUE(c.ended_as().failed());
            auto ended = co_await ending(d);
            EXPECT_TRUE(ended.failed());
        },
        2ms);
}

TEST(task_handle, is_readable_after_the_loop_has_ended) {
    muster::task_handle<int> h;
    muster::task_handle<int> bad;
    {
        muster::testing::manual_loop loop;
        auto main = [](muster::task_handle<int>& out, muster::task_handle<int>& failed) -> muster::task<> {
            out = muster::create_task(value_after(5ms, 3), "kept");
            failed = muster::create_task(fail_after(5ms));
            co_await muster::sleep_for(6ms);
        };
        loop.run(main(h, bad));
    }
    EXPECT_TRUE(h.done());
    EXPECT_EQ(h.result(), 3);
    EXPECT_EQ(h.name(), "kept");
    EXPECT_TRUE(bad.exception() != nullptr);
    EXPECT_FALSE(h.cancel());
    EXPECT_FALSE(h.request_cancel());
}

TEST(task_handle, cancelled_before_it_starts_never_runs_its_body) {
    expect_run(
        []() -> muster::task<> {
            lines log;
            auto h = muster::create_task(logged(log, "a", 5ms));
            EXPECT_TRUE(h.cancel("early"));
            EXPECT_EQ(h.cancelling(), 1);
            auto ended = co_await ending(h);
            EXPECT_TRUE(ended.was_cancelled());
            EXPECT_TRUE(h.cancelled());
            EXPECT_EQ(ended.message(), "early");
            EXPECT_EQ(ended.requested_by(), "main");
            EXPECT_TRUE(log.empty());
            EXPECT_THROW(static_cast<void>(h.exception()), muster::cancelled_error);
        },
        0ms);
}

TEST(task_handle, uncancel_takes_back_what_was_not_delivered) {
    expect_run(
        []() -> muster::task<> {
            lines log;
            auto h = muster::create_task(logged(log, "a", 5ms));
            h.cancel();
            EXPECT_EQ(h.uncancel(), 0);
            auto value = co_await h;
            EXPECT_EQ(value, 0);
            EXPECT_EQ(log.size(), 2u);
        },
        5ms);
}

TEST(task_handle, awaiting_passes_a_cancellation_on_into_it_through_a_chain) {
    expect_run(
        []() -> muster::task<> {
            lines log;
            auto inner = muster::create_task(logged(log, "inner", 1h));
            auto waiter = [](muster::task_handle<int> on) -> muster::task<> { co_await on; };
            auto middle = muster::create_task(waiter(inner));
            auto outer = [](muster::task_handle<> on) -> muster::task<> { co_await on; };
            auto o = muster::create_task(outer(middle));
            co_await muster::sleep_for(5ms);
            o.cancel("down the chain");
            auto ended = co_await ending(o);
            EXPECT_EQ(ended.message(), "down the chain");
            EXPECT_TRUE(middle.cancelled());
            EXPECT_TRUE(inner.cancelled());
            EXPECT_EQ(log.back(), "inner down the chain");
        },
        5ms);
}

TEST(task_handle, that_awaits_itself_is_told_so) {
    expect_run(
        []() -> muster::task<> {
            muster::task_handle<> self;
            auto body = [](muster::task_handle<>& me) -> muster::task<> { co_await me; };
            self = muster::create_task(body(self));
            auto ended = co_await ending(self);
            EXPECT_TRUE(ended.failed_with<muster::invalid_state_error>());
        },
        0ms);
}

TEST(task_handle, that_refers_to_nothing_is_refused) {
    expect_run(
        []() -> muster::task<> {
            muster::task_handle<int> none;
            EXPECT_FALSE(none.valid());
            auto ended = co_await ending(none);
            EXPECT_TRUE(ended.failed_with<muster::invalid_state_error>());
        },
        0ms);
}

TEST(task_handle, callbacks_are_called_in_order_in_a_turn_of_their_own_with_the_handle) {
    expect_run(
        []() -> muster::task<> {
            lines log;
            auto h = muster::create_task(value_after(5ms, 1), "h");
            auto note = [&log](std::string text) {
                return [&log, text](const muster::any_handle& who) { log.push_back(text + " " + who.name()); };
            };
            h.add_done_callback(note("first"));
            const auto removed = h.add_done_callback(note("removed"));
            h.add_done_callback(note("last"));
            EXPECT_TRUE(h.remove_done_callback(removed));
            EXPECT_FALSE(h.remove_done_callback(removed));
            co_await muster::sleep_for(6ms);
            EXPECT_EQ(log, (lines{"first h", "last h"}));
            h.add_done_callback(note("late"));
            EXPECT_EQ(log.size(), 2u);
            co_await muster::yield();
            EXPECT_EQ(log.back(), "late h");
            EXPECT_THROW(h.add_done_callback({}), std::invalid_argument);
        },
        6ms);
}

TEST(task_handle, a_callback_that_throws_is_reported_and_the_others_are_called) {
    expect_run(
        []() -> muster::task<> {
            int called = 0;
            auto h = muster::create_task(value_after(5ms, 1), "h");
            h.add_done_callback([](const muster::any_handle&) { throw http_error(1); });
            h.add_done_callback([&called](const muster::any_handle&) { ++called; });
            co_await muster::sleep_for(6ms);
            EXPECT_EQ(called, 1);
        },
        6ms, {"callback failed: h: play::http_error: status 1"});
}

TEST(all_tasks, lists_what_has_not_ended) {
    expect_run(
        []() -> muster::task<> {
            auto a = muster::create_task(nothing_after(5ms), "a");
            EXPECT_EQ(muster::all_tasks().size(), 2u);
            co_await a;
            EXPECT_EQ(muster::all_tasks().size(), 1u);
            EXPECT_EQ(muster::all_tasks().at(0).name(), "main");
            EXPECT_EQ(muster::this_task::name(), "main");
        },
        5ms);
}
