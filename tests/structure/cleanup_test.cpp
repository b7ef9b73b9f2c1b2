// SPDX-License-Identifier: MIT
#include "support/virtual_run.hpp"

#include <muster/cleanup.hpp>
#include <muster/shield.hpp>

#include <gtest/gtest.h>

#include <source_location>

using namespace play;

TEST(with_cleanup, runs_the_clean_up_after_the_body_and_gives_the_bodys_value) {
    expect_run(
        []() -> muster::task<> {
            lines log;
            auto body = [] { return value_after(5ms, 3); };
            auto cleanup = [&log](const muster::outcome<int>& ended) -> muster::task<> {
                log.push_back(muster::to_string(ended) + " " + std::to_string(*ended));
                co_await muster::sleep_for(2ms);
            };
            auto got = co_await muster::with_cleanup(body, cleanup);
            EXPECT_EQ(got, 3);
            EXPECT_EQ(log, lines{"OK 3"});
        },
        7ms);
}

TEST(with_cleanup, of_void_references_and_what_can_only_be_moved) {
    expect_run(
        []() -> muster::task<> {
            int x = 1, cleaned = 0;
            auto cleanup = [&cleaned]() -> muster::task<> {
                ++cleaned;
                co_return;
            };
            auto none = [] { return nothing_after(1ms); };
            co_await muster::with_cleanup(none, cleanup);
            auto reference = [&x] { return reference_after(1ms, x); };
            auto& same = co_await muster::with_cleanup(reference, cleanup);
            EXPECT_EQ(&same, &x);
            auto pointer = [] { return pointer_after(1ms, 4); };
            auto box = co_await muster::with_cleanup(pointer, cleanup);
            EXPECT_EQ(*box, 4);
            EXPECT_EQ(cleaned, 3);
        },
        3ms);
}

TEST(with_cleanup, sees_how_the_body_failed_and_the_failure_goes_on) {
    expect_run(
        []() -> muster::task<> {
            std::string seen;
            auto body = [] { return status_after(1ms, 500); };
            auto cleanup = [&seen](const muster::outcome<int>& ended) -> muster::task<> {
                seen = muster::to_string(ended);
                co_await muster::sleep_for(1ms);
            };
            auto ended = co_await ending(muster::with_cleanup(body, cleanup));
            EXPECT_EQ(seen, "play::http_error: status 500");
            EXPECT_TRUE(ended.failed_with<http_error>());
        },
        2ms);
}

TEST(with_cleanup, runs_the_clean_up_of_a_cancelled_body_to_its_end_and_then_goes_on_with_the_cancellation) {
    expect_run(
        []() -> muster::task<> {
            lines log;
            auto caller = [](lines& l) -> muster::task<> {
                auto body = [] { return nothing_after(1h); };
                auto cleanup = [&l](const muster::outcome<>& ended) -> muster::task<> {
                    l.push_back(muster::to_string(ended));
                    co_await muster::sleep_for(5ms);
                    l.push_back("cleaned");
                };
                co_await muster::with_cleanup(body, cleanup);
            };
            auto h = muster::create_task(caller(log));
            co_await muster::sleep_for(10ms);
            h.cancel("stop");
            auto ended = co_await ending(h);
            EXPECT_EQ(ended.message(), "stop");
            EXPECT_EQ(log, (lines{"cancelled (requested by main): stop", "cleaned"}));
        },
        15ms);
}

TEST(with_cleanup, a_second_cancellation_reaches_the_clean_up_unless_it_is_held_back) {
    expect_run(
        []() -> muster::task<> {
            lines log;
            auto plain = [](lines& l) -> muster::task<> {
                auto body = [] { return nothing_after(1h); };
                auto cleanup = [&l]() -> muster::task<> {
                    auto step = logged(l, "clean-up", 10ms);
                    co_await std::move(step);
                };
                co_await muster::with_cleanup(body, cleanup);
            };
            auto held = [](lines& l) -> muster::task<> {
                auto body = [] { return nothing_after(1h); };
                auto cleanup = [&l] { return muster::hold_cancellation(logged(l, "held", 10ms)); };
                co_await muster::with_cleanup(body, cleanup);
            };
            auto a = muster::create_task(plain(log));
            auto b = muster::create_task(held(log));
            co_await muster::sleep_for(1ms);
            a.cancel("first");
            b.cancel("first");
            co_await muster::sleep_for(1ms);
            a.cancel("second");
            b.cancel("second");
            auto first = co_await ending(a);
            EXPECT_EQ(first.message(), "second");
            auto second = co_await ending(b);
            EXPECT_TRUE(second.was_cancelled());
            EXPECT_EQ(log, (lines{"clean-up begins", "held begins", "clean-up second", "held ends"}));
        },
        11ms);
}

TEST(with_cleanup, a_clean_up_that_fails_is_thrown_and_the_bodys_failure_is_reported_with_its_site) {
    std::vector<muster::report> seen;
    std::uint_least32_t line = 0;
    muster::testing::manual_loop loop;
    auto main = [&line]() -> muster::task<> {
        auto body = [] { return fail_after(1ms, "body"); };
        auto cleanup = [] { return fail_void_after(1ms, "cleaning"); };
        line = std::source_location::current().line() + 1;
        auto ended = co_await ending(muster::with_cleanup(body, cleanup));
        EXPECT_EQ(text_of<std::runtime_error>(ended), "cleaning");
    };
    loop.run(main(), muster::run_options().on_report([&](const muster::report& r) { seen.push_back(r); }));
    ASSERT_EQ(seen.size(), 1u);
    EXPECT_EQ(line_of(seen[0]), "suppressed: with_cleanup: std::runtime_error: body");
    EXPECT_EQ(seen[0].site.line(), line);
}

TEST(with_cleanup, runs_the_clean_up_of_a_body_that_throws_when_it_is_called) {
    expect_run(
        []() -> muster::task<> {
            bool cleaned = false;
            bool broken = true;
            auto plain = [&broken] {
                if (broken)
                    throw http_error(2);
                return nothing_after(1ms);
            };
            auto cleanup = [&cleaned]() -> muster::task<> {
                cleaned = true;
                co_return;
            };
            auto ended = co_await ending(muster::with_cleanup(plain, cleanup));
            EXPECT_TRUE(cleaned);
            EXPECT_EQ(text_of<http_error>(ended), "status 2");
        },
        0ms);
}
