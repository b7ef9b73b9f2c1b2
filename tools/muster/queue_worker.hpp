// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The command muster worker, of the program muster-queue: runs the commands that others have put into a queue with
/// muster run --on postgresql://..., and only those whose programs it allows.
///
///     worker_setting setting;
///     setting.allowed = {"gzip"};
///     return serve_commands(setting);

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <vector>

namespace tool {

struct worker_setting {
    worker_setting() {}
    std::string address; ///< empty: that of MUSTER_QUEUE
    std::string schema = "muster";
    std::size_t slots = 1; ///< so many commands at once
    std::vector<std::string> tags;
    std::vector<std::string> allowed;              ///< patterns of programs; none: nothing is run
    std::string user;                              ///< whose rights the commands have; empty: this one's
    std::string directory;                         ///< where they run; empty: here
    std::optional<std::chrono::nanoseconds> lease; ///< --lease; without it that of worker_options
    bool quiet = false;
    bool shows_progress = true; ///< on a terminal
};

/// Serves until a signal comes. *Returns* the exit status: 0 once it was told to leave and has left; 128 and the
/// signal's number if a second signal had it end what ran. *Errors*: usage_error.
[[nodiscard]] int serve_commands(const worker_setting& setting);

} // namespace tool
