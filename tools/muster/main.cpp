// SPDX-License-Identifier: MIT
// The program muster: reads the command line and runs what it asks for. `muster run` is in this program, unless its
// commands go through a queue: then muster-queue takes this one's place once the command line is read. `muster fetch`
// and `muster demo` are muster-fetch, `muster queue` and `muster worker` are muster-queue: they do so before anything
// else is done.
#include "command_line.hpp"
#include "fetch_program.hpp"
#include "host_words.hpp"
#include "run.hpp"
#include "run_program.hpp"
#include "run_words.hpp"
#include "streams.hpp"
#include "units.hpp"

#include <CLI/CLI.hpp>
#include <fmt/core.h>

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
    if (command == "queue" || command == "worker")
        return tool::become_queue(argv);
    return std::nullopt;
}

/// *Returns* the exit status of `muster run`. `argv` is main's.
int run_here_or_in_queue(
    CLI::App& app, CLI::App& command, tool::run_words& words, std::vector<std::string> arguments, char* const* argv) {
    const auto options = tool::understand_run(app, command, words, std::move(arguments));
    if (options.is_queued() && !options.dry_run)
        throw usage_error(tool::become_queue(argv));
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

int run(std::vector<std::string> arguments, char* const* argv) {
    CLI::App app("Runs many things at once and says what became of each.", "muster");
    app.footer(std::string("muster help COMMAND says more about one.\n\n") + exit_statuses);
    app.set_version_flag("--version", tool::version_text(), "print the version and exit");
    app.set_help_flag("-h,--help", "print this help and exit");
    app.require_subcommand(0, 1);
    app.fallthrough(false);
    app.allow_extras();

    // fetch, demo, queue and worker are here for the help and for words that are nearly theirs.
    app.add_subcommand("fetch", "get many URLs at once");
    tool::run_words words;
    auto* command = app.add_subcommand("run", "run many commands at once");
    words.describe(*command);
    app.add_subcommand("demo", "get 200 URLs from a faulty server in this process: no network needed");
    tool::host_words host_words;
    auto* hosts = app.add_subcommand("hosts", "print what other hosts offer, and whether they answer");
    host_words.describe(*hosts);
    hosts->get_option("--on")->description(
        "these hosts: 'host1,8/host2,user@host3:2222'; 8/: so many places; 'slurm': the "
        "nodes of the allocation");
    auto* agent = app.add_subcommand("agent", "serve muster run --on from another host, which starts it");
    app.add_subcommand("queue", "make a queue in PostgreSQL, or look at one");
    app.add_subcommand("worker", "run the commands that others have put into a queue");
    std::string topic;
    auto* help = app.add_subcommand("help", "print the help of a command");
    help->add_option("COMMAND", topic, "run, fetch, hosts, agent, queue, worker, demo");

    return tool::answer(app, [&] {
        if (tool::asks_for_version(arguments))
            return tool::print(tool::version_text() + '\n');
        if (!arguments.empty() && arguments.front() == "run")
            return run_here_or_in_queue(app, *command, words, std::move(arguments), argv);
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
    return tool::start(argc, argv, [&](auto arguments) { return run(std::move(arguments), argv); });
}
