// SPDX-License-Identifier: MIT
// This file makes join_audit's check when a join ends. The loop tells the audit, as its watch, of the join; the audit
// compares the join's counts with its children, with how many of them began, and with the outcomes where they are kept.
// Each contradiction becomes a line of text that names the join. A join that leaves siblings running or does not own
// its children is only counted.
#include <muster/testing/join_audit.hpp>

#include <muster/detail/join/join.hpp>

#include <exception>

namespace muster::testing {

using muster::detail::children_are;
using muster::detail::on_failure;

void join_audit::joined(const muster::detail::cancel_target& ended) noexcept {
    // Only joins tell a loop's watch that they have ended.
    const auto& j = static_cast<const muster::detail::join&>(ended);
    ++audited_;
    const ledger& counts = j.counts();
    children_ += counts.ended();
    if (j.options().children != children_are::owned || j.policy().rules().policy == on_failure::leave_siblings)
        return; // the children that it leaves alone are not its own
    const auto wrong = [&](const std::string& what) {
        mistakes_.push_back(j.name() + " at line " + std::to_string(j.options().site.line()) + ": " + what + " (" +
                            to_string(counts) + ")");
    };
    try {
        if (j.unended_children() != 0)
            wrong(std::to_string(j.unended_children()) + " children have not ended");
        if (!counts.adds_up())
            wrong("a child was not counted, or was counted twice");
        const auto* source = j.source();
        if (source == nullptr)
            return;
        // All that begin end; of those that were given from the start none is left where it was.
        const std::size_t begun = counts.ended() - counts.not_started();
        if (source->is_pulled() && begun != j.begun_children())
            wrong("a child that began was not counted");
        ledger seen;
        std::size_t known = 0;
        for (std::size_t i = 0; i != j.total(); ++i) {
            if (const auto* o = source->outcome_at(i)) {
                ++known;
                seen.count(o->state());
            }
        }
        // The streamed forms keep no outcomes.
        if (known != 0 && (seen.succeeded() != counts.succeeded() || seen.failed() != counts.failed() ||
                              seen.cancelled() != counts.cancelled()))
            wrong("its outcomes say otherwise: " + to_string(seen));
    } catch (...) {
        std::terminate(); // no memory to say what is wrong
    }
}

} // namespace muster::testing
