// SPDX-License-Identifier: MIT
//
// Which end of a child decides what, by policy:
//
//                    | a value              | an error                    | a cancellation (*)
//    cancel_siblings | -                    | stop: sibling_failed        | stop: sibling_failed
//    leave_siblings  | let go, if any_end   | let go, unless leave is     | let go, if no_value or any_end
//                    |                      | never                       |
//    finish_siblings | -                    | stop at max_failures        | -
//    settle          | -                    | stop at max_failures        | -
//    with a quorum   | stop now: race_lost, | stop, once the quorum can't | the same
//                    | at the quorum        | be reached                  |
//
// (*) A cancellation that the join itself did not ask for.
//
// After the join has stopped, the end of a child decides only in two cases, and only if no other child has decided: a
// failure under cancel_siblings, which is thrown; and under leave_siblings any end that the table lets the caller go
// for, except a cancellation by the deadline.
#include <muster/detail/assert.hpp>
#include <muster/detail/join/policy.hpp>

namespace muster::detail {

void join_policy::stop(cancel_reason reason) noexcept {
    MUSTER_ASSERT(reason != cancel_reason::none);
    if (!stopped())
        stopped_for_ = reason;
}

join_policy::decision join_policy::stop_and_say(verdict what, cancel_reason reason) noexcept {
    if (stopped())
        return {};
    stop(reason);
    return decision{what, reason};
}

join_policy::decision join_policy::decide(std::size_t index, outcome_state ended) {
    decision d;
    switch (ended) {
    case outcome_state::value:
        d = succeeded(index);
        break;
    case outcome_state::error:
        d = ended_without_value(index, true);
        break;
    case outcome_state::cancelled:
        d = ended_without_value(index, false);
        break;
    case outcome_state::not_started:
        return d;
    }
    if (decided_by_ == index)
        decided_as_ = ended;
    return d;
}

join_policy::decision join_policy::succeeded(std::size_t index) {
    if (rules_.policy == on_failure::leave_siblings && rules_.leave == leave_at::any_end && decided_by_ == unlimited) {
        decided_by_ = index;
        return decision{verdict::let_go, cancel_reason::none};
    }
    if (counts_.succeeded() > rules_.quorum)
        return {}; // also where there is no quorum
    decision d;
    if (counts_.succeeded() == rules_.quorum)
        d = stop_and_say(verdict::stop_now, cancel_reason::race_lost);
    winners_.push_back(index);
    return d;
}

bool join_policy::quorum_out_of_reach() const noexcept {
    return rules_.quorum != 0 && length_ == input_length::known &&
           counts_.submitted() - counts_.failed() - counts_.cancelled() - counts_.not_started() < rules_.quorum;
}

join_policy::decision join_policy::ended_without_value(std::size_t index, bool failed) noexcept {
    switch (rules_.policy) {
    case on_failure::cancel_siblings:
        // One that was asked to stop, by this join or by its caller, decides nothing by ending so.
        if ((failed || !stopped()) && decided_by_ == unlimited) {
            decided_by_ = index;
            return stop_and_say(verdict::stop, cancel_reason::sibling_failed);
        }
        return {};
    case on_failure::leave_siblings:
        // Cancelled by the deadline: that is the combinator's timeout_error, and not this child's end.
        if (decided_by_ != unlimited || (deadline_struck() && !failed))
            return {};
        if (rules_.leave == leave_at::any_end || rules_.leave == leave_at::no_value ||
            (failed && rules_.leave == leave_at::error)) {
            decided_by_ = index;
            return decision{verdict::let_go, cancel_reason::none};
        }
        return {};
    case on_failure::finish_siblings:
    case on_failure::settle:
        if ((failed && counts_.failed() >= rules_.max_failures) || quorum_out_of_reach())
            return stop_and_say(verdict::stop, cancel_reason::stopped);
        return {};
    }
    return {};
}

join_policy::conclusion join_policy::conclude() const noexcept {
    const bool quorum_missed = rules_.quorum != 0 && counts_.succeeded() < rules_.quorum;
    const bool wants_all = rules_.quorum == 0 && rules_.policy == on_failure::finish_siblings;
    if (counts_.failed() != 0 && (wants_all || quorum_missed))
        return conclusion::group;
    if (decided_by_ != unlimited)
        return decided_as_ == outcome_state::error ? conclusion::decided_failure : conclusion::decided_cancelled;
    if (deadline_struck() && (quorum_missed || rules_.quorum == 0))
        return conclusion::deadline;
    if (counts_.cancelled() != 0 && (rules_.quorum == 0 || quorum_missed))
        return conclusion::cancelled_child;
    return quorum_missed ? conclusion::too_few : conclusion::values;
}

} // namespace muster::detail
