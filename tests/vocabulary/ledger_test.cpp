// SPDX-License-Identifier: MIT
#include <muster/ledger.hpp>

#include <gtest/gtest.h>

using muster::ledger;
using muster::outcome_state;

TEST(ledger, adds_up_once_each_that_was_submitted_was_counted) {
    struct step {
        outcome_state ended;
        std::size_t succeeded, failed, cancelled, not_started;
    };
    const step steps[] = {
        {outcome_state::value, 1, 0, 0, 0},
        {outcome_state::error, 1, 1, 0, 0},
        {outcome_state::cancelled, 1, 1, 1, 0},
        {outcome_state::not_started, 1, 1, 1, 1},
        {outcome_state::value, 2, 1, 1, 1},
    };
    ledger counts;
    EXPECT_TRUE(counts.adds_up()) << "of nothing, all have ended";
    counts.submit(std::size(steps));
    for (const auto& s : steps) {
        EXPECT_FALSE(counts.adds_up());
        counts.count(s.ended);
        EXPECT_EQ(counts.succeeded(), s.succeeded);
        EXPECT_EQ(counts.failed(), s.failed);
        EXPECT_EQ(counts.cancelled(), s.cancelled);
        EXPECT_EQ(counts.not_started(), s.not_started);
    }
    EXPECT_TRUE(counts.adds_up());
    EXPECT_FALSE(counts.all_succeeded());
}

TEST(ledger, counts_the_rest_as_not_started) {
    ledger counts;
    counts.submit(5);
    counts.count(outcome_state::value);
    counts.count(outcome_state::cancelled);
    counts.count_rest_as_not_started();
    EXPECT_EQ(counts.not_started(), 3u);
    EXPECT_TRUE(counts.adds_up());
    counts.count_rest_as_not_started();
    EXPECT_EQ(counts.not_started(), 3u);
}

TEST(ledger, does_not_add_up_if_one_is_counted_twice) {
    ledger counts;
    counts.submit();
    counts.count(outcome_state::value);
    counts.count(outcome_state::value);
    EXPECT_FALSE(counts.adds_up());
}

TEST(ledger, keeps_retries_apart_from_the_ends) {
    ledger counts;
    counts.submit();
    counts.count_retry();
    counts.count_retry();
    counts.count(outcome_state::value);
    EXPECT_EQ(counts.retries(), 2u);
    EXPECT_TRUE(counts.adds_up());
    EXPECT_TRUE(counts.all_succeeded());
}

TEST(ledger, says_its_counts_in_words) {
    ledger counts;
    counts.submit(3);
    counts.count(outcome_state::value);
    counts.count(outcome_state::error);
    counts.count_rest_as_not_started();
    EXPECT_EQ(to_string(counts), "3 submitted: 1 succeeded, 1 failed, 0 cancelled, 1 not started");
    counts.count_retry();
    EXPECT_EQ(to_string(counts), "3 submitted: 1 succeeded, 1 failed, 0 cancelled, 1 not started, 1 retry");
}
