// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Audits the ledger of every combinator that ends on a loop: each child is counted once, as what its outcome says,
/// the four counts add up, and no child is left running that the combinator owns.
///
///     muster::testing::join_audit audit;
///     loop.set_watch(&audit);             // of a manual_loop; audit.mistakes() afterwards

#include <muster/config.hpp>
#include <muster/detail/loop_watch.hpp>

#include <cstddef>
#include <string>
#include <vector>

namespace muster::testing {

/// *Lifetime*: longer than the loop. *Thread safety*: the loop's.
class join_audit : public muster::detail::loop_watch {
public:
    join_audit() = default;
    ~join_audit() = default;

    void joined(const muster::detail::cancel_target& ended) noexcept override;

    /// How many combinators have ended.
    [[nodiscard]] std::size_t audited() const noexcept { return audited_; }
    /// How many children they had, as they were counted.
    [[nodiscard]] std::size_t children() const noexcept { return children_; }
    /// A line for each whose ledger was wrong.
    [[nodiscard]] const std::vector<std::string>& mistakes() const noexcept { return mistakes_; }

private:
    std::size_t audited_ = 0;
    std::size_t children_ = 0;
    std::vector<std::string> mistakes_;
};

} // namespace muster::testing
