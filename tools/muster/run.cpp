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

#include <muster/run.hpp>
#include <muster/sleep.hpp>
#include <muster/task_handle.hpp>

#include <fmt/core.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <exception>
#include <memory>
#include <optional>
#include <random>
#include <string_view>
#include <system_error>
#include <utility>

#include <unistd.h>

namespace tool {

namespace {

bool is_terminal(int fd) { return ::isatty(fd) == 1; }

bool is_standard_input(const run_options& o) { return !o.inputs && (o.file.empty() || o.file == "-"); }

line_rules rules_for(const run_options& o) {
    auto rules = o.words.empty() ? line_rules::commands() : line_rules::inputs('\n');
    if (o.line_end)
        rules.end = *o.line_end;
    return rules;
}

/// *Returns* the lines of a file that is one of several lists.
std::vector<std::string> lines_of(const std::string& file, const line_rules& rules) {
    line_source from(file, rules);
    std::vector<std::string> all;
    for (input_line line; from.wait_and_take(line);)
        all.push_back(std::move(line.text));
    if (!from.failure().empty())
        throw usage_error(from.failure());
    return all;
}

/// Where the inputs come from, as often as they are to be read.
class input_plan {
public:
    explicit input_plan(run_options& o) : options_(o) {
        if (!o.inputs)
            return;
        auto& lists = *o.inputs;
        // A single list that is a file is read as it is needed.
        if (lists.size() == 1 && !lists.front().file.empty()) {
            o.file = lists.front().file;
            o.inputs.reset();
            return;
        }
        for (auto& list : lists) {
            if (!list.file.empty())
                list.inputs = lines_of(list.file, rules_for(o));
            if (!o.columns.has_header || lists.size() == 1)
                continue;
            if (list.inputs.empty())
                throw usage_error("--header: a list without inputs has no name either");
            names_.push_back(list.inputs.front());
            list.inputs.erase(list.inputs.begin());
        }
    }

    [[nodiscard]] std::unique_ptr<line_source> open() {
        const auto rules = rules_for(options_);
        auto source = options_.inputs
                          ? std::make_unique<line_source>(*options_.inputs, rules)
                          : std::make_unique<line_source>(options_.file.empty() ? "-" : options_.file, rules);
        if (options_.columns.has_columns()) {
            source->cut_into_columns(options_.columns);
            if (options_.columns.has_header)
                names_ = source->take_header();
        }
        if (options_.inputs_each != 0)
            source->bundle(bundle_);
        if (options_.block_size != 0)
            source->give_blocks_of(options_.block_size);
        return source;
    }
    /// *Returns* which placeholders there are, once the source was opened.
    [[nodiscard]] placeholders places() const {
        placeholders p;
        p.own_word = options_.own_placeholder;
        p.names = names_;
        if (options_.columns.has_columns() || options_.as_many_as_fit)
            p.parts.reset();
        else if (options_.inputs_each != 0)
            p.parts = options_.inputs_each;
        else if (options_.inputs)
            p.parts = options_.inputs->size();
        p.on_standard_input = options_.block_size != 0;
        p.runs = options_.is_queued()     ? placeholders::where::by_workers
                 : options_.hosts.empty() ? placeholders::where::here
                                          : placeholders::where::on_hosts;
        p.are_lists = options_.inputs_each != 0 || (options_.inputs && options_.inputs->size() > 1);
        return p;
    }
    /// Several inputs become one command, which must fit in the memory for arguments.
    void bundle(line_source& source, const command_template& what) {
        if (options_.inputs_each == 0)
            return;
        bundle_.most_inputs = options_.inputs_each;
        if (options_.as_many_as_fit) {
            bundle_.most_bytes = most_bytes_of_arguments();
            bundle_.cost = [&what](const std::string& input) { return what.cost(input); };
        }
        source.bundle(bundle_);
    }

private:
    /// As xargs does: more is no faster, and several commands at once have something to do.
    static std::size_t most_bytes_of_arguments() {
        constexpr std::size_t enough = std::size_t{120} << 10;
        constexpr std::size_t apart = std::size_t{16} << 10;
        std::size_t environment = apart;
        for (char** variable = ::environ; *variable != nullptr; ++variable)
            environment += std::string_view(*variable).size() + 1 + sizeof(char*);
        const auto most = static_cast<std::size_t>(std::max(::sysconf(_SC_ARG_MAX), 0L));
        return most > environment + apart ? std::min(enough, most - environment) : apart;
    }

    run_options& options_;
    std::vector<std::string> names_;
    bundle_rules bundle_;
};

/// Refuses what can't go through a queue, and says what to do instead.
void check_for_queue(const run_options& o) {
    const std::pair<bool, const char*> refused[] = {
        {o.ungrouped, "--ungroup: what a worker's command writes comes back when it has ended: leave it out"},
        {o.line_buffered, "--line-buffer: what a worker's command writes comes back when it has ended: leave it out"},
        {o.has_terminal, "--tty: a worker has no terminal of this machine: leave it out"},
        {o.block_size != 0, "--pipe: nothing is sent to a worker but the words of a command: put the blocks into files "
                            "that the workers can read, and give their names"},
        {!o.stdin_from.empty(),
            "--stdin-from: nothing is sent to a worker but the words of a command: name a file that "
            "it can read in the template"},
        {o.has_files() || o.cleans_up, "--transfer, --return, --cleanup and --trc: nothing is sent to a worker but the "
                                       "words of a command: use a folder that all of them have, or --on HOST"},
        {!o.environment.empty(), "--env: commands have the environment of their worker: set it there"},
        {!o.directory.empty(), "--wd: commands run in the folder of their worker: say muster worker --wd DIR"},
        {o.nice != 0, "--nice: the priority of commands is their worker's: start it with nice"},
        {o.least_hosts != 1, "--hosts-min: a queue takes commands also while no worker is there: leave it out"},
    };
    for (const auto& [is_given, why] : refused)
        if (is_given)
            throw usage_error(fmt::format("{} (--on names a queue)", why));
}

void check(const run_options& o) {
    if (o.inputs && !o.file.empty())
        throw usage_error("give inputs after ::: or -f FILE, not both");
    if (o.inputs && o.line_end)
        throw usage_error("-0 and -d say how lines of a file or of standard input end; inputs after ::: have no lines");
    if (is_standard_input(o) && o.file.empty() && is_terminal(STDIN_FILENO))
        throw usage_error(
            o.words.empty()
                ? "there is nothing to run: give a command and its inputs (muster run 'gzip {}' ::: a b), or "
                  "commands with -f FILE or on standard input, one a line"
                : "there are no inputs for the template: write ::: and the inputs behind it, or give them "
                  "with -f FILE or on standard input, one a line");
    const bool has_lists = o.inputs && o.inputs->size() > 1;
    if (o.words.empty() && (o.inputs_each != 0 || o.columns.has_columns() || !o.own_placeholder.empty()))
        throw usage_error("-n, -X, -I, --colsep and --csv are about a template and its inputs: give a template");
    if (o.inputs_each != 0 && (o.columns.has_columns() || has_lists))
        throw usage_error("-n and -X give a command several lines of one list: that excludes --colsep, --csv and a "
                          "second list");
    if (o.columns.has_columns() && has_lists)
        throw usage_error("--colsep and --csv cut the lines of one list: that excludes a second list");
    if (o.columns.has_header && !o.columns.has_columns() && !has_lists)
        throw usage_error("--header names columns: say with --csv or --colsep how they are separated");
    if (o.block_size != 0) {
        if (o.words.empty() || o.inputs || o.inputs_each != 0 || o.columns.has_columns())
            throw usage_error(
                "--pipe gives a command lines on its standard input: that takes a template, and a file or "
                "standard input, and excludes :::, -n, -X, --colsep and --csv");
        if (o.resume || !o.stdin_from.empty() || o.has_terminal)
            throw usage_error("--pipe and --resume, --stdin-from or --tty exclude each other");
    }
    if (o.has_terminal && is_standard_input(o))
        throw usage_error("--tty leaves standard input to the commands: give the inputs with ::: or -f");
    if (o.has_terminal && (!o.stdin_from.empty() || o.keep_order || o.line_buffered || o.tag || !o.results.empty()))
        throw usage_error("--tty lets commands read and write the terminal themselves: that excludes --stdin-from, "
                          "--keep-order, --line-buffer, --tag and --results");
    if (!o.stdin_from.empty() && ::access(o.stdin_from.c_str(), R_OK) != 0)
        throw usage_error(
            fmt::format("--stdin-from: {} can't be read: {}", o.stdin_from, std::generic_category().message(errno)));
    if (o.ungrouped && o.most_output != 0)
        throw usage_error("--max-output: with --ungroup the output does not pass through muster");
    if (o.ungrouped && o.keep_order)
        throw usage_error("--ungroup and --keep-order exclude each other: what is not held back has no order");
    if (o.line_buffered && o.keep_order)
        throw usage_error("--line-buffer and --keep-order exclude each other: lines that come at once have no order");
    if (o.ungrouped && (o.line_buffered || o.tag || !o.results.empty()))
        throw usage_error("--ungroup lets commands write themselves: that excludes --line-buffer, --tag and --results");
    if (!o.hosts.empty() && (o.ungrouped || o.has_terminal))
        throw usage_error("--on: what other hosts write comes through muster, and they have no terminal of this one: "
                          "that excludes --ungroup and --tty");
    if (o.is_queued())
        check_for_queue(o);
    else if (!o.queue.run.empty() || !o.queue.tag.empty() || o.queue.schema != queue_place().schema)
        throw usage_error("--attach, --worker-tag and --schema are about a queue: say which with --on "
                          "postgresql://user@host/database");
    if (o.hosts.empty() && !o.is_queued() && (!o.environment.empty() || o.retry_elsewhere || o.least_hosts != 1))
        throw usage_error("--env, --retry-elsewhere and --hosts-min are about other hosts: say which with --on");
    if (!o.hosts.empty() && o.nice != 0)
        throw usage_error("--nice is for commands here: write nice into the template for other hosts");
    if (o.least_hosts > std::max<std::size_t>(o.hosts.size(), 1))
        throw usage_error(
            fmt::format("--hosts-min wants {} hosts, and there are {} in the list", o.least_hosts, o.hosts.size()));
    if (o.jsonl == "-")
        throw usage_error("--jsonl: standard output is for the output of the commands: name a file");
    if (o.resume && o.jsonl.empty())
        throw usage_error("--resume needs --jsonl FILE, with the log of the earlier run");
    std::vector<named_file> read{{"the input", is_standard_input(o) ? "/dev/stdin" : o.file},
        {"what --stdin-from names", o.stdin_from}, {"what --limit names", o.limit_file}};
    if (o.inputs) {
        for (const auto& list : *o.inputs)
            read.emplace_back("the input", list.file);
    }
    require_files_apart(read, {{"--jsonl", o.jsonl}, {"--failed", o.failed_file}});
}

/// *Returns* a name that no other run has.
std::string new_name_of_run() {
    constexpr std::size_t words = 4;
    std::random_device random;
    std::string name;
    for (std::size_t i = 0; i != words; ++i)
        name += fmt::format("{:08x}", static_cast<std::uint32_t>(random()));
    return name;
}

muster::task<std::string> end_of(muster::task_handle<std::string> handle) {
    auto text = co_await handle;
    co_return text;
}

muster::task<> cancel_at_signal(const stop_signals& signals, muster::task_handle<std::string> looking) {
    while (!signals.has_come())
        co_await muster::sleep_for(std::chrono::milliseconds(20));
    looking.cancel();
}

/// Looks whether the queue is there, which a signal ends: the signal itself is left to the batch. *Returns* the queue's
/// id.
muster::task<std::string> look_at_queue(queue_use& queue, const stop_signals& signals) {
    auto looking = muster::create_task(queue.queue->look(), "look at the queue");
    auto watching = muster::create_task(cancel_at_signal(signals, looking), "signals");
    auto ending = end_of(looking);
    auto ended = co_await muster::as_outcome(std::move(ending));
    watching.cancel();
    if (ended.succeeded())
        co_return std::move(ended).value();
    queue.found = ended.failed() ? queue_use::look::failed : queue_use::look::interrupted;
    if (ended.failed())
        queue.problem = problem_of(ended.error());
    co_return std::string();
}

/// The signals may be older than the batch that they are told to: these end first.
class end_of_listening {
public:
    explicit end_of_listening(stop_signals& to) noexcept : to_(to) {}
    ~end_of_listening() { to_.end_listening(); }
    end_of_listening(const end_of_listening&) = delete;
    end_of_listening& operator=(const end_of_listening&) = delete;

private:
    stop_signals& to_;
};

/// *Returns* whether the last word is rather an input, as in `muster run gzip *.log`, in which ::: was forgotten.
bool forgets_its_mark(const std::vector<std::string>& words) {
    return words.size() > 1 &&
           (words.front().find(' ') != std::string::npos || ::access(words.back().c_str(), F_OK) == 0);
}

/// *Returns* the name that this run has in the queue: the one that was given, or the one that the log has, or a new
/// one. It is in the log, or said, before anything is submitted.
std::string name_of_run(
    const run_options& o, const earlier_run& before, std::optional<job_log>& log, const std::string& queue) {
    auto name = o.queue.run.empty() ? before.name_in_queue() : o.queue.run;
    const bool is_new = name.empty();
    if (is_new)
        name = new_name_of_run();
    if (log && name != before.name_in_queue())
        log->add_run(name, queue);
    if (!log && is_new && !o.quiet)
        complain(
            fmt::format("this run is {0} in the queue: with --attach {0} the same command comes back to it", name));
    return name;
}

} // namespace

run_options::run_options() { limit = processors(); }

int run(const run_options& given, const queue_maker& make_queue) {
    constexpr std::size_t limit_in_queue = 1000;
    run_options options = given;
    if (options.dry_run) {
        options.limit = 1;
        options.machine = {};
        options.limit_file.clear();
        options.trace = false;
        options.quiet = true;
        options.jsonl.clear();
        options.failed_file.clear();
        options.results.clear();
        options.resume = false;
    }
    check(given);
    if (options.is_queued() && !options.limit_is_given && !options.dry_run)
        options.limit = limit_in_queue;
    if (options.has_terminal) {
        options.limit = 1;
        options.limit_file.clear();
        options.ungrouped = true;
    }
    // Commands that write to the terminal themselves know nothing of lines at its bottom.
    if (options.ungrouped && is_terminal(STDERR_FILENO))
        options.shown = batch_options::progress::none;
    input_plan plan(options);
    const auto source = plan.open();
    command_template::rules rules;
    rules.places = plan.places();
    rules.shell = options.shell;
    const auto what = options.words.empty()       ? command_template::of_nothing(rules)
                      : options.words.size() == 1 ? command_template::of_line(options.words.front(), rules)
                                                  : command_template::of_words(options.words, rules);
    plan.bundle(*source, what);
    if (options.dry_run && !what.what_reads_again().empty())
        complain(fmt::format("the template has {}, which reads its text again: what an input holds is not safe there",
            what.what_reads_again()));
    writer out;
    std::optional<job_log> log;
    if (!options.jsonl.empty())
        log.emplace(out, options.jsonl, options.log_mode);
    auto before =
        options.resume ? earlier_run(log->descriptor_to_resume(), options.jsonl, "run", "command") : earlier_run();
    const auto is_done = [&](const input_line& line) { return before.succeeded(line); };
    const auto content = [&](const input_line& line) { return what.key(line); };
    before.require_name(options.queue.run);
    const bool goes_to_queue = options.is_queued() && !options.dry_run;
    if (log || goes_to_queue)
        source->know_by(content);
    const bool is_there = !is_standard_input(options) && source->is_finite();
    const bool shows_total =
        !options.quiet && (options.shown == batch_options::progress::anywhere ||
                              (options.shown == batch_options::progress::on_terminal && is_terminal(STDERR_FILENO)));
    if (is_there && (options.resume || shows_total)) {
        const auto trial = plan.open();
        if (log)
            trial->know_by(content);
        source->expect(before.look_ahead(*trial, is_done));
    }
    queue_use queue;
    std::string id_of_queue;
    std::optional<stop_signals> signals;
    if (goes_to_queue) {
        queue.queue = make_queue(options.queue, options.limit);
        // From here on a signal ends the run and not the program, as the database may take its time.
        signals.emplace();
        id_of_queue = muster::run(look_at_queue(queue, *signals), muster::run_options().handle_interrupt(false));
    }
    if (queue.found == queue_use::look::there)
        before.require_queue(id_of_queue);
    begin_log(log, options, before, "that command runs again");
    // Each command has two pipes and a descriptor of its own.
    if (options.hosts.empty() && !goes_to_queue)
        options.limit = limit_in_reach(options, "commands");
    if (goes_to_queue && queue.found == queue_use::look::there) {
        queue.run = name_of_run(options, before, log, id_of_queue);
        queue.before = queue.run == before.name_in_queue() ? &before : nullptr;
        queue.comes = queue.before != nullptr     ? queue_use::stretch::logged
                      : options.queue.run.empty() ? queue_use::stretch::first
                                                  : queue_use::stretch::unlogged;
    }

    printed_ledger ledger(printed_ledger::of::commands);
    command_batch b(options, what, *source, ledger, out, log ? &*log : nullptr, std::move(queue));
    if (options.resume)
        source->only_if([&](const input_line& line) {
            if (!is_done(line))
                return true;
            b.pass_over(line.index);
            return false;
        });
    if (options.nice != 0)
        be_nicer(options.nice);
    if (!signals)
        signals.emplace();
    const end_of_listening before_the_batch(*signals);
    run_batch(b, *signals);
    out.drain();
    if (log)
        log->close();
    say_what_was_removed(before, *source, options);
    if (source->taken() == 0 && !options.word_like_an_option.empty())
        complain(
            fmt::format("nothing ran, as there were no inputs. {} stands behind the first word of the template and "
                        "was taken for a word of it: options of muster stand before",
                options.word_like_an_option));
    else if (source->taken() == 0 && is_standard_input(options) && !options.quiet && forgets_its_mark(options.words))
        complain(fmt::format("nothing ran, as there were no inputs on standard input. {} stands behind the template "
                             "without ::: and was taken for a word of it",
            options.words.back()));
    return b.status(print_end(b, out, ledger, *source, false, options.quiet,
        {b.failure(), source->failure(), log ? log->failure() : std::string()}));
}

} // namespace tool
