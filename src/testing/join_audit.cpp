// SPDX-License-Identifier: MIT
#include <muster/testing/join_audit.hpp>

#include <muster/detail/join/join.hpp>

#include <exception>

namespace muster::testing {

using muster::detail::ledger;
using muster::detail::on_failure;

namespace {

std::string counts(const ledger& l) {
    return std::to_string(l.succeeded) + " succeeded, " + std::to_string(l.failed) + " failed, " +
           std::to_string(l.cancelled) + " cancelled";
}

} // namespace

void join_audit::joined(const muster::detail::join& j) noexcept {
    ++audited_;
    const ledger& l = j.counts_;
    children_ += l.succeeded + l.failed + l.cancelled + l.not_started;
    const bool all_ended = j.options_.owns_children && j.options_.policy != on_failure::leave_siblings;
    if (!all_ended)
        return; // those that it leaves alone are not its own
    const auto wrong = [&](const std::string& what) {
        mistakes_.push_back(j.name() + " at line " + std::to_string(j.options_.site.line()) + ": " + what + " (" +
                            counts(l) + " of " + std::to_string(j.total_) + ")");
    };
    try {
        if (j.unended_children() != 0)
            wrong(std::to_string(j.unended_children()) + " children have not ended");
        const std::size_t ended = l.succeeded + l.failed + l.cancelled;
        if (ended > j.total_)
            wrong("children were counted twice");
        // What a map did not pull is not started; where all are there from the start, none is.
        if (ended != (j.lazy_ ? j.begun_children() : j.total_))
            wrong("a child that began was not counted");
        if (j.outcome_at_ == nullptr)
            return;
        ledger seen;
        std::size_t known = 0;
        for (std::size_t i = 0; i != j.total_; ++i) {
            const auto* o = j.outcome_at_(j, i);
            if (o == nullptr)
                continue;
            ++known;
            switch (o->state()) {
            case outcome_state::value:
                ++seen.succeeded;
                break;
            case outcome_state::error:
                ++seen.failed;
                break;
            case outcome_state::cancelled:
                ++seen.cancelled;
                break;
            case outcome_state::not_started:
                ++seen.not_started;
                break;
            }
        }
        // The streamed forms keep no outcomes.
        if (known != 0 && (seen.succeeded != l.succeeded || seen.failed != l.failed || seen.cancelled != l.cancelled))
            wrong("its outcomes say otherwise: " + counts(seen));
    } catch (...) {
        std::terminate(); // no memory to say what is wrong
    }
}

} // namespace muster::testing
