// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A control group (cgroup v2) of one worker's own: whoever may write to its files ends everything in it at once,
/// whatever user it runs as by now. Private to muster::process_pool.
///
///     worker_cgroup group("/sys/fs/cgroup/service/workers");
///     group.take_in(process);
///     group.kill();

#include "posix/owned_fd.hpp"

#include <sys/types.h>

#include <string>

namespace muster::workers {

/// Made with the object, and removed with it; what is in it then is killed first.
class worker_cgroup {
public:
    /// Makes a group below `parent`. *Errors*: std::system_error, which names the folder or the file.
    explicit worker_cgroup(const std::string& parent);
    ~worker_cgroup();
    worker_cgroup(const worker_cgroup&) = delete;
    worker_cgroup& operator=(const worker_cgroup&) = delete;

    /// Moves a process into the group; what it starts from then on is in it, too. *Errors*: std::system_error.
    void take_in(pid_t process) const;
    /// Kills all that is in it. *Returns* false if the system refuses to.
    [[nodiscard]] bool kill() const noexcept;

private:
    std::string folder_;
    detail::owned_fd kill_;
};

} // namespace muster::workers
