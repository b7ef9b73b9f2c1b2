// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The decisions of a combinator when one of its children has ended: whether the others go on, and at the end what is
/// thrown. It counts, and knows no loop, no fiber and no value, so that every policy is a table in policy_test.cpp.
///
///     join_policy policy(rules, input_length::known);
///     policy.submit(3);
///     const auto decided = policy.child_ended(0, outcome_state::error);   // stop, sibling_failed

#include <muster/detail/assert.hpp>
#include <muster/error.hpp>
#include <muster/ledger.hpp>
#include <muster/outcome.hpp>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

namespace muster::detail {

inline constexpr std::size_t unlimited = std::numeric_limits<std::size_t>::max();

/// How the first failure is treated.
enum class on_failure : std::uint8_t {
    cancel_siblings, ///< the others are cancelled and waited for; the failure is thrown as itself
    leave_siblings,  ///< the failure is thrown at once; the others go on
    finish_siblings, ///< all run to the end; a group of all failures is thrown
    settle,          ///< nothing is thrown: the outcomes are the result
};

/// With leave_siblings: which end lets the caller go on.
enum class leave_at : std::uint8_t { never, error, no_value, any_end };

struct policy_rules {
    on_failure policy = on_failure::cancel_siblings;
    leave_at leave = leave_at::no_value;
    std::size_t max_failures = unlimited; ///< stop_after_failures(k)
    std::size_t quorum = 0;               ///< stop once so many have succeeded; 0: never
};

/// Whether the number of children was known before the first of them began.
enum class input_length : std::uint8_t { known, unknown };

class join_policy {
public:
    enum class verdict : std::uint8_t {
        go_on,
        stop,     ///< no more begin, and the others are cancelled in the combinator's next entry
        stop_now, ///< the same, within this entry: a race or quorum has been decided
        let_go,   ///< the caller goes on, and so do the others
    };
    struct decision {
        verdict what = verdict::go_on;
        cancel_reason reason = cancel_reason::none; ///< of a stop, for those that are stopped
    };
    /// How awaiting the combinator ends, if its caller was not cancelled and its input and sink did not fail.
    enum class conclusion : std::uint8_t {
        values,
        group,             ///< all failures in one exception_group
        decided_failure,   ///< the failure of decided_by()
        decided_cancelled, ///< decided_by() was cancelled, or ended otherwise without a failure
        deadline,          ///< timeout_error
        cancelled_child,   ///< the cancellation of the first child that was cancelled
        too_few,           ///< the input ended before the quorum could be reached
    };

    explicit join_policy(const policy_rules& rules) noexcept : rules_(rules) {
        // stop_after_failures(k) tolerates the failures before the k-th, and throws all of them together.
        if (rules.policy == on_failure::cancel_siblings && rules.max_failures != unlimited)
            rules_.policy = on_failure::finish_siblings;
    }

    void set_length(input_length length) noexcept { length_ = length; }
    void submit(std::size_t n = 1) noexcept { counts_.submit(n); }
    void count_retry() noexcept { counts_.count_retry(); }
    /// No more children will begin or end: those that never began are not started.
    void close() noexcept { counts_.count_rest_as_not_started(); }

    /// Counts the child and decides. *Errors*: std::bad_alloc if a winner can't be noted; it is counted all the same.
    decision child_ended(std::size_t index, outcome_state ended) {
        counts_.count(ended);
        if (ended == outcome_state::value && !values_decide()) [[likely]]
            return {};
        return decide(index, ended);
    }
    /// The same for a child with a value where values decide nothing.
    void count_value() noexcept {
        MUSTER_ASSERT(!values_decide());
        counts_.count(outcome_state::value);
    }
    /// True where the value of a child can stop the others, or let the caller go.
    [[nodiscard]] bool values_decide() const noexcept {
        return rules_.quorum != 0 || rules_.policy == on_failure::leave_siblings;
    }
    /// No more begin for a reason from outside: a cancellation, the deadline, a broken input. The first reason stays.
    void stop(cancel_reason reason) noexcept;

    [[nodiscard]] bool stopped() const noexcept { return stopped_for_ != cancel_reason::none; }
    [[nodiscard]] bool deadline_struck() const noexcept { return stopped_for_ == cancel_reason::deadline; }
    [[nodiscard]] const ledger& counts() const noexcept { return counts_; }
    [[nodiscard]] const policy_rules& rules() const noexcept { return rules_; }
    /// The child that decided; `unlimited` as long as none has.
    [[nodiscard]] std::size_t decided_by() const noexcept { return decided_by_; }
    /// True once the caller is let go although children may run.
    [[nodiscard]] bool let_go() const noexcept {
        return rules_.policy == on_failure::leave_siblings && decided_by_ != unlimited;
    }
    /// With a quorum: those that made it, in order of completion.
    [[nodiscard]] const std::vector<std::size_t>& winners() const noexcept { return winners_; }
    [[nodiscard]] conclusion conclude() const noexcept;

private:
    [[nodiscard]] decision decide(std::size_t index, outcome_state ended);
    [[nodiscard]] decision succeeded(std::size_t index);
    [[nodiscard]] decision ended_without_value(std::size_t index, bool failed) noexcept;
    [[nodiscard]] decision stop_and_say(verdict what, cancel_reason reason) noexcept;
    [[nodiscard]] bool quorum_out_of_reach() const noexcept;

    policy_rules rules_;
    input_length length_ = input_length::known;
    cancel_reason stopped_for_ = cancel_reason::none;
    outcome_state decided_as_ = outcome_state::not_started;
    std::size_t decided_by_ = unlimited;
    ledger counts_;
    std::vector<std::size_t> winners_;
};

} // namespace muster::detail
