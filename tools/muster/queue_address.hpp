// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The address of a queue, as it is given with --on or in MUSTER_QUEUE. One with a password is refused on a command
/// line, where everybody on the machine could read it.
///
///     const auto address = address_of_queue(options.on, "muster queue");

#include <string>

namespace tool {

/// The variable that has the address where no option gives it.
inline constexpr const char* variable_of_queue = "MUSTER_QUEUE";

/// `given` is the option's, or empty; `command` is what asks. *Errors*: usage_error for an address that is none, that
/// has a password, or that is missing.
[[nodiscard]] std::string address_of_queue(const std::string& given, const std::string& command);

} // namespace tool
