// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// muster demo: 200 URLs from a server on loopback that misbehaves as it is told, and what the ledger says of them.
///
///     return demo();

namespace tool {

/// *Returns* the exit status: 0 if each URL ended as the server was told to treat it.
[[nodiscard]] int demo(bool show_progress);

} // namespace tool
