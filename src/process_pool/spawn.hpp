// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Starting a worker process, killing it, and waiting for its end. Private to muster::process_pool.
///
///     child_process c = start_worker(path, arguments, environment_of_worker(nullptr), {});
///     c.kill();
///     const auto end = c.reap();

#include "posix/owned_fd.hpp"
#include "process_pool/worker_cgroup.hpp"

#include <muster/host_lost_error.hpp>

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace muster::workers {

/// How a process ended.
struct process_end {
    enum class kind : std::uint8_t { ended, not_started, host_lost };

    int signal = 0;       ///< 0 if it exited
    int exit_status = -1; ///< -1 if it did not exit, or if that is not known
    bool known = true;    ///< false if another part of the program has waited for it
    kind how = kind::ended;

    // Of a process on another host.
    hosts::begun begun = hosts::begun::yes; ///< whether it had begun the call of the next number
    std::uint64_t call = 0;                 ///< the last one that was sent to the host; one sent later has not begun
    pid_t process = 0;                      ///< the process number that the other host gave it
    std::string host;                       ///< empty: this one
    std::string why;                        ///< it could not be started, or its host was lost

    [[nodiscard]] hosts::begun had_begun(std::uint64_t number) const noexcept {
        return host.empty() || number == call ? begun : hosts::begun::no;
    }
};

/// A process on another host, as the connection to that keeps it. *Thread safety*: any thread.
class distant_process {
public:
    distant_process() = default;
    distant_process(const distant_process&) = delete;
    distant_process& operator=(const distant_process&) = delete;
    virtual ~distant_process() = default;
    virtual void kill() noexcept = 0;
    /// Once its end descriptor is readable.
    virtual process_end end() noexcept = 0;
};

/// A process, here or on another host, that leads a group of its own, with the socket to it. The owner reaps it once.
/// *Thread safety*: kill() and reap() exclude each other, as after reap() the number may be another process's; the
/// pool's lock sees to that.
class child_process {
public:
    child_process(pid_t id, detail::owned_fd socket, detail::owned_fd end) noexcept
        : id_(id),
          socket_(std::move(socket)),
          end_(std::move(end)) {}
    /// On another host: `end` becomes readable once `elsewhere` has its end.
    child_process(std::shared_ptr<distant_process> elsewhere, detail::owned_fd socket, detail::owned_fd end) noexcept
        : id_(0),
          socket_(std::move(socket)),
          end_(std::move(end)),
          elsewhere_(std::move(elsewhere)) {}

    /// 0 on another host.
    [[nodiscard]] pid_t id() const noexcept { return id_; }
    [[nodiscard]] int socket() const noexcept { return socket_.get(); }
    void close_socket() noexcept { socket_ = detail::owned_fd(); }
    /// Whether the process has sent something that was not read yet, or has closed its end of the socket.
    [[nodiscard]] bool has_bytes_or_end() const noexcept;
    /// Readable once the process has ended; -1 on a system that has no such descriptors.
    [[nodiscard]] int end_descriptor() const noexcept { return end_.get(); }
    [[nodiscard]] bool has_end_descriptor() const noexcept { return end_.get() >= 0; }

    /// Ends it, and all that it starts, by way of the group from now on. *Errors*: std::system_error.
    void move_into(std::unique_ptr<worker_cgroup> group) {
        group->take_in(id_);
        group_ = std::move(group);
    }

    /// Does nothing once the process was reaped. *Returns* false if this program may not kill it, because it runs as
    /// another user by now, and has no group of its own.
    [[nodiscard]] bool kill() const noexcept;
    [[nodiscard]] bool has_ended() const noexcept;
    /// Waits for its end, and ends what it has started and left behind.
    void kill_group() const noexcept;
    /// Waits for its end, and takes it off the system's list.
    process_end reap() noexcept;

private:
    enum class listing : bool { listed, reaped };

    pid_t id_;
    detail::owned_fd socket_;
    detail::owned_fd end_;
    listing listing_ = listing::listed;
    std::shared_ptr<distant_process> elsewhere_;
    std::unique_ptr<worker_cgroup> group_;
};

/// Where a worker runs and how far it may go. Empty texts: as this program.
struct surroundings {
    std::string folder;
    std::string output;                                ///< the file of standard output and error
    std::string cgroup;                                ///< the group below which each worker gets its own
    std::vector<std::pair<int, std::uint64_t>> limits; ///< RLIMIT_CPU, say, and its value
};

/// *Returns* this program's environment with what makes a worker of a process; of its entries only those of the names,
/// if there are `names`. Not while another thread changes it.
[[nodiscard]] std::vector<std::string> environment_of_worker(const std::vector<std::string>* names);

/// *Errors*: std::system_error. The process has standard input from /dev/null, standard output and error from this one
/// or its surroundings, the socket, and nothing else that is open here.
[[nodiscard]] child_process start_worker(const std::string& path, std::vector<std::string> arguments,
    std::vector<std::string> environment, const surroundings& around);

/// *Returns* this program's environment without what makes a worker of a process.
[[nodiscard]] std::vector<std::string> environment_of_launcher();

/// A launcher: one socket is its standard input and output.
struct launcher_process {
    child_process process;
    detail::owned_fd errors; ///< where it writes its standard error to
};
/// *Errors*: std::system_error.
[[nodiscard]] launcher_process start_launcher(std::vector<std::string> words, std::vector<std::string> environment);

} // namespace muster::workers
