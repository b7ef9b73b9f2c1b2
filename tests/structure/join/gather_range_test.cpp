// SPDX-License-Identifier: MIT
#include "support/virtual_run.hpp"

#include <muster/gather.hpp>

#include <gtest/gtest.h>

#include <functional>
#include <list>
#include <map>
#include <memory>
#include <unordered_map>
#include <utility>

using namespace play;

TEST(gather_of_a_range, gives_a_vector_in_input_order) {
    expect_run(
        []() -> muster::task<> {
            std::vector<muster::task<int>> tasks;
            for (int i = 0; i != 5; ++i)
                tasks.push_back(value_after((5 - i) * 1ms, i));
            auto got = co_await muster::gather(std::move(tasks));
            EXPECT_EQ(got, (std::vector<int>{0, 1, 2, 3, 4}));
        },
        5ms);
}

TEST(gather_of_a_range, of_void_gives_nothing_and_of_references_gives_wrapped_ones) {
    expect_run(
        []() -> muster::task<> {
            std::vector<muster::task<>> tasks;
            tasks.push_back(nothing_after(3ms));
            static_assert(std::is_void_v<muster::detail::awaited_t<decltype(muster::gather(std::move(tasks)))>>);
            co_await muster::gather(std::move(tasks));
            int x = 1;
            std::list<muster::task<int&>> references;
            references.push_back(reference_after(1ms, x));
            auto got = co_await muster::gather(std::move(references));
            static_assert(std::same_as<decltype(got), std::vector<std::reference_wrapper<int>>>);
            EXPECT_EQ(&got.at(0).get(), &x);
        },
        4ms);
}

TEST(gather_of_a_range, moves_what_can_only_be_moved) {
    expect_run(
        []() -> muster::task<> {
            std::vector<muster::task<std::unique_ptr<int>>> tasks;
            tasks.push_back(pointer_after(2ms, 5));
            auto got = co_await muster::gather(std::move(tasks));
            EXPECT_EQ(*got.at(0), 5);
            std::vector<muster::task_handle<std::unique_ptr<int>>> handles;
            handles.push_back(muster::create_task(pointer_after(2ms, 6)));
            auto more = co_await muster::gather(std::move(handles));
            EXPECT_EQ(*more.at(0), 6);
        },
        4ms);
}

TEST(gather_of_a_range, of_nothing_is_empty_at_once) {
    expect_run(
        []() -> muster::task<> {
            auto got = co_await muster::gather(std::vector<muster::task<int>>());
            EXPECT_TRUE(got.empty());
            auto all = co_await muster::settle(std::vector<muster::task<int>>());
            expect_adds_up(all, 0, 0, 0, 0, 0);
            EXPECT_TRUE(all.all_succeeded());
        },
        0ms);
}

TEST(gather_of_a_range, over_a_map_keeps_the_keys) {
    expect_run(
        []() -> muster::task<> {
            std::map<std::string, muster::task<int>> tasks;
            tasks.emplace("b", value_after(1ms, 2));
            tasks.emplace("a", value_after(2ms, 1));
            auto got = co_await muster::gather(std::move(tasks));
            EXPECT_EQ(got, (std::map<std::string, int>{{"a", 1}, {"b", 2}}));

            std::unordered_map<int, muster::task<int>> hashed;
            hashed.emplace(3, value_after(1ms, 9));
            auto more = co_await muster::gather(std::move(hashed));
            static_assert(std::same_as<decltype(more), std::unordered_map<int, int>>);
            EXPECT_EQ(more.at(3), 9);
        },
        3ms);
}

namespace {

/// A map by another library, of which muster knows the template parameters only.
template <class Key, class Value, class Less = std::less<Key>, class Alloc = std::allocator<std::pair<Key, Value>>>
class pair_list {
public:
    using key_type = Key;
    using mapped_type = Value;

    void emplace(const Key& key, Value value) { pairs_.emplace_back(key, std::move(value)); }
    [[nodiscard]] auto begin() { return pairs_.begin(); }
    [[nodiscard]] auto end() { return pairs_.end(); }
    [[nodiscard]] const std::list<std::pair<Key, Value>>& pairs() const noexcept { return pairs_; }

private:
    std::list<std::pair<Key, Value>> pairs_;
};

} // namespace

TEST(gather_of_a_range, over_a_map_keeps_its_order_and_its_kind) {
    expect_run(
        []() -> muster::task<> {
            std::map<int, muster::task<int>, std::greater<>> falling;
            falling.emplace(1, value_after(1ms, 10));
            falling.emplace(2, value_after(2ms, 20));
            auto got = co_await muster::gather(std::move(falling));
            static_assert(std::same_as<decltype(got), std::map<int, int, std::greater<>>>);
            EXPECT_EQ(got.begin()->first, 2);

            pair_list<int, muster::task<int>, std::greater<>> foreign;
            foreign.emplace(7, value_after(1ms, 70));
            auto more = co_await muster::gather(std::move(foreign));
            static_assert(std::same_as<decltype(more), pair_list<int, int, std::greater<>>>);
            EXPECT_EQ(more.pairs(), (std::list{std::pair(7, 70)}));
        },
        3ms);
}

TEST(gather_of_a_range, over_a_multimap_loses_no_value) {
    expect_run(
        []() -> muster::task<> {
            std::multimap<std::string, muster::task<int>> tasks;
            tasks.emplace("a", value_after(1ms, 1));
            tasks.emplace("a", value_after(2ms, 2));
            auto got = co_await muster::gather(std::move(tasks));
            EXPECT_EQ(got.size(), 2u);
        },
        2ms);
}

TEST(gather_of_a_range, settled_over_a_map_gives_outcomes_by_key) {
    expect_run(
        []() -> muster::task<> {
            std::map<std::string, muster::task<int>> tasks;
            tasks.emplace("bad", status_after(1ms, 404));
            tasks.emplace("good", value_after(2ms, 1));
            auto all = co_await muster::settle(std::move(tasks));
            expect_adds_up(all, 2, 1, 1, 0, 0);
            EXPECT_EQ(all.find("none"), nullptr);
            const auto* bad = all.find("bad");
            if (bad != nullptr) {
                EXPECT_EQ(text_of<http_error>(*bad), "status 404");
            }
            EXPECT_EQ(all.key(1), "good");
            EXPECT_EQ(*all[1], 1);
        },
        2ms);
}

TEST(gather_of_a_range, a_failure_in_the_first_step_does_not_keep_the_later_children_from_running_theirs) {
    expect_run(
        []() -> muster::task<> {
            lines log;
            std::vector<muster::task<int>> tasks;
            tasks.push_back(fail_now());
            tasks.push_back(logged(log, "b", 5ms));
            tasks.push_back(logged(log, "c", 0ms));
            auto ended = co_await ending(muster::gather(std::move(tasks)));
            EXPECT_EQ(text_of<std::runtime_error>(ended), "bad");
            EXPECT_EQ(log.size(), 4u);
            EXPECT_EQ(log.at(0), "b begins");
            EXPECT_EQ(log.at(1), "c begins");
        },
        0ms);
}

TEST(gather_of_a_range, with_a_limit_cancels_what_had_not_begun_after_a_failure) {
    expect_run(
        []() -> muster::task<> {
            lines log;
            std::vector<muster::task<int>> tasks;
            tasks.push_back(fail_after(5ms));
            tasks.push_back(logged(log, "b", 50ms));
            tasks.push_back(logged(log, "c", 50ms));
            auto ended = co_await ending(muster::gather(std::move(tasks)).limit(2));
            EXPECT_TRUE(ended.failed());
            EXPECT_EQ(log, (lines{"b begins", "b cancelled (sibling failed)"}));
        },
        5ms);
}

TEST(gather_of_a_range, of_handles_refuses_words_that_are_for_tasks) {
    expect_run(
        []() -> muster::task<> {
            std::vector<muster::task_handle<int>> handles;
            handles.push_back(muster::create_task(value_after(5ms, 1)));
            auto ended = co_await ending(muster::gather(handles).limit(1));
            EXPECT_TRUE(ended.failed_with<std::invalid_argument>());
            auto value = co_await handles[0];
            EXPECT_EQ(value, 1);
        },
        5ms);
}

TEST(gather_of_a_range, of_handles_that_are_kept_copies_the_values) {
    expect_run(
        []() -> muster::task<> {
            std::vector<muster::task_handle<std::string>> handles;
            auto make = []() -> muster::task<std::string> { co_return "text"; };
            handles.push_back(muster::create_task(make()));
            auto got = co_await muster::gather(handles);
            EXPECT_EQ(got.at(0), "text");
            EXPECT_EQ(handles[0].result(), "text");
        },
        0ms);
}

TEST(gather_of_a_range, quorum_ends_when_k_have_succeeded_and_says_which) {
    expect_run(
        []() -> muster::task<> {
            lines log;
            std::vector<muster::task<int>> tasks;
            tasks.push_back(logged(log, "a", 50ms));
            tasks.push_back(value_after(10ms, 1));
            tasks.push_back(value_after(5ms, 2));
            auto got = co_await muster::gather(std::move(tasks)).quorum(2);
            EXPECT_EQ(got.size(), 2u);
            EXPECT_EQ(got.at(0).index() + got.at(1).index(), 3u);
            EXPECT_EQ(log, (lines{"a begins", "a cancelled (race lost)"}));
        },
        10ms);
}

TEST(gather_of_a_range, quorum_gives_those_that_were_first_even_if_a_cancelled_one_succeeds_as_well) {
    expect_run(
        []() -> muster::task<> {
            std::vector<muster::task<int>> tasks;
            tasks.push_back(stubborn_for(20ms, 0));
            tasks.push_back(value_after(5ms, 1));
            auto got = co_await muster::gather(std::move(tasks)).quorum(1);
            EXPECT_EQ(got.size(), 1u);
            EXPECT_EQ(got.at(0).index(), 1u);
            EXPECT_EQ(got.at(0).value(), 1);
        },
        20ms, {"suppressed: gather[0]"});
}

TEST(gather_of_a_range, quorum_that_cannot_be_reached_throws_all_failures) {
    expect_run(
        []() -> muster::task<> {
            lines log;
            std::vector<muster::task<int>> tasks;
            tasks.push_back(fail_after(5ms));
            tasks.push_back(status_after(10ms, 500));
            tasks.push_back(logged(log, "c", 50ms));
            auto ended = co_await ending(muster::gather(std::move(tasks)).quorum(2));
            const auto* group = ended.error_as<muster::exception_group>();
            EXPECT_NE(group, nullptr);
            if (group != nullptr) {
                EXPECT_EQ(group->size(), 2u);
            }
            EXPECT_EQ(log.back(), "c cancelled (stopped after failures)");
        },
        10ms);
}

TEST(gather_of_a_range, quorum_of_more_than_there_are_is_an_error) {
    expect_run(
        []() -> muster::task<> {
            std::vector<muster::task<int>> tasks;
            tasks.push_back(value_now(1));
            auto ended = co_await ending(muster::gather(std::move(tasks)).quorum(2));
            EXPECT_TRUE(ended.failed_with<std::invalid_argument>());
            auto empty = co_await ending(muster::gather(std::vector<muster::task<int>>()).quorum(1));
            EXPECT_TRUE(empty.failed_with<std::invalid_argument>());
        },
        0ms);
}

TEST(gather_of_a_range, rate_starts_no_more_than_n_in_a_window) {
    expect_run(
        []() -> muster::task<> {
            std::vector<muster::task<>> tasks;
            for (int i = 0; i != 5; ++i)
                tasks.push_back(nothing_after(1ms));
            co_await muster::gather(std::move(tasks)).rate(2, 100ms);
        },
        201ms);
}

TEST(gather_of_a_range, bad_options_are_refused_with_the_fix) {
    EXPECT_THROW(static_cast<void>(muster::gather(std::vector<muster::task<int>>()).limit(0)), std::invalid_argument);
    EXPECT_THROW(
        static_cast<void>(muster::gather(std::vector<muster::task<int>>()).rate(0, 1s)), std::invalid_argument);
    EXPECT_THROW(
        static_cast<void>(muster::gather(std::vector<muster::task<int>>()).rate(1, 0s)), std::invalid_argument);
    EXPECT_THROW(
        static_cast<void>(muster::gather(std::vector<muster::task<int>>()).within(-1s)), std::invalid_argument);
    EXPECT_THROW(
        static_cast<void>(muster::gather(std::vector<muster::task<int>>()).each_within(-1s)), std::invalid_argument);
    EXPECT_THROW(static_cast<void>(muster::gather(std::vector<muster::task<int>>()).stop_after_failures(0)),
        std::invalid_argument);
    EXPECT_THROW(static_cast<void>(muster::gather(std::vector<muster::task<int>>()).quorum(0)), std::invalid_argument);
}

TEST(gather_of_a_range, one_hundred_thousand_children_that_end_at_once_are_no_trouble) {
    expect_run(
        []() -> muster::task<> {
            std::vector<muster::task<int>> tasks;
            for (int i = 0; i != 100'000; ++i)
                tasks.push_back(value_now(i));
            auto got = co_await muster::gather(std::move(tasks));
            EXPECT_EQ(got.size(), 100'000u);
            EXPECT_EQ(got.back(), 99'999);
        },
        0ms);
}
