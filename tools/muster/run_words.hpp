// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The command line of muster run as it was written.
///
///     run_words words;
///     words.describe(app);
///     ...
///     return run(words.understand(app.remaining()));

#include "host_words.hpp"
#include "run.hpp"
#include "words.hpp"

#include <CLI/CLI.hpp>

#include <optional>
#include <string>
#include <vector>

namespace tool {

struct run_words : batch_words {
    std::vector<std::string> files;
    std::string delimiter;
    bool linked = false;
    std::string grace;
    std::string linger;
    bool nul_separated = false;
    bool keep_order = false;
    bool ungrouped = false;
    bool tag = false;
    bool line_buffered = false;
    std::string tag_template;
    std::string results;
    bool dry_run = false;
    bool resume = false;
    std::string colsep;
    std::string header;
    bool csv = false;
    std::string max_args;
    bool as_many_as_fit = false;
    std::string own_placeholder;
    std::string shell;
    std::string stdin_from;
    bool pipe = false;
    std::string block;
    bool tty = false;
    bool trace = false;
    std::string max_output;
    std::string nice;
    std::string directory;
    host_words on_hosts;
    std::string run_in_queue;
    std::string worker_tag;
    std::string schema;
    std::string least_hosts;
    bool retry_elsewhere = false;
    std::vector<std::string> environment;
    bool transfer = false;
    std::vector<std::string> transfer_files;
    std::vector<std::string> return_files;
    std::vector<std::string> both_ways;
    bool cleanup = false;
    std::optional<std::vector<input_list>> inputs; ///< what stands behind :::

    void describe(CLI::App& app);
    /// `template_words` are what stands behind the options. *Errors*: usage_error.
    [[nodiscard]] run_options understand(std::vector<std::string> template_words) const;
};

} // namespace tool
