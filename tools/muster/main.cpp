// SPDX-License-Identifier: MIT
// The program muster: reads the command line and runs what it asks for. `muster run` is in this program; `muster fetch`
// and `muster demo` are muster-fetch, `muster queue` is muster-queue: they take this one's place before anything else
// is done.
#include "command_line.hpp"
#include "fetch_program.hpp"
#include "host_words.hpp"
#include "run.hpp"
#include "run_words.hpp"
#include "streams.hpp"
#include "units.hpp"

#include <CLI/CLI.hpp>
#include <fmt/core.h>

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <unistd.h>

namespace {

using tool::usage_error;

constexpr auto exit_statuses =
    "Exit status: 0 all succeeded, 1 some did not, 2 bad usage, 130 interrupted,\n143 ended by SIGTERM.\n";

bool is_of_fetch(std::string_view command) { return command == "fetch" || command == "demo"; }

/// Executes the program that the command is, if it is not this one. *Returns* why that was not possible.
std::optional<std::string> become_part(std::string_view command, char* const* argv) {
    if (is_of_fetch(command))
        return tool::become_fetch(argv);
    if (command == "queue")
        return tool::become_queue(argv);
    return std::nullopt;
}

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

/// *Returns* the exit status of `muster run`. The first of the arguments is "run".
int run_many(CLI::App& app, CLI::App& command, tool::run_words& words, std::vector<std::string> arguments) {
    words.inputs = tool::take_inputs(arguments);
    const auto behind = take_words_behind_dashes(arguments);
    tool::refuse_empty_values(command, arguments, tool::words_between::end_options);
    tool::parse(app, arguments);
    if (!behind) {
        if (const auto all = with_template_last(arguments, command.remaining(), command)) {
            tool::refuse_empty_values(command, *all, tool::words_between::end_options);
            tool::parse(app, *all);
            if (const auto left = command.remaining(); left.size() > 1)
                throw usage_error(fmt::format(
                    "'{}' is no option of muster run, and '{}' is the template", left.front(), left.back()));
        }
    }
    tool::refuse_unknown_options(command);
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
    return tool::run(options);
}

/// *Returns* the exit status of `muster help TOPIC`.
int help_about(const CLI::App& app, const std::string& topic) {
    if (topic.empty())
        return tool::print(tool::help_of(app));
    const char* const arguments[] = {"muster", topic.c_str(), "--help", nullptr};
    if (const auto problem = become_part(topic, const_cast<char* const*>(arguments)))
        throw usage_error(*problem);
    for (const auto* command : app.get_subcommands(nullptr)) {
        if (command->get_name() == topic)
            return tool::print(tool::help_of(*command));
    }
    throw usage_error(tool::about_unknown(app, topic));
}

int run(std::vector<std::string> arguments) {
    CLI::App app("Runs many things at once and says what became of each.", "muster");
    app.footer(std::string("muster help COMMAND says more about one.\n\n") + exit_statuses);
    app.set_version_flag("--version", tool::version_text(), "print the version and exit");
    app.set_help_flag("-h,--help", "print this help and exit");
    app.require_subcommand(0, 1);
    app.fallthrough(false);
    app.allow_extras();

    // fetch, demo and queue are here for the help and for words that are nearly theirs.
    app.add_subcommand("fetch", "get many URLs at once");
    tool::run_words words;
    auto* command = app.add_subcommand("run", "run many commands at once");
    words.describe(*command);
    app.add_subcommand("demo", "get 200 URLs from a faulty server in this process: no network needed");
    tool::host_words host_words;
    auto* hosts = app.add_subcommand("hosts", "print what other hosts offer, and whether they answer");
    host_words.describe(*hosts);
    auto* agent = app.add_subcommand("agent", "serve muster run --on from another host, which starts it");
    app.add_subcommand("queue", "make a queue in PostgreSQL, or look at one");
    std::string topic;
    auto* help = app.add_subcommand("help", "print the help of a command");
    help->add_option("COMMAND", topic, "run, fetch, hosts, agent, queue, demo");

    return tool::answer(app, [&] {
        if (tool::asks_for_version(arguments))
            return tool::print(tool::version_text() + '\n');
        if (!arguments.empty() && arguments.front() == "run")
            return run_many(app, *command, words, std::move(arguments));
        tool::parse(app, std::move(arguments));
        if (help->parsed())
            return help_about(app, topic);
        for (const auto* other : {hosts, agent}) {
            if (!other->parsed())
                continue;
            tool::refuse_unknown_options(*other);
            if (const auto left = other->remaining(); !left.empty())
                throw usage_error(fmt::format(
                    "muster {} takes no words but its options: there is '{}'", other->get_name(), left.front()));
        }
        if (agent->parsed())
            return tool::be_agent();
        if (hosts->parsed())
            return tool::show_hosts(host_words.understand());
        tool::refuse_unknown_options(app);
        if (const auto left = app.remaining(); !left.empty())
            throw usage_error(tool::about_unknown(app, left.front()));
        static_cast<void>(tool::write_all(STDERR_FILENO, tool::help_of(app)));
        return static_cast<int>(tool::bad_usage);
    });
}

} // namespace

int main(int argc, char** argv) {
    if (argc > 1) {
        if (const auto problem = become_part(argv[1], argv))
            return tool::start(argc, argv, [&](const auto&) -> int { throw usage_error(*problem); });
    }
    return tool::start(argc, argv, run);
}
