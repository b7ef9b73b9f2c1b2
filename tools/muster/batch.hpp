// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The base of the commands that work on many lines: at most so many jobs at once, retries, limits, progress,
/// and a ledger in which each line of the input is counted exactly once. A derived class does the work for a line.
///
///     class fetch_batch : public batch { muster::task<> attempt(job&) override; ... };
///     run_batch(b, signals);

#include "job.hpp"
#include "line_source.hpp"
#include "machine.hpp"
#include "printed_ledger.hpp"
#include "progress.hpp"
#include "stop_signals.hpp"
#include "units.hpp"
#include "writer.hpp"

#include <muster/detail/backoff.hpp>
#include <muster/detail/rate_window.hpp>
#include <muster/event.hpp>
#include <muster/loop_handle.hpp>
#include <muster/semaphore.hpp>
#include <muster/sleep.hpp>
#include <muster/task.hpp>
#include <muster/task_handle.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <optional>
#include <random>
#include <string>
#include <unordered_map>
#include <vector>

namespace tool {

/// The values that main returns; a signal gives 128 plus its number.
enum exit_status : int { all_succeeded = 0, some_failed = 1, bad_usage = 2 };

/// --halt: when a batch stops by itself, and how.
struct halt_rule {
    halt_rule() noexcept {}
    enum class when { never, soon, now }; ///< soon: what runs goes on; now: it is cancelled
    enum class counted { failed, succeeded, ended };
    when how = when::never;
    counted what = counted::failed;
    std::uint64_t least = 1;
    /// `least` is a percentage of the jobs that have ended; the rule applies once three jobs of the counted kind have.
    bool is_percentage = false;
};

struct batch_options {
    batch_options() {}

    std::size_t limit = 32;
    std::optional<std::chrono::nanoseconds> timeout;  ///< each attempt
    std::optional<std::chrono::nanoseconds> deadline; ///< everything
    std::size_t retries = 0;
    rate at_most;
    halt_rule halt;
    bool drain = false;      ///< the first signal starts nothing more and lets what runs go on
    std::string failed_file; ///< the inputs that did not succeed, or none
    char failed_end = '\n';
    std::string jsonl;        ///< the log's file, or none
    unsigned log_mode = 0600; ///< the permissions of a new log
    bool resume = false;      ///< go on where the log ends
    std::uint64_t spool_limit = std::uint64_t{1} << 30;
    bool quiet = false;
    std::string limit_file; ///< says how many may run at once, and is read again and again
    machine_limits machine;
    enum class ledger { automatic, always, failures, never }; ///< automatic: in full if it is of more than a success
    ledger prints = ledger::automatic;
    enum class progress { none, on_terminal, anywhere }; ///< anywhere: as lines of text where there is no terminal
    progress shown = progress::on_terminal;
    bool with_bar = false;
};

/// Runs a job for each line:
///
///     built ----> feeding     run() was called
///     feeding --> drained     the input ended, or drain() was called: what runs goes on
///     built, feeding or drained --> stopping     stop(): what runs is cancelled, the rest is not started
///     drained or stopping --> over     every line is counted
///
/// A feeder takes a line, then a place, and starts a job, which gives its place back at its end and while it waits for
/// its next attempt. Immovable. The options, the source, the ledger and the writer must outlive it.
/// *Thread safety*: the loop's thread.
class batch {
public:
    batch(const char* name, const batch_options& options, line_source& source, printed_ledger& ledger, writer& out);
    virtual ~batch() = default;
    batch(const batch&) = delete;
    batch& operator=(const batch&) = delete;

    /// Runs everything until each line is counted. Called once.
    muster::task<> run(stop_signals& signals);

    /// Starts nothing more and cancels what runs. `why` is the reason in log and ledger; the first one stays.
    void stop(std::string why);
    /// Starts nothing more and lets what runs go on; there are no more retries.
    void drain(std::string why);

    /// Why the list of failed inputs is not complete; empty if it is. Known once the writer is drained.
    [[nodiscard]] std::string list_problem() const;
    [[nodiscard]] const batch_options& options() const noexcept { return options_; }
    /// *Returns* the signal that interrupted it, or 0.
    [[nodiscard]] int signal() const noexcept { return signal_; }
    [[nodiscard]] std::chrono::nanoseconds elapsed() const noexcept { return elapsed_; }
    /// *Returns* whether as many have succeeded as --halt asked for, so that it is no failure that others have not.
    [[nodiscard]] bool has_enough_successes() const noexcept { return has_enough_successes_; }
    /// *Returns* the value that main returns.
    [[nodiscard]] int status(bool all_well) const noexcept {
        return signal_ != 0 ? 128 + signal_ : all_well ? all_succeeded : some_failed;
    }

protected:
    /// One attempt at a line. Throws what went wrong.
    virtual muster::task<> attempt(job& j) = 0;
    /// Whether what went wrong may be better the next time.
    [[nodiscard]] virtual bool worth_a_retry(const job& j, const std::exception_ptr& error) const = 0;
    /// Called before the first line is taken.
    virtual muster::task<> before_all();
    /// Whether an attempt that ended so never began: the line is then counted as not started, for that reason.
    [[nodiscard]] virtual bool never_began(const std::exception_ptr&) const { return false; }
    /// How long there must be no further attempt after it.
    [[nodiscard]] virtual std::chrono::nanoseconds least_pause(const std::exception_ptr&) const {
        return std::chrono::nanoseconds(0);
    }
    /// Called once for each line, when its job has ended or will never begin. Calls count(), at once or after the
    /// output was written, and writes the entry of the log.
    virtual void job_over(job&& j, job_end&& v) = 0;
    /// *Returns* how many bytes have come so far, for the progress display; nothing where they do not matter.
    [[nodiscard]] virtual std::optional<std::uint64_t> bytes_so_far() const { return std::nullopt; }
    /// Called for each signal that ends the run, after stop() was called for it. `count` is how many such signals there
    /// were, without the one that --drain used; SIGQUIT is at least the second.
    virtual void interrupted(int signal, int count);
    /// Sends a signal to all that the jobs have started.
    virtual void signal_jobs(int signal);
    /// Called once all jobs are over.
    virtual muster::task<> close_what_is_left();

    /// From now on so many may run at once.
    void change_limit(std::size_t limit);
    /// Counts a job that has ended, and keeps its input for --failed if it did not succeed.
    void count(const job& j, const job_end& v);
    [[nodiscard]] writer& out() noexcept { return out_; }
    [[nodiscard]] const muster::loop_handle& loop() const noexcept { return *loop_; }
    [[nodiscard]] bool stopping() const noexcept { return phase_ == phase::stopping; }
    /// Says that a job's output is still being written: run() waits until delivered() was called as often.
    void expect_delivery() noexcept { ++undelivered_; }
    void delivered() noexcept;
    template <class F>
    void for_each_running(F call) {
        for (auto& [index, r] : jobs_)
            call(r.what);
    }

private:
    enum class phase { built, feeding, drained, stopping, over };
    struct running_job {
        explicit running_job(input_line line) : what(std::move(line)) {}
        job what;
        std::exception_ptr last_error; ///< while it waits for its next attempt, what the last one ended with
        muster::task_handle<void> task;
    };

    void enter(phase next);
    muster::task<> feed();
    [[nodiscard]] bool one_more_may_start() const;
    void give_place_back();
    muster::task<> follow_limit_file();
    muster::task<> until_one_more_may_start();
    muster::task<> serve(std::uint64_t index);
    muster::task<> until_next_attempt(std::chrono::nanoseconds pause);
    muster::task<> keep_pace();
    muster::task<> carry_out_stop();
    muster::task<> count_the_rest();
    muster::task<> stop_at_deadline();
    [[nodiscard]] progress_counts progress_now() const;
    muster::task<> keep_showing_progress();
    muster::task<> keep_writing_progress();
    void start(input_line line);
    void cancel_jobs();
    void end_job(std::uint64_t index, job_end&& v);
    void look_whether_idle() noexcept;
    void look_whether_to_halt();
    void on_signal(int signal, int count);
    void suspend();

    const char* name_;
    const batch_options& options_;
    line_source& source_;
    printed_ledger& ledger_;
    writer& out_;
    phase phase_ = phase::built;
    std::string stop_reason_;
    int signal_ = 0;

    std::size_t limit_;           ///< how many may run at once
    std::size_t places_owed_ = 0; ///< places that are taken away as they are given back, since the limit was lowered
    muster::semaphore places_;
    muster::detail::rate_window window_;
    muster::detail::backoff backoff_;
    std::mt19937_64 random_{std::random_device{}()};
    std::unordered_map<std::uint64_t, running_job> jobs_; ///< by the index of their line
    std::optional<input_line> next_line_;                 ///< was taken and waits for a place
    std::size_t retrying_ = 0;                            ///< jobs that wait for their next attempt
    std::size_t undelivered_ = 0; ///< jobs that are over and wait for their output to be written
    muster::ledger jobs_ended_;   ///< printed or not
    muster::detail::owned_fd failed_inputs_;
    muster::event retries_begun_; ///< set when retrying_ has become smaller
    muster::event idle_;          ///< set when there is neither a job nor a delivery
    std::string last_failure_;    ///< for the progress display
    bool has_enough_successes_ = false;
    bool said_that_it_waits_ = false;

    muster::task_handle<void> feeding_;
    muster::task_handle<void> showing_; ///< the progress
    muster::loop_clock::time_point began_{};
    std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
    std::chrono::nanoseconds elapsed_{0};
    std::optional<muster::loop_handle> loop_; ///< the loop that run() runs on, as long as it does
};

/// Runs it on a loop of its own.
void run_batch(batch& b, stop_signals& signals);

/// *Returns* how many may run at once for the open files that this process may have. Raises that limit, if it can, for
/// so many as are wanted.
[[nodiscard]] std::size_t most_in_reach(std::size_t wanted);

/// *Returns* how many may run at once for the open files that this process may have, and says so if that is fewer than
/// it was asked for. `things` are what there are many of.
[[nodiscard]] std::size_t limit_in_reach(const batch_options& options, const char* things);

/// Waits until all is written, prints the ledger (to standard output if `on_output`, which then belongs to it) and the
/// problems that are not empty; only those if `quiet`. *Returns* whether all is well.
[[nodiscard]] bool print_end(const batch& b, writer& out, const printed_ledger& ledger, const line_source& source,
    bool on_output, bool quiet, const std::vector<std::string>& problems);

} // namespace tool
