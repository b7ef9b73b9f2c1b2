// SPDX-License-Identifier: MIT
// This file takes a command from its attempt to its entry in the log. attempt() runs the command and collects both
// outputs in spools; print() hands these to the writer as a parcel, and when both parts are written, printed() counts
// the job. With --keep-order, jobs that are over are held until all before them are printed. An output that stays open
// after its process has ended is read by a task of its own until the batch ends.
#include "command_batch.hpp"

#include "earlier_run.hpp"

#include "vocabulary/printable.hpp"

#include <muster/detail/assert.hpp>
#include <muster/event.hpp>
#include <muster/gather.hpp>
#include <muster/shield.hpp>
#include <muster/timeout.hpp>

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <memory>
#include <optional>
#include <set>
#include <stdexcept>
#include <string_view>
#include <system_error>
#include <utility>

#include <unistd.h>
#include <csignal>

namespace tool {

namespace {

constexpr std::size_t tail_kept = 2000;
/// So much of a command is printed with --trace.
constexpr std::size_t most_traced = 2000;
/// So many hosts may be lost under one command that had begun there: it may be what they are lost by.
constexpr int most_hosts_lost = 3;

} // namespace

/// A command on its way: where it is, and what it has said.
struct command_batch::details final : job_details {
    explicit details(spool_file& file) : out(file), err(file) {}

    /// An output of this attempt, beside what is printed.
    struct output {
        std::string begun_line; ///< with --line-buffer and --tag: printed when it is whole, or longer than any line is
        line_tag tag;           ///< what each line begins with
        std::unique_ptr<body_file> file;
    };
    [[nodiscard]] spool& printed(int number) noexcept { return number == 1 ? out : err; }

    std::string shown;           ///< the command, for the log
    unsigned ended_in_queue = 0; ///< so many of its attempts have an end that the queue knows
    pid_t pid = 0;               ///< of the process, as long as it runs
    spool out;
    spool err;
    bool wrote_too_much = false;
    bool was_cut_off = false; ///< elsewhere: something kept an output open although the process had ended
    std::string tail;         ///< the last of its standard error
    std::array<output, 2> outputs;
    std::array<muster::io::stream, 2> open; ///< outputs that something keeps open although the process has ended
};

/// A job that is over, while the writer has its outputs. Its members belong to the writer's thread until both parts are
/// written, and to the loop's thread afterwards.
struct command_batch::parcel {
    parcel(job&& over, job_end&& how) : j(std::move(over)), v(std::move(how)) {}
    job j;
    job_end v;
    int parts = 0; ///< that are not written yet
    std::string problem;
};

command_batch::command_batch(const run_options& options, const command_template& what, line_source& source,
    printed_ledger& ledger, writer& out, job_log* log, queue_use queue)
    : batch("run", options, source, ledger, out),
      options_(options),
      template_(what),
      log_(log),
      queue_(std::move(queue)),
      results_(options.results, "--results") {
    if (!options.hosts.empty() && !options.dry_run)
        hosts_.emplace(options.hosts);
}

std::size_t command_batch::slot_numbers::take() {
    if (free_.empty())
        return ++made_;
    const auto number = free_.top();
    free_.pop();
    return number;
}

/// For the log, which has an entry for an input, too, of which no command could be made.
std::string command_batch::shown_if_possible(const input_line& line) const {
    try {
        return template_.show(line, 0);
    } catch (const std::invalid_argument&) {
        return template_.text();
    }
}

// ---- running a command ----

muster::task<> command_batch::before_all() {
    if (hosts_) {
        auto connecting = connect_hosts();
        co_await std::move(connecting);
    }
    if (queue_.queue) {
        auto opening = open_queue();
        co_await std::move(opening);
    }
}

muster::task<> command_batch::open_queue() {
    switch (queue_.found) {
    case queue_use::look::there:
        queue_.queue->open();
        co_return;
    case queue_use::look::failed:
        failure_ = queue_.problem + ": nothing was run";
        stop("no queue");
        co_return;
    case queue_use::look::interrupted: {
        // The signal is about to be carried out, and ends this wait.
        muster::event never;
        co_await never.wait();
        break;
    }
    }
}

/// Connects the hosts. Those that can't be connected are told once, and left out.
muster::task<> command_batch::connect_hosts() {
    auto connecting = hosts_->connect([this](const std::string&, const std::string& why) {
        if (!options_.quiet)
            complain(fmt::format("left out {}", why));
    });
    auto connected = co_await muster::as_outcome(std::move(connecting));
    if (connected.failed() && !muster::is_a<muster::hosts::no_host_error>(connected.error()))
        connected.rethrow();
    if (!connected.failed() && !connected.succeeded())
        connected.rethrow();
    if (hosts_->connected() < options_.least_hosts) {
        failure_ = connected.failed()
                       ? "no host could be reached, so nothing was run"
                       : fmt::format("{} of {} hosts could be reached, and --hosts-min wants {}: nothing was run",
                             hosts_->connected(), options_.hosts.size(), options_.least_hosts);
        stop("no host");
        co_return;
    }
    // A command that waits for a place on a host would count as begun.
    change_limit(options_.limit_is_given ? std::min(options_.limit, hosts_->slots()) : hosts_->slots());
}

muster::task<> command_batch::attempt(job& j) {
    if (queue_.queue)
        return attempt_in_queue(j);
    return hosts_ ? attempt_elsewhere(j) : attempt_at(j, nullptr);
}

/// A command that had not begun on a host that was lost goes to another one, with --retry-elsewhere also one that had.
muster::task<> command_batch::attempt_elsewhere(job& j) {
    std::exception_ptr may_have_run; ///< the first loss of a host on which the command may have begun
    for (int hosts_lost = 0;;) {
        auto asking = hosts_->acquire();
        auto asked = co_await muster::as_outcome(std::move(asking));
        if (asked.failed()) {
            if (failure_.empty())
                failure_ = problem_of(asked.error());
            stop("no host is left");
            if (may_have_run)
                std::rethrow_exception(may_have_run);
        }
        const auto place = std::move(asked).value();
        auto trying = attempt_at(j, &place.host());
        auto ended = co_await muster::as_outcome(std::move(trying));
        const auto* lost = ended.error_as<muster::hosts::host_lost_error>();
        const bool may_have_begun = lost != nullptr && lost->begun() != muster::hosts::begun::no;
        if (may_have_begun && ++hosts_lost == 1)
            may_have_run = ended.error();
        const bool may_move =
            lost != nullptr && (!may_have_begun || (options_.retry_elsewhere && hosts_lost < most_hosts_lost));
        if (!may_move || stopping()) {
            // A command that had not begun at its last host may have begun before: it does not count as not started.
            if (lost != nullptr && may_have_run)
                std::rethrow_exception(may_have_run);
            ended.value();
            co_return;
        }
    }
}

bool command_batch::never_began(const std::exception_ptr& error) const {
    const auto* lost = muster::get_if<muster::hosts::host_lost_error>(error);
    return muster::is_a<muster::hosts::no_host_error>(error) ||
           (lost != nullptr && lost->begun() == muster::hosts::begun::no);
}

/// *Returns* the job's details, with nothing of an earlier attempt in them.
command_batch::details& command_batch::begin_attempt(job& j) {
    if (j.line.too_long)
        throw std::length_error(
            j.line.is == input_line::kind::columns
                ? std::string("a quote of CSV is opened and never closed")
                : fmt::format("it is longer than {} bytes: write it to a script", line_source::longest_line));
    if (!j.details)
        j.details = std::make_unique<details>(out().file());
    auto& d = static_cast<details&>(*j.details);
    d.out.clear();
    d.err.clear();
    d.tail.clear();
    d.open = {};
    d.wrote_too_much = false;
    d.was_cut_off = false;
    j.bytes = 0;
    return d;
}

/// Makes ready what take_piece() needs.
void command_batch::open_outputs(details& d, const job& j, const run_place& place) {
    const auto tag = options_.tag ? line_tag(template_.fill_in(*options_.tag, j.line, place)) : line_tag();
    for (const int output : {1, 2}) {
        auto& o = d.outputs[static_cast<std::size_t>(output - 1)];
        o.begun_line.clear();
        o.tag = tag;
        o.file.reset();
        if (results_.is_open())
            o.file = std::make_unique<body_file>(
                results_, fmt::format("{:06}-{}.{}", j.line.index + 1, safe_text(j.line.text.substr(0, 100)),
                              output == 1 ? "out" : "err"));
    }
}

/// The host is known once the command has ended. Until then a mark stands for it that the input can't contain, as it is
/// made of a digest of the input; and the same is made of it whenever this run comes back.
queued_command command_batch::to_be_queued(const job& j) const {
    queued_command what;
    const auto key = j.line.key.text();
    const auto earlier = queue_.before != nullptr ? queue_.before->attempts(j.line.key) : 0;
    const auto attempt = earlier + static_cast<const details&>(*j.details).ended_in_queue + 1;
    what.name = fmt::format("muster run\n{}\n{}\n{}", queue_.run, key, attempt);
    const auto mark = "{host " + key + '}';
    what.words = template_.make(j.line, run_place(0, mark)).words();
    const auto has_mark = [&](const std::string& word) { return word.find(mark) != std::string::npos; };
    if (std::ranges::any_of(what.words, has_mark))
        what.host_mark = mark;
    what.timeout = options_.timeout;
    what.grace = options_.grace;
    what.linger = options_.linger;
    what.most_output = options_.most_output;
    what.starts = options_.retry_elsewhere ? most_hosts_lost : 1;
    what.may_be_there = queue_.comes != queue_use::stretch::first;
    return what;
}

/// An attempt that was cancelled in the queue before this stretch of the run is one of those that have ended, and the
/// next one is made. Where no log says how often the run was here, such an attempt is the end of the command.
muster::task<queued_end> command_batch::ask_queue(job& j) {
    auto& d = static_cast<details&>(*j.details);
    for (;;) {
        auto running = queue_.queue->run(to_be_queued(j));
        auto ran = co_await muster::as_outcome(std::move(running));
        if (ran.failed() && queue_.queue->is_of_the_queue(ran.error()) && !stopping()) {
            if (failure_.empty())
                failure_ = problem_of(ran.error());
            // The others are not cancelled: each meets this error as well, or ends, and an end that is not known is not
            // one of a command that was cancelled.
            drain("the queue is out of reach");
        }
        auto end = std::move(ran).value();
        if (end.is_known_to_queue)
            ++d.ended_in_queue;
        if (end.how != queued_end::kind::cancelled)
            co_return end;
        if (stopping() || queue_.before == nullptr)
            throw muster::cancelled_error(muster::cancel_reason::requested, "in the queue");
    }
}

muster::task<> command_batch::attempt_in_queue(job& j) {
    auto& d = begin_attempt(j);
    j.host.clear();
    const run_place nowhere(0, "{host}");
    d.shown = template_.show(j.line, nowhere);
    if (options_.trace)
        out().write_on_new_line(STDERR_FILENO, "+ " + muster::detail::printable(d.shown, most_traced) + '\n');
    auto asking = ask_queue(j);
    auto end = co_await std::move(asking);
    j.host = muster::detail::printable(end.host, muster::detail::longest_printed_name);
    const run_place place(0, end.host);
    d.shown = template_.show(j.line, place);
    open_outputs(d, j, place);
    take_piece(d, j, 1, end.done.out);
    take_piece(d, j, 2, end.done.err);
    finish_outputs(d);
    d.was_cut_off = !end.done.output_ended;
    end.done.err = std::move(d.tail);
    throw_unless_succeeded(template_.make(j.line, place), end);
}

/// *Errors*: those of the same command here, as far as there are any.
void command_batch::throw_unless_succeeded(const muster::command& what, queued_end& end) const {
    using kind = queued_end::kind;
    const auto problem = muster::detail::printable(end.problem);
    const std::error_code code(end.code, std::generic_category());
    switch (end.how) {
    case kind::ended:
        end.done.command = what.describe();
        end.done.throw_if_failed();
        return;
    case kind::not_found:
        throw muster::command_not_found_error(what.words().front(), what.describe(), code, problem);
    case kind::not_started:
        throw muster::spawn_error(what.words().front(), what.describe(), code, problem);
    case kind::too_slow:
        if (options_.timeout)
            throw_too_slow();
        throw muster::timeout_error("its worker has ended it after a time limit that this run has not set");
    case kind::too_much_output:
        throw output_too_long_error(
            problem.empty() ? fmt::format("it wrote more than {} (--max-output)", show_size(options_.most_output))
                            : problem);
    case kind::refused:
        throw command_refused_error(problem);
    case kind::worker_left:
    case kind::failed:
    case kind::cancelled:
        break;
    }
    MUSTER_ASSERT(end.error != nullptr);
    std::rethrow_exception(end.error);
}

void command_batch::throw_too_slow() const {
    throw muster::timeout_error(
        fmt::format("it had not ended after {} and was ended", show_duration(*options_.timeout)));
}

muster::task<> command_batch::attempt_at(job& j, muster::hosts::connection* host) {
    auto& d = begin_attempt(j);
    const slot_numbers::lease slot(slots_);
    j.host = host != nullptr ? host->host() : std::string();
    const run_place place(slot.number(), options_.dry_run ? "{host}" : j.host);
    if (log_ != nullptr || options_.dry_run || options_.trace)
        d.shown = template_.show(j.line, place);
    if (options_.dry_run) {
        d.out.append(d.shown + '\n');
        co_return;
    }
    open_outputs(d, j, place);
    auto what = template_.make(j.line, place);
    if (options_.trace)
        out().write_on_new_line(STDERR_FILENO,
            (j.host.empty() ? "+ " : "+ " + j.host + ": ") + muster::detail::printable(d.shown, most_traced) + '\n');
    prepare(what, j, d, host != nullptr);
    auto running = host != nullptr && options_.has_files() ? run_with_files(std::move(what), files_of(j, place), *host)
                                                           : within_time_limit(std::move(what), host);
    auto ended = co_await muster::as_outcome(std::move(running));
    d.pid = 0;
    if (!ended.succeeded())
        finish_outputs(d);
    auto done = std::move(ended).value();
    d.was_cut_off = host != nullptr && !done.output_ended;
    // Time limits and the job's seconds end with the process. The job keeps its place until its outputs have ended too,
    // but no longer than --linger.
    j.ended = muster::loop_clock::now();
    if (d.open[0].is_open() || d.open[1].is_open()) {
        auto lingering = linger(d, j);
        // A cancellation of this wait does not change how the process ended.
        static_cast<void>(co_await muster::as_outcome(std::move(lingering)));
        if (d.wrote_too_much)
            d.open = {};
        keep_open(d, j);
    }
    finish_outputs(d);
    if (d.wrote_too_much)
        throw output_too_long_error(
            fmt::format("it wrote more than {} (--max-output)", show_size(options_.most_output)));
    done.err = std::move(d.tail);
    done.throw_if_failed();
}

/// *Errors*: std::runtime_error if the command of another line returns a file to the same place, where only one of the
/// two could stay.
host_files command_batch::files_of(const job& j, const run_place& place) {
    const auto filled = [&](const std::vector<std::string>& templates) {
        std::vector<std::string> names;
        for (const auto& text : templates)
            names.push_back(template_.fill_in(text, j.line, place));
        return names;
    };
    host_files files(filled(options_.sent_files), filled(options_.returned_files), options_.directory);
    for (auto& path : files.returned_paths()) {
        const auto [at, is_new] = returned_by_.try_emplace(std::move(path), j.line.number);
        if (!is_new && at->second != j.line.number)
            throw std::runtime_error(
                fmt::format("it returns {}, and so does the command of line {}: let the name depend on the input, as "
                            "out-{{#}} does",
                    muster::detail::printable(at->first, 500), at->second));
    }
    return files;
}

/// Sends the files, runs the command, and gets back what it has made, also if it fails: a file that is not there is an
/// error of a command that has succeeded.
muster::task<muster::completed_process> command_batch::run_with_files(
    muster::command what, host_files files, muster::hosts::connection& host) {
    const auto run_between = [&]() -> muster::task<muster::completed_process> {
        auto sending = files.send(host);
        co_await std::move(sending);
        auto running = within_time_limit(std::move(what), &host);
        auto done = co_await std::move(running);
        auto fetching = files.fetch(host);
        auto fetched = co_await muster::as_outcome(std::move(fetching));
        if (!fetched.succeeded() && (done.succeeded() || !fetched.failed()))
            fetched.rethrow();
        co_return done;
    };
    auto running = run_between();
    auto ended = co_await muster::as_outcome(std::move(running));
    if (options_.cleans_up && host.is_open()) {
        auto cleaning = muster::hold_cancellation(files.clean(host, left_folders_[&host]));
        static_cast<void>(co_await muster::as_outcome(std::move(cleaning)));
    }
    co_return std::move(ended).value();
}

void command_batch::prepare(muster::command& what, job& j, details& d, bool is_elsewhere) {
    what.grace(options_.grace);
    if (!options_.directory.empty())
        what.directory(options_.directory);
    // The number of a process on another host is none of this one's.
    if (is_elsewhere) {
        what.linger(options_.linger);
        for (const auto& [name, value] : options_.environment)
            what.env(name, value);
    } else {
        what.on_start([&d](pid_t pid) { d.pid = pid; });
    }
    if (options_.block_size != 0)
        // The block is moved to the command unless it may be needed again: for a retry, for the list of what failed, or
        // for a second host because the first was lost before the command had begun there.
        what.stdin_bytes(options_.retries == 0 && options_.failed_file.empty() && !is_elsewhere
                             ? std::exchange(j.line.parts.front(), {})
                             : j.line.parts.front());
    if (!options_.stdin_from.empty())
        what.stdin_file(options_.stdin_from);
    if (options_.has_terminal)
        what.stdin_inherit();
    if (options_.ungrouped) {
        what.stdout_to(muster::output::inherit);
        what.stderr_to(muster::output::inherit);
        return;
    }
    what.stdout_to(sink_of(d, j, 1));
    what.stderr_to(sink_of(d, j, 2));
    if (is_elsewhere)
        return;
    what.on_open_output(
        [&d](int output, int fd) { d.open[static_cast<std::size_t>(output - 1)] = muster::io::stream::adopt(fd); });
}

/// Where the pieces of an output go, 1 or 2.
muster::output_sink command_batch::sink_of(details& d, job& j, int output) {
    return [this, &d, &j, output](std::string_view piece) { take_piece(d, j, output, piece); };
}

void command_batch::take_piece(details& d, job& j, int output, std::string_view piece) {
    j.bytes += piece.size();
    if (options_.most_output != 0 && j.bytes > options_.most_output) {
        d.wrote_too_much = true;
        throw output_too_long_error(
            fmt::format("it wrote more than {} (--max-output)", show_size(options_.most_output)));
    }
    auto& o = d.outputs[static_cast<std::size_t>(output - 1)];
    if (o.file)
        o.file->write(piece);
    if (output == 2) {
        d.tail.append(piece.substr(piece.size() - std::min(piece.size(), tail_kept)));
        if (d.tail.size() > 2 * tail_kept)
            d.tail.erase(0, d.tail.size() - tail_kept);
    }
    if (!options_.line_buffered && !options_.tag) {
        d.printed(output).append(piece);
        return;
    }
    const auto whole = whole_lines(o.begun_line, piece);
    o.begun_line += piece;
    if (whole == 0)
        return;
    o.tag.give(std::string_view(o.begun_line).substr(0, whole), [&](std::string_view lines) {
        if (options_.line_buffered)
            out().write(output == 1 ? STDOUT_FILENO : STDERR_FILENO, lines);
        else
            d.printed(output).append(lines);
    });
    o.begun_line.erase(0, whole);
}

/// The attempt takes no more output: prints the last line although it is not whole, and closes the files.
void command_batch::finish_outputs(details& d) {
    for (const int output : {1, 2}) {
        auto& o = d.outputs[static_cast<std::size_t>(output - 1)];
        if (!o.begun_line.empty())
            o.tag.give(
                std::exchange(o.begun_line, {}), [&](std::string_view lines) { d.printed(output).append(lines); });
        if (o.file)
            o.file->finish();
        o.file.reset();
    }
}

// ---- outputs that stay open ----

muster::task<> command_batch::linger(details& d, job& j) {
    if (options_.linger.count() == 0)
        co_return;
    auto both = muster::gather(read_to_end(d.open[0], sink_of(d, j, 1)), read_to_end(d.open[1], sink_of(d, j, 2)));
    auto reading = muster::wait_for(std::move(both), options_.linger);
    try {
        co_await std::move(reading);
    } catch (const muster::timeout_error&) {
        // They stay open: keep_open() sees to them.
    }
}

muster::task<> command_batch::read_to_end(muster::io::stream& from, muster::output_sink sink) {
    std::array<std::byte, 16384> buffer;
    while (from.is_open()) {
        auto reading = from.read_some(buffer);
        const auto count = co_await std::move(reading);
        if (count == 0)
            from.close();
        else
            sink(std::string_view(reinterpret_cast<const char*>(buffer.data()), count));
    }
}

void command_batch::keep_open(details& d, const job& j) {
    for (const int output : {1, 2}) {
        auto& from = d.open[static_cast<std::size_t>(output - 1)];
        if (!from.is_open())
            continue;
        const auto late =
            late_.emplace(late_.end(), std::move(from), output == 1 ? STDOUT_FILENO : STDERR_FILENO, j.line.number);
        late->tag = d.outputs[static_cast<std::size_t>(output - 1)].tag;
        late->reading = muster::create_task(print_late(late), "late output");
    }
}

/// Prints whole lines, as they come.
muster::task<> command_batch::print_late(std::list<late_output>::iterator late) {
    auto reading = read_to_end(late->from, [this, late](std::string_view piece) {
        const auto whole = whole_lines(late->rest, piece);
        late->rest += piece;
        print_part_of(*late, whole);
    });
    co_await std::move(reading);
    print_part_of(*late, late->rest.size());
    late_.erase(late);
}

void command_batch::print_part_of(late_output& late, std::size_t size) {
    late.tag.give(
        std::string_view(late.rest).substr(0, size), [&](std::string_view lines) { out().write(late.fd, lines); });
    late.rest.erase(0, size);
}

muster::task<> command_batch::close_what_is_left() {
    for (const auto& left : left_folders_) {
        if (!left.first->is_open())
            continue;
        auto removing = remove_empty_folders(*left.first, left.second, options_.directory);
        co_await std::move(removing);
    }
    left_folders_.clear();
    if (queue_.queue) {
        auto closing = queue_.queue->close();
        co_await std::move(closing);
    }
    if (hosts_) {
        auto closing = hosts_->close();
        co_await std::move(closing);
    }
    std::set<std::uint64_t> lines;
    for (auto& late : late_) {
        late.reading.cancel();
        lines.insert(late.line);
        print_part_of(late, late.rest.size());
    }
    // A task that is cancelled runs once more before its stream may go.
    while (!late_.empty()) {
        auto reading = late_.front().reading;
        auto ending = [](muster::task_handle<void> h) -> muster::task<> { co_await h; }(reading);
        static_cast<void>(co_await muster::as_outcome(std::move(ending)));
        if (!late_.empty() && late_.front().reading.done())
            late_.pop_front();
    }
    const auto count = lines.size() + cut_off_;
    if (count == 0 || options_.quiet)
        co_return;
    if (cut_off_ != 0)
        lines.insert(first_cut_off_);
    complain(
        fmt::format("{} still open and not read any more, {} of line {}: what {} started in the background goes on",
            count == 1 ? "an output of a command is" : fmt::format("outputs of {} commands are", count),
            count == 1 ? "that" : "the first of them that", *lines.begin(), count == 1 ? "it has" : "they have"));
}

muster::task<muster::completed_process> command_batch::within_time_limit(
    muster::command what, muster::hosts::connection* host) {
    const auto time = options_.timeout;
    if (!time) {
        auto running = host != nullptr ? host->run(std::move(what)) : muster::run_command(std::move(what));
        auto done = co_await std::move(running);
        co_return done;
    }
    muster::timeout_scope limit;
    const auto run_there = [&]() -> muster::task<muster::completed_process> {
        // The way to the host, with the input and behind the inputs of others, is not the command's time.
        what.on_start([&](pid_t) {
            if (!limit.expired())
                limit.reschedule(muster::loop_clock::now() + *time);
        });
        auto running = host->run(std::move(what));
        auto done = co_await std::move(running);
        co_return done;
    };
    auto in_time =
        host != nullptr ? limit.run(run_there) : muster::wait_for(muster::run_command(std::move(what)), *time);
    try {
        auto done = co_await std::move(in_time);
        co_return done;
    } catch (const muster::timeout_error&) {
        throw_too_slow();
    }
}

bool command_batch::worth_a_retry(const job&, const std::exception_ptr& error) const {
    if (const auto* e = muster::get_if<muster::spawn_error>(error))
        return e->code() == std::errc::resource_unavailable_try_again || e->code() == std::errc::too_many_files_open ||
               e->code() == std::errc::too_many_files_open_in_system || e->code() == std::errc::not_enough_memory ||
               e->code() == std::errc::text_file_busy;
    return muster::is_a<muster::process_error>(error) || muster::is_a<muster::timeout_error>(error);
}

void command_batch::interrupted(int signal, int count) {
    if (!options_.quiet && queue_.queue && count <= 2)
        complain(count == 1 ? fmt::format(
                                  "{}: the workers end what runs, and nothing more begins", muster::signal_name(signal))
                            : std::string("the workers are at it; once more ends muster, and leaves the rest to them"));
    else if (count == 1 && !options_.quiet)
        complain(fmt::format("{}: ending what runs; once more kills it", muster::signal_name(signal)));
    if (count > 1) {
        if (hosts_)
            hosts_->kill_all();
        signal_jobs(SIGKILL);
    }
    // This program ends now, and waits for no host that does not answer.
    if (count > 2 && hosts_)
        hosts_->end_launchers();
}

void command_batch::signal_jobs(int signal) {
    for_each_running([signal](const job& j) {
        const auto* d = static_cast<const details*>(j.details.get());
        if (d != nullptr && d->pid > 0)
            ::kill(-d->pid, signal);
    });
}

// ---- printing what it said ----

void command_batch::job_over(job&& j, job_end&& v) {
    if (!options_.keep_order) {
        print(std::move(j), std::move(v));
        return;
    }
    const auto index = j.line.index;
    held_.add(index, {std::move(j), std::move(v)});
    print_in_order();
}

void command_batch::pass_over(std::uint64_t index) {
    if (!options_.keep_order)
        return;
    held_.pass_over(index);
    print_in_order();
}

void command_batch::print_in_order() {
    held_.give([this](std::pair<job, job_end>&& held) { print(std::move(held.first), std::move(held.second)); });
}

void command_batch::print(job&& j, job_end&& v) {
    auto* d = static_cast<details*>(j.details.get());
    const bool said_nothing = d == nullptr || (d->out.empty() && d->err.empty());
    // With --keep-order the log is in that order, too.
    if (said_nothing && !options_.keep_order) {
        printed(j, v, {});
        return;
    }
    const auto p = std::make_shared<parcel>(std::move(j), std::move(v));
    p->parts = 2;
    expect_delivery();
    hand_over(p, STDOUT_FILENO, "standard output", d != nullptr ? std::move(d->out) : spool(out().file()));
    hand_over(p, STDERR_FILENO, "standard error", d != nullptr ? std::move(d->err) : spool(out().file()));
}

void command_batch::hand_over(std::shared_ptr<parcel> p, int fd, const char* name, spool text) {
    const bool is_empty = text.empty();
    // Called on the writer's thread.
    auto part_written = [this, p = std::move(p), name, is_empty, loop = loop()](const std::string& problem) {
        if (!problem.empty() && !is_empty && p->problem.empty())
            p->problem = fmt::format("writing to {} failed: {}", name, problem);
        if (--p->parts == 0) {
            loop.post([this, p] {
                printed(p->j, p->v, p->problem);
                delivered();
            });
        }
    };
    out().write(fd, std::move(text), std::move(part_written));
}

/// Called when the outputs of a command are printed: only then does it count.
void command_batch::printed(job& j, job_end& v, const std::string& problem) {
    if (!problem.empty() && failure_.empty()) {
        failure_ = problem;
        // The outputs of further commands could not be printed either.
        stop(problem);
    }
    if (!problem.empty() && v.state == muster::outcome_state::value)
        v = job_end::failed(std::make_exception_ptr(std::runtime_error(problem)));
    count(j, v);
    const auto* d = static_cast<const details*>(j.details.get());
    if (d != nullptr && d->was_cut_off) {
        first_cut_off_ = cut_off_ == 0 ? j.line.number : std::min(first_cut_off_, j.line.number);
        ++cut_off_;
    }
    if (log_ == nullptr)
        return;
    std::optional<unsigned> ended_in_queue;
    if (queue_.queue)
        ended_in_queue = d != nullptr ? d->ended_in_queue : 0;
    log_->add_command(j, v, d != nullptr && !d->shown.empty() ? d->shown : shown_if_possible(j.line), ended_in_queue);
}

} // namespace tool
