// SPDX-License-Identifier: MIT
#include "support/virtual_run.hpp"

#include <muster/map.hpp>

#include <gtest/gtest.h>

#include <functional>
#include <iterator>
#include <map>
#include <ranges>
#include <span>
#include <sstream>

using namespace play;

namespace {

muster::task<int> doubled(int n) {
    co_await muster::sleep_for(n * 1ms);
    co_return 2 * n;
}
/// Even ones fail.
muster::task<int> odd_only(int n) {
    co_await muster::sleep_for(n * 1ms);
    if (n % 2 == 0)
        throw http_error(n);
    co_return n;
}
/// A range by functions that are found by its namespace alone.
namespace plain {
struct pair_of_ints {
    int first, second;
};
int* begin(pair_of_ints& p) { return &p.first; }
int* end(pair_of_ints& p) { return &p.first + 1; }
} // namespace plain
muster::task<> nothing(int n) { co_await muster::sleep_for(n * 1ms); }
muster::task<std::unique_ptr<int>> boxed(int n) {
    co_await muster::sleep_for(1ms);
    co_return std::make_unique<int>(n);
}

} // namespace

TEST(map, gives_the_values_in_input_order) {
    expect_run(
        []() -> muster::task<> {
            const std::vector<int> in{3, 1, 2};
            auto got = co_await muster::map(in, doubled);
            EXPECT_EQ(got, (std::vector<int>{6, 2, 4}));
        },
        3ms);
}

TEST(map, takes_every_kind_of_range_and_owns_what_is_temporary) {
    expect_run(
        []() -> muster::task<> {
            const std::vector<int> two_four{2, 4};
            const auto of_vector = [] {
                std::vector<int> in{1, 2};
                return muster::map(std::move(in), doubled); // the vector goes along
            };
            auto got = co_await of_vector();
            EXPECT_EQ(got, two_four);
            int array[] = {1, 2};
            got = co_await muster::map(array, doubled);
            EXPECT_EQ(got, two_four);
            const auto of_variable = [&] {
                const std::span<int> in(array);
                return muster::map(in, doubled); // a view is copied, so this one need not live
            };
            got = co_await of_variable();
            EXPECT_EQ(got, two_four);
            const auto of_view = [&] {
                auto in = array | std::views::filter([](int n) { return n > 0; });
                return muster::map(in, doubled).limit(2);
            };
            got = co_await of_view();
            EXPECT_EQ(got, two_four);
            got = co_await muster::map(std::views::iota(1, 3), doubled);
            EXPECT_EQ(got, two_four);
            got = co_await muster::map(std::ranges::subrange(array, array + 2), doubled);
            EXPECT_EQ(got, two_four);
            plain::pair_of_ints one{1, 2};
            got = co_await muster::map(one, doubled).limit(1);
            EXPECT_EQ(got, std::vector<int>{2});
            static const std::initializer_list<int> list{1, 2};
            got = co_await muster::map(list, doubled);
            EXPECT_EQ(got, two_four);
            std::istringstream text("1 2");
            got = co_await muster::map(std::views::istream<int>(text), doubled).limit(2);
            EXPECT_EQ(got, two_four);
        },
        17ms);
}

TEST(map, of_void_references_and_what_can_only_be_moved) {
    expect_run(
        []() -> muster::task<> {
            std::vector<int> in{1, 2};
            co_await muster::map(in, nothing);
            auto same = [](int& n) -> muster::task<int&> { co_return n; };
            auto got = co_await muster::map(in, same);
            static_assert(std::same_as<decltype(got), std::vector<std::reference_wrapper<int>>>);
            EXPECT_EQ(&got.at(1).get(), &in[1]);
            auto boxes = co_await muster::map(in, boxed);
            EXPECT_EQ(*boxes.at(0), 1);
        },
        3ms);
}

TEST(map, of_nothing_is_empty_at_once_in_every_form) {
    expect_run(
        []() -> muster::task<> {
            const std::vector<int> in;
            auto got = co_await muster::map(in, doubled);
            EXPECT_TRUE(got.empty());
            auto all = co_await muster::map(in, doubled).settle();
            expect_adds_up(all, 0, 0, 0, 0, 0);
            auto summary = co_await muster::map(in, doubled).summarize();
            expect_adds_up(summary, 0, 0, 0, 0, 0);
            std::istringstream no_words;
            auto words = std::views::istream<int>(no_words);
            auto unsized = co_await muster::map(words, doubled).limit(2).settle();
            expect_adds_up(unsized, 0, 0, 0, 0, 0);
            EXPECT_TRUE(unsized.exhausted());
        },
        0ms);
}

TEST(map, first_failure_cancels_the_others_and_is_thrown_as_itself) {
    expect_run(
        []() -> muster::task<> {
            const std::vector<int> in{1, 2, 3, 5};
            auto ended = co_await ending(muster::map(in, odd_only));
            EXPECT_EQ(text_of<http_error>(ended), "status 2");
        },
        2ms);
}

TEST(map, what_is_not_pulled_after_a_failure_is_not_started) {
    expect_run(
        []() -> muster::task<> {
            const std::vector<int> in{1, 2, 3, 5, 7};
            int calls = 0;
            auto counted = [&calls](int n) {
                ++calls;
                return odd_only(n);
            };
            auto ended = co_await ending(muster::map(in, counted).limit(2));
            EXPECT_TRUE(ended.failed_with<http_error>());
            EXPECT_EQ(calls, 3);
        },
        2ms);
}

TEST(map, a_failure_in_the_first_step_stops_the_pulling) {
    expect_run(
        []() -> muster::task<> {
            const std::vector<int> in{1, 2, 3};
            int calls = 0;
            auto bad = [&calls](int) {
                ++calls;
                return fail_now();
            };
            auto ended = co_await ending(muster::map(in, bad));
            EXPECT_TRUE(ended.failed());
            EXPECT_EQ(calls, 1);
        },
        0ms);
}

TEST(map, settle_keeps_every_outcome_and_its_duration) {
    expect_run(
        []() -> muster::task<> {
            const std::vector<int> in{4, 3, 2, 1};
            auto all = co_await muster::map(in, odd_only).limit(2).settle();
            expect_adds_up(all, 4, 2, 2, 0, 0);
            EXPECT_EQ(text_of<http_error>(all[0]), "status 4");
            EXPECT_EQ(*all[1], 3);
            EXPECT_EQ(all.duration(0), 4ms);
            EXPECT_EQ(all.duration(2), 2ms);
            EXPECT_EQ(all.failures_of<http_error>().size(), 2u);
        },
        5ms);
}

TEST(map, stop_after_failures_cancels_those_that_run_and_starts_no_more) {
    expect_run(
        []() -> muster::task<> {
            const std::vector<int> in{2, 4, 50, 6, 7, 8};
            auto all = co_await muster::map(in, odd_only).limit(3).stop_after_failures(2).settle();
            expect_adds_up(all, 6, 0, 2, 2, 2);
            EXPECT_EQ(all[2].reason(), muster::cancel_reason::stopped);
            EXPECT_TRUE(all[5].was_not_started());
            EXPECT_EQ(all[5].reason(), muster::cancel_reason::stopped);
            EXPECT_EQ(all.error_types().size(), 1u);
            all.mark_all_looked_at();
        },
        4ms);
}

TEST(map, within_leaves_the_unfinished_cancelled_or_not_started_by_the_deadline) {
    expect_run(
        []() -> muster::task<> {
            const std::vector<int> in{1, 30, 30, 30};
            auto all = co_await muster::map(in, doubled).limit(2).within(20ms).settle();
            expect_adds_up(all, 4, 1, 0, 2, 1);
            EXPECT_TRUE(all.deadline_struck());
            EXPECT_EQ(all[1].reason(), muster::cancel_reason::deadline);
            EXPECT_TRUE(all[3].was_not_started());
            EXPECT_EQ(all[3].reason(), muster::cancel_reason::deadline);
            auto ended = co_await ending(muster::map(in, doubled).limit(2).within(20ms));
            EXPECT_TRUE(ended.failed_with<muster::timeout_error>());
        },
        40ms);
}

TEST(map, each_within_fails_the_child_that_took_too_long) {
    expect_run(
        []() -> muster::task<> {
            const std::vector<int> in{1, 30};
            auto all = co_await muster::map(in, doubled).each_within(10ms).settle();
            expect_adds_up(all, 2, 1, 1, 0, 0);
            EXPECT_TRUE(all[1].failed_with<muster::timeout_error>());
        },
        10ms);
}

TEST(map, each_within_keeps_the_value_of_a_child_that_catches_its_expiry) {
    expect_run(
        []() -> muster::task<> {
            const std::vector<int> in{30};
            auto stubborn = [](int n) { return stubborn_for(n * 1ms, n); };
            auto all = co_await muster::map(in, stubborn).each_within(10ms).settle();
            expect_adds_up(all, 1, 1, 0, 0, 0);
        },
        30ms);
}

TEST(map, cancelled_while_it_waits_throws_the_cancellation_and_reports_what_had_failed) {
    expect_run(
        []() -> muster::task<> {
            auto body = []() -> muster::task<> {
                const std::vector<int> in{2, 50};
                auto all = co_await muster::map(in, odd_only).settle();
                all.mark_all_looked_at();
            };
            auto h = muster::create_task(body());
            co_await muster::sleep_for(10ms);
            h.cancel("enough");
            auto ended = co_await ending(h);
            EXPECT_TRUE(ended.was_cancelled());
            EXPECT_EQ(ended.message(), "enough");
        },
        10ms, {"suppressed: map[0]: play::http_error: status 2"});
}

TEST(map, whose_function_throws_when_it_is_called_counts_that_as_the_childs_failure) {
    expect_run(
        []() -> muster::task<> {
            const std::vector<int> in{1, 2};
            auto picky = [](int n) {
                if (n == 1)
                    throw http_error(1);
                return doubled(n);
            };
            auto all = co_await muster::map(in, picky).settle();
            expect_adds_up(all, 2, 1, 1, 0, 0);
            EXPECT_TRUE(all[0].failed_with<http_error>());
        },
        2ms);
}

TEST(map, whose_input_throws_ends_with_that_error_after_its_children_have_ended) {
    expect_run(
        []() -> muster::task<> {
            lines log;
            const std::vector<int> in{1, 2, 3};
            auto view = in | std::views::transform([](int n) {
                if (n == 3)
                    throw http_error(3);
                return n;
            });
            auto child = [&log](int n) { return logged(log, std::to_string(n), 50ms); };
            auto ended = co_await ending(muster::map(view, child).settle());
            EXPECT_EQ(text_of<http_error>(ended), "status 3");
            EXPECT_EQ(log.size(), 4u);
        },
        0ms);
}

TEST(map, pulls_an_input_of_unknown_length_as_there_is_room) {
    expect_run(
        []() -> muster::task<> {
            std::istringstream text("1 2 3 4");
            auto all = co_await muster::map(std::views::istream<int>(text), doubled).limit(2).settle();
            expect_adds_up(all, 4, 4, 0, 0, 0);
            EXPECT_TRUE(all.exhausted());
        },
        6ms);
}

TEST(map, that_stops_early_says_that_an_input_of_unknown_length_was_not_exhausted) {
    expect_run(
        []() -> muster::task<> {
            std::istringstream text("1 2 3 4 5");
            auto all =
                co_await muster::map(std::views::istream<int>(text), odd_only).limit(2).stop_after_failures(1).settle();
            EXPECT_FALSE(all.exhausted());
            expect_adds_up(all, 3, 1, 1, 1, 0);
            EXPECT_TRUE(all.any_failed<http_error>());
        },
        2ms);
}

TEST(map, of_an_input_of_unknown_length_needs_a_limit) {
    expect_run(
        []() -> muster::task<> {
            std::istringstream text("1 2");
            auto ended = co_await ending(muster::map(std::views::istream<int>(text), doubled));
            EXPECT_TRUE(ended.failed_with<std::invalid_argument>());
        },
        0ms);
}

TEST(map, quorum_starts_no_more_once_k_have_succeeded) {
    expect_run(
        []() -> muster::task<> {
            const std::vector<int> in{9, 1, 3, 5, 7};
            int calls = 0;
            auto counted = [&calls](int n) {
                ++calls;
                return odd_only(n);
            };
            auto got = co_await muster::map(in, counted).limit(3).quorum(2);
            EXPECT_EQ(got.size(), 2u);
            EXPECT_EQ(got.at(0).index(), 1u);
            EXPECT_EQ(got.at(1).index(), 2u);
            EXPECT_EQ(calls, 4);
        },
        3ms);
}

TEST(map, first_success_skips_failures) {
    expect_run(
        []() -> muster::task<> {
            const std::vector<int> in{2, 4, 7};
            auto got = co_await muster::map(in, odd_only).first_success();
            EXPECT_EQ(got.size(), 1u);
            EXPECT_EQ(got.at(0).value(), 7);
        },
        7ms, {"suppressed: map[0]: play::http_error: status 2", "suppressed: map[1]: play::http_error: status 4"});
}

TEST(map, rate_with_a_limit_starts_as_many_as_it_may) {
    expect_run(
        []() -> muster::task<> {
            std::vector<int> in(30, 0);
            auto at_once = [](int) { return value_now(1); };
            auto got = co_await muster::map(in, at_once).limit(1).rate(10, 1s);
            EXPECT_EQ(got.size(), 30u);
        },
        2s);
}

TEST(map, rate_does_not_wait_for_the_turn_of_a_child_that_does_not_come) {
    expect_run(
        []() -> muster::task<> {
            std::istringstream text("1 2 3 4");
            auto at_once = [](int n) { return value_now(n); };
            auto got = co_await muster::map(std::views::istream<int>(text), at_once).limit(8).rate(2, 1s);
            EXPECT_EQ(got, (std::vector<int>{1, 2, 3, 4}));
        },
        1s);
}

TEST(map, rate_counts_a_child_that_was_pulled_and_waits_for_its_turn) {
    expect_run(
        []() -> muster::task<> {
            std::istringstream text("1 2 3 4");
            auto at_once = [](int n) { return value_now(n); };
            auto words = std::views::istream<int>(text);
            auto all = co_await muster::map(words, at_once).limit(8).rate(2, 1s).within(100ms).settle();
            expect_adds_up(all, 3, 2, 0, 0, 1);
            EXPECT_FALSE(all.exhausted());
            EXPECT_EQ(all[2].reason(), muster::cancel_reason::deadline);
        },
        100ms);
}

TEST(map, never_awaited_is_reported_and_calls_nothing) {
    expect_run(
        []() -> muster::task<> {
            const std::vector<int> in{1};
            int calls = 0;
            auto counted = [&calls](int n) {
                ++calls;
                return doubled(n);
            };
            {
                auto never = muster::map(in, counted).named("pages");
                static_cast<void>(never);
            }
            {
                auto never = muster::map(in, counted).summarize();
                static_cast<void>(never);
            }
            EXPECT_EQ(calls, 0);
            co_return;
        },
        0ms, {"never awaited: pages", "never awaited: map"});
}
