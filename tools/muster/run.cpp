// SPDX-License-Identifier: MIT
// This file holds the order of things in muster run: it checks the options, makes the template, opens the input and the
// log, reads the earlier run for --resume, runs a command_batch and prints the end. A dry run is the same with one job
// at a time and without a log.
#include "run.hpp"

#include "command_batch.hpp"
#include "command_template.hpp"
#include "earlier_run.hpp"
#include "job_log.hpp"
#include "stop_signals.hpp"
#include "streams.hpp"
#include "writer.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <optional>
#include <system_error>

#include <unistd.h>

namespace tool {

namespace {

bool is_standard_input(const run_options& o) { return !o.inputs && (o.file.empty() || o.file == "-"); }

line_rules rules_for(const run_options& o) {
    auto rules = o.words.empty() ? line_rules::commands() : line_rules::inputs('\n');
    if (o.nul_separated)
        rules.end = '\0';
    return rules;
}

std::unique_ptr<line_source> open_source(const run_options& o) {
    if (o.inputs)
        return std::make_unique<line_source>(*o.inputs, rules_for(o));
    return std::make_unique<line_source>(o.file.empty() ? "-" : o.file, rules_for(o));
}

void check(const run_options& o) {
    if (o.inputs && !o.file.empty())
        throw usage_error("give inputs after ::: or -f FILE, not both");
    if (o.inputs && o.nul_separated)
        throw usage_error("-0 says how lines of a file or of standard input end; inputs after ::: have no lines");
    if (is_standard_input(o) && o.file.empty() && ::isatty(STDIN_FILENO) == 1)
        throw usage_error(
            o.words.empty()
                ? "there is nothing to run: give a command and its inputs (muster run 'gzip {}' ::: a b), or "
                  "commands with -f FILE or on standard input, one a line"
                : "there are no inputs for the template: write ::: and the inputs behind it, or give them "
                  "with -f FILE or on standard input, one a line");
    if (o.ungrouped && o.keep_order)
        throw usage_error("--ungroup and --keep-order exclude each other: what is not held back has no order");
    if (o.line_buffered && o.keep_order)
        throw usage_error("--line-buffer and --keep-order exclude each other: lines that come at once have no order");
    if (o.ungrouped && (o.line_buffered || o.tag || !o.results.empty()))
        throw usage_error("--ungroup lets commands write themselves: that excludes --line-buffer, --tag and --results");
    if (o.jsonl == "-")
        throw usage_error("--jsonl: standard output is for the output of the commands: name a file");
    if (o.resume && o.jsonl.empty())
        throw usage_error("--resume needs --jsonl FILE, with the log of the earlier run");
    if (std::error_code no_matter; !o.file.empty() && std::filesystem::equivalent(o.file, o.jsonl, no_matter))
        throw usage_error(fmt::format("--jsonl: {} is the input: name another file", o.jsonl));
}

} // namespace

run_options::run_options() { limit = processors(); }

int run(const run_options& given) {
    run_options options = given;
    if (options.dry_run) {
        options.limit = 1;
        options.quiet = true;
        options.jsonl.clear();
        options.resume = false;
    }
    check(given);
    const auto what = options.words.empty()       ? command_template::of_nothing()
                      : options.words.size() == 1 ? command_template::of_line(options.words.front())
                                                  : command_template::of_words(options.words);
    const auto source = open_source(options);
    writer out;
    std::optional<job_log> log;
    if (!options.jsonl.empty())
        log.emplace(out, options.jsonl);
    const auto before =
        options.resume ? earlier_run(log->descriptor_to_resume(), options.jsonl, "run", "command") : earlier_run();
    const auto is_done = [&](const input_line& line) { return before.succeeded(line, what.key(line.text)); };
    const bool is_there = !is_standard_input(options) && source->is_finite();
    if (is_there && (options.resume || (options.show_progress && !options.quiet && ::isatty(STDERR_FILENO) == 1))) {
        const auto trial = open_source(options);
        source->expect(before.look_ahead(*trial, is_done));
    }
    begin_log(log, options, before, "that command runs again");
    // Each command has two pipes and a descriptor of its own.
    options.limit = limit_in_reach(options, "commands");

    printed_ledger ledger(printed_ledger::of::commands);
    command_batch b(options, what, *source, ledger, out, log ? &*log : nullptr);
    if (options.resume)
        pass_over_what_is_done(
            *source, is_done, [&](const input_line& line) { b.pass_over(line.index); },
            [&](const std::string& why) { b.refuse(why); });
    // Made last: it refers to the batch and the writer until it is gone.
    stop_signals signals;
    run_batch(b, signals);
    out.drain();
    if (log)
        log->close();
    if (source->taken() == 0 && !options.word_like_an_option.empty())
        complain(
            fmt::format("nothing ran, as there were no inputs. {} stands behind the first word of the template and "
                        "was taken for a word of it: options of muster stand before",
                options.word_like_an_option));
    return b.status(print_end(b, out, ledger, *source, false, options.quiet,
        {b.failure(), source->failure(), log ? log->failure() : std::string()}));
}

} // namespace tool
