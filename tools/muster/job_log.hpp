// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// --jsonl: one JSON object a line for each line of the input, in order of completion. The writer gets each at once and
/// writes it whole: what is there after a crash, or on a full disk, can be read.
///
///     log.add_url(job, verdict);
///     if (!log.failure().empty()) ...

#include "job.hpp"
#include "posix/owned_fd.hpp"
#include "writer.hpp"

#include <cstdint>
#include <string>

namespace tool {

class job_log {
public:
    /// "-" is standard output. Starts anew, or behind the first `keep` bytes of what is there.
    /// *Errors*: usage_error if it can't be written.
    job_log(writer& out, const std::string& file, std::uint64_t keep = 0);

    /// `url` is what the line became; `key` says which request it was, see earlier_run.
    void add_url(const job& j, const verdict& v, const std::string& url, const std::string& key);
    /// `key` says which command it was, whatever its text may be: see earlier_run.
    void add_command(const job& j, const verdict& v, const std::string& key, const std::string& command);
    /// Closes the file, once the writer is drained. What went wrong is in failure() then.
    void close();
    /// Why writing it failed; empty if it did not. Known after close().
    [[nodiscard]] const std::string& failure() const noexcept { return failure_; }
    [[nodiscard]] bool to_standard_output() const noexcept { return fd_ == 1; }

private:
    void fail(const std::string& why);
    void write(const std::string& line);

    writer& out_;
    std::string name_;
    muster::detail::owned_fd file_; ///< closed for standard output
    int fd_ = 1;
    std::string failure_;
};

} // namespace tool
