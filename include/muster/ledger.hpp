// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The counts behind every combinator: how many were submitted, and how each of them ended. Everything that was
/// submitted ends as exactly one of succeeded, failed, cancelled and not started, so the four add up to it.
///
///     muster::ledger counts;
///     counts.submit(tasks.size());
///     counts.count(outcome.state());       // once for each
///     assert(counts.adds_up());

#include <muster/config.hpp>
#include <muster/outcome.hpp>

#include <cstddef>
#include <string>

namespace muster {

/// Only counts: the outcomes themselves are kept by `outcomes`, the first few failures of each type by `summary`.
/// *Thread safety*: one thread at a time.
class ledger {
public:
    /// `n` more were submitted.
    void submit(std::size_t n = 1) noexcept { submitted_ += n; }
    /// One of those that were submitted has ended so.
    void count(outcome_state ended) noexcept {
        switch (ended) {
        case outcome_state::value:
            ++succeeded_;
            break;
        case outcome_state::error:
            ++failed_;
            break;
        case outcome_state::cancelled:
            ++cancelled_;
            break;
        case outcome_state::not_started:
            ++not_started_;
            break;
        }
    }
    /// One of them begins another attempt. An attempt that never begins is no retry.
    void count_retry() noexcept { ++retries_; }
    /// All that have not been counted yet will never begin.
    void count_rest_as_not_started() noexcept { not_started_ += submitted_ - ended(); }

    [[nodiscard]] std::size_t submitted() const noexcept { return submitted_; }
    [[nodiscard]] std::size_t succeeded() const noexcept { return succeeded_; }
    [[nodiscard]] std::size_t failed() const noexcept { return failed_; }
    [[nodiscard]] std::size_t cancelled() const noexcept { return cancelled_; }
    [[nodiscard]] std::size_t not_started() const noexcept { return not_started_; }
    /// How many attempts were made beyond the first ones.
    [[nodiscard]] std::size_t retries() const noexcept { return retries_; }

    /// How many have been counted: the sum of the four.
    [[nodiscard]] std::size_t ended() const noexcept { return succeeded_ + failed_ + cancelled_ + not_started_; }
    [[nodiscard]] bool all_succeeded() const noexcept { return succeeded_ == submitted_; }
    /// True at the end of everything: each that was submitted was counted once.
    [[nodiscard]] bool adds_up() const noexcept { return ended() == submitted_; }

    bool operator==(const ledger&) const noexcept = default;

private:
    std::size_t submitted_ = 0;
    std::size_t succeeded_ = 0;
    std::size_t failed_ = 0;
    std::size_t cancelled_ = 0;
    std::size_t not_started_ = 0;
    std::size_t retries_ = 0;
};

/// *Returns* "5 submitted: 2 succeeded, 1 failed, 1 cancelled, 1 not started"; ", 3 retries" follows if there were any.
[[nodiscard]] std::string to_string(const ledger& counts);

} // namespace muster
