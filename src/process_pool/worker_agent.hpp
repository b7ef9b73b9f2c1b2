// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The program of a pool as an agent: on another host, started by a launcher, it starts workers for the pool and
/// carries their messages over standard input and output. distant_host.hpp is the pool's side. Private to
/// muster::process_pool.
///
///     if (version == wire::agent_version) workers::serve_as_agent();

#include <string>

namespace muster::workers {

/// Serves until the end of standard input, or until the pool is silent for too long; then kills all workers and exits.
/// `problem`: why this program can't serve, which the pool is told; empty if it can.
[[noreturn]] void serve_as_agent(const std::string& problem);

} // namespace muster::workers
