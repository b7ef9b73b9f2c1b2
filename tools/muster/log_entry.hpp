// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// One line of the log of an earlier run, as far as --resume needs it. The file may be anybody's: a line of millions of
/// values takes no more memory than the line itself.
///
///     if (const auto entry = read_entry(line)) done = entry->outcome == "ok";

#include <optional>
#include <string>
#include <string_view>

namespace tool {

struct log_entry {
    std::string key;
    std::string outcome;
    std::string file;            ///< of the body; empty: none
    unsigned ended_in_queue = 0; ///< so many attempts have an end that the queue knows
    std::string run;             ///< what comes next is of this run in a queue
    std::string queue;           ///< the id of that; there is nothing else then
};

/// *Returns* nothing unless the line is an object of JSON with an index, a key and an outcome, or without an index and
/// with the name of a run.
[[nodiscard]] std::optional<log_entry> read_entry(std::string_view line);

} // namespace tool
