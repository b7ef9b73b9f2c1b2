// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The command line as it was written, before it is understood: what commands have in common, and the nearest thing to
/// a word that is not known.
///
///     fetch_words words;
///     words.describe(app);
///     words.understand(options);

#include "batch.hpp"

#include <CLI/CLI.hpp>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tool {

/// The names of options that other programs call something else in one command than in the other.
struct option_names {
    std::string limit;
    std::string timeout;
    std::string quiet;
};

/// The options that fetch and run share.
struct batch_words {
    std::string limit;
    std::string timeout;
    std::string deadline;
    std::string retries = "0";
    std::string rate;
    std::string max_failures;
    std::string spool_limit;
    std::string halt;
    std::string failed;
    std::string delay;
    bool drain = false;
    std::string jsonl;
    std::string log_mode;
    bool fail_fast = false;
    bool keep_going = false;
    bool quiet = false;
    bool no_progress = false;
    std::string max_load;
    std::string min_memory;
    std::string ledger;
    bool progress = false;
    bool bar = false;

    /// `each` is what there are many of: "request". `retried` says after what there is another attempt.
    void describe(CLI::App& app, const option_names& names, const std::string& each, const std::string& limit_text,
        const std::string& timeout_text, const std::string& retried);
    /// *Errors*: usage_error.
    void understand(batch_options& options) const;
};

/// "8", "50%" of the processors, or "+2" or "-1" beside their number. *Errors*: usage_error.
[[nodiscard]] std::size_t parse_limit(const std::string& text, const std::string& option);
/// *Returns* what the first line of the file says. *Errors*: usage_error.
[[nodiscard]] std::size_t limit_of_file(const std::string& file);

/// "soon,fail=10%", "now,success=1", "never". *Errors*: usage_error.
[[nodiscard]] halt_rule parse_halt(const std::string& text);

/// Of an option that is given again the last value counts, so a command line replaces what a configuration says.
/// Headers add up.
void take_last_of_repeated(CLI::App& app);

/// *Returns* the one of `known` that somebody who wrote `word` most probably meant; nothing if none is near.
[[nodiscard]] std::optional<std::string> nearest(std::string_view word, const std::vector<std::string>& known);

/// Every option of a command: "--limit", "-q".
[[nodiscard]] std::vector<std::string> options_of(const CLI::App& app);

} // namespace tool
