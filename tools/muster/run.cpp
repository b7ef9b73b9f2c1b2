// SPDX-License-Identifier: MIT
#include "run.hpp"

#include "command_template.hpp"
#include "earlier_run.hpp"
#include "job_log.hpp"
#include "spool.hpp"
#include "stop_signals.hpp"
#include "streams.hpp"

#include <muster/run.hpp>
#include <muster/subprocess.hpp>
#include <muster/timeout.hpp>

#include <fmt/core.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <memory>
#include <queue>
#include <stdexcept>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>

#include <unistd.h>
#include <csignal>

namespace tool {

namespace {

using muster::command;

/// A command on its way: where it is, and what it has said.
struct command_details final : job_details {
    explicit command_details(spool_file& file) : out(file), err(file) {}

    std::string shown; ///< the command, for the log
    pid_t pid = 0;     ///< while it runs
    spool out;
    spool err;
    std::string tail; ///< the last of what it complained
};

/// The places that commands run in, lowest first.
class slot_pool {
public:
    class lease {
    public:
        explicit lease(slot_pool& of) : of_(&of), number_(of.take()) {}
        ~lease() { of_->free_.push(number_); }
        lease(const lease&) = delete;
        lease& operator=(const lease&) = delete;
        [[nodiscard]] std::size_t number() const noexcept { return number_; }

    private:
        slot_pool* of_;
        std::size_t number_;
    };

private:
    std::size_t take() {
        if (free_.empty())
            return ++made_;
        const auto number = free_.top();
        free_.pop();
        return number;
    }

    std::priority_queue<std::size_t, std::vector<std::size_t>, std::greater<>> free_;
    std::size_t made_ = 0;
};

class command_batch final : public batch {
public:
    command_batch(
        const run_options& options, const command_template& what, line_source& source, ledger& counts, job_log* log)
        : batch("run", options, source, counts),
          options_(options),
          template_(what),
          log_(log) {}

    /// An input that is not run again: nobody is to wait for its output.
    void pass_over(std::uint64_t index) {
        if (!options_.keep_order)
            return;
        passed_over_.insert_or_assign(index, true);
        deliver_in_order();
    }
    /// From now on nothing is run: the text says why.
    void refuse(std::string why) { refused_ = std::move(why); }
    /// SIGKILL to all that runs.
    void kill_all() noexcept {
        for (const auto& [number, j] : running()) {
            const auto* d = static_cast<const command_details*>(j.details.get());
            if (d != nullptr && d->pid > 0)
                ::kill(-d->pid, SIGKILL);
        }
    }
    /// Why the outputs could not be written; empty if they could.
    [[nodiscard]] const std::string& failure() const noexcept { return failure_; }

private:
    static constexpr std::size_t tail_kept = 2000;

    muster::task<> attempt(job& j) override {
        if (!refused_.empty()) {
            stop(refused_);
            throw std::runtime_error(refused_);
        }
        if (j.line.too_long)
            throw std::length_error(
                fmt::format("it is longer than {} bytes: write it to a script", line_source::longest_line));
        if (!j.details)
            j.details = std::make_unique<command_details>(outputs_);
        auto& d = static_cast<command_details&>(*j.details);
        d.out.clear();
        d.err.clear();
        d.tail.clear();
        j.bytes = 0;
        const slot_pool::lease slot(slots_);
        if (log_ != nullptr || options_.dry_run)
            d.shown = template_.show(j.line.text, j.line.index + 1, slot.number());
        if (options_.dry_run) {
            d.out.append(d.shown + '\n');
            co_return;
        }
        auto what = template_.make(j.line.text, j.line.index + 1, slot.number());
        prepare(what, j, d);
        // It is over, however it ends, when this is left.
        const std::unique_ptr<pid_t, void (*)(pid_t*)> over(&d.pid, [](pid_t* pid) { *pid = 0; });
        auto running = limited(std::move(what));
        auto done = co_await std::move(running);
        done.err = std::move(d.tail);
        done.throw_if_failed();
    }

    void prepare(command& what, job& j, command_details& d) {
        what.grace(options_.grace);
        what.on_start([&d](pid_t pid) { d.pid = pid; });
        if (options_.ungrouped) {
            what.stdout_to(muster::output::inherit);
            what.stderr_to(muster::output::inherit);
            return;
        }
        what.stdout_to([&](std::string_view piece) {
            j.bytes += piece.size();
            d.out.append(piece);
        });
        what.stderr_to([&](std::string_view piece) {
            j.bytes += piece.size();
            d.err.append(piece);
            d.tail.append(piece.substr(piece.size() - std::min(piece.size(), tail_kept)));
            if (d.tail.size() > 2 * tail_kept)
                d.tail.erase(0, d.tail.size() - tail_kept);
        });
    }

    muster::task<muster::completed_process> limited(command what) {
        auto running = muster::run_command(std::move(what));
        if (!options_.timeout) {
            auto done = co_await std::move(running);
            co_return done;
        }
        auto in_time = muster::wait_for(std::move(running), *options_.timeout);
        try {
            auto done = co_await std::move(in_time);
            co_return done;
        } catch (const muster::timeout_error&) {
            throw muster::timeout_error(
                fmt::format("it had not ended after {} and was ended", show_duration(*options_.timeout)));
        }
    }

    [[nodiscard]] bool worth_a_retry(const std::exception_ptr& error) const override {
        if (const auto* e = muster::get_if<muster::spawn_error>(error))
            return e->code() == std::errc::resource_unavailable_try_again ||
                   e->code() == std::errc::too_many_files_open ||
                   e->code() == std::errc::too_many_files_open_in_system || e->code() == std::errc::not_enough_memory ||
                   e->code() == std::errc::text_file_busy;
        return muster::is_a<muster::process_error>(error) || muster::is_a<muster::timeout_error>(error);
    }

    void ended(job&& j, verdict&& v) override {
        if (!options_.keep_order) {
            deliver(j, std::move(v));
            return;
        }
        const auto index = j.line.index;
        held_.try_emplace(index, std::move(j), std::move(v));
        deliver_in_order();
    }

    void deliver_in_order() {
        for (;; ++next_) {
            if (passed_over_.erase(next_) != 0)
                continue;
            const auto at = held_.find(next_);
            if (at == held_.end())
                return;
            auto [j, v] = std::move(at->second);
            held_.erase(at);
            deliver(j, std::move(v));
        }
    }

    /// What it said is printed, and only then does it count.
    void deliver(job& j, verdict&& v) {
        auto* d = static_cast<command_details*>(j.details.get());
        if (d != nullptr) {
            auto problem = print(d->out, STDOUT_FILENO, "standard output");
            if (auto also = print(d->err, STDERR_FILENO, "standard error"); problem.empty())
                problem = std::move(also);
            if (!problem.empty() && v.how == ending::ok)
                v = verdict::failed(std::make_exception_ptr(std::runtime_error(problem)));
        }
        counts().add(j, v);
        if (log_ != nullptr)
            log_->add_command(j, v, template_.key(j.line.text),
                d != nullptr && !d->shown.empty() ? d->shown : template_.show(j.line.text, j.line.index + 1, 0));
    }

    std::string print(const spool& text, int fd, const char* name) {
        if (text.empty())
            return {};
        std::string problem = failure_;
        if (problem.empty()) {
            line().clear();
            try {
                if (const auto failed = text.write_to(fd))
                    problem = fmt::format("writing to {} failed: {}", name, failed->message());
            } catch (const std::exception& e) {
                problem = e.what();
            }
        }
        if (!problem.empty() && failure_.empty()) {
            failure_ = problem;
            // What is run from now on would be run for nothing.
            stop(problem);
        }
        return problem;
    }

    const run_options& options_;
    const command_template& template_;
    job_log* log_;
    spool_file outputs_;
    slot_pool slots_;
    std::map<std::uint64_t, std::pair<job, verdict>> held_; ///< ended before their turn
    std::map<std::uint64_t, bool> passed_over_;
    std::uint64_t next_ = 0;
    std::string refused_;
    std::string failure_;
};

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
    if (o.jsonl == "-")
        throw usage_error("--jsonl: standard output is for the output of the commands: name a file");
    if (o.resume && o.jsonl.empty())
        throw usage_error("--resume needs --jsonl FILE, with the log of the earlier run");
    if (std::error_code no_matter; !o.file.empty() && std::filesystem::equivalent(o.file, o.jsonl, no_matter))
        throw usage_error(fmt::format("--jsonl: {} is the input: name another file", o.jsonl));
}

/// Reads all of an input that is there already. *Returns* how many are to be run.
/// *Errors*: usage_error if the log is another list's.
std::size_t look_ahead(const run_options& o, const command_template& what, const earlier_run& before) {
    const auto trial = open_source(o);
    std::size_t count = 0;
    for (input_line line; trial->try_take(line) == line_source::took::line;)
        count += before.succeeded(line.index, line.number, what.key(line.text)) ? 0 : 1;
    if (before.count() > trial->taken())
        throw usage_error(fmt::format("--resume: {} is the log of a longer list: it has {} commands, and this list {}",
            o.jsonl, before.count(), trial->taken()));
    return count;
}

} // namespace

run_options::run_options() { limit = std::max(1u, std::thread::hardware_concurrency()); }

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
    const auto before = options.resume ? earlier_run(options.jsonl, "run", "command") : earlier_run();
    const bool is_there = !is_standard_input(options) && source->is_finite();
    if (is_there && (options.resume || (options.show_progress && !options.quiet && ::isatty(STDERR_FILENO) == 1)))
        source->expect(look_ahead(options, what, before));
    std::optional<job_log> log;
    if (!options.jsonl.empty())
        log.emplace(options.jsonl, before.whole());
    if (before.was_cut_off() && !options.quiet)
        complain(fmt::format("the last line of {} was cut off: that command runs again", options.jsonl));
    // Each command has two pipes and a descriptor of its own.
    options.limit = limit_in_reach(options, "commands");

    ledger counts("of output", true);
    stop_signals signals;
    command_batch b(options, what, *source, counts, log ? &*log : nullptr);
    if (options.resume)
        source->only_if([&](const input_line& line) {
            try {
                if (!before.succeeded(line.index, line.number, what.key(line.text)))
                    return true;
                b.pass_over(line.index);
                return false;
            } catch (const usage_error& e) {
                b.refuse(e.what());
                return true;
            }
        });
    b.on_begin([&] {
        signals.listen([&](int signal, int count) {
            if (count > 1) {
                b.kill_all();
                return;
            }
            if (!options.quiet)
                complain(fmt::format("{}: ending what runs; once more kills it", muster::signal_name(signal)));
            b.stop("interrupted", signal);
        });
    });
    bool all_well = true;
    const auto end = run_batch(b, muster::run_options().handle_interrupt(false), [&](const batch_end& how) {
        if (log)
            log->close();
        all_well = conclude(how, counts, *source, false, options.quiet,
            {b.failure(), source->failure(), log ? log->failure() : std::string()});
    });
    return end.status(all_well);
}

} // namespace tool
