// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Starting a worker process and being told of its end. Private to muster::process_pool.
///
///     child c = start_worker(path, arguments, environment_of_worker());
///     c.kill();
///     const auto end = c.reap();

#include <sys/types.h>

#include <string>
#include <utility>
#include <vector>

namespace muster::workers {

class descriptor {
public:
    descriptor() noexcept = default;
    explicit descriptor(int n) noexcept : number_(n) {}
    descriptor(descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
    descriptor& operator=(descriptor&& other) noexcept {
        std::swap(number_, other.number_);
        return *this;
    }
    ~descriptor();

    [[nodiscard]] int get() const noexcept { return number_; }
    [[nodiscard]] explicit operator bool() const noexcept { return number_ >= 0; }

private:
    int number_ = -1;
};

/// How a process ended.
struct process_end {
    int signal = 0;       ///< 0: it exited
    int exit_status = -1; ///< -1: it did not, or nobody knows
    bool known = true;    ///< false: somebody else has waited for it
};

/// A process that leads a group of its own. Whoever has one reaps it.
struct child {
    pid_t id = -1;
    descriptor socket;
    descriptor end; ///< readable when it has ended; none on a system that has no such descriptors
    bool is_buried = false;

    /// Does nothing once it is off the system's list, when its number may be another's.
    void kill() const noexcept;
    [[nodiscard]] bool has_ended() const noexcept;
    /// Waits for its end, and takes it off the system's list.
    process_end reap() noexcept;
    /// Waits for its end, and ends what it has started and left behind.
    void kill_group() const noexcept;
};

/// *Returns* this program's environment with what makes a worker of a process. Not while another thread changes it.
[[nodiscard]] std::vector<std::string> environment_of_worker();

/// *Errors*: std::system_error. The process has standard input from /dev/null, standard output and error from this one,
/// the socket, and nothing else that is open here.
[[nodiscard]] child start_worker(
    const std::string& path, std::vector<std::string> arguments, std::vector<std::string> environment);

} // namespace muster::workers
