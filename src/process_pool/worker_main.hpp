// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Whether this process can have a pool, or is a worker itself. Private to muster::process_pool.
///
///     if (const auto problem = workers::unfit_for_a_pool(true); !problem.empty()) throw invalid_state_error(problem);

#include <string>

namespace muster::workers {

/// *Returns* why this process can't have a pool; empty if it can. In a worker whose main has not called
/// serve_if_worker() the pool that started it is told, too.
[[nodiscard]] std::string unfit_for_a_pool(bool starts_itself);

} // namespace muster::workers
