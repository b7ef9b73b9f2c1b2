// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The command line of muster run, for the two programs that it is: muster, and muster-queue where commands go through
/// a queue.
///
///     run_words words;
///     words.describe(*command);
///     return run(understand_run(app, *command, words, arguments));

#include "run.hpp"
#include "run_words.hpp"

#include <CLI/CLI.hpp>

#include <string>
#include <vector>

namespace tool {

/// *Returns* what the arguments of `muster run` ask for; the first argument is the word "run" itself. *Errors*:
/// usage_error; CLI::ParseError.
[[nodiscard]] run_options understand_run(
    CLI::App& app, CLI::App& command, run_words& words, std::vector<std::string> arguments);

} // namespace tool
