// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// --jsonl: one JSON object a line for each line of the input, in order of completion. Each is written at once and
/// whole: what is there after a crash, or on a full disk, can be read.
///
///     log.add(job, verdict);
///     if (!log.failure().empty()) ...

#include "ledger.hpp"
#include "streams.hpp"

#include <string>

namespace tool {

class job_log {
public:
    /// "-" is standard output. *Errors*: usage_error if it can't be written.
    explicit job_log(const std::string& file);

    void add(const job& j, const verdict& v);
    /// Closes the file. What went wrong is in failure() then.
    void close();
    /// Why writing it failed; empty if it did not. Nothing is written after a failure.
    [[nodiscard]] const std::string& failure() const noexcept { return failure_; }
    [[nodiscard]] bool to_standard_output() const noexcept { return fd_ == 1; }

private:
    void fail(const std::error_code& why);

    std::string name_;
    descriptor file_; ///< closed for standard output
    int fd_ = 1;
    std::string failure_;
};

} // namespace tool
