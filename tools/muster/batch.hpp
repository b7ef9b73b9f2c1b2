// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// What the commands have in common that work on many lines: at most so many at once, retries, limits, progress, and
/// each line of the input in exactly one count at the end. What is done with a line is a derived class's.
///
///     class fetch_batch : public batch { muster::task<> attempt(job&) override; ... };
///     const batch_end end = run_batch(b, options, print_ledger);

#include "ledger.hpp"
#include "line_source.hpp"
#include "pacer.hpp"
#include "progress.hpp"
#include "units.hpp"

#include <muster/outcome.hpp>
#include <muster/run_options.hpp>
#include <muster/sleep.hpp>
#include <muster/task.hpp>
#include <muster/task_handle.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace tool {

/// What main returns.
enum exit_status : int { all_succeeded = 0, some_failed = 1, bad_usage = 2 }; // or 128 and a signal

struct batch_options {
    batch_options() {}

    std::size_t limit = 32;
    std::optional<std::chrono::nanoseconds> timeout;  ///< each attempt
    std::optional<std::chrono::nanoseconds> deadline; ///< everything
    std::size_t retries = 0;
    rate at_most;
    std::optional<std::size_t> max_failures; ///< stop after so many
    bool quiet = false;
    bool show_progress = true;
};

/// How a batch ended. The counts are in the ledger.
struct batch_end {
    batch_end() noexcept {}
    int signal = 0; ///< what interrupted it, or 0
    std::chrono::nanoseconds elapsed{0};

    [[nodiscard]] bool interrupted() const noexcept { return signal != 0; }
    /// What main returns.
    [[nodiscard]] int status(bool all_well) const noexcept {
        return interrupted() ? 128 + signal : all_well ? all_succeeded : some_failed;
    }
};

/// Immovable. The options, the source and the ledger must outlive it.
class batch {
public:
    batch(const char* name, const batch_options& options, line_source& source, ledger& counts);
    virtual ~batch() = default;
    batch(const batch&) = delete;
    batch& operator=(const batch&) = delete;

    using end_function = std::function<void(const batch_end&)>;

    muster::task<> run();
    /// Called when it begins, on its loop.
    void on_begin(std::function<void()> call) { on_begin_ = std::move(call); }
    /// Called once, when all is counted and signals are still caught: what it writes is not cut off by one.
    void on_end(end_function call) { on_end_ = std::move(call); }

    /// Cancels what runs; nothing more is started. The reason is for the ledger. What was asked first stays.
    void stop(std::string why, int signal = 0);
    /// No more is started; what is known of the input is counted. `message` is the cancellation's.
    void interrupt(std::string_view message);
    /// All is counted. Only the first call does something.
    void finish();
    [[nodiscard]] const batch_end& end() const noexcept { return end_; }

protected:
    /// One attempt at a line. Throws what went wrong.
    virtual muster::task<> attempt(job& j) = 0;
    /// Whether what went wrong may be better the next time.
    [[nodiscard]] virtual bool worth_a_retry(const std::exception_ptr& error) const = 0;
    /// How long there must be no further attempt after it.
    [[nodiscard]] virtual std::chrono::nanoseconds least_pause(const std::exception_ptr&) const {
        return std::chrono::nanoseconds(0);
    }
    /// A line's end, once for each: to be counted, now or later.
    virtual void ended(job&& j, verdict&& v) = 0;

    [[nodiscard]] ledger& counts() noexcept { return counts_; }
    [[nodiscard]] progress& line() noexcept { return line_; }
    /// The lines on their way, as many as the limit.
    [[nodiscard]] std::unordered_map<std::uint64_t, job>& running() noexcept { return running_; }

private:
    muster::task<> work();
    muster::task<> serve(std::uint64_t number);
    muster::task<> pause_before_retry(unsigned attempts, std::chrono::nanoseconds least);
    muster::task<> count_the_rest();
    muster::task<> wait_a_little();
    muster::task<> keep_drawing();
    void count_the_unended(const char* why);
    void take_in(std::uint64_t number, const muster::outcome<void>& o);
    [[nodiscard]] std::string reason_of(const muster::outcome_base& o) const;

    const char* name_;
    const batch_options& options_;
    line_source& source_;
    ledger& counts_;
    pacer pacer_;
    progress line_;
    std::unordered_map<std::uint64_t, job> running_; ///< by ticket
    std::minstd_rand random_{std::random_device{}()};
    muster::loop_clock::time_point began_{};
    std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
    std::function<void()> on_begin_;
    end_function on_end_;
    muster::task_handle<void> working_;
    std::string stop_reason_;
    batch_end end_;
    bool stopped_ = false;
    bool finished_ = false;
};

/// Runs it on a loop of its own. `at_end` is the batch's on_end.
[[nodiscard]] batch_end run_batch(batch& b, const muster::run_options& options, batch::end_function at_end);

/// *Returns* how many may run at once for the open files that this process may have, and says so if that is fewer than
/// it was asked for. `things` are what there are many of.
[[nodiscard]] std::size_t limit_in_reach(const batch_options& options, const char* things);

/// Prints the ledger (to standard output if `on_output`, which then belongs to it) and says what else went wrong;
/// nothing but that if `quiet`. *Returns* whether all is well.
[[nodiscard]] bool conclude(const batch_end& end, const ledger& counts, const line_source& source, bool on_output,
    bool quiet, const std::vector<std::string>& problems);

/// "muster: " and the text, to standard error.
void complain(const std::string& text);

} // namespace tool
