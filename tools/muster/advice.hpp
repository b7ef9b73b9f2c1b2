// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Advice for those who write an option of GNU parallel, xargs, curl or wget that muster does not have.
///
///     advice_on("run", "--no-run-if-empty")    // "without inputs nothing runs in any case"

#include <string_view>

namespace tool {

/// *Returns* what to write instead of the option of another program, or empty. `command` is "run" or "fetch"; `word` is
/// as it was written, with a value perhaps.
[[nodiscard]] std::string_view advice_on(std::string_view command, std::string_view word) noexcept;

} // namespace tool
