// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The options of a pool as its threads use them, none of which changes once the pool is made. Private to
/// muster::process_pool.
///
///     if (settings.call_timeout > 0ns) deadline = now + settings.call_timeout;

#include "process_pool/spawn.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace muster::workers {

/// How another host is reached, and how many workers it may have.
struct host_settings {
    std::string name;
    std::vector<std::string> words; ///< the launcher's and those of the agent behind them
    std::size_t workers = 1;
};

struct pool_settings {
    std::string name;
    std::size_t processes = 1; ///< on all hosts together
    std::size_t processes_here = 1;
    std::size_t queue_limit = 0; ///< 0: no limit
    std::string program;
    std::vector<std::string> arguments;
    std::vector<std::string> environment;     ///< as it was when the pool was made: another thread may change it later
    std::vector<std::uint8_t> greeting;       ///< the body of the first message to each worker
    std::chrono::nanoseconds call_timeout{0}; ///< 0: no limit
    std::chrono::nanoseconds start_timeout{0};
    std::uint64_t message_limit = 0;
    std::uint64_t value_limit = 0;
    bool kill_cancelled = true;
    surroundings around;
    std::vector<host_settings> hosts;
    std::vector<std::string> launcher_environment;
    std::vector<std::uint8_t> agent_terms; ///< in which an agent is told what its workers are: see agent_terms.hpp
    std::chrono::nanoseconds silence_limit{0};
};

} // namespace muster::workers
