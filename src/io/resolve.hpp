// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Names to addresses. Private to the library.
///
///     auto found = co_await resolve_for(host, service, true);   // to listen on

#include <muster/io/address.hpp>
#include <muster/task.hpp>

#include <string>
#include <vector>

namespace muster::detail {

/// An empty host is any address of this machine if `passive`, else its loopback.
[[nodiscard]] task<std::vector<io::address>> resolve_for(std::string host, std::string service, bool passive);

} // namespace muster::detail
