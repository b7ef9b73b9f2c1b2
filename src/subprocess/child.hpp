// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A started process until it has been reaped, private to the library: signals that can't reach a stranger, the end and
/// its figures, and a destructor that leaves neither zombie nor stray.
///
///     child c(what, ends);
///     c.ask_to_end();
///     if (c.reap()) use(c.result());

#include "subprocess/spawn.hpp"

#include <muster/subprocess.hpp>

#include <array>
#include <chrono>
#include <cstddef>
#include <string>

#include <sys/types.h>

namespace muster::detail {

/// This process's ends of the pipes to a child: standard input, output, error. Those that there are do not block.
using pipe_set = std::array<owned_fd, 3>;

class child {
public:
    /// Starts it. *Errors*: as spawn.
    child(const command& what, pipe_set& ours);
    /// Kills and reaps it, with its group, unless it was reaped.
    ~child();
    child(const child&) = delete;
    child& operator=(const child&) = delete;

    [[nodiscard]] pid_t pid() const noexcept { return pid_; }
    [[nodiscard]] int pidfd() const noexcept { return pidfd_.get(); }
    [[nodiscard]] bool reaped() const noexcept { return reaped_; }

    /// Takes its end if it has ended. *Returns* whether it was, now or before.
    bool reap() noexcept { return reaped_ || take_end(false); }
    /// How it ended. *Errors*: spawn_error if somebody else took that.
    [[nodiscard]] completed_process result() const;

    /// To the process alone. *Returns* false if it has ended.
    bool signal(int number) noexcept;
    /// To the process and what it started in its group. *Returns* false if it has ended.
    bool signal_group(int number) noexcept;
    /// SIGTERM, also to what is stopped.
    void ask_to_end() noexcept;
    /// After it was reaped: whether something of its group is still alive. Only asked while it is being ended.
    [[nodiscard]] bool group_left() const noexcept;
    /// After it was reaped and group_left() was true, just now.
    void kill_group_left() noexcept;
    void ask_group_left_to_end() noexcept;

private:
    bool take_end(bool wait) noexcept;

    std::string description_;
    pid_t pid_ = 0;
    owned_fd pidfd_;
    bool own_group_;
    bool reaped_ = false;
    bool lost_ = false; ///< somebody else reaped it
    completed_process end_;
    std::chrono::steady_clock::time_point began_;
};

} // namespace muster::detail
