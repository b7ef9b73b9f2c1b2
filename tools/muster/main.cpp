// SPDX-License-Identifier: MIT
// The muster command: reads the command line, runs what it asks for, and turns what went wrong into a message that
// says what to do and an exit status.
#include "demo.hpp"
#include "fetch.hpp"
#include "streams.hpp"
#include "units.hpp"

#include <muster/config.hpp>

#include <CLI/CLI.hpp>
#include <fmt/core.h>

#include <exception>
#include <string>

#include <unistd.h>

namespace {

using tool::usage_error;

/// What was written for an option, before it is understood.
struct fetch_words {
    fetch_words() {}
    std::vector<std::string> urls;
    std::string file;
    std::string limit = "32";
    std::string timeout = "30s";
    std::string deadline;
    std::string retries = "0";
    std::string rate;
    std::string max_failures;
    std::string max_size;
    std::string output;
    std::string jsonl;
    bool fail_fast = false;
    bool keep_going = false;
    bool quiet = false;
    bool no_progress = false;
};

constexpr auto exit_statuses = "Exit status: 0 all succeeded, 1 some did not, 2 bad usage, 130 interrupted, 143 by SIGTERM.\n";

void describe_fetch(CLI::App& app, fetch_words& w) {
    app.add_option("URL", w.urls, "what to get; - reads URLs from standard input, one a line");
    app.add_option("-f,--file", w.file, "read URLs from FILE, one a line; blank lines and # comments are passed over")
        ->type_name("FILE");
    app.add_option("--limit", w.limit, "at most N at once (32)")->type_name("N");
    app.add_option("--timeout", w.timeout, "time for each attempt: 500ms, 2s, 1m, none (30s)")->type_name("TIME");
    app.add_option("--deadline", w.deadline, "time for everything; what has not ended then is cancelled")
        ->type_name("TIME");
    app.add_option("--retries", w.retries,
           "up to N further attempts after a refused or broken connection, a time-out, a status of 5xx or 429 (0)")
        ->type_name("N");
    app.add_option("--rate", w.rate, "at most N requests a second, or N/m a minute")->type_name("N[/s|/m]");
    auto* fast = app.add_flag("--fail-fast", w.fail_fast, "stop at the first failure");
    auto* going = app.add_flag("--keep-going", w.keep_going, "go on whatever fails (the default)");
    auto* some = app.add_option("--max-failures", w.max_failures, "stop after N failures")->type_name("N");
    fast->excludes(going)->excludes(some);
    going->excludes(some);
    app.add_option("--max-size", w.max_size, "a larger body is a failure: 1000, 20K, 5M, 1G")->type_name("SIZE");
    app.add_option("-o,--output", w.output, "write the bodies into files in DIR, named after line and URL")
        ->type_name("DIR");
    app.add_option("--jsonl", w.jsonl, "write one JSON object for each URL to FILE, as they end; - is standard output")
        ->type_name("FILE");
    app.add_flag("-q,--quiet", w.quiet, "print neither progress nor ledger");
    app.add_flag("--no-progress", w.no_progress, "print no progress");
    app.footer(std::string("A status of 400 or more is a failure. At the end the ledger is printed: what became of "
                           "every URL,\nfailures by type, the slowest. Ctrl-C cancels, cleans up and prints it as "
                           "well.\n\nmuster fetch --limit 100 --retries 3 -f urls.txt -o pages --jsonl log.jsonl\n\n") +
               exit_statuses);
}

tool::fetch_options understand(const fetch_words& w) {
    tool::fetch_options o;
    o.urls = w.urls;
    o.file = w.file;
    o.limit = tool::parse_count(w.limit, "--limit", 1, 100'000);
    if (w.timeout == "none")
        o.timeout.reset();
    else
        o.timeout = tool::parse_duration(w.timeout, "--timeout");
    if (!w.deadline.empty())
        o.deadline = tool::parse_duration(w.deadline, "--deadline");
    o.retries = tool::parse_count(w.retries, "--retries", 0, 1000);
    if (!w.rate.empty())
        o.at_most = tool::parse_rate(w.rate, "--rate");
    if (w.fail_fast)
        o.max_failures = 1;
    if (!w.max_failures.empty())
        o.max_failures = tool::parse_count(w.max_failures, "--max-failures", 1, 1'000'000'000);
    if (!w.max_size.empty())
        o.max_size = tool::parse_size(w.max_size, "--max-size");
    o.output = w.output;
    o.jsonl = w.jsonl;
    o.quiet = w.quiet;
    o.show_progress = !w.no_progress;
    return o;
}

/// Help and version: what was asked for, so a failure to print it is one.
int print(const std::string& text) {
    if (const auto failed = tool::write_all(STDOUT_FILENO, text)) {
        static_cast<void>(tool::write_all(
            STDERR_FILENO, fmt::format("muster: writing to standard output failed: {}\n", failed->message())));
        return tool::some_failed;
    }
    return tool::all_succeeded;
}

int complain(const std::string& text, int status) {
    static_cast<void>(tool::write_all(STDERR_FILENO, "muster: " + text + '\n'));
    return status;
}

int run(int argc, char** argv) {
    CLI::App app("Runs many things at once and says what became of each.", "muster");
    app.footer(exit_statuses);
    app.set_version_flag("--version",
        fmt::format("muster {}.{}.{}", muster::version_major, muster::version_minor, muster::version_patch),
        "print the version and exit");
    app.set_help_flag("-h,--help", "print this help and exit");
    app.require_subcommand(0, 1);
    app.fallthrough(false);

    fetch_words words;
    auto* fetch = app.add_subcommand("fetch", "get many URLs at once");
    describe_fetch(*fetch, words);
    bool demo_without_progress = false;
    auto* demo = app.add_subcommand("demo", "get 200 URLs from a faulty server in this process: no network needed");
    demo->add_flag("--no-progress", demo_without_progress, "print no progress");
    std::string topic;
    auto* help = app.add_subcommand("help", "print the help of a command");
    help->add_option("COMMAND", topic, "fetch, demo");

    try {
        app.parse(argc, argv);
        if (fetch->parsed())
            return tool::fetch(understand(words));
        if (demo->parsed())
            return tool::demo(!demo_without_progress);
        if (help->parsed()) {
            if (topic.empty())
                return print(app.help());
            return print(app.get_subcommand(topic)->help());
        }
    } catch (const CLI::CallForHelp&) {
        return print(fetch->parsed() ? fetch->help() : demo->parsed() ? demo->help() : app.help());
    } catch (const CLI::CallForVersion& e) {
        return print(std::string(e.what()) + '\n');
    } catch (const CLI::OptionNotFound&) {
        return complain(fmt::format("there is no command '{}': see muster --help", topic), tool::bad_usage);
    } catch (const CLI::ParseError& e) {
        const char* see = fetch->parsed() ? "muster fetch --help" : "muster --help";
        return complain(fmt::format("{}\nSee {}", e.what(), see), tool::bad_usage);
    } catch (const usage_error& e) {
        return complain(e.what(), tool::bad_usage);
    }
    static_cast<void>(tool::write_all(STDERR_FILENO, app.help()));
    return tool::bad_usage;
}

} // namespace

int main(int argc, char** argv) {
    tool::prepare_process();
    try {
        return run(argc, argv);
    } catch (const std::exception& e) {
        return complain(e.what(), tool::some_failed);
    }
}
