// SPDX-License-Identifier: MIT
// This file makes the text of a connect_error: the host first, then what happened, then the launcher's own words if
// there are any.
#include <muster/hosts/error.hpp>

namespace muster::hosts {

connect_error::connect_error(std::string host, const std::string& why, std::string launcher_said)
    : std::runtime_error(host + ": " + why + (launcher_said.empty() ? "" : ": " + launcher_said)),
      text_(std::make_shared<const text>(std::move(host), std::move(launcher_said))) {}

} // namespace muster::hosts
