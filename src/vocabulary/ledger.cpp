// SPDX-License-Identifier: MIT
// This file writes the counts of a ledger as one line of text.
#include <muster/ledger.hpp>

namespace muster {

std::string to_string(const ledger& counts) {
    std::string text = std::to_string(counts.submitted()) + " submitted: " + std::to_string(counts.succeeded()) +
                       " succeeded, " + std::to_string(counts.failed()) + " failed, " +
                       std::to_string(counts.cancelled()) + " cancelled, " + std::to_string(counts.not_started()) +
                       " not started";
    if (counts.retries() != 0)
        text += ", " + std::to_string(counts.retries()) + (counts.retries() == 1 ? " retry" : " retries");
    return text;
}

} // namespace muster
