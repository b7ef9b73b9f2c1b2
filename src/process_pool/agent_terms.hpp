// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The hellos of a pool and of an agent on another host: versions, the functions of the program there, and how workers
/// are to be started. Private to muster::process_pool.
///
///     if (const auto problem = problem_of_agent(hello); !problem.empty()) leave_it_out(problem);

#include "process_pool/spawn.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace muster::workers {

/// Which program a worker is, and with which arguments.
struct worker_program {
    std::string path;
    std::vector<std::string> arguments;
};
/// An empty `program` is this one. `through` is what the options say.
[[nodiscard]] worker_program program_of_worker(const std::string& program, const std::vector<std::string>& arguments,
    const std::vector<std::string>& through, const std::string& pool, bool in_another_folder);

/// The workers that an agent starts.
struct agent_terms {
    std::string pool;
    std::vector<std::string> arguments;
    std::vector<std::string> through;
    std::optional<std::vector<std::string>> environment; ///< names; without them workers get all of the agent's
    surroundings around;
    std::uint64_t message_limit = 0;
    std::chrono::milliseconds silence_limit{0};
};

[[nodiscard]] std::string hello_of_pool(const agent_terms& terms);
/// *Errors*: frame_error, with both versions if these differ.
[[nodiscard]] agent_terms terms_of(std::string_view hello_of_pool);

/// `problem`: why this program can't serve; empty if it can.
[[nodiscard]] std::string hello_of_agent(const std::string& problem);
/// *Returns* why the agent's program does not fit this one; empty if it does. *Errors*: frame_error for no such hello.
[[nodiscard]] std::string problem_of_agent(std::string_view hello_of_agent);

} // namespace muster::workers
