// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The ledger as the command prints it: a muster::ledger of all lines of the input, and beside its counts the failures
/// grouped by kind with an example of each, and the slowest few. Its size depends on the kinds of failures, not on the
/// length of the input.
///
///     ledger.add(job, job_end::failed(error));
///     print(ledger.text(source, elapsed));

#include "job.hpp"
#include "line_source.hpp"

#include <muster/error.hpp>
#include <muster/ledger.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace tool {

/// "connect_error", "status_error": without the namespaces that all of them share.
[[nodiscard]] std::string short_type(const std::exception_ptr& error);
/// *Returns* the problem, without the URL or the command: one line that is safe to print.
[[nodiscard]] std::string problem_of(const std::exception_ptr& error);
/// *Returns* a line of muster fetch's input, a URL or what goes into one, without a password.
[[nodiscard]] std::string without_password_of_input(const std::string& input);

/// A command wrote more than --max-output.
class output_too_long_error : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

/// *Returns* a failure's kind and the last line of its problem: "exit status 1: no such file".
[[nodiscard]] std::string summary_of(const std::exception_ptr& error);

class printed_ledger {
public:
    static constexpr std::size_t slowest_kept = 3;
    /// So many different texts of one kind of failure are shown.
    static constexpr std::size_t examples_of_a_kind = 5;

    /// The kind of the jobs decides how inputs are shown and which bytes count: those of every command, but only of
    /// requests that succeeded.
    enum class of { requests, commands };
    explicit printed_ledger(of what = of::requests) : of_(what) {}

    /// Counts a job that has ended. Called once for each line of the input.
    void add(const job& j, const job_end& v);

    /// Adds a line to the text.
    void remark(std::string line) { remark_ = std::move(line) + '\n'; }
    [[nodiscard]] const std::string& remarks() const noexcept { return remark_; }

    [[nodiscard]] const muster::ledger& counts() const noexcept { return counts_; }
    [[nodiscard]] std::uint64_t failed_with(const std::string& kind) const noexcept;

    /// *Returns* the first problem if every job failed because its command could not be started; otherwise nothing.
    [[nodiscard]] std::string why_nothing_ran() const;
    /// *Returns* its counts.
    [[nodiscard]] std::string first_line() const;
    /// *Returns* the ledger for people, in some lines.
    [[nodiscard]] std::string text(const line_source& from, std::chrono::nanoseconds elapsed) const;

    /// *Returns* an input as it is printed: without passwords, and safe to print.
    [[nodiscard]] std::string shown(const std::string& input, std::size_t most) const;

private:
    struct kind {
        kind(std::string n, std::string u, std::uint64_t l, std::vector<std::string> p)
            : name(std::move(n)),
              input(std::move(u)),
              line(l),
              problem(std::move(p)) {}
        std::string name; ///< the type, with a status or signal if there is one
        std::uint64_t count = 0;
        std::string input; ///< the first that failed so
        std::string host;  ///< where that was; empty: here
        std::uint64_t line;
        std::vector<std::string> problem; ///< what is said about it, line by line
    };
    struct slow {
        slow(std::chrono::nanoseconds t, std::string u, std::uint64_t l) : took(t), input(std::move(u)), line(l) {}
        std::chrono::nanoseconds took;
        std::string input;
        std::uint64_t line;
    };

    muster::ledger counts_;
    of of_;
    std::uint64_t bytes_ = 0;
    muster::ledger inputs_; ///< of jobs that have several
    std::vector<kind> kinds_;
    std::vector<slow> slowest_;
    std::string remark_;
};

} // namespace tool
