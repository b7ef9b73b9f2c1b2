// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Runs a random program on a virtual clock and says what it did wrong.
///
///     const auto result = random_programs::run(random_programs::generate(42));
///     EXPECT_EQ(result.findings, std::vector<std::string>());

#include "faults/random_programs/program.hpp"

#include <cstddef>
#include <string>
#include <vector>

namespace random_programs {

struct result {
    result() = default;

    std::vector<std::string> findings; ///< empty: the ledger was kept
    std::size_t failures = 0;          ///< made by the program
    std::size_t reports = 0;
    std::size_t combinators = 0; ///< audited
    std::size_t children = 0;    ///< of these, as they were counted
    bool deadlock = false;
};

[[nodiscard]] result run(const program& p);

} // namespace random_programs
