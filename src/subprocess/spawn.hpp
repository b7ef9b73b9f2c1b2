// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Starting a process, private to the library: a child that shares the memory of this one until it executes the
/// program, so that starting costs the same however large this process is, and an error arrives as a value.
///
///     const standard_streams streams{ends.input, ends.output, streams.merge};
///     const spawned s = spawn(what, streams, true);

#include "posix/owned_fd.hpp"

#include <muster/subprocess/command.hpp>

#include <array>

#include <sys/types.h>

namespace muster::detail {

struct pipe_ends {
    owned_fd read;
    owned_fd write;
};
/// Close-on-exec, with numbers above the standard descriptors'. *Errors*: spawn_error.
[[nodiscard]] pipe_ends make_pipe(const command& what);

/// Each of the child's descriptors 0, 1 and 2 is a copy of one above 2, or one of these.
constexpr int stream_inherited = -1;
constexpr int stream_null = -2;
constexpr int stream_as_output = -3; ///< standard error only
using standard_streams = std::array<int, 3>;

struct spawned {
    spawned() {}
    pid_t pid = 0;
    owned_fd pidfd; ///< readable once it has ended
};

/// *Errors*: command_not_found_error, spawn_error; nothing is left behind then.
[[nodiscard]] spawned spawn(const command& what, const standard_streams& streams, grouping group);

} // namespace muster::detail
