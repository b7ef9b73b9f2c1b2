// SPDX-License-Identifier: MIT
// The muster command: reads the command line, runs what it asks for, and turns what went wrong into a message that
// says what to do and an exit status.
#include "demo.hpp"
#include "fetch.hpp"
#include "fetch_words.hpp"
#include "help.hpp"
#include "host_words.hpp"
#include "own_arguments.hpp"
#include "run.hpp"
#include "streams.hpp"
#include "units.hpp"
#include "words.hpp"
#include "writer.hpp"

#include <muster/config.hpp>

#include <CLI/CLI.hpp>
#include <fmt/core.h>

#include <algorithm>
#include <clocale>
#include <cstdlib>
#include <exception>
#include <memory>
#include <optional>
#include <ranges>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <langinfo.h>
#include <unistd.h>

namespace {

using tool::usage_error;

constexpr auto exit_statuses =
    "Exit status: 0 all succeeded, 1 some did not, 2 bad usage, 130 interrupted, 143 ended by SIGTERM.\n";

struct run_words : tool::batch_words {
    std::string file;
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
    tool::host_words hosts;
    std::string least_hosts;
    bool retry_elsewhere = false;
    std::vector<std::string> environment;
    std::optional<std::vector<tool::input_list>> inputs; ///< what stands behind :::
};

/// The ways to use it can't be told from the options.
constexpr const char* usage_of_run = "Usage: muster run [OPTIONS] TEMPLATE ::: INPUT... [::: INPUT...]...\n"
                                     "       muster run [OPTIONS] TEMPLATE [-f FILE]   inputs, one a line\n"
                                     "       muster run [OPTIONS] [-f FILE]            commands, one a line\n"
                                     "Options stand before the template. Lines are read from standard input\n"
                                     "unless there is a FILE.\n";

tool::option_groups groups_of_run() {
    return {{"Common options", {"--help", "--limit", "--file", "--keep-order", "--dry-run", "--retries", "--timeout",
                                   "--jsonl", "--resume", "--quiet"}},
        {"Inputs", {"--null", "--max-args", "--xargs", "--colsep", "--csv", "--header", "-I", "--pipe", "--block"}},
        {"Commands", {"--shell", "--wd", "--stdin-from", "--tty", "--grace", "--linger", "--max-output", "--nice"}},
        {"Output", {"--ungroup", "--line-buffer", "--tag", "--tagstring", "--results", "--failed", "--trace",
                       "--spool-limit", "--log-mode", "--ledger", "--progress", "--bar", "--no-progress"}},
        {"Other hosts",
            {"--on", "--on-file", "--launcher", "--agent", "--env", "--hosts-min", "--retry-elsewhere", "--silence"}},
        {"When to stop", {"--halt", "--fail-fast", "--max-failures", "--keep-going", "--deadline", "--drain"}},
        {"When to start", {"--rate", "--delay", "--max-load", "--min-memory"}}};
}

void describe_run(CLI::App& app, run_words& w) {
    app.prefix_command();
    app.formatter(std::make_shared<tool::grouped_help>(usage_of_run, groups_of_run()));
    app.add_option("-f,-a,--file", w.file, "read lines from FILE; - is standard input")->type_name("FILE");
    app.add_flag("-0,--null", w.nul_separated, "lines end with a NUL, as find -print0 writes them");
    w.describe(app, "command", "at most N at once (as many as there are processors)",
        "time for each attempt: 500ms, 2s, 1m; what takes longer is ended (none)",
        "an exit status other than 0, a signal or a time-out");
    app.add_option("--grace", w.grace, "time between SIGTERM and SIGKILL for what is to be ended (5s)")
        ->type_name("TIME");
    app.add_option("--linger", w.linger,
           "how long to wait for the end of the output once a command has ended (500ms); 0: not at all")
        ->type_name("TIME");
    app.add_flag("-k,--keep-order", w.keep_order, "print outputs in the order of the inputs, not as commands end");
    app.add_flag("-u,--ungroup", w.ungrouped, "commands write where muster does, mixed, and nothing is held back");
    app.add_flag("--line-buffer", w.line_buffered, "print whole lines as they come, those of several commands mixed");
    app.add_flag("--tag", w.tag, "begin each line of output with the input and a tabulator");
    app.add_option("--tagstring", w.tag_template, "begin it with this, in which {} and the like are put in")
        ->type_name("TEMPLATE");
    app.add_option("--results", w.results, "keep the outputs of each command in DIR, as NUMBER-INPUT.out and .err, too")
        ->type_name("DIR");
    app.add_option("--jsonl,--joblog", w.jsonl, "write one JSON object for each command to FILE, as they end")
        ->type_name("FILE");
    app.add_flag("--resume", w.resume, "do not run again what has succeeded according to the --jsonl FILE; add to it");
    app.add_option("-n,-N,--max-args", w.max_args, "give each command up to N inputs; {} stands for all of them")
        ->type_name("N");
    app.add_flag("-X,--xargs", w.as_many_as_fit, "give each command as many inputs as fit");
    app.add_option("-C,--colsep", w.colsep, "cut lines into columns {1}, {2}... at SEP: a character or an expression")
        ->type_name("SEP");
    app.add_flag("--csv", w.csv, "lines are CSV: columns behind commas, in quotes where needed");
    app.add_option("--header", w.header, "with ':' the first line names the columns: {name}")->type_name(":");
    app.add_option("-I", w.own_placeholder, "WORD stands for the input in the template, and nothing else does")
        ->type_name("WORD");
    app.add_option("--shell", w.shell, "have this shell read each command: 'bash -o pipefail'")->type_name("SHELL");
    app.add_option("--stdin-from", w.stdin_from, "what each command reads on standard input (nothing)")
        ->type_name("FILE");
    app.add_flag("--pipe", w.pipe, "give each command a block of lines on standard input, instead of an argument");
    app.add_option("--block", w.block, "how large these blocks are: 100K, 10M (1M)")->type_name("SIZE");
    app.add_flag("--tty", w.tty, "one command at a time, which reads and writes the terminal itself");
    app.add_flag("-t,--trace", w.trace, "print each command on standard error as it starts");
    app.add_option("--max-output", w.max_output, "end a command that writes more than SIZE, which is a failure")
        ->type_name("SIZE");
    app.add_option("--nice", w.nice, "run the commands with a niceness that is higher by N")->type_name("N");
    app.add_option("--wd", w.directory, "run the commands in DIR, with --on one of the host's")->type_name("DIR");
    w.hosts.describe(app);
    app.add_option("--env", w.environment, "with --on: commands get the variable NAME, as it is here; may be repeated")
        ->type_name("NAME")
        ->allow_extra_args(false);
    app.add_option("--hosts-min", w.least_hosts, "run nothing if fewer than N hosts can be reached (1)")
        ->type_name("N");
    app.add_flag("--retry-elsewhere", w.retry_elsewhere,
        "run again on another host what had begun, or may have, on one that was lost");
    app.add_flag("--dry-run", w.dry_run, "print the commands and run none");
    tool::take_last_of_repeated(app);
    app.footer(std::string("In the template {} is the input, {.} the input without extension, {/} its last\n"
                           "component, {//} its directory, {/.} its last component without extension, {#}\n"
                           "its number, {%} the place it runs in, from 1 to the limit; {1} and {name} are\n"
                           "parts of it. Without any of them the input is put last. A template of several\n"
                           "words is executed as it is; one word is a command line, and a shell reads it if\n"
                           "it has anything for a shell in it. Inputs are never read by a shell, whatever\n"
                           "is in them. One that begins with - is an option for the command: write -- in\n"
                           "front of {}, as in 'rm -- {}'.\n\n"
                           "muster run 'convert {} {.}.png' ::: *.jpg\n"
                           "find . -name '*.log' -print0 | muster run -0 gzip\n"
                           "muster run --limit 8 --retries 2 --jsonl log.jsonl --resume -f commands.txt\n"
                           "muster run 'echo {1}-{2}' ::: a b ::: 1 2\n\n"
                           "The ledger is printed at the end, on standard error. Ctrl-C ends what runs and\n"
                           "prints it as well; twice kills what runs.\n\n"
                           "Exit status: 0 all succeeded, 1 some did not, 2 bad usage, 130 interrupted,\n"
                           "143 ended by SIGTERM.\n"));
}

tool::run_options understand(const run_words& w, std::vector<std::string> words) {
    tool::run_options o;
    w.understand(o);
    if (words == std::vector<std::string>{"-"} && w.file.empty() && !w.inputs) {
        o.file = "-";
        words.clear();
    }
    o.words = std::move(words);
    o.inputs = w.inputs;
    if (!w.file.empty())
        o.file = w.file;
    o.nul_separated = w.nul_separated;
    o.keep_order = w.keep_order;
    o.ungrouped = w.ungrouped;
    o.dry_run = w.dry_run;
    if (w.tag || !w.tag_template.empty())
        o.tag = w.tag_template.empty() ? "{}" : w.tag_template;
    o.line_buffered = w.line_buffered;
    o.results = w.results;
    o.columns.separator = w.colsep;
    o.columns.is_csv = w.csv;
    o.columns.has_header = !w.header.empty();
    if (o.columns.has_header && w.header != ":")
        throw usage_error(fmt::format("--header: write ':', for names in the first line, not '{}'", w.header));
    o.as_many_as_fit = w.as_many_as_fit;
    if (w.as_many_as_fit)
        o.inputs_each = 1'000'000;
    if (!w.max_args.empty())
        o.inputs_each = tool::parse_count(w.max_args, "-n", 1, 1'000'000);
    o.own_placeholder = w.own_placeholder;
    o.stdin_from = w.stdin_from;
    if (!w.block.empty() && !w.pipe)
        throw usage_error("--block says how large the blocks of --pipe are: give that, too");
    if (w.pipe)
        o.block_size = w.block.empty() ? std::uint64_t{1} << 20 : tool::parse_size(w.block, "--block");
    if (o.block_size > std::uint64_t{1} << 30)
        throw usage_error("--block: a block is kept in memory, and can't be larger than 1G");
    o.has_terminal = w.tty;
    o.trace = w.trace;
    if (!w.max_output.empty())
        o.most_output = tool::parse_size(w.max_output, "--max-output");
    if (!w.nice.empty())
        o.nice = static_cast<int>(tool::parse_count(w.nice, "--nice", 1, 39));
    for (const auto word : std::views::split(w.shell, ' ')) {
        if (!word.empty())
            o.shell.emplace_back(word.begin(), word.end());
    }
    o.directory = w.directory;
    o.hosts = w.hosts.understand();
    o.limit_is_given = !w.limit.empty();
    if (!w.least_hosts.empty())
        o.least_hosts = tool::parse_count(w.least_hosts, "--hosts-min", 1, 100'000);
    o.retry_elsewhere = w.retry_elsewhere;
    for (const auto& name : w.environment) {
        const char* value = std::getenv(name.c_str());
        if (value == nullptr)
            throw usage_error(fmt::format("--env: there is no variable {} in the environment", name));
        o.environment.emplace_back(name, value);
    }
    if (w.nul_separated)
        o.failed_end = '\0';
    o.resume = w.resume;
    o.jsonl = w.jsonl;
    if (!w.grace.empty())
        o.grace = tool::parse_duration(w.grace, "--grace");
    if (w.linger == "0")
        o.linger = std::chrono::nanoseconds(0);
    else if (!w.linger.empty())
        o.linger = tool::parse_duration(w.linger, "--linger");
    return o;
}

/// Prints help or version. Not being able to print it is a failed run.
int print(const std::string& text) {
    if (const auto failed = tool::write_all(STDOUT_FILENO, text)) {
        tool::complain(fmt::format("writing to standard output failed: {}", failed->message()));
        return tool::some_failed;
    }
    return tool::all_succeeded;
}

int refuse(const std::string& text) {
    tool::complain(text);
    return tool::bad_usage;
}

/// The inputs of `muster run TEMPLATE ::: INPUT...`, and of fetch, are taken off before the options are read,
/// because an input may begin with a dash.
std::optional<std::vector<tool::input_list>> take_inputs(std::vector<std::string>& arguments) {
    if (arguments.empty() || (arguments.front() != "run" && arguments.front() != "fetch"))
        return std::nullopt;
    const auto is_mark = [](const std::string& word) {
        return word.starts_with(":::") && word.size() <= 5 &&
               (word == ":::" || word == ":::+" || word == "::::" || word == "::::+");
    };
    const auto first = std::ranges::find_if(arguments, is_mark);
    if (first == arguments.end())
        return std::nullopt;
    std::vector<tool::input_list> lists;
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

/// In `muster run -- TEMPLATE...` what stands behind -- is no option, whatever it looks like.
std::optional<std::vector<std::string>> take_words_behind_dashes(std::vector<std::string>& arguments) {
    if (arguments.empty() || arguments.front() != "run")
        return std::nullopt;
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

/// *Returns* a message about an option or a command that there is not, with the one that was probably meant.
std::string about_unknown(const CLI::App& app, const std::string& word, std::string_view see) {
    const bool is_option = word.starts_with('-');
    std::vector<std::string> known;
    if (is_option) {
        known = tool::options_of(app);
    } else {
        for (const auto* command : app.get_subcommands(nullptr))
            known.push_back(command->get_name());
    }
    // There is no suggestion for a short option: all letters are equally far from it.
    const bool is_letter = is_option && !word.starts_with("--");
    const auto meant = is_letter ? std::nullopt : tool::nearest(word.substr(0, word.find('=')), known);
    return fmt::format("there is no {} '{}'{}\nSee {}", is_option ? "option" : "command", word,
        meant ? fmt::format(": did you mean {}?", *meant) : "", see);
}

int run(int argc, char** argv) {
    std::vector<std::string> arguments(argv + std::min(argc, 1), argv + argc);
    tool::blank_secrets(argc, argv);
    CLI::App app("Runs many things at once and says what became of each.", "muster");
    app.footer(std::string("muster help COMMAND says more about one.\n\n") + exit_statuses);
    app.set_version_flag("--version",
        fmt::format("muster {}.{}.{}", muster::version_major, muster::version_minor, muster::version_patch),
        "print the version and exit");
    app.set_help_flag("-h,--help", "print this help and exit");
    app.require_subcommand(0, 1);
    app.fallthrough(false);
    app.allow_extras();

    tool::fetch_words fetching;
    auto* fetch = app.add_subcommand("fetch", "get many URLs at once");
    fetch->formatter(
        std::make_shared<tool::grouped_help>("Usage: muster fetch [OPTIONS] URL...\n", tool::fetch_words::groups()));
    fetching.describe(*fetch);
    run_words running;
    auto* run_many = app.add_subcommand("run", "run many commands at once");
    describe_run(*run_many, running);
    bool demo_without_progress = false;
    auto* demo = app.add_subcommand("demo", "get 200 URLs from a faulty server in this process: no network needed");
    demo->add_flag("--no-progress", demo_without_progress, "print no progress");
    tool::host_words shown_hosts;
    auto* hosts = app.add_subcommand("hosts", "print what other hosts offer, and whether they answer");
    shown_hosts.describe(*hosts);
    auto* agent = app.add_subcommand("agent", "serve muster run --on from another host, which starts it");
    std::string topic;
    auto* help = app.add_subcommand("help", "print the help of a command");
    help->add_option("COMMAND", topic, "run, fetch, hosts, agent, demo");

    // Once something is parsed, CLI11 prints the help of that.
    const std::string general = app.help();
    const CLI::App* chosen = &app;
    std::string see = "muster --help";
    try {
        auto inputs = take_inputs(arguments);
        if (!arguments.empty() && arguments.front() == "fetch") {
            if (inputs && (inputs->size() > 1 || !inputs->front().file.empty()))
                throw usage_error("give fetch one list of inputs behind :::, or a file of them with -f");
            if (inputs)
                fetching.inputs = std::move(inputs->front().inputs);
            tool::expand_config(arguments, *fetch);
        } else {
            running.inputs = std::move(inputs);
        }
        const auto behind = take_words_behind_dashes(arguments);
        // CLI11 takes them from the back.
        const auto parse = [&app](std::vector<std::string> words) {
            std::ranges::reverse(words);
            app.parse(std::move(words));
        };
        const auto choose = [&] {
            for (const auto* command : {fetch, run_many, hosts, agent, demo, help}) {
                if (command->parsed()) {
                    chosen = command;
                    see = fmt::format("muster {} --help", command->get_name());
                }
            }
        };
        try {
            parse(arguments);
            if (run_many->parsed() && !behind) {
                if (const auto all = with_template_last(arguments, run_many->remaining(), *run_many)) {
                    parse(*all);
                    if (const auto words = run_many->remaining(); words.size() > 1)
                        throw usage_error(fmt::format(
                            "'{}' is no option of muster run, and '{}' is the template", words.front(), words.back()));
                }
            }
        } catch (...) {
            choose();
            throw;
        }
        choose();
        auto left = chosen == &app ? app.remaining() : chosen->remaining();
        if (!left.empty() && left.front().size() > 1 && left.front().starts_with('-'))
            return refuse(about_unknown(*chosen, left.front(), see));
        if (chosen == fetch)
            return tool::fetch(fetching.understand());
        if (chosen == run_many) {
            // A second `--` is kept as a word of the command.
            if (behind && !left.empty())
                left.emplace_back("--");
            if (behind)
                left.insert(left.end(), behind->begin(), behind->end());
            auto options = understand(running, std::move(left));
            const auto overlooked = std::ranges::find_if(
                options.words, [&](const std::string& word) { return is_option_of(*run_many, word); });
            if (overlooked != options.words.end() && !behind)
                options.word_like_an_option = *overlooked;
            return tool::run(options);
        }
        if (chosen == demo)
            return tool::demo(!demo_without_progress);
        if (!left.empty())
            return refuse(about_unknown(app, left.front(), see));
        if (chosen == agent)
            return tool::be_agent();
        if (chosen == hosts) {
            const auto list = shown_hosts.understand();
            if (list.empty())
                throw usage_error("muster hosts: say which hosts with --on or --on-file");
            return tool::show_hosts(list);
        }
        if (chosen == help) {
            if (topic.empty())
                return print(general);
            return print(app.get_subcommand(topic)->help());
        }
    } catch (const CLI::CallForHelp&) {
        return print(chosen == &app ? general : chosen->help());
    } catch (const CLI::CallForVersion& e) {
        return print(std::string(e.what()) + '\n');
    } catch (const CLI::OptionNotFound&) {
        return refuse(about_unknown(app, topic, "muster --help"));
    } catch (const CLI::ExtrasError& e) {
        const auto left = chosen->remaining();
        return refuse(
            left.empty() ? fmt::format("{}\nSee {}", e.what(), see) : about_unknown(*chosen, left.front(), see));
    } catch (const CLI::ParseError& e) {
        return refuse(fmt::format("{}\nSee {}", e.what(), see));
    } catch (const usage_error& e) {
        return refuse(e.what());
    }
    static_cast<void>(tool::write_all(STDERR_FILENO, general));
    return tool::bad_usage;
}

} // namespace

int main(int argc, char** argv) {
    // International host names are read in the locale's encoding, which is UTF-8 whatever else it says.
    if (std::setlocale(LC_CTYPE, "") == nullptr || std::string_view(::nl_langinfo(CODESET)) != "UTF-8")
        std::setlocale(LC_CTYPE, "C.UTF-8");
    tool::prepare_process();
    try {
        return run(argc, argv);
    } catch (const std::exception& e) {
        tool::complain(e.what());
        return tool::some_failed;
    }
}
