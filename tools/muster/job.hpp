// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// One line of the input on its way: what was read, what has been tried, and how it ended.
///
///     job j(std::move(line));
///     job_over(std::move(j), job_end::failed(error));

#include "line_source.hpp"

#include <muster/outcome.hpp>
#include <muster/sleep.hpp>

#include <chrono>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <utility>

namespace tool {

/// The part of a job that only one of the commands knows.
struct job_details {
    virtual ~job_details() = default;
};

struct job {
    explicit job(input_line l) : line(std::move(l)) {}

    input_line line;
    unsigned attempts = 0;
    /// When the last attempt began.
    muster::loop_clock::time_point began{};
    int status = 0; ///< of the last answer; 0 if there was none
    std::uint64_t bytes = 0;
    std::chrono::nanoseconds took{0};
    /// When the last attempt ended, if that is not when attempt() returned.
    std::optional<muster::loop_clock::time_point> ended;
    std::string host; ///< where the last attempt was made; empty: here
    std::unique_ptr<job_details> details;
};

/// How a job ended: with an error if it failed, with a reason if it was cancelled or never begun.
struct job_end {
    static job_end ok() { return job_end(muster::outcome_state::value, nullptr, {}); }
    static job_end failed(std::exception_ptr e) { return job_end(muster::outcome_state::error, std::move(e), {}); }
    static job_end cancelled(std::string why) {
        return job_end(muster::outcome_state::cancelled, nullptr, std::move(why));
    }
    static job_end not_started(std::string why) {
        return job_end(muster::outcome_state::not_started, nullptr, std::move(why));
    }

    muster::outcome_state state;
    std::exception_ptr error;
    std::string reason;

private:
    job_end(muster::outcome_state s, std::exception_ptr e, std::string why)
        : state(s),
          error(std::move(e)),
          reason(std::move(why)) {}
};

} // namespace tool
