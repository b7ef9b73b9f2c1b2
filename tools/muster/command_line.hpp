// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The programs' common way from the words of a command line to an exit status: what stands behind ::: is taken off,
/// the rest is parsed, and an error of usage becomes a message that says what to do.
///
///     return answer(app, [&] {
///         parse(app, arguments);
///         return tool::run(words.understand(command->remaining()));
///     });

#include "input_shape.hpp"

#include <CLI/CLI.hpp>

#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace tool {

/// Makes the process ready and calls `program` with the arguments behind the program's name. *Returns* the exit status;
/// an exception is said, and a failure.
[[nodiscard]] int start(
    int argc, char** argv, const std::function<int(std::vector<std::string> arguments)>& program) noexcept;

/// Prints help or a version. *Returns* the exit status: not being able to print it is a failed run.
[[nodiscard]] int print(const std::string& text);

/// *Returns* the help of the app, whatever was parsed.
[[nodiscard]] std::string help_of(const CLI::App& app);

/// Takes the inputs of `muster run TEMPLATE ::: INPUT...`, and of fetch, off the arguments, before options are read,
/// because an input may begin with a dash. *Errors*: usage_error.
[[nodiscard]] std::optional<std::vector<input_list>> take_inputs(std::vector<std::string>& arguments);

/// "muster 1.2.3".
[[nodiscard]] std::string version_text();
/// *Returns* whether the arguments are `run --version`, or the same of another command; `-V` as well.
[[nodiscard]] bool asks_for_version(const std::vector<std::string>& arguments);

/// Whether a word that is no option ends those of a command, as a template does, or may stand between them, as a URL.
enum class words_between { end_options, are_allowed };

/// *Errors*: usage_error if an option's value is empty, as that of a variable that is not set: the option would do
/// nothing; behind an equals sign the next word would be taken for it.
void refuse_empty_values(const CLI::App& command, const std::vector<std::string>& arguments, words_between between);

void parse(CLI::App& app, std::vector<std::string> words);

/// *Returns* what work() returns, or the exit status of what it threw: help and version are printed, errors of usage
/// are said, with where to look. Words that look like options and are none must be refused by work(): see
/// refuse_unknown_options().
[[nodiscard]] int answer(CLI::App& app, const std::function<int()>& work);

/// *Errors*: usage_error if the first of the words that `command` has left looks like an option.
void refuse_unknown_options(const CLI::App& command);

/// *Returns* a message about an option or a command that there is not, with the one that was probably meant.
[[nodiscard]] std::string about_unknown(const CLI::App& app, const std::string& word);

} // namespace tool
