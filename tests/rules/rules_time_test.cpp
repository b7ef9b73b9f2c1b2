// SPDX-License-Identifier: MIT
// Rules that decide cases: time, handles, creation site, memory, shutdown.
#include "support/virtual_run.hpp"

#include <muster/detail/frame_allocator.hpp>
#include <muster/map.hpp>
#include <muster/race.hpp>
#include <muster/run.hpp>
#include <muster/timeout.hpp>

#include <gtest/gtest.h>

#include <new>
#include <source_location>

using namespace play;

TEST(rule_time, the_expiry_of_a_childs_own_timeout_is_that_childs_error) {
    expect_run(
        []() -> muster::task<> {
            auto [a, b] = co_await muster::settle(muster::wait_for(nothing_after(1h), 5ms), value_after(10ms, 1));
            EXPECT_TRUE(a.failed_with<muster::timeout_error>());
            EXPECT_TRUE(b.succeeded());
        },
        10ms);
}

TEST(rule_time, the_expiry_of_the_overall_deadline_cancels_or_leaves_unstarted_and_throwing_forms_throw) {
    expect_run(
        []() -> muster::task<> {
            const std::vector<int> in{1, 20, 20};
            auto child = [](int n) { return value_after(n * 1ms, n); };
            auto all = co_await muster::map(in, child).limit(1).within(10ms).settle();
            expect_adds_up(all, 3, 1, 0, 1, 1);
            EXPECT_EQ(all[1].reason(), muster::cancel_reason::deadline);
            EXPECT_EQ(all[2].reason(), muster::cancel_reason::deadline);
            auto ended = co_await ending(muster::map(in, child).limit(1).within(10ms));
            EXPECT_TRUE(ended.failed_with<muster::timeout_error>());
            auto gathered = co_await ending(muster::gather(value_after(1h, 1), value_now(1)).within(10ms));
            EXPECT_TRUE(gathered.failed_with<muster::timeout_error>());
        },
        30ms);
}

TEST(rule_time, durations_are_in_loop_time_read_once_a_turn) {
    // The real loop, whose clock moves by itself.
    auto real = []() -> muster::task<> {
        const auto before = muster::loop_clock::now();
        const auto busy_until = std::chrono::steady_clock::now() + 2ms;
        while (std::chrono::steady_clock::now() < busy_until) {}
        EXPECT_EQ((muster::loop_clock::now() - before).count(), 0) << "the same turn";
        co_await muster::yield();
        EXPECT_GE(muster::loop_clock::now() - before, 2ms);
    };
    muster::run(real());
    expect_run(
        []() -> muster::task<> {
            std::vector<muster::task<int>> tasks;
            tasks.push_back(value_after(7ms, 1));
            auto all = co_await muster::settle(std::move(tasks));
            EXPECT_EQ(all.duration(0), 7ms);
        },
        7ms);
}

TEST(rule_handles, the_loop_owns_spawned_tasks_and_dropping_a_handle_changes_nothing) {
    expect_run(
        []() -> muster::task<> {
            lines log;
            static_cast<void>(muster::create_task(logged(log, "a", 5ms)));
            static_cast<void>(muster::create_task(fail_after(5ms), "unread"));
            co_await muster::sleep_for(6ms);
            EXPECT_EQ(log.size(), 2u);
        },
        6ms, {"never retrieved: unread: std::runtime_error: bad"});
}

TEST(rule_handles, a_gathers_siblings_include_the_handles_that_were_passed_in) {
    expect_run(
        []() -> muster::task<> {
            auto h = muster::create_task(tidy_up(1h, 5ms));
            auto ended = co_await ending(muster::gather(fail_after(1ms), h));
            EXPECT_TRUE(ended.failed());
            EXPECT_TRUE(h.cancelled()) << "it was cancelled and has ended";
        },
        6ms);
}

TEST(rule_handles, awaited_gives_a_const_reference_and_given_away_the_value) {
    expect_run(
        []() -> muster::task<> {
            auto h = muster::create_task(pointer_after(1ms, 1));
            auto&& kept = co_await h;
            static_assert(std::same_as<decltype(kept), const std::unique_ptr<int>&>);
            auto&& taken = co_await std::move(h);
            static_assert(std::same_as<decltype(taken), std::unique_ptr<int>&&>);
            EXPECT_EQ(*taken, 1);
        },
        1ms);
}

TEST(rule_creation_site, of_combinators_is_where_they_were_called) {
    std::vector<muster::report> seen;
    const auto before = muster::set_report_handler([&](const muster::report& r) { seen.push_back(r); });
    const auto first = std::source_location::current().line() + 1;
    static_cast<void>(muster::gather(value_now(1), value_now(2)));
    static_cast<void>(muster::settle(value_now(1)));
    static_cast<void>(muster::race(value_now(1)));
    static_cast<void>(muster::map(std::vector<int>{1}, value_now));
    muster::set_report_handler(before);
    ASSERT_EQ(seen.size(), 4u);
    for (std::size_t i = 0; i != 4; ++i) {
        EXPECT_EQ(seen[i].site.line(), first + i);
        EXPECT_EQ(
            std::string_view(seen[i].site.file_name()).substr(std::string_view(seen[i].site.file_name()).size() - 19),
            "rules_time_test.cpp");
    }
}

TEST(rule_creation_site, of_an_outcome_is_its_combinators) {
    expect_run(
        []() -> muster::task<> {
            const auto line = std::source_location::current().line() + 1;
            auto all = co_await muster::settle(value_now(1));
            EXPECT_EQ(all.site().line(), line);
        },
        0ms);
}

namespace {
bool refuse(void* context) noexcept { return !*static_cast<bool*>(context); }
struct no_frames {
    explicit no_frames(bool& on) { muster::detail::set_frame_fault_hook(&refuse, &on); }
    ~no_frames() { muster::detail::set_frame_fault_hook(nullptr, nullptr); }
};
} // namespace

TEST(rule_memory, a_frame_that_cannot_be_allocated_is_a_task_that_fails_with_bad_alloc_in_its_own_outcome) {
    bool refusing = false;
    const no_frames hook(refusing);
    expect_run(
        [&refusing]() -> muster::task<> {
            auto good = value_after(1ms, 1);
            refusing = true;
            auto bad = value_after(1ms, 2);
            auto spawned = value_after(1ms, 3);
            auto awaited = value_after(1ms, 4);
            refusing = false;
            auto h = muster::create_task(std::move(spawned));
            auto [a, b] = co_await muster::settle(std::move(good), std::move(bad));
            EXPECT_EQ(*a, 1);
            EXPECT_TRUE(b.failed_with<std::bad_alloc>());
            EXPECT_TRUE(h.ended_as().failed_with<std::bad_alloc>());
            auto ended = co_await muster::as_outcome(std::move(awaited));
            EXPECT_TRUE(ended.failed_with<std::bad_alloc>());
        },
        1ms);
}

TEST(rule_memory, in_a_map_it_is_that_childs_failure) {
    bool refusing = false;
    const no_frames hook(refusing);
    expect_run(
        [&refusing]() -> muster::task<> {
            const std::vector<int> in{1, 2, 3};
            auto child = [&refusing](int n) {
                refusing = n == 2;
                auto t = value_after(1ms, n);
                refusing = false;
                return t;
            };
            auto all = co_await muster::map(in, child).settle();
            expect_adds_up(all, 3, 2, 1, 0, 0);
            EXPECT_TRUE(all[1].failed_with<std::bad_alloc>());
        },
        1ms);
}

TEST(rule_shutdown, what_is_left_at_the_end_is_cancelled_and_awaited) {
    lines log;
    expect_run(
        [&log]() -> muster::task<> {
            static_cast<void>(muster::create_task(logged(log, "left", 1h)));
            static_cast<void>(muster::create_task(tidy_up(1h, 5ms)));
            co_await muster::sleep_for(1ms);
        },
        6ms);
    EXPECT_EQ(log, (lines{"left begins", "left cancelled (shutdown)"}));
}

TEST(rule_shutdown, after_the_grace_period_the_tasks_that_ignore_it_are_named_with_where_they_wait_and_again_at_exit) {
    std::vector<muster::report> seen;
    std::vector<muster::report> seen_later; // the run's handler is not called after the run
    const auto before = muster::set_report_handler([&](const muster::report& r) { seen_later.push_back(r); });
    const auto frames = muster::testing::live_frames();
    {
        muster::testing::manual_loop loop;
        auto body = []() -> muster::task<> {
            static_cast<void>(muster::create_task(stubborn_for(1h, 1), "stubborn"));
            co_await muster::sleep_for(1ms);
        };
        loop.run(body(), muster::run_options().on_report([&](const muster::report& r) { seen.push_back(r); }));
        EXPECT_EQ(loop.elapsed(), 10s + 1ms);
    }
    muster::set_report_handler(before);
    ASSERT_EQ(seen.size(), 1u);
    EXPECT_EQ(line_of(seen[0]), "ignores cancellation: stubborn");
    EXPECT_NE(seen[0].detail.find("sleep"), std::string::npos) << seen[0].detail;
    ASSERT_EQ(seen_later.size(), 1u);
    EXPECT_EQ(line_of(seen_later[0]), "destroyed while pending: stubborn");
    EXPECT_EQ(muster::testing::live_frames(), frames);
}

TEST(rule_shutdown, main_is_left_with_its_own_failure) {
    lines seen;
    muster::testing::manual_loop loop;
    auto body = []() -> muster::task<> {
        static_cast<void>(muster::create_task(fail_cleaning_up(1h, 1ms), "left"));
        co_await muster::sleep_for(1ms);
        throw http_error(1);
    };
    EXPECT_THROW(
        loop.run(body(), muster::run_options().on_report([&](const muster::report& r) { seen.push_back(line_of(r)); })),
        http_error);
    EXPECT_EQ(seen, lines{"failed during shutdown: left: std::runtime_error: clean-up"});
}
