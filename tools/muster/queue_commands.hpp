// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The queue of muster run --on postgresql://...: the commands of a run go to PostgreSQL as calls, each under a key
/// that is made of the run's name, the input and the attempt. So whoever comes back to a run finds what it has
/// submitted.
///
///     return run(options, make_queue);

#include "command_queue.hpp"

#include <cstddef>
#include <memory>

namespace tool {

/// *Errors*: usage_error for a tag or a schema that is none.
[[nodiscard]] std::unique_ptr<command_queue> make_queue(const queue_place& where, std::size_t window);

} // namespace tool
