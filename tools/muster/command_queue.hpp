// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The side of a queue that a command_batch sees, with --on postgresql://...: it hands in one command after the other,
/// and learns how each has ended. The program muster-queue has the queue that there is; this file needs nothing of it.
///
///     auto running = queue.run(std::move(what));
///     auto end = co_await std::move(running);

#include <muster/subprocess.hpp>
#include <muster/task.hpp>

#include <chrono>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace tool {

class earlier_run;

/// Where a queue is, and whose commands are meant. An empty address: there is none.
struct queue_place {
    queue_place() {}
    std::string address;
    std::string schema = "muster";
    std::string tag; ///< of the workers that are to run the commands; none: any worker
    std::string run; ///< the name of the run, if it was given: who gives it again comes back to that run
};

/// A command as workers get it. Everything in it is the same whenever the run comes back to the command.
struct queued_command {
    queued_command() {}
    std::string name; ///< of this attempt, which no other one of any run has
    std::vector<std::string> words;
    std::string host_mark; ///< stands in the words where the worker puts the name of its host
    std::optional<std::chrono::nanoseconds> timeout;
    std::chrono::nanoseconds grace{0};
    std::chrono::nanoseconds linger{0};
    std::uint64_t most_output = 0; ///< 0: as much as the queue takes
    int starts = 1;                ///< so often it may begin, if its workers die
    bool may_be_there = false;     ///< an earlier stretch of the run may have submitted it
};

/// How it ended.
struct queued_end {
    enum class kind : std::uint8_t {
        ended,           ///< the process: `done` says how
        not_found,       ///< there is no such program at the worker
        not_started,     ///< `code` and `problem` say why
        too_slow,        ///< its time limit was over
        too_much_output, ///< `problem` says for which limit
        refused,         ///< the worker does not allow it: `problem` says what it allows
        worker_left,     ///< the worker was told to end what runs
        cancelled,       ///< the queue says so
        failed,          ///< `error` has the reason
    };

    queued_end() {}
    kind how = kind::failed;
    int code = 0;
    std::string problem;
    std::string host; ///< the worker's
    muster::completed_process done;
    std::exception_ptr error;
    bool is_known_to_queue = false; ///< it is found again under the command's name, and nothing begins under that name
};

class command_queue {
public:
    command_queue() = default;
    command_queue(const command_queue&) = delete;
    command_queue& operator=(const command_queue&) = delete;
    virtual ~command_queue() = default;

    /// Looks whether the queue is there; before open(), on any loop. *Returns* the queue's id. *Errors*: what keeps it
    /// from answering.
    [[nodiscard]] virtual muster::task<std::string> look() = 0;
    /// On the loop that run() is called on.
    virtual void open() = 0;
    /// *Errors*: what keeps the queue itself from answering; then the command may still run. *Cancellation*: the
    /// command is taken out of the queue, or ended by its worker, which is waited for. Once the queue has said so that
    /// is an end like others; a cancelled_error means that the command was never submitted.
    [[nodiscard]] virtual muster::task<queued_end> run(queued_command what) = 0;
    /// *Returns* whether an error of run() is one that every other command would meet as well.
    [[nodiscard]] virtual bool is_of_the_queue(const std::exception_ptr& error) const = 0;
    /// Once no command runs any more.
    [[nodiscard]] virtual muster::task<> close() = 0;
};

/// Makes the queue of a run that may be so many commands ahead.
using queue_maker = std::function<std::unique_ptr<command_queue>(const queue_place& where, std::size_t window)>;

/// The queue of a batch, the name of the run in it, and what is known of the run's earlier stretches.
struct queue_use {
    queue_use() {}
    std::unique_ptr<command_queue> queue; ///< none: commands do not go through a queue
    std::string run;
    /// Whether the queue is there. Otherwise nothing is run: `problem` says why, or a signal came meanwhile.
    enum class look : std::uint8_t { there, failed, interrupted };
    look found = look::there;
    std::string problem;
    /// Whether earlier stretches of the run may have submitted something, and whether there is a log of all of them.
    enum class stretch : std::uint8_t { first, unlogged, logged };
    stretch comes = stretch::first;
    const earlier_run* before = nullptr; ///< of a later stretch with a log
};

} // namespace tool
