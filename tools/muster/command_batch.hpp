// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The jobs of muster run: each is a command. By default both outputs are kept until the command ends, and then
/// each is given to the writer as one text. A command counts once its outputs are written.
///
///     command_batch b(options, command_template::of_line("gzip {}"), source, ledger, out, nullptr);
///     run_batch(b, signals);

#include "batch.hpp"
#include "body_file.hpp"
#include "command_queue.hpp"
#include "command_template.hpp"
#include "host_files.hpp"
#include "in_order.hpp"
#include "job_log.hpp"
#include "line_tag.hpp"
#include "run.hpp"
#include "spool.hpp"

#include <muster/hosts/host_set.hpp>
#include <muster/io/stream.hpp>
#include <muster/subprocess.hpp>

#include <cstddef>
#include <cstdint>
#include <exception>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <queue>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <sys/types.h>

namespace tool {

/// The worker of a queue does not allow the command.
class command_refused_error : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

/// Immovable. Everything that it is made of must outlive it; `log` may be null.
class command_batch final : public batch {
public:
    command_batch(const run_options& options, const command_template& what, line_source& source, printed_ledger& ledger,
        writer& out, job_log* log, queue_use queue = {});

    /// Says that an input is not run again: the outputs behind it need not wait for it.
    void pass_over(std::uint64_t index);
    /// Why the outputs could not be written; empty if they could.
    [[nodiscard]] const std::string& failure() const noexcept { return failure_; }

private:
    struct details;
    struct parcel;
    /// An output that a background process of a command still holds open: it is read and printed until muster ends.
    struct late_output {
        late_output(muster::io::stream s, int to, std::uint64_t l) : from(std::move(s)), fd(to), line(l) {}
        muster::io::stream from;
        int fd;             ///< where it is printed
        std::uint64_t line; ///< of the input whose command has left it
        line_tag tag;       ///< what each line begins with
        std::string rest;   ///< the beginning of a line, which is printed when it is whole
        muster::task_handle<void> reading;
    };
    /// The numbers that {%} stands for: each command that runs has one of its own, the lowest that is free.
    class slot_numbers {
    public:
        class lease {
        public:
            explicit lease(slot_numbers& of) : of_(&of), number_(of.take()) {}
            ~lease() { of_->free_.push(number_); }
            lease(const lease&) = delete;
            lease& operator=(const lease&) = delete;
            [[nodiscard]] std::size_t number() const noexcept { return number_; }

        private:
            slot_numbers* of_;
            std::size_t number_;
        };

    private:
        std::size_t take();
        std::priority_queue<std::size_t, std::vector<std::size_t>, std::greater<>> free_;
        std::size_t made_ = 0;
    };

    muster::task<> before_all() override;
    muster::task<> attempt(job& j) override;
    [[nodiscard]] bool never_began(const std::exception_ptr& error) const override;
    [[nodiscard]] bool worth_a_retry(const job& j, const std::exception_ptr& error) const override;
    void job_over(job&& j, job_end&& v) override;
    void interrupted(int signal, int count) override;
    void signal_jobs(int signal) override;
    muster::task<> close_what_is_left() override;

    [[nodiscard]] std::string shown_if_possible(const input_line& line) const;
    muster::task<> attempt_elsewhere(job& j);
    muster::task<> attempt_in_queue(job& j);
    [[nodiscard]] muster::task<queued_end> ask_queue(job& j);
    void throw_unless_succeeded(const muster::command& what, queued_end& end) const;
    [[noreturn]] void throw_too_slow() const;
    [[nodiscard]] queued_command to_be_queued(const job& j) const;
    details& begin_attempt(job& j);
    void open_outputs(details& d, const job& j, const run_place& place);
    muster::task<> connect_hosts();
    muster::task<> open_queue();
    muster::task<> attempt_at(job& j, muster::hosts::connection* host);
    [[nodiscard]] host_files files_of(const job& j, const run_place& place);
    muster::task<muster::completed_process> run_with_files(
        muster::command what, host_files files, muster::hosts::connection& host);
    void prepare(muster::command& what, job& j, details& d, bool is_elsewhere);
    muster::task<muster::completed_process> within_time_limit(muster::command what, muster::hosts::connection* host);
    void take_piece(details& d, job& j, int output, std::string_view piece);
    [[nodiscard]] muster::output_sink sink_of(details& d, job& j, int output);
    void finish_outputs(details& d);
    muster::task<> linger(details& d, job& j);
    muster::task<> read_to_end(muster::io::stream& from, muster::output_sink sink);
    muster::task<> print_late(std::list<late_output>::iterator late);
    /// Prints the first bytes of the rest of a late output.
    void print_part_of(late_output& late, std::size_t size);
    void keep_open(details& d, const job& j);
    void print_in_order();
    void print(job&& j, job_end&& v);
    void hand_over(std::shared_ptr<parcel> p, int fd, const char* name, spool text);
    void printed(job& j, job_end& v, const std::string& problem);

    const run_options& options_;
    const command_template& template_;
    job_log* log_;
    queue_use queue_;
    slot_numbers slots_;
    std::optional<muster::hosts::host_set> hosts_;
    /// With --cleanup: the folders on each host that are removed once all commands have ended, if nothing is in them.
    std::map<muster::hosts::connection*, folder_names> left_folders_;
    /// The files that commands return, and the line of each.
    std::map<std::string, std::uint64_t> returned_by_;
    in_order<std::pair<job, job_end>> held_; ///< with --keep-order: ended while an earlier input's job runs
    output_folder results_;
    std::list<late_output> late_;
    std::uint64_t cut_off_ = 0;       ///< commands elsewhere of which an output was still open when they had ended
    std::uint64_t first_cut_off_ = 0; ///< the line of the first of them
    std::string failure_;
};

} // namespace tool
