// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// How many processes a process_pool has, which program they run, and what one call may take: time, memory, bytes.
///
///     muster::process_pool pool(muster::process_pool_options().processes(4).call_timeout(2s).name("decoders"));

#include <muster/config.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace muster {

/// Each may be set in a chain. *Errors*: std::invalid_argument for what makes no sense.
class process_pool_options {
public:
    process_pool_options() {}

    /// At most so many processes; at least 1. The default is as many as the machine has cores.
    process_pool_options& processes(std::size_t most);
    /// At most so many calls may wait for a process; a call beyond that fails at once with queue_full. 0, the default,
    /// is no limit.
    process_pool_options& queue_limit(std::size_t most) noexcept;
    /// The name of the pool in messages and in lists of processes, which show its first 11 characters.
    process_pool_options& name(std::string text);
    /// Another program than this one, by its path; it must call serve_if_worker() first of all and have the functions.
    process_pool_options& program(std::string path, std::vector<std::string> arguments = {});
    /// How long a call may take from when it is sent; then its process is killed and the call fails with timeout_error.
    /// Without it a call may take for ever. Real time, whatever the loop's clock is. *Errors*: unless positive.
    process_pool_options& call_timeout(std::chrono::nanoseconds limit);
    /// How long a process may take to start, 30 s unless it is set.
    process_pool_options& start_timeout(std::chrono::nanoseconds limit);
    /// The most address space of each process (RLIMIT_AS): beyond that, its allocations throw std::bad_alloc.
    process_pool_options& memory_limit(std::uint64_t bytes);
    /// The largest call or result in its written form, 64 MiB unless it is set; a larger one is a wire_error, and a
    /// call is not sent then. Less than 4 GiB.
    process_pool_options& message_limit(std::uint64_t bytes);
    /// The most values in a result or in the arguments of a call, those inside of arrays and maps and the keys of maps
    /// included, 1,000,000 unless it is set; more are a wire_error. An answer's values are counted before anything is
    /// built of it: a few bytes could fill the memory otherwise.
    process_pool_options& value_limit(std::uint64_t most);
    /// Whether the process of a call that is cancelled is killed, true unless it is set. Otherwise the call is waited
    /// for.
    process_pool_options& kill_cancelled(bool yes) noexcept;

    // ---- what a worker may do ----
    /// The entries of the environment that workers get, by their names; without it they get all of this program's.
    process_pool_options& environment(std::vector<std::string> names);
    /// The working folder of workers. Without it they have this program's.
    process_pool_options& folder(std::string path);
    /// The file to which standard output and standard error of workers are appended; "/dev/null" drops them. It is made
    /// with the mode 0600. Without it they have this program's.
    process_pool_options& output(std::string path);
    /// A limit of each worker, RLIMIT_CPU or RLIMIT_FSIZE say (man 2 getrlimit), which the pool sets before the first
    /// call. A limit of memory is memory_limit(). *Errors*: std::invalid_argument for what is no number of a limit.
    process_pool_options& resource_limit(int resource, std::uint64_t most);
    /// The words of a command before the worker's own, as in {"setpriv", "--reuid=65534", "--clear-groups"}. Its
    /// program does what is to be done before the worker begins, such as becoming another user or installing a filter,
    /// and then executes the rest of its arguments as the same process, with descriptor 3 open. It is looked for in
    /// PATH. *Errors*: std::invalid_argument if there is no word.
    process_pool_options& through(std::vector<std::string> words);
    /// A folder of the control groups (cgroup v2) in which this program may make groups, such as one that systemd has
    /// delegated to it. Each worker gets a group of its own there, and is killed with all that it has started by
    /// writing to the group's cgroup.kill: so also one that has become another user, without CAP_KILL. The groups are
    /// removed with their workers. Linux 5.14 or newer; *errors* of the folder are those of a start,
    /// worker_start_error. *Errors*: std::invalid_argument if the path is empty.
    process_pool_options& cgroup(std::string path);
    /// Programs that workers execute have no more rights than they.
    process_pool_options& no_new_privileges() noexcept;
    /// Workers compute and answer, and do nothing else: see sandbox::compute_only. Whatever the functions need of files
    /// is opened before serve_if_worker() is called.
    process_pool_options& compute_only() noexcept;

    // ---- workers on other hosts ----
    /// Up to `workers` processes more on another host, where these words start the program: {"ssh", "host1"}. Its
    /// command stands behind them; behind `ssh` it is quoted for the shell there, and ssh never asks for anything. Once
    /// for each host; with a host no process is started here unless processes() says so. The program there is the one
    /// that program() names, with the path of this one if it does not; what a worker may do holds there, too. `name` is
    /// the host's in messages, the words if it is empty. See docs/guide/process_pool.md. *Errors*:
    /// std::invalid_argument without a word or a worker.
    process_pool_options& launcher(std::vector<std::string> words, std::size_t workers = 1, std::string name = {});
    /// A host, or a program, of which nothing was heard for so long is lost to the other; 15 s unless it is set. From
    /// 100 ms to 24 h.
    process_pool_options& silence_limit(std::chrono::nanoseconds limit);

private:
    struct launcher_words {
        launcher_words(std::vector<std::string> w, std::size_t n, std::string t)
            : words(std::move(w)),
              workers(n),
              name(std::move(t)) {}
        std::vector<std::string> words;
        std::size_t workers;
        std::string name;
    };
    friend class process_pool;
    std::size_t processes_ = 0;
    std::size_t queue_limit_ = 0;
    std::string name_ = "processes";
    std::string program_;
    std::vector<std::string> arguments_;
    std::chrono::nanoseconds call_timeout_{0};
    std::chrono::nanoseconds start_timeout_ = std::chrono::seconds(30);
    std::uint64_t memory_limit_ = 0;
    std::uint64_t message_limit_ = std::uint64_t{64} << 20;
    std::uint64_t value_limit_ = 1'000'000;
    bool kill_cancelled_ = true;
    bool passes_environment_ = true;
    bool no_new_privileges_ = false;
    bool compute_only_ = false;
    std::vector<std::string> environment_;
    std::string folder_;
    std::string output_;
    std::string cgroup_;
    std::vector<std::string> through_;
    std::vector<std::pair<int, std::uint64_t>> resource_limits_;
    std::vector<launcher_words> launchers_;
    std::chrono::nanoseconds silence_limit_ = std::chrono::seconds(15);
};

} // namespace muster
