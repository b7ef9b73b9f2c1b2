// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Commands as tasks. run_command runs one to its end and gives what it wrote; start_process gives a running one to
/// talk to. Cancelling ends the whole process group, politely first, and waits for it: no zombie and no stray is left.
///
///     auto done = co_await muster::run_command(muster::command("git", "describe", "--tags"));
///     done.throw_if_failed();
///     print(done.out);

#include <muster/config.hpp>
#include <muster/io/reader.hpp>
#include <muster/io/stream.hpp>
#include <muster/subprocess/command.hpp>
#include <muster/subprocess/error.hpp>
#include <muster/task.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include <sys/types.h>

namespace muster {

/// How a process ended, and what it wrote.
struct completed_process {
    completed_process() {}

    std::string command; ///< for a line of text
    pid_t pid = 0;
    int status = -1; ///< what it exited with; -1 if a signal ended it
    int signal = 0;  ///< what ended it; 0 if it exited
    bool dumped_core = false;

    std::string out; ///< what was captured; with keep_tail the last of it
    std::string err;
    std::uint64_t out_bytes = 0; ///< all that was written, kept or not
    std::uint64_t err_bytes = 0;
    bool output_ended = true; ///< false if something it left behind still held an output open: see command::linger

    std::chrono::nanoseconds duration{0};
    std::chrono::nanoseconds user_time{0};
    std::chrono::nanoseconds system_time{0};
    std::uint64_t peak_memory = 0; ///< bytes, resident; at least what its caller used when it was started

    [[nodiscard]] bool succeeded() const noexcept { return status == 0; }
    /// *Errors*: exit_error or signal_error, unless it exited with 0.
    void throw_if_failed() const;
};

/// Runs the command to its end. *Returns* how it ended, whatever its status: see throw_if_failed.
/// *Errors*: command_not_found_error, spawn_error; output_limit_error; what an output sink throws; invalid_state_error
/// on a loop without I/O. *Cancellation*, and a time limit, sends SIGTERM to its process group and SIGKILL to what is
/// left of that after command::grace; then waits for the end, and only then is the task cancelled. Its sinks are called
/// until then. *Lifetime*: if the loop ends first, the group is killed at once and waited for. *Complexity*: no thread.
/// *Source*: asyncio.create_subprocess_exec with communicate(); subprocess.run.
[[nodiscard]] task<completed_process> run_command(command what);

/// A process's standard input: written and closed as any stream.
using process_input = io::stream;
/// One of a process's outputs: read as any stream, by lines, in pieces, or to the end.
using process_output = io::reader;

/// A running process. Movable. *Lifetime*: dropping it kills its group (SIGKILL) unless it was waited for, and reaps
/// it, which takes as long as the system needs for that; `co_await p.terminate()` first to end it politely. Operations
/// in flight end with std::errc::operation_canceled then. It may outlive its loop. *Errors*, of a moved-from one:
/// invalid_state_error. *Thread safety*: one thread: while a task waits for its end, every call on another thread
/// throws invalid_state_error. *Source*: asyncio's Process.
class process {
public:
    class state;
    explicit process(std::shared_ptr<state> s) noexcept;
    process(process&&) noexcept = default;
    process& operator=(process&&) noexcept;
    ~process();

    /// *Returns* -1 for a moved-from one.
    [[nodiscard]] pid_t pid() const noexcept;

    /// *Errors*, of the three: invalid_state_error if the command did not ask for such a pipe. *Lifetime*: as long as
    /// the process, which is moved without moving them. They fail with what muster/io/error.hpp lists.
    [[nodiscard]] process_input& input();
    [[nodiscard]] process_output& output();
    [[nodiscard]] process_output& errors();

    /// Waits for its end; any number of tasks may. A process that writes more than a pipe holds must be read from, or
    /// it never ends. *Returns* how it ended, without what was read. *Cancellation*: ends the wait, not the process.
    [[nodiscard]] task<completed_process> wait();
    /// To the process alone. *Returns* false if it has ended.
    bool send_signal(int signal);
    /// SIGKILL, to the group. *Returns* false if it has ended.
    bool kill();
    /// SIGTERM to the group, SIGKILL to what is left of that after command::grace; then waits. Output that
    /// it still writes is thrown away. *Returns* how it ended. *Cancellation*: held back until then.
    [[nodiscard]] task<completed_process> terminate();

private:
    std::shared_ptr<state> state_;
};

/// Starts the command. `capture`, the default, gives a pipe to read from; sinks, bytes for standard input and limits
/// are run_command's. *Errors*: command_not_found_error, spawn_error; std::invalid_argument for what only run_command
/// does.
[[nodiscard("the process is killed at once if this is dropped")]] process start_process(command what);

} // namespace muster
