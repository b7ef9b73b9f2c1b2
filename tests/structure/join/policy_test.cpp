// SPDX-License-Identifier: MIT
// What each policy decides when a child ends, as tables: the first of three ends in each way, then a later one, then
// the last.
#include <muster/detail/join/policy.hpp>

#include <gtest/gtest.h>

using muster::cancel_reason;
using muster::outcome_state;
using muster::detail::input_length;
using muster::detail::join_policy;
using muster::detail::leave_at;
using muster::detail::on_failure;
using muster::detail::policy_rules;
using muster::detail::unlimited;

namespace {

using verdict = join_policy::verdict;
using conclusion = join_policy::conclusion;
constexpr auto value = outcome_state::value;
constexpr auto error = outcome_state::error;
constexpr auto cancelled = outcome_state::cancelled;
constexpr auto not_started = outcome_state::not_started;

policy_rules rules_of(on_failure policy) {
    policy_rules rules;
    rules.policy = policy;
    return rules;
}
policy_rules leaving(leave_at at) {
    policy_rules rules = rules_of(on_failure::leave_siblings);
    rules.leave = at;
    return rules;
}
policy_rules quorum_of(std::size_t k) {
    policy_rules rules = rules_of(on_failure::finish_siblings);
    rules.quorum = k;
    return rules;
}
policy_rules stopping_after(on_failure policy, std::size_t k) {
    policy_rules rules = rules_of(policy);
    rules.max_failures = k;
    return rules;
}

struct end {
    outcome_state state;
    verdict decides;
    cancel_reason reason = cancel_reason::none;
};
struct row {
    policy_rules rules;
    std::vector<end> ends;
    conclusion concludes;
    std::size_t decided_by;
};

void expect_rows(const std::vector<row>& rows) {
    for (std::size_t r = 0; r != rows.size(); ++r) {
        SCOPED_TRACE("row " + std::to_string(r));
        join_policy policy(rows[r].rules);
        policy.submit(rows[r].ends.size());
        for (std::size_t i = 0; i != rows[r].ends.size(); ++i) {
            SCOPED_TRACE("child " + std::to_string(i));
            const auto decided = policy.child_ended(i, rows[r].ends[i].state);
            EXPECT_EQ(decided.what, rows[r].ends[i].decides);
            EXPECT_EQ(decided.reason, rows[r].ends[i].reason);
        }
        EXPECT_TRUE(policy.counts().adds_up());
        EXPECT_EQ(policy.conclude(), rows[r].concludes);
        EXPECT_EQ(policy.decided_by(), rows[r].decided_by);
    }
}

constexpr auto go_on = verdict::go_on;
constexpr auto stop = verdict::stop;
constexpr auto stop_now = verdict::stop_now;
constexpr auto let_go = verdict::let_go;
constexpr auto sibling_failed = cancel_reason::sibling_failed;
constexpr auto stopped = cancel_reason::stopped;
constexpr auto race_lost = cancel_reason::race_lost;

} // namespace

TEST(join_policy, cancel_siblings_stops_at_the_first_end_without_a_value) {
    const auto p = rules_of(on_failure::cancel_siblings);
    expect_rows({
        {p, {{value, go_on}, {value, go_on}, {value, go_on}}, conclusion::values, unlimited},
        {p, {{error, stop, sibling_failed}, {value, go_on}, {value, go_on}}, conclusion::decided_failure, 0},
        {p, {{value, go_on}, {error, stop, sibling_failed}, {error, go_on}}, conclusion::decided_failure, 1},
        {p, {{value, go_on}, {value, go_on}, {error, stop, sibling_failed}}, conclusion::decided_failure, 2},
        {p, {{cancelled, stop, sibling_failed}, {value, go_on}, {value, go_on}}, conclusion::decided_cancelled, 0},
        {p, {{cancelled, stop, sibling_failed}, {error, go_on}, {value, go_on}}, conclusion::decided_cancelled, 0},
        {p, {{value, go_on}, {cancelled, stop, sibling_failed}, {cancelled, go_on}}, conclusion::decided_cancelled, 1},
        {p, {{value, go_on}, {value, go_on}, {cancelled, stop, sibling_failed}}, conclusion::decided_cancelled, 2},
    });
}

TEST(join_policy, finish_siblings_decides_nothing_and_throws_all_failures) {
    const auto p = rules_of(on_failure::finish_siblings);
    expect_rows({
        {p, {{value, go_on}, {value, go_on}, {value, go_on}}, conclusion::values, unlimited},
        {p, {{error, go_on}, {value, go_on}, {value, go_on}}, conclusion::group, unlimited},
        {p, {{value, go_on}, {error, go_on}, {value, go_on}}, conclusion::group, unlimited},
        {p, {{value, go_on}, {value, go_on}, {error, go_on}}, conclusion::group, unlimited},
        {p, {{error, go_on}, {cancelled, go_on}, {error, go_on}}, conclusion::group, unlimited},
        {p, {{cancelled, go_on}, {value, go_on}, {value, go_on}}, conclusion::cancelled_child, unlimited},
        {p, {{value, go_on}, {value, go_on}, {cancelled, go_on}}, conclusion::cancelled_child, unlimited},
    });
}

TEST(join_policy, settle_decides_nothing) {
    const auto p = rules_of(on_failure::settle);
    expect_rows({
        {p, {{value, go_on}, {error, go_on}, {cancelled, go_on}}, conclusion::cancelled_child, unlimited},
        {p, {{error, go_on}, {error, go_on}, {error, go_on}}, conclusion::values, unlimited},
    });
}

TEST(join_policy, leave_siblings_lets_the_caller_go_at_the_end_that_was_chosen) {
    const auto never = leaving(leave_at::never);
    const auto at_error = leaving(leave_at::error);
    const auto no_value = leaving(leave_at::no_value);
    const auto any_end = leaving(leave_at::any_end);
    expect_rows({
        {never, {{value, go_on}, {error, go_on}, {cancelled, go_on}}, conclusion::cancelled_child, unlimited},
        {at_error, {{value, go_on}, {cancelled, go_on}, {error, let_go}}, conclusion::decided_failure, 2},
        {at_error, {{error, let_go}, {error, go_on}, {value, go_on}}, conclusion::decided_failure, 0},
        {no_value, {{value, go_on}, {cancelled, let_go}, {error, go_on}}, conclusion::decided_cancelled, 1},
        {no_value, {{error, let_go}, {cancelled, go_on}, {value, go_on}}, conclusion::decided_failure, 0},
        {no_value, {{value, go_on}, {value, go_on}, {value, go_on}}, conclusion::values, unlimited},
        {any_end, {{value, let_go}, {error, go_on}, {cancelled, go_on}}, conclusion::decided_cancelled, 0},
        {any_end, {{cancelled, let_go}, {value, go_on}, {value, go_on}}, conclusion::decided_cancelled, 0},
        {any_end, {{error, let_go}, {value, go_on}, {value, go_on}}, conclusion::decided_failure, 0},
    });
}

TEST(join_policy, quorum_stops_the_others_at_once_when_it_is_reached_and_soon_when_it_cannot_be) {
    const auto one = quorum_of(1);
    const auto two = quorum_of(2);
    expect_rows({
        {one, {{value, stop_now, race_lost}, {cancelled, go_on}, {not_started, go_on}}, conclusion::values, unlimited},
        {one, {{value, stop_now, race_lost}, {value, go_on}, {error, go_on}}, conclusion::values, unlimited},
        {one, {{error, go_on}, {cancelled, go_on}, {value, stop_now, race_lost}}, conclusion::values, unlimited},
        {one, {{error, go_on}, {error, go_on}, {error, stop, stopped}}, conclusion::group, unlimited},
        {one, {{cancelled, go_on}, {error, go_on}, {cancelled, stop, stopped}}, conclusion::group, unlimited},
        {one, {{cancelled, go_on}, {cancelled, go_on}, {cancelled, stop, stopped}}, conclusion::cancelled_child,
            unlimited},
        {two, {{value, go_on}, {value, stop_now, race_lost}, {cancelled, go_on}}, conclusion::values, unlimited},
        {two, {{value, go_on}, {error, go_on}, {value, stop_now, race_lost}}, conclusion::values, unlimited},
        {two, {{error, go_on}, {error, stop, stopped}, {value, go_on}}, conclusion::group, unlimited},
        {two, {{value, go_on}, {cancelled, go_on}, {cancelled, stop, stopped}}, conclusion::cancelled_child, unlimited},
    });
}

TEST(join_policy, winners_are_the_first_in_order_of_completion) {
    join_policy policy(quorum_of(2));
    policy.submit(4);
    static_cast<void>(policy.child_ended(3, value));
    static_cast<void>(policy.child_ended(0, error));
    static_cast<void>(policy.child_ended(1, value));
    static_cast<void>(policy.child_ended(2, value)); // it refused to be cancelled
    EXPECT_EQ(policy.winners(), (std::vector<std::size_t>{3, 1}));
    EXPECT_EQ(policy.counts().succeeded(), 3u);
}

TEST(join_policy, quorum_of_an_input_that_ends_before_it_is_too_few) {
    join_policy policy(quorum_of(2));
    policy.set_length(input_length::unknown);
    policy.submit();
    EXPECT_EQ(policy.child_ended(0, value).what, go_on);
    EXPECT_EQ(policy.conclude(), conclusion::too_few);
}

TEST(join_policy, stop_after_failures_stops_at_the_kth) {
    const auto finish = stopping_after(on_failure::finish_siblings, 2);
    const auto settled = stopping_after(on_failure::settle, 2);
    const auto by_default = stopping_after(on_failure::cancel_siblings, 2); // tolerates the first
    expect_rows({
        {finish, {{error, go_on}, {value, go_on}, {error, stop, stopped}}, conclusion::group, unlimited},
        {finish, {{error, go_on}, {error, stop, stopped}, {error, go_on}}, conclusion::group, unlimited},
        {finish, {{error, go_on}, {cancelled, go_on}, {value, go_on}}, conclusion::group, unlimited},
        {settled, {{error, go_on}, {error, stop, stopped}, {cancelled, go_on}}, conclusion::cancelled_child, unlimited},
        {by_default, {{error, go_on}, {error, stop, stopped}, {value, go_on}}, conclusion::group, unlimited},
    });
}

TEST(join_policy, what_was_stopped_from_outside_decides_nothing_but_for_a_failure) {
    for (const auto reason : {cancel_reason::parent_cancelled, cancel_reason::deadline, cancel_reason::stopped}) {
        join_policy policy(rules_of(on_failure::cancel_siblings));
        policy.submit(3);
        policy.stop(reason);
        EXPECT_EQ(policy.child_ended(0, cancelled).what, go_on);
        EXPECT_EQ(policy.decided_by(), unlimited);
        EXPECT_EQ(policy.child_ended(1, error).what, go_on) << "it has stopped already";
        EXPECT_EQ(policy.decided_by(), 1u);
        EXPECT_EQ(policy.child_ended(2, error).what, go_on);
        EXPECT_EQ(policy.conclude(), conclusion::decided_failure);
    }
}

TEST(join_policy, deadline_is_what_is_thrown_unless_a_failure_or_a_quorum_goes_first) {
    join_policy all(rules_of(on_failure::cancel_siblings));
    all.submit(2);
    static_cast<void>(all.child_ended(0, value));
    all.stop(cancel_reason::deadline);
    static_cast<void>(all.child_ended(1, cancelled));
    EXPECT_TRUE(all.deadline_struck());
    EXPECT_EQ(all.conclude(), conclusion::deadline);

    join_policy race(quorum_of(1));
    race.submit(2);
    race.stop(cancel_reason::deadline);
    static_cast<void>(race.child_ended(0, cancelled));
    EXPECT_EQ(race.conclude(), conclusion::deadline);
    EXPECT_EQ(race.child_ended(1, value).what, go_on);
    EXPECT_EQ(race.conclude(), conclusion::values) << "a value that came all the same is not lost";
}

TEST(join_policy, deadline_that_leaves_the_children_alone_is_no_end_of_theirs) {
    join_policy policy(leaving(leave_at::no_value));
    policy.submit(2);
    policy.stop(cancel_reason::deadline);
    EXPECT_EQ(policy.child_ended(0, cancelled).what, go_on);
    EXPECT_EQ(policy.conclude(), conclusion::deadline);
    EXPECT_EQ(policy.child_ended(1, error).what, let_go);
    EXPECT_EQ(policy.conclude(), conclusion::decided_failure);
}

TEST(join_policy, close_counts_what_never_began) {
    join_policy policy(rules_of(on_failure::settle));
    policy.submit(5);
    static_cast<void>(policy.child_ended(0, value));
    policy.close();
    EXPECT_TRUE(policy.counts().adds_up());
    EXPECT_EQ(policy.counts().not_started(), 4u);
}
