// SPDX-License-Identifier: MIT
// This file reads the options of muster run: describe() declares them to CLI11, and understand() turns the words into
// run_options and refuses those that make no sense.
#include "run_words.hpp"

#include "help.hpp"
#include "units.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <ranges>
#include <string_view>
#include <utility>

namespace tool {

namespace {

/// The ways to use it can't be told from the options.
constexpr const char* usage_of_run = "Usage: muster run [OPTIONS] TEMPLATE ::: INPUT... [::: INPUT...]...\n"
                                     "       muster run [OPTIONS] TEMPLATE [-f FILE]   inputs, one a line\n"
                                     "       muster run [OPTIONS] [-f FILE]            commands, one a line\n"
                                     "Options stand before the template. Lines are read from standard input\n"
                                     "unless there is a FILE.\n";

option_groups groups_of_run() {
    return {{"Common options", {"--help", "--limit", "--file", "--keep-order", "--dry-run", "--retries", "--timeout",
                                   "--jsonl", "--resume", "--quiet"}},
        {"Inputs", {"--null", "--delimiter", "--link", "--max-args", "--xargs", "--colsep", "--csv", "--header", "-I",
                       "--pipe", "--block"}},
        {"Commands", {"--shell", "--wd", "--stdin-from", "--tty", "--grace", "--linger", "--max-output", "--nice"}},
        {"Output", {"--ungroup", "--line-buffer", "--tag", "--tagstring", "--results", "--failed", "--trace",
                       "--spool-limit", "--log-mode", "--ledger", "--progress", "--bar", "--no-progress"}},
        {"Other hosts",
            {"--on", "--on-file", "--launcher", "--agent", "--env", "--install", "--hosts-min", "--retry-elsewhere",
                "--silence", "--transfer", "--transferfile", "--return", "--cleanup", "--trc"}},
        {"A queue", {"--attach", "--worker-tag", "--schema"}},
        {"When to stop", {"--halt", "--fail-fast", "--max-failures", "--keep-going", "--deadline", "--drain"}},
        {"When to start", {"--rate", "--delay", "--max-load", "--min-memory"}}};
}

/// "," or "\\t".
char delimiter_of(const std::string& text) {
    if (text.size() == 1)
        return text.front();
    constexpr std::pair<std::string_view, char> escapes[] = {{"\\n", '\n'}, {"\\t", '\t'}, {"\\0", '\0'}};
    const auto* known = std::ranges::find(escapes, text, &std::pair<std::string_view, char>::first);
    if (known == std::ranges::end(escapes))
        throw usage_error(fmt::format("-d: '{}' will not do: give one character, \\n, \\t or \\0", text));
    return known->second;
}

} // namespace

void run_words::describe(CLI::App& app) {
    app.prefix_command();
    app.formatter(std::make_shared<grouped_help>(usage_of_run, groups_of_run()));
    app.add_option("-f,-a,--file,--arg-file", files, "read lines from FILE; - is standard input")
        ->type_name("FILE")
        ->allow_extra_args(false);
    app.add_flag("-0,--null", nul_separated, "lines end with a NUL, as find -print0 writes them");
    batch_words::describe(app, {"-j,-P,--limit,--jobs,--max-procs", "--timeout", "-q,--quiet"}, "command",
        "at most N at once (as many as there are processors)",
        "time for each attempt: 500ms, 2s, 1m; what takes longer is ended (none)",
        "an exit status other than 0, a signal or a time-out");
    app.add_option("--grace", grace, "time between SIGTERM and SIGKILL for what is to be ended (5s)")
        ->type_name("TIME");
    app.add_option("--linger", linger,
           "how long to wait for the end of the output once a command has ended (500ms); 0: not at all")
        ->type_name("TIME");
    app.add_flag("-k,--keep-order", keep_order, "print outputs in the order of the inputs, not as commands end");
    app.add_flag("-u,--ungroup", ungrouped, "commands write where muster does, mixed, and nothing is held back");
    app.add_flag("--line-buffer,--linebuffer,--lb", line_buffered,
        "print whole lines as they come, those of several commands mixed");
    app.add_flag("--tag", tag, "begin each line of output with the input and a tabulator");
    app.add_option("--tagstring", tag_template, "begin it with this, in which {} and the like are put in")
        ->type_name("TEMPLATE");
    app.add_option("--results", results, "keep the outputs of each command in DIR, as NUMBER-INPUT.out and .err, too")
        ->type_name("DIR");
    app.add_option("--jsonl,--joblog", jsonl, "write one JSON object for each command to FILE, as they end")
        ->type_name("FILE");
    app.add_flag("--resume", resume, "do not run again what has succeeded according to the --jsonl FILE; add to it");
    app.add_option("-n,-N,--max-args,--max-replace-args", max_args,
           "give each command up to N inputs; {} stands for all of them")
        ->type_name("N");
    app.add_flag("-X,--xargs", as_many_as_fit, "give each command as many inputs as fit");
    app.add_option("-d,--delimiter", delimiter, "inputs end with the character C, \\n, \\t or \\0, instead of lines")
        ->type_name("C");
    app.add_flag(
        "--link,--xapply", linked, "put the lists behind ::: side by side, as :::+ does, instead of combining them");
    app.add_option("-C,--colsep", colsep, "cut lines into columns {1}, {2}... at SEP: a character or an expression")
        ->type_name("SEP");
    app.add_flag("--csv", csv, "lines are CSV: columns behind commas, in quotes where needed");
    app.add_option("--header", header, "with ':' the first line names the columns: {name}")->type_name(":");
    app.add_option("-I", own_placeholder, "WORD stands for the input in the template, and nothing else does")
        ->type_name("WORD");
    app.add_option("--shell", shell, "have this shell read each command: 'bash -o pipefail'")->type_name("SHELL");
    app.add_option("--stdin-from", stdin_from, "what each command reads on standard input (nothing)")
        ->type_name("FILE");
    app.add_flag(
        "--pipe,--spreadstdin", pipe, "give each command a block of lines on standard input, instead of an argument");
    app.add_option("--block", block, "how large these blocks are: 100K, 10M (1M)")->type_name("SIZE");
    app.add_flag("--tty", tty, "one command at a time, which reads and writes the terminal itself");
    app.add_flag("-t,--trace,--verbose", trace, "print each command on standard error as it starts");
    app.add_option("--max-output", max_output, "end a command that writes more than SIZE, which is a failure")
        ->type_name("SIZE");
    app.add_option("--nice", nice, "run the commands with a niceness that is higher by N")->type_name("N");
    app.add_option("--wd,--workdir", directory, "run the commands in DIR, with --on one of the host's")
        ->type_name("DIR");
    on_hosts.describe(app);
    app.add_option("--env", environment, "with --on: commands get the variable NAME, as it is here; may be repeated")
        ->type_name("NAME")
        ->allow_extra_args(false);
    app.add_option("--attach", run_in_queue,
           "with a queue: the name of the run; with the name of an earlier one what it has submitted is waited for, "
           "and "
           "not started again")
        ->type_name("NAME");
    app.add_option("--worker-tag", worker_tag, "with a queue: only workers with this tag run the commands")
        ->type_name("TAG");
    app.add_option("--schema", schema, "the schema that the queue is in (muster)")->type_name("NAME");
    app.add_option("--hosts-min", least_hosts, "run nothing if fewer than N hosts can be reached (1)")->type_name("N");
    app.add_flag("--transfer", transfer, "with --on: send the file that the input names, as --transferfile {}");
    app.add_option("--transferfile,--tf", transfer_files, "send FILE to the host first; may be repeated")
        ->type_name("FILE")
        ->allow_extra_args(false);
    app.add_option("--return", return_files, "get FILE from the host once the command has ended; may be repeated")
        ->type_name("FILE")
        ->allow_extra_args(false);
    app.add_flag("--cleanup", cleanup, "remove there what was sent and returned");
    app.add_option("--trc", both_ways, "--transfer --return FILE --cleanup")
        ->type_name("FILE")
        ->allow_extra_args(false);
    app.add_flag("--retry-elsewhere", retry_elsewhere,
        "run again on another host what had begun, or may have, on one that was lost");
    app.add_flag("--dry-run,--dryrun", dry_run, "print the commands and run none");
    take_last_of_repeated(app);
    // Of lists none is dropped: understand() refuses a second one.
    app.get_option("--file")->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
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

run_options run_words::understand(std::vector<std::string> template_words) const {
    run_options o;
    batch_words::understand(o);
    if (files.size() > 1)
        throw usage_error(fmt::format("-f is given {} times: several lists stand behind :::: ({})", files.size(),
            ":::: FILE FILE for combinations, --link for side by side"));
    const auto file = files.empty() ? std::string() : files.front();
    if (template_words == std::vector<std::string>{"-"} && file.empty() && !inputs) {
        o.file = "-";
        template_words.clear();
    }
    o.words = std::move(template_words);
    o.inputs = inputs;
    if (linked && (!inputs || inputs->size() < 2))
        throw usage_error("--link puts the lists behind ::: side by side: give at least two");
    for (std::size_t i = 1; linked && i < inputs->size(); ++i)
        (*o.inputs)[i].beside = true;
    if (!file.empty())
        o.file = file;
    if (!delimiter.empty())
        o.line_end = delimiter_of(delimiter);
    if (nul_separated)
        o.line_end = '\0';
    if (nul_separated && !delimiter.empty())
        throw usage_error("-0 and -d exclude each other");
    o.keep_order = keep_order;
    o.ungrouped = ungrouped;
    o.dry_run = dry_run;
    if (tag || !tag_template.empty())
        o.tag = tag_template.empty() ? "{}" : tag_template;
    o.line_buffered = line_buffered;
    o.results = results;
    o.columns.separator = colsep;
    o.columns.is_csv = csv;
    o.columns.has_header = !header.empty();
    if (o.columns.has_header && header != ":")
        throw usage_error(fmt::format("--header: write ':', for names in the first line, not '{}'", header));
    o.as_many_as_fit = as_many_as_fit;
    if (as_many_as_fit)
        o.inputs_each = 1'000'000;
    if (!max_args.empty())
        o.inputs_each = parse_count(max_args, "-n", 1, 1'000'000);
    o.own_placeholder = own_placeholder;
    o.stdin_from = stdin_from;
    if (!block.empty() && !pipe)
        throw usage_error("--block says how large the blocks of --pipe are: give that, too");
    if (pipe)
        o.block_size = block.empty() ? std::uint64_t{1} << 20 : parse_size(block, "--block");
    if (o.block_size > std::uint64_t{1} << 30)
        throw usage_error("--block: a block is kept in memory, and can't be larger than 1G");
    o.has_terminal = tty;
    o.trace = trace;
    if (!max_output.empty())
        o.most_output = parse_size(max_output, "--max-output");
    if (!nice.empty())
        o.nice = static_cast<int>(parse_count(nice, "--nice", 1, 39));
    for (const auto word : std::views::split(shell, ' ')) {
        if (!word.empty())
            o.shell.emplace_back(word.begin(), word.end());
    }
    o.directory = directory;
    o.queue.address = on_hosts.queue();
    if (!o.is_queued())
        o.hosts = on_hosts.understand();
    o.queue.run = run_in_queue;
    o.queue.tag = worker_tag;
    if (!schema.empty())
        o.queue.schema = schema;
    o.limit_is_given = !limit.empty();
    if (!least_hosts.empty())
        o.least_hosts = parse_count(least_hosts, "--hosts-min", 1, 100'000);
    o.retry_elsewhere = retry_elsewhere;
    for (const auto& name : environment) {
        const char* value = std::getenv(name.c_str());
        if (value == nullptr)
            throw usage_error(fmt::format("--env: there is no variable {} in the environment", name));
        o.environment.emplace_back(name, value);
    }
    o.sent_files = transfer_files;
    if (transfer || !both_ways.empty())
        o.sent_files.emplace_back(own_placeholder.empty() ? "{}" : own_placeholder);
    o.returned_files = return_files;
    o.returned_files.insert(o.returned_files.end(), both_ways.begin(), both_ways.end());
    o.cleans_up = cleanup || !both_ways.empty();
    if (o.hosts.empty() && !o.is_queued() && (o.has_files() || o.cleans_up))
        throw usage_error("--transfer, --return, --cleanup and --trc are about other hosts: say which with --on");
    if (o.cleans_up && !o.has_files())
        throw usage_error("--cleanup removes what --transfer and --return have moved: give one of them, too");
    o.failed_end = o.line_end.value_or('\n');
    o.resume = resume;
    o.jsonl = jsonl;
    if (!grace.empty())
        o.grace = parse_duration(grace, "--grace");
    if (linger == "0")
        o.linger = std::chrono::nanoseconds(0);
    else if (!linger.empty())
        o.linger = parse_duration(linger, "--linger");
    return o;
}

} // namespace tool
