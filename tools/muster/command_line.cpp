// SPDX-License-Identifier: MIT
// This file holds what the mains of muster and muster-fetch share. answer() calls the work and turns the exceptions of
// CLI11 and usage_error into messages and exit statuses; the command that was chosen decides whose help they point to.
#include "command_line.hpp"

#include "advice.hpp"
#include "streams.hpp"
#include "units.hpp"
#include "words.hpp"
#include "writer.hpp"

#include <muster/config.hpp>

#include <fmt/core.h>
#include <fmt/format.h>

#include <algorithm>
#include <clocale>
#include <exception>
#include <string_view>
#include <utility>

#include <langinfo.h>
#include <unistd.h>

namespace tool {

namespace {

const CLI::App& chosen_of(const CLI::App& app) {
    const auto chosen = app.get_subcommands();
    return chosen.empty() ? app : *chosen.front();
}

/// *Returns* the command that prints the whole help, such as "muster run --help", for the end of a message.
std::string help_command_of(const CLI::App& app) {
    return app.get_parent() == nullptr ? fmt::format("{} --help", app.get_name())
                                       : fmt::format("{} {} --help", app.get_parent()->get_name(), app.get_name());
}

/// *Returns* a few at most.
std::vector<std::string> those_that_begin_with(const std::string& begin, const std::vector<std::string>& known) {
    constexpr std::size_t shortest = 5;
    constexpr std::size_t most = 3;
    std::vector<std::string> all;
    for (const auto& k : known) {
        if (begin.size() >= shortest && k.starts_with(begin))
            all.push_back(k);
    }
    return all.size() <= most ? all : std::vector<std::string>();
}

int refuse(const std::string& text) {
    complain(text);
    return bad_usage;
}

} // namespace

int start(int argc, char** argv, const std::function<int(std::vector<std::string> arguments)>& program) noexcept {
    // International host names are read in the locale's encoding, which is UTF-8 whatever else it says.
    if (std::setlocale(LC_CTYPE, "") == nullptr || std::string_view(::nl_langinfo(CODESET)) != "UTF-8")
        std::setlocale(LC_CTYPE, "C.UTF-8");
    prepare_process();
    try {
        return program(std::vector<std::string>(argv + std::min(argc, 1), argv + argc));
    } catch (const usage_error& e) {
        return refuse(e.what());
    } catch (const std::exception& e) {
        complain(e.what());
        return some_failed;
    }
}

int print(const std::string& text) {
    if (const auto failed = write_all(STDOUT_FILENO, text)) {
        complain(fmt::format("writing to standard output failed: {}", failed->message()));
        return some_failed;
    }
    return all_succeeded;
}

std::string help_of(const CLI::App& app) {
    // App::help() would print the help of the command that was parsed last.
    const auto* of = app.get_parent();
    const auto name = of == nullptr ? app.get_name() : of->get_name() + ' ' + app.get_name();
    return app.get_formatter()->make_help(&app, name, CLI::AppFormatMode::Normal);
}

std::optional<std::vector<input_list>> take_inputs(std::vector<std::string>& arguments) {
    const auto is_mark = [](const std::string& word) {
        return word.starts_with(":::") && word.size() <= 5 &&
               (word == ":::" || word == ":::+" || word == "::::" || word == "::::+");
    };
    const auto first = std::ranges::find_if(arguments, is_mark);
    if (first == arguments.end())
        return std::nullopt;
    std::vector<input_list> lists;
    for (auto at = first; at != arguments.end();) {
        const std::string mark = *at;
        const auto end = std::find_if(at + 1, arguments.end(), is_mark);
        std::vector<std::string> words(at + 1, end);
        bool beside = mark.ends_with('+');
        if (lists.empty() && beside)
            throw usage_error(fmt::format("{} puts inputs beside those of a list before it: begin with :::", mark));
        if (mark.starts_with("::::")) {
            if (words.empty())
                throw usage_error(fmt::format("there is no file behind {}", mark));
            for (auto& file : words) {
                lists.emplace_back(std::vector<std::string>(), std::exchange(beside, false));
                lists.back().file = std::move(file);
            }
        } else {
            lists.emplace_back(std::move(words), beside);
        }
        at = end;
    }
    arguments.erase(first, arguments.end());
    return lists;
}

std::string version_text() {
    return fmt::format("muster {}.{}.{}", muster::version_major, muster::version_minor, muster::version_patch);
}

bool asks_for_version(const std::vector<std::string>& arguments) {
    return arguments.size() == 2 && (arguments[1] == "--version" || arguments[1] == "-V");
}

namespace {

/// *Returns* the option whose value the next word is, or is in the word itself behind an equals sign; null if the word
/// is none, or has its value.
const CLI::Option* option_without_value(const CLI::App& command, const std::string& word) {
    const CLI::Option* option = nullptr;
    if (word.starts_with("--")) {
        const auto equals = word.find('=');
        if (equals == std::string::npos || equals + 1 == word.size())
            option = command.get_option_no_throw(word.substr(0, equals));
    } else {
        for (std::size_t at = 1; at != word.size(); ++at) {
            option = command.get_option_no_throw({'-', word[at]});
            if (option == nullptr || option->get_items_expected_max() != 0)
                return at + 1 == word.size() ? option : nullptr;
        }
    }
    return option != nullptr && option->get_items_expected_max() != 0 ? option : nullptr;
}

} // namespace

void refuse_empty_values(const CLI::App& command, const std::vector<std::string>& arguments, words_between between) {
    constexpr std::string_view may_be_empty[] = {"data", "user-agent", "noproxy"};
    for (std::size_t i = 1; i < arguments.size() && arguments[i] != "--"; ++i) {
        const auto& word = arguments[i];
        if (word.size() < 2 || word.front() != '-') {
            if (between == words_between::end_options)
                return;
            continue;
        }
        const auto* option = option_without_value(command, word);
        if (option == nullptr)
            continue;
        const bool has_equals = word.ends_with('=');
        i += has_equals ? 0 : 1;
        const bool is_empty = has_equals || (i < arguments.size() && arguments[i].empty());
        const auto names = option->get_lnames();
        if (is_empty && !std::ranges::any_of(may_be_empty, [&](std::string_view name) {
                return std::ranges::find(names, name) != names.end() && !has_equals;
            }))
            throw usage_error(fmt::format("{}: the value is empty: write one, or leave the option out",
                has_equals ? word.substr(0, word.size() - 1) : word));
    }
}

void parse(CLI::App& app, std::vector<std::string> words) {
    // CLI11 takes them from the back.
    std::ranges::reverse(words);
    app.parse(std::move(words));
}

int answer(CLI::App& app, const std::function<int()>& work) {
    const auto see = [&app] { return help_command_of(chosen_of(app)); };
    try {
        return work();
    } catch (const CLI::CallForHelp&) {
        return print(help_of(chosen_of(app)));
    } catch (const CLI::CallForVersion& e) {
        return print(std::string(e.what()) + '\n');
    } catch (const CLI::ExtrasError& e) {
        const auto& chosen = chosen_of(app);
        const auto left = chosen.remaining();
        return refuse(left.empty() ? fmt::format("{}\nSee {}", e.what(), see()) : about_unknown(chosen, left.front()));
    } catch (const CLI::ParseError& e) {
        return refuse(fmt::format("{}\nSee {}", e.what(), see()));
    } catch (const usage_error& e) {
        return refuse(e.what());
    }
}

void refuse_unknown_options(const CLI::App& command) {
    const auto left = command.remaining();
    if (!left.empty() && left.front().size() > 1 && left.front().starts_with('-'))
        throw usage_error(about_unknown(command, left.front()));
}

std::string about_unknown(const CLI::App& app, const std::string& word) {
    const bool is_option = word.starts_with('-');
    std::vector<std::string> known;
    if (is_option) {
        known = options_of(app);
    } else {
        for (const auto* command : app.get_subcommands(nullptr))
            known.push_back(command->get_name());
    }
    if (const auto advice = is_option ? advice_on(app.get_name(), word) : std::string_view(); !advice.empty())
        return fmt::format("there is no option '{}': {}\nSee {}", word, advice, help_command_of(app));
    // There is no suggestion for a short option: all letters are equally far from it.
    const bool is_letter = is_option && !word.starts_with("--");
    const auto name = word.substr(0, word.find('='));
    const auto meant = is_letter ? std::nullopt : nearest(name, known);
    // A word may be the beginning of several: which one is meant is not for muster to say.
    if (const auto all = those_that_begin_with(name, known); !is_letter && all.size() > 1)
        return fmt::format("there is no {} '{}': did you mean {}?\nSee {}", is_option ? "option" : "command", word,
            fmt::join(all, " or "), help_command_of(app));
    return fmt::format("there is no {} '{}'{}\nSee {}", is_option ? "option" : "command", word,
        meant ? fmt::format(": did you mean {}?", *meant) : "", help_command_of(app));
}

} // namespace tool
