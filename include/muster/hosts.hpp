// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Commands on other hosts. An agent, `muster agent`, is started there by ssh or another launcher; one connection
/// carries any number of commands, and its end ends whatever the agent has started.
///
///     auto host = co_await muster::hosts::connect(muster::hosts::host_options("host1"));
///     auto done = co_await host.run(muster::command("gzip", "-k", "big.log"));
///     done.throw_if_failed();

#include <muster/config.hpp>
#include <muster/hosts/error.hpp>
#include <muster/hosts/options.hpp>
#include <muster/io/stream.hpp>
#include <muster/subprocess.hpp>
#include <muster/task.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include <sys/types.h>

namespace muster::hosts {

/// An agent's own words about its host, as it answers.
struct host_facts {
    host_facts() {}
    std::string version; ///< of its muster
    std::string name;    ///< by which the host knows itself
    std::uint32_t processors = 1;
    double load = 0;                    ///< how many processes wanted to run, on average of the last minute
    std::uint64_t memory = 0;           ///< bytes
    std::uint64_t available_memory = 0; ///< bytes that programs may still take
};

/// A connection to the agent on a host. Movable. *Lifetime*: dropping it ends the connection, whereupon the agent ends
/// what it has started; a launcher that is still there 10 s later is ended, and one that is there when the loop ends is
/// killed. close() waits for all of that. Commands that run end with a host_lost_error then. *Errors*, of a
/// moved-from one: invalid_state_error. *Thread safety*: its loop's thread.
class connection {
public:
    class state;
    explicit connection(std::shared_ptr<state> s) noexcept;
    connection(connection&&) noexcept = default;
    connection& operator=(connection&&) noexcept;
    ~connection();

    /// *Lifetime*, also of the next: as long as the connection.
    [[nodiscard]] const std::string& host() const;
    [[nodiscard]] const host_facts& facts() const;
    /// False once it is lost or was closed: no further command can run there.
    [[nodiscard]] bool is_open() const;
    /// Why it was lost; empty as long as it was not.
    [[nodiscard]] const std::string& why_lost() const;
    /// How many commands are there.
    [[nodiscard]] std::size_t running() const;

    /// Runs a command there to its end, as run_command does here: the same words, environment and directory, taken
    /// there; bytes or a file of this host for standard input; sinks, limits, grace and linger. on_start is called with
    /// the process's number there. *Returns* how it ended; the exit status is that of the command, never the
    /// launcher's. *Errors*: those of run_command; host_lost_error; std::invalid_argument for what can't lead to
    /// another host: inherited or piped standard input, inherited outputs, on_open_output. *Cancellation*: before it
    /// has begun it is taken back; otherwise its group there gets SIGTERM, and SIGKILL after its grace, and its end is
    /// waited for.
    [[nodiscard]] task<completed_process> run(command what);
    /// *Returns* how long an answer takes, and brings what is said of load and memory up to date. *Errors*:
    /// host_lost_error.
    [[nodiscard]] task<std::chrono::nanoseconds> ping();
    /// SIGKILL to the groups of all commands that run there.
    void kill_all();
    /// SIGTERM to the launcher: for a program that is about to end, while the host may not answer any more. The agent
    /// ends what it has started once it learns of the end.
    void end_launcher();
    /// Ends the agent and what it has started, and waits for the launcher's end, or kills it after `limit`.
    /// *Cancellation*: kills the launcher at once.
    [[nodiscard]] task<> close(std::chrono::nanoseconds limit = std::chrono::seconds(10));

private:
    std::shared_ptr<state> state_;
};

/// Starts the agent on a host and shakes hands with it. *Errors*: connect_error; spawn_error for the launcher;
/// invalid_state_error without a loop that does I/O. *Cancellation*: kills the launcher.
[[nodiscard]] task<connection> connect(host_options host);
/// The same over a connection that is there already; the host's launcher is not used.
[[nodiscard]] task<connection> connect_over(io::stream from_agent, io::stream to_agent, host_options host);

/// Functions that hear of the processes that an agent starts, for one who ends them if the agent is killed. Each may be
/// empty. *Lifetime*: as long as the agent. They must not throw.
struct agent_observer {
    std::function<void(pid_t)> started;   ///< the process leads a group of its own
    std::function<void(pid_t)> ended;     ///< its number may be another process's by now
    std::function<void()> about_to_start; ///< a process, of which started() says the number
    std::function<void()> not_started;    ///< the one that was about to be
};

/// The agent's side: runs the commands that come in through `from_client`, until that ends, is silent for too long or
/// sends what it must not; then ends everything that it has started (SIGTERM, the command's grace, SIGKILL). An agent
/// obeys whoever it talks to. *Cancellation*: the same end, after the client was told.
[[nodiscard]] task<> serve_agent(io::stream from_client, io::stream to_client, agent_observer observer = {});

} // namespace muster::hosts
