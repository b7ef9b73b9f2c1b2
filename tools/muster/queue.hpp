// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The command muster queue, of the program muster-queue: making a queue in PostgreSQL, looking at one, and trying one
/// on a server that is gone afterwards.
///
///     return show_queue(options);

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace tool {

struct queue_options {
    queue_options() {}
    std::string database;
    std::string schema = "muster";
    std::optional<std::uint64_t> queue_limit;
    std::optional<std::uint64_t> payload_limit;
};

/// Each *returns* the exit status. *Errors*: usage_error for an address that is none, or that holds a password.
[[nodiscard]] int show_queue(const queue_options& o);
[[nodiscard]] int init_queue(const queue_options& o);
/// Starts a server with a queue and runs the command with the queue's address in MUSTER_QUEUE; without a command it
/// prints the address, and waits for a signal. *Returns* the command's status.
[[nodiscard]] int demo_queue(const queue_options& o, const std::vector<std::string>& command);

} // namespace tool
