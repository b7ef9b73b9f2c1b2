// SPDX-License-Identifier: MIT
// This file finds out where the options of muster run end and its template begins, which CLI11 can't know.
#include "run_program.hpp"

#include "command_line.hpp"
#include "units.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cstddef>
#include <optional>
#include <utility>

namespace tool {

namespace {

/// In `muster run -- TEMPLATE...` what stands behind -- is no option, whatever it looks like.
std::optional<std::vector<std::string>> take_words_behind_dashes(std::vector<std::string>& arguments) {
    const auto at = std::ranges::find(arguments, "--");
    if (at == arguments.end())
        return std::nullopt;
    std::vector<std::string> words(at + 1, arguments.end());
    arguments.erase(at, arguments.end());
    return words;
}

/// *Returns* whether a word is an option of the command: "-f", "-flist", "--file", "--file=list".
bool is_option_of(const CLI::App& app, const std::string& word) {
    if (word.size() < 2 || word.front() != '-')
        return false;
    return app.get_option_no_throw(word.starts_with("--") ? word.substr(0, word.find('=')) : word.substr(0, 2)) !=
           nullptr;
}

/// In `muster run 'echo {}' -f list` the template is a command line of its own, and -f can't be a word of it. *Returns*
/// the arguments with the template behind the options, or nothing if the words behind it are the command's, as in
/// `muster run grep -f patterns`.
std::optional<std::vector<std::string>> with_template_last(
    const std::vector<std::string>& arguments, const std::vector<std::string>& left, const CLI::App& app) {
    if (left.size() < 2 || left.front().find_first_of(" \t\n") == std::string::npos || !is_option_of(app, left[1]))
        return std::nullopt;
    auto all = arguments;
    const auto at = all.end() - static_cast<std::ptrdiff_t>(left.size());
    std::rotate(at, at + 1, all.end());
    return all;
}

} // namespace

run_options understand_run(CLI::App& app, CLI::App& command, run_words& words, std::vector<std::string> arguments) {
    words.inputs = take_inputs(arguments);
    const auto behind = take_words_behind_dashes(arguments);
    refuse_empty_values(command, arguments, words_between::end_options);
    parse(app, arguments);
    if (!behind) {
        if (const auto all = with_template_last(arguments, command.remaining(), command)) {
            refuse_empty_values(command, *all, words_between::end_options);
            parse(app, *all);
            if (const auto left = command.remaining(); left.size() > 1)
                throw usage_error(fmt::format(
                    "'{}' is no option of muster run, and '{}' is the template", left.front(), left.back()));
        }
    }
    refuse_unknown_options(command);
    auto left = command.remaining();
    // A second `--` is kept as a word of the command.
    if (behind && !left.empty())
        left.emplace_back("--");
    if (behind)
        left.insert(left.end(), behind->begin(), behind->end());
    auto options = words.understand(std::move(left));
    const auto overlooked =
        std::ranges::find_if(options.words, [&](const std::string& word) { return is_option_of(command, word); });
    if (overlooked != options.words.end() && !behind)
        options.word_like_an_option = *overlooked;
    return options;
}

} // namespace tool
