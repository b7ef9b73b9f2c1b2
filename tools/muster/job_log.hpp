// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// --jsonl: one JSON object a line for each line of the input, in order of completion, or with
/// --keep-order in the order of the input. The writer gets each at once and
/// writes it whole: what is there after a crash, or on a full disk, can be read.
///
///     log.add_url(job, job_end, url, file);
///     if (!log.failure().empty()) ...

#include "batch.hpp"
#include "earlier_run.hpp"
#include "job.hpp"
#include "posix/owned_fd.hpp"
#include "writer.hpp"

#include <cstdint>
#include <optional>
#include <string>

namespace tool {

class job_log {
public:
    /// "-" is standard output. Opens the file. A new file gets `mode`. A regular file is locked, because two runs would
    /// mix up their entries. A pipe with a name is waited for until somebody reads it, a few seconds at
    /// most. *Errors*: usage_error if it can't be written, or another run writes it.
    job_log(writer& out, const std::string& file, unsigned mode);

    /// Begins anew. An earlier log is renamed to FILE.old. *Returns* whether it was.
    /// *Errors*: usage_error if the file is no log of ours.
    bool begin_anew();
    /// Goes on behind the first `keep` bytes. *Errors*: usage_error.
    void go_on_behind(std::uint64_t keep);
    /// Readable, unless it is standard output. *Errors*: usage_error if it is no file that can be gone back in.
    [[nodiscard]] int descriptor_to_resume() const;

    /// The name of the run in a queue, in front of the entries that it explains. It is written when this returns: who
    /// goes on with the log must find it, however this program ends.
    void add_run(const std::string& name);
    /// `url` is what the line became; `file` has the body, unless it is empty.
    void add_url(const job& j, const job_end& v, const std::string& url, const std::string& file);
    /// `command` is what the line became.
    void add_command(const job& j, const job_end& v, const std::string& command);
    /// Closes the file, once the writer is drained. After that failure() says whether all was well.
    void close();
    /// Why writing it failed; empty if it did not. Known after close().
    [[nodiscard]] const std::string& failure() const noexcept { return failure_; }
    [[nodiscard]] bool to_standard_output() const noexcept { return fd_ == 1; }

private:
    [[noreturn]] void refuse(const std::string& why) const;
    void open_file(int flags);
    void lock();
    void fail(const std::string& why);
    void write(const std::string& line);

    writer& out_;
    std::string path_;
    std::string name_; ///< for messages
    unsigned mode_;    ///< of a new file
    bool is_regular_ = false;
    muster::detail::owned_fd file_; ///< closed for standard output
    int fd_ = 1;
    std::string failure_;
};

/// Makes the log, if there is one, ready for its first entry and says what became of an earlier one. `again` says what
/// is done about an entry that was cut off.
void begin_log(std::optional<job_log>& log, const batch_options& options, const earlier_run& before, const char* again);

/// Says how many entries of the log are of inputs that are not in the list any more, once that was read to its end.
void say_what_was_removed(const earlier_run& before, const line_source& source, const batch_options& options);

} // namespace tool
