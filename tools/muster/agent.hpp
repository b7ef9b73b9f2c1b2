// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The agent as a program: muster agent, and muster-agent, which is nothing else and is linked statically.
///
///     return serve_as_agent();

namespace tool {

/// Serves the client on standard input and output, until the connection ends or a signal comes. This process becomes
/// the warden of a child that does. *Returns* the exit status; not in the warden.
[[nodiscard]] int serve_as_agent();

} // namespace tool
