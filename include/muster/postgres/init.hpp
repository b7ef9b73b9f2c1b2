// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Making a queue, and looking at one.
///
///     co_await muster::postgres::init("postgresql://owner@db/jobs");
///     auto now = co_await muster::postgres::status("service=jobs");

#include <muster/config.hpp>
#include <muster/task.hpp>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace muster::postgres {

/// The settings of a queue. Those that are not set stay as they are, or as they are by default.
struct queue_settings {
    queue_settings() {}
    std::optional<std::uint64_t>
        queue_limit; ///< so many calls may wait; 0, the default: no limit
                     /// Bytes of a call's arguments and of its result, 16 MiB by default and 512 MiB at most.
    std::optional<std::uint64_t> payload_limit;
    /// How long a worker whose session ended has to come back, 1 s by default.
    std::optional<std::chrono::milliseconds> session_grace;
    /// How long no worker is taken for dead after the server was started or has lost all sessions, 5 s by default.
    std::optional<std::chrono::milliseconds> restart_grace;
};

/// Makes the queue's tables and functions in a schema, or brings them up to this version; makes the roles
/// `SCHEMA_client`, which may submit and cannot claim, and `SCHEMA_worker`, which may claim and cannot submit. Both are
/// to be granted to roles that may log in; they are those of all databases of the server. Doing it again changes
/// nothing. *Errors*: std::invalid_argument for a name that is no plain one, and for a payload limit that is too large;
/// unreachable_error; database_error; queue_error for tables of a newer version, or a schema that is there and holds no
/// queue. *Cancellation*: nothing is changed then.
[[nodiscard]] task<> init(std::string database, std::string schema = "muster", queue_settings settings = {});

struct worker_status {
    worker_status() {}
    int epoch = 0;
    std::string host;
    int process = 0;
    int slots = 0;
    int running = 0;
    std::chrono::seconds silent_for{0};
    std::string state; ///< "serves", "drains", "left", "died: session", "died: lease"
};

/// A queue at one moment. The counts of calls that have ended are of those whose outcomes are kept.
struct queue_status {
    queue_status() {}
    std::uint64_t queued = 0;
    std::uint64_t delayed = 0;
    std::uint64_t running = 0;
    std::uint64_t answered = 0; ///< with a value or an error
    std::uint64_t cancelled = 0;
    std::uint64_t died = 0; ///< with their workers
    std::uint64_t expired = 0;
    std::uint64_t queue_limit = 0;
    std::uint64_t payload_limit = 0; ///< bytes of a call's arguments, and of its result
    int version = 0;                 ///< of its tables; init() brings older ones up to this program's
    std::string id; ///< of the queue; another one for each that is made, empty for a queue of an older version
    std::chrono::seconds oldest{0}; ///< how long the oldest call has waited
    std::vector<worker_status> workers;
};

/// *Errors*: as init().
[[nodiscard]] task<queue_status> status(std::string database, std::string schema = "muster");

/// *Returns* whether a password stands in the address: on a command line everybody could read it. *Errors*:
/// std::invalid_argument for what is no address.
[[nodiscard]] bool has_password(const std::string& database);

} // namespace muster::postgres
