// SPDX-License-Identifier: MIT
// This file runs a batch through its phases: run() leads from built to feeding; the end of the input, or drain(), leads
// to drained, in which no further job starts; stop() leads to stopping, in which the jobs are cancelled; and run()
// enters over when all jobs have ended and are delivered. feed() takes a line and a place and starts a task for it;
// serve() makes the attempts and pauses of one line, and gives the place back during a pause. Lines that were never
// started are counted at the end.
#include "batch.hpp"

#include "streams.hpp"
#include "words.hpp"

#include <muster/detail/assert.hpp>
#include <muster/run.hpp>

#include <fmt/core.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <limits>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <unistd.h>

namespace tool {

namespace {

using namespace std::chrono_literals;

/// While so many times the limit of jobs wait for their next attempt, no further job starts.
constexpr std::size_t most_retrying = 4;
/// So many of those that run are named, and so much of a name is looked at.
constexpr std::size_t names_shown = 8;
constexpr std::size_t longest_name = 200;
/// With this signal the program ends at once, so that nothing is spared any more.
constexpr int last_signal = 3;
/// About how many bytes of memory a job takes, beside its output, while the output waits to be written.
constexpr std::uint64_t size_of_delivery = 1024;
/// So many bytes may wait to be written while lines are counted that will not be started.
constexpr std::uint64_t most_behind_at_end = std::uint64_t{1} << 20;

muster::task<> end_of(muster::task_handle<void> handle) { co_await handle; }

/// *Returns* the inputs of a job as -f reads them: each is a line, and those of a combination are columns of one.
std::string to_be_given_back(const input_line& line, char end) {
    if (line.is == input_line::kind::block)
        return line.parts.empty() ? std::string() : line.parts.front();
    if (!line.is_list())
        return line.text + end;
    const char between = line.is == input_line::kind::bundle ? end : '\t';
    std::string text;
    for (std::size_t i = 0; i != line.parts.size(); ++i)
        text += line.parts[i] + (i + 1 == line.parts.size() ? end : between);
    return text;
}

muster::detail::backoff pauses_of_retries() {
    muster::detail::backoff pauses;
    pauses.first = 200ms;
    pauses.longest = 10s;
    // Half of each pause is random, so that jobs that failed together do not come back together.
    pauses.jitter = 0.5;
    return pauses;
}

} // namespace

batch::batch(const char* name, const batch_options& options, line_source& source, printed_ledger& ledger, writer& out)
    : name_(name),
      options_(options),
      source_(source),
      ledger_(ledger),
      out_(out),
      limit_(options.limit),
      places_(static_cast<std::ptrdiff_t>(options.limit)),
      window_(options.at_most.count, options.at_most.window),
      backoff_(pauses_of_retries()) {
    const auto& file = options.failed_file;
    if (file.empty())
        return;
    failed_inputs_ = open_to_write("--failed", file, O_WRONLY | O_CREAT | O_TRUNC, 0666);
}

void batch::count(const job& j, const job_end& v) {
    ledger_.add(j, v);
    if (v.state == muster::outcome_state::error && showing_.valid())
        last_failure_ = fmt::format(
            "line {}: {}: {}", j.line.number, ledger_.shown(j.line.text, longest_name), summary_of(v.error));
    if (failed_inputs_.is_open() && v.state != muster::outcome_state::value)
        out_.write(failed_inputs_.get(), to_be_given_back(j.line, options_.failed_end));
}

std::string batch::list_problem() const {
    const auto problem = failed_inputs_.is_open() ? out_.problem_of(failed_inputs_.get()) : std::string();
    return problem.empty() ? problem : fmt::format("writing {} failed: {}", options_.failed_file, problem);
}

void batch::enter(phase next) {
    switch (next) {
    case phase::built:
        MUSTER_ASSERT(false);
        break;
    case phase::feeding:
        MUSTER_ASSERT(phase_ == phase::built);
        break;
    case phase::drained:
        MUSTER_ASSERT(phase_ == phase::feeding);
        break;
    case phase::stopping:
        MUSTER_ASSERT(phase_ == phase::built || phase_ == phase::feeding || phase_ == phase::drained);
        break;
    case phase::over:
        MUSTER_ASSERT(phase_ == phase::drained || phase_ == phase::stopping);
        MUSTER_ASSERT(jobs_.empty() && undelivered_ == 0 && ledger_.counts().adds_up());
        break;
    }
    phase_ = next;
}

muster::task<> batch::run(stop_signals& signals) {
    loop_.emplace(muster::loop_handle::current());
    began_ = muster::loop_clock::now();
    signals.listen([this](int signal, int count) { on_signal(signal, count); },
        [this](int count) {
            if (count > (options_.drain ? 1 : 0))
                out_.hurry();
        });
    const bool on_terminal = ::isatty(STDERR_FILENO) == 1;
    if (options_.shown != batch_options::progress::none && !options_.quiet && on_terminal)
        showing_ = muster::create_task(keep_showing_progress(), "progress");
    else if (options_.shown == batch_options::progress::anywhere && !options_.quiet)
        showing_ = muster::create_task(keep_writing_progress(), "progress");
    muster::task_handle<void> timing;
    if (options_.deadline)
        timing = muster::create_task(stop_at_deadline(), "deadline");

    muster::task_handle<void> following;
    if (!options_.limit_file.empty())
        following = muster::create_task(follow_limit_file(), "limit file");

    if (phase_ == phase::built)
        enter(phase::feeding);
    feeding_ = muster::create_task(feed(), name_);
    if (phase_ == phase::stopping)
        feeding_.cancel();
    auto feeding = end_of(feeding_);
    auto fed = co_await muster::as_outcome(std::move(feeding));
    if (fed.failed())
        source_.give_up(problem_of(fed.error()));
    if (phase_ == phase::feeding)
        enter(phase::drained);
    while (!jobs_.empty() || undelivered_ != 0) {
        idle_.clear();
        co_await idle_.wait();
    }
    auto counting = count_the_rest();
    co_await std::move(counting);
    auto closing = close_what_is_left();
    co_await std::move(closing);
    while (undelivered_ != 0) {
        idle_.clear();
        co_await idle_.wait();
    }
    if (showing_.valid())
        showing_.cancel();
    out_.show_status({});
    if (timing.valid())
        timing.cancel();
    if (following.valid())
        following.cancel();
    enter(phase::over);
    elapsed_ = std::chrono::steady_clock::now() - start_;
    loop_.reset();
}

// ---- stopping ----

void batch::stop(std::string why) {
    if (phase_ == phase::stopping || phase_ == phase::over)
        return;
    const bool runs = phase_ != phase::built;
    enter(phase::stopping);
    if (stop_reason_.empty())
        stop_reason_ = std::move(why);
    // A task of its own cancels the jobs, because stop() may be called by a job, or in a loop over jobs_.
    if (runs)
        muster::create_task(carry_out_stop(), "stop");
}

void batch::drain(std::string why) {
    if (phase_ != phase::feeding)
        return;
    enter(phase::drained);
    stop_reason_ = std::move(why);
    feeding_.cancel();
    // Jobs that wait for another attempt end as the last one did.
    for (auto& [index, r] : jobs_) {
        if (r.last_error)
            r.task.cancel();
    }
}

muster::task<> batch::carry_out_stop() {
    feeding_.cancel();
    cancel_jobs();
    co_return;
}

void batch::cancel_jobs() {
    std::vector<std::uint64_t> unstarted;
    for (auto& [index, r] : jobs_) {
        r.task.cancel();
        // The task of a job without an attempt has not run, or waits in keep_pace(). It ends without a call of
        // end_job(), so its line is counted here.
        if (r.what.attempts == 0)
            unstarted.push_back(index);
    }
    for (const auto index : unstarted)
        end_job(index, job_end::not_started(stop_reason_));
}

void batch::on_signal(int signal, int count) {
    if (signal == SIGUSR1) {
        complain(plain_progress(progress_now()));
        return;
    }
    if (signal == SIGTSTP) {
        suspend();
        return;
    }
    if (signal_ == 0)
        signal_ = signal;
    if (signal == SIGINT || signal == SIGQUIT)
        out_.note_echo();
    if (count == 1 && options_.drain) {
        drain("interrupted");
        if (!options_.quiet)
            complain("nothing more is started, and what runs goes on; once more ends it");
        return;
    }
    stop("interrupted");
    interrupted(signal, options_.drain && signal != SIGQUIT && count != last_signal ? count - 1 : count);
}

void batch::interrupted(int, int) {}

void batch::signal_jobs(int) {}

/// Ctrl-Z: what runs stops as well, which has process groups of its own and got no signal from the terminal. When the
/// shell lets this process go on, they go on, too.
void batch::suspend() {
    out_.leave_terminal();
    signal_jobs(SIGSTOP);
    sigset_t stop;
    sigemptyset(&stop);
    sigaddset(&stop, SIGTSTP);
    pthread_sigmask(SIG_UNBLOCK, &stop, nullptr);
    // The whole process stops in this call.
    ::raise(SIGTSTP);
    pthread_sigmask(SIG_BLOCK, &stop, nullptr);
    signal_jobs(SIGCONT);
}

muster::task<> batch::close_what_is_left() { co_return; }

muster::task<> batch::before_all() { co_return; }

muster::task<> batch::stop_at_deadline() {
    co_await muster::sleep_for(*options_.deadline);
    stop("deadline");
}

/// The lines that will not be started any more. Arguments and files are read to their end. Of a pipe only those lines
/// count that were read already: it may have no end.
muster::task<> batch::count_the_rest() {
    if (!source_.is_finite())
        source_.stop_reading();
    const std::string why = stop_reason_.empty() ? "given up" : stop_reason_;
    if (next_line_)
        job_over(job(std::move(*next_line_)), job_end::not_started(why));
    next_line_.reset();
    input_line line;
    for (std::size_t counted = 1; source_.try_take(line) == line_source::took::line; ++counted) {
        job_over(job(std::move(line)), job_end::not_started(why));
        if (counted % 4096 == 0)
            co_await muster::yield();
        // Entries of the log are made faster than they are written, and wait in memory.
        while (counted % 4096 == 0 && out_.behind() + undelivered_ * size_of_delivery > most_behind_at_end)
            co_await muster::sleep_for(1ms);
    }
}

// ---- jobs ----

muster::task<> batch::feed() {
    auto preparing = before_all();
    co_await std::move(preparing);
    for (;;) {
        // No place is held meanwhile: a job that is to be tried again may need it.
        auto next = co_await source_.next();
        next_line_ = std::move(next);
        if (!next_line_)
            co_return;
        for (;;) {
            auto waiting = until_one_more_may_start();
            co_await std::move(waiting);
            co_await places_.acquire();
            if (one_more_may_start())
                break;
            give_place_back();
        }
        // The place may have been acquired while the feeder was being cancelled: then count_the_rest() counts the line.
        if (phase_ != phase::feeding)
            co_return;
        start(std::move(*next_line_));
        next_line_.reset();
    }
}

bool batch::one_more_may_start() const {
    return retrying_ < most_retrying * limit_ &&
           out_.behind() + undelivered_ * size_of_delivery <= options_.spool_limit && options_.machine.allow_one_more();
}

void batch::give_place_back() {
    if (places_owed_ != 0)
        --places_owed_;
    else
        places_.release();
}

void batch::change_limit(std::size_t limit) {
    for (; limit_ < limit; ++limit_)
        give_place_back();
    for (; limit_ > limit; --limit_) {
        if (!places_.try_acquire())
            ++places_owed_;
    }
}

muster::task<> batch::follow_limit_file() {
    std::string last_problem;
    for (;;) {
        co_await muster::sleep_for(500ms);
        std::string problem;
        try {
            const auto wanted = limit_of_file(options_.limit_file);
            change_limit(std::min(wanted, most_in_reach(wanted)));
        } catch (const usage_error& e) {
            problem = e.what();
        }
        if (!problem.empty() && problem != last_problem)
            complain(fmt::format("{}: it stays at {}", problem, limit_));
        last_problem = problem;
    }
}

muster::task<> batch::until_one_more_may_start() {
    while (!one_more_may_start()) {
        if (retrying_ >= most_retrying * limit_) {
            retries_begun_.clear();
            co_await retries_begun_.wait();
            continue;
        }
        const auto missing = options_.machine.what_is_missing();
        if (!std::exchange(said_that_it_waits_, true) && !options_.quiet)
            complain(
                missing.empty()
                    ? fmt::format("{} of output wait to be read (--spool-limit): nothing more is started until then",
                          show_size(options_.spool_limit))
                    : fmt::format("{}: nothing more is started until that changes", missing));
        co_await muster::sleep_for(missing.empty() ? 20ms : 100ms);
    }
}

void batch::start(input_line line) {
    MUSTER_ASSERT(phase_ == phase::feeding);
    const auto index = line.index;
    auto& r = jobs_.try_emplace(index, std::move(line)).first->second;
    r.task = muster::create_task(serve(index), name_);
}

/// feed() has acquired a place for this job.
muster::task<> batch::serve(std::uint64_t index) {
    if (window_.bounds())
        co_await keep_pace();
    const auto at = jobs_.find(index);
    MUSTER_ASSERT(at != jobs_.end());
    auto& r = at->second;
    const auto began = muster::loop_clock::now();
    for (;;) {
        ++r.what.attempts;
        r.what.began = muster::loop_clock::now();
        r.what.ended.reset();
        auto trying = attempt(r.what);
        auto ended = co_await muster::as_outcome(std::move(trying));
        r.what.took = r.what.ended.value_or(muster::loop_clock::now()) - began;
        give_place_back();
        if (ended.succeeded()) {
            end_job(index, job_end::ok());
            co_return;
        }
        if (!ended.failed()) {
            end_job(index, job_end::cancelled(stop_reason_.empty() ? std::string(ended.message()) : stop_reason_));
            co_return;
        }
        const auto error = ended.error();
        if (r.what.attempts == 1 && never_began(error)) {
            end_job(index, job_end::not_started(problem_of(error)));
            co_return;
        }
        if (r.what.attempts > options_.retries || phase_ == phase::stopping || !stop_reason_.empty() ||
            !worth_a_retry(r.what, error)) {
            end_job(index, job_end::failed(error));
            co_return;
        }
        r.last_error = error;
        ++retrying_;
        auto pausing = until_next_attempt(backoff_.after(r.what.attempts, random_(), least_pause(error)));
        auto paused = co_await muster::as_outcome(std::move(pausing));
        --retrying_;
        retries_begun_.set();
        r.last_error = nullptr;
        // The job was cancelled during the pause, so its last failure is its outcome.
        if (!paused.succeeded()) {
            end_job(index, job_end::failed(error));
            co_return;
        }
    }
}

/// Waits for the pause and the rate. When it returns, the job has a place again.
muster::task<> batch::until_next_attempt(std::chrono::nanoseconds pause) {
    co_await muster::sleep_for(pause);
    co_await places_.acquire();
    if (window_.bounds())
        co_await keep_pace();
}

muster::task<> batch::keep_pace() {
    const auto when = window_.earliest(muster::loop_clock::now().time_since_epoch());
    window_.take(when);
    co_await muster::sleep_until(muster::loop_clock::time_point(when));
}

void batch::end_job(std::uint64_t index, job_end&& v) {
    auto r = jobs_.extract(index);
    MUSTER_ASSERT(!r.empty());
    jobs_ended_.submit();
    jobs_ended_.count(v.state);
    job_over(std::move(r.mapped().what), std::move(v));
    look_whether_idle();
    look_whether_to_halt();
}

void batch::look_whether_to_halt() {
    const auto& rule = options_.halt;
    if (rule.how == halt_rule::when::never)
        return;
    const auto ended = jobs_ended_.succeeded() + jobs_ended_.failed();
    const auto counted = rule.what == halt_rule::counted::failed      ? jobs_ended_.failed()
                         : rule.what == halt_rule::counted::succeeded ? jobs_ended_.succeeded()
                                                                      : ended;
    constexpr std::uint64_t least_for_a_percentage = 3;
    const bool reached = rule.is_percentage ? counted >= least_for_a_percentage && counted * 100 >= rule.least * ended
                                            : counted >= rule.least;
    if (!reached)
        return;
    has_enough_successes_ = rule.what == halt_rule::counted::succeeded;
    const char* why = rule.what == halt_rule::counted::failed ? "stopped after failures" : "stopped by --halt";
    if (rule.how == halt_rule::when::now)
        stop(why);
    else
        drain(why);
}

void batch::delivered() noexcept {
    MUSTER_ASSERT(undelivered_ != 0);
    --undelivered_;
    look_whether_idle();
}

void batch::look_whether_idle() noexcept {
    if (jobs_.empty() && undelivered_ == 0)
        idle_.set();
}

progress_counts batch::progress_now() const {
    progress_counts c;
    const auto& counts = ledger_.counts();
    c.done = counts.ended();
    c.total = source_.total();
    c.ok = counts.succeeded();
    c.failed = counts.failed();
    c.running = jobs_.size() - retrying_;
    c.retrying = retrying_;
    c.bytes = bytes_so_far();
    const auto now = muster::loop_clock::now();
    c.elapsed = now - began_;
    c.last_failure = last_failure_;
    std::vector<const job*> first;
    for (const auto& [index, r] : jobs_) {
        if (r.what.attempts == 0 || r.last_error)
            continue;
        const auto at = std::ranges::upper_bound(first, r.what.began, {}, [](const job* j) { return j->began; });
        first.insert(at, &r.what);
        if (first.size() > names_shown)
            first.pop_back();
    }
    for (const auto* j : first)
        c.slowest.emplace_back(ledger_.shown(j->line.text, longest_name), now - j->began);
    return c;
}

muster::task<> batch::keep_showing_progress() {
    for (;;) {
        out_.show_status(is_in_foreground()
                             ? progress_lines(progress_now(), terminal_width(STDERR_FILENO), options_.with_bar)
                             : std::string());
        co_await muster::sleep_for(progress_interval);
    }
}

/// Where standard error is no terminal: whole lines, fewer and fewer.
muster::task<> batch::keep_writing_progress() {
    for (;;) {
        co_await muster::sleep_for(until_next_plain_progress(muster::loop_clock::now() - began_));
        complain(plain_progress(progress_now()));
    }
}

// ---- the whole ----

void run_batch(batch& b, stop_signals& signals) {
    muster::run(b.run(signals), muster::run_options().handle_interrupt(false));
}

std::size_t most_in_reach(std::size_t wanted) {
    constexpr std::size_t each = 4;
    constexpr std::size_t apart = 32;
    require_descriptors(apart + each * wanted);
    const auto may_be_open = most_open_files();
    return may_be_open > apart + each ? (may_be_open - apart) / each : std::size_t{1};
}

std::size_t limit_in_reach(const batch_options& options, const char* things) {
    const auto enough = most_in_reach(options.limit);
    const auto may_be_open = most_open_files();
    if (options.limit <= enough)
        return options.limit;
    if (!options.quiet)
        complain(fmt::format("--limit {}: for lack of open files, of which there may be {}, at most {} {} run at once: "
                             "raise that with ulimit -n",
            options.limit, may_be_open, enough, things));
    return enough;
}

bool print_end(const batch& b, writer& out, const printed_ledger& ledger, const line_source& source, bool on_output,
    bool quiet, const std::vector<std::string>& problems) {
    // An input that goes on and was not read to its end is no success, even if all that was read of it is.
    bool all_well = b.has_enough_successes() || (ledger.counts().all_succeeded() && source.exhausted());
    out.drain();
    const auto prints = b.options().prints;
    const bool has_news = !all_well || ledger.counts().submitted() != 1 || ledger.counts().retries() != 0;
    const bool is_wanted = prints == batch_options::ledger::always || prints == batch_options::ledger::automatic ||
                           (prints == batch_options::ledger::failures && !all_well);
    if (!quiet && is_wanted) {
        const int fd = on_output ? STDOUT_FILENO : STDERR_FILENO;
        const bool in_full = has_news || prints == batch_options::ledger::always || source.passed_over() != 0;
        out.write_on_new_line(
            fd, fold_for(fd, in_full ? ledger.text(source, b.elapsed()) : ledger.first_line() + ledger.remarks()));
        out.drain();
        if (const auto problem = out.problem_of(fd); on_output && !problem.empty()) {
            complain(fmt::format("the ledger can't be written to standard output: {}", problem));
            all_well = false;
        }
    }
    // -q asks for no ledger; but that nothing could be run at all must not be silent.
    if (const auto why = ledger.why_nothing_ran(); (quiet || !is_wanted) && !why.empty())
        complain(why);
    auto all = problems;
    all.push_back(b.list_problem());
    for (const auto& problem : all) {
        if (problem.empty())
            continue;
        complain(problem);
        all_well = false;
    }
    out.drain();
    return all_well;
}

} // namespace tool
