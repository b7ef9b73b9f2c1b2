// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Commands and their ends as a queue keeps them: texts in CBOR, which are the argument and the result of a function
/// that muster worker serves. Whoever reads one trusts nothing in it.
///
///     auto running = run_in_executor(queue, function_for(tag)(write_message(what)));

#include "command_queue.hpp"

#include <muster/process_pool/remote_function.hpp>

#include <string>
#include <string_view>

namespace tool {

using command_function = muster::remote_function<std::string(const std::string&)>;

/// The function by which workers with a tag are asked to run a command; without a tag, any worker.
[[nodiscard]] const command_function& function_for(const std::string& tag);
/// *Errors*: usage_error for a tag that has anything but letters, digits and "._-", or more than 40 of them.
[[nodiscard]] std::string name_of_function_for(const std::string& tag);

[[nodiscard]] std::string write_message(const queued_command& what);
/// *Errors*, also of read_end(): std::invalid_argument for what is no such message.
[[nodiscard]] queued_command read_command(std::string_view message);

[[nodiscard]] std::string write_message(const queued_end& end);
[[nodiscard]] queued_end read_end(std::string_view message);

} // namespace tool
