// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The errors of a worker's own process pool, on their way through a queue: they arrive as themselves. Private to
/// muster::postgres.
///
///     know_errors_of_workers();
///     auto bytes = answer_for(std::current_exception(), entry, "host1");

#include <muster/process_pool/remote_request.hpp>

#include <cstdint>
#include <exception>
#include <string>
#include <vector>

namespace muster::postgres {

/// Registers them, once.
void know_errors_of_workers();

/// *Returns* the answer for a call that ended with this. An error that came from a process of the pool keeps its parts.
[[nodiscard]] std::vector<std::uint8_t> answer_for(
    const std::exception_ptr& error, const detail::remote_entry* entry, const std::string& host);

} // namespace muster::postgres
