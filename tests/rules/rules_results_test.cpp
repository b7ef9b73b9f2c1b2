// SPDX-License-Identifier: MIT
// "Rules that decide cases" of the design: how many results are given, and what is said of a task that nobody awaited.
#include "support/virtual_run.hpp"

#include <muster/gather.hpp>
#include <muster/map.hpp>
#include <muster/sleep.hpp>

#include <gtest/gtest.h>

#include <ranges>
#include <stdexcept>
#include <vector>

using namespace play;

namespace {

muster::task<int> every_tenth_fails(int n) {
    co_await muster::sleep_for(milliseconds(n % 7));
    if (n % 10 == 0)
        throw http_error(n);
    co_return n;
}

} // namespace

TEST(rule_two_forms_of_many_results, collected_every_outcome_is_kept_in_input_order) {
    expect_run(
        []() -> muster::task<> {
            auto outcomes = co_await muster::map(std::views::iota(0, 100), every_tenth_fails).limit(100).settle();
            expect_adds_up(outcomes, 100, 90, 10, 0, 0);
            for (std::size_t i = 0; i != outcomes.size(); ++i)
                EXPECT_EQ(outcomes[i].succeeded(), i % 10 != 0) << i;
        },
        6ms);
}

TEST(rule_two_forms_of_many_results, streamed_the_counts_and_a_few_examples_and_the_slowest_are_kept) {
    expect_run(
        []() -> muster::task<> {
            std::size_t given = 0;
            auto sink = [&given](std::size_t, muster::outcome<int>&&) { ++given; };
            auto summary = co_await muster::map(std::views::iota(0, 100), every_tenth_fails).limit(100).for_each(sink);
            EXPECT_EQ(given, 100u);
            expect_adds_up(summary, 100, 90, 10, 0, 0);
            EXPECT_EQ(summary.failures_by_type().size(), 1u);
            EXPECT_EQ(summary.failures_by_type()[0].count, 10u);
            EXPECT_EQ(summary.failures_by_type()[0].examples.size(), muster::summary::examples_kept);
            EXPECT_EQ(summary.slowest().size(), muster::summary::slowest_kept);
            EXPECT_EQ(summary.slowest()[0].duration, 6ms);
        },
        6ms);
}

TEST(rule_creation_site, of_a_bare_task_that_was_never_awaited_is_its_function_and_is_labelled_so) {
    std::vector<std::string> seen;
    const auto before = muster::set_report_handler([&seen](const muster::report& r) {
        EXPECT_EQ(r.kind, muster::report_kind::never_awaited);
        EXPECT_NE(r.name.find("every_tenth_fails"), std::string::npos) << r.name;
        EXPECT_NE(std::string(r.site.file_name()).find("rules_results_test.cpp"), std::string::npos);
        seen.push_back(std::string(r.detail));
    });
    static_cast<void>(every_tenth_fails(1));
    muster::set_report_handler(before);
    EXPECT_EQ(seen, std::vector<std::string>{"coroutine function at"});
}

TEST(rule_creation_site, an_unstarted_task_that_is_destroyed_while_an_exception_unwinds_is_not_reported) {
    std::size_t reports = 0;
    const auto before = muster::set_report_handler([&reports](const muster::report&) { ++reports; });
    try {
        const auto unstarted = every_tenth_fails(1);
        throw std::runtime_error("on its way");
    } catch (const std::runtime_error&) {
        EXPECT_EQ(reports, 0u);
    }
    muster::set_report_handler(before);
}
