// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Names to addresses, as the system looks them up: /etc/hosts, DNS and whatever else the system is set up to ask.
///
///     auto found = co_await muster::io::resolve("example.org", "https");
///     auto peer = co_await muster::io::connect(found.front());

#include <muster/config.hpp>
#include <muster/io/address.hpp>
#include <muster/io/error.hpp>
#include <muster/task.hpp>

#include <string>
#include <vector>

namespace muster::io {

/// Looks up a host and a service, a port's number or its name. An empty host is this machine. Addresses in numbers are
/// not looked up and take no thread; names are looked up on threads that do nothing else, at most 8. *Returns* at least
/// one address, in the order in which to try them. *Errors*: resolve_error. *Cancellation*: ends the wait. The system's
/// look-up, which can't be stopped, is left behind with its result; it keeps neither loop nor program from ending.
/// *Source*: loop.getaddrinfo.
[[nodiscard]] task<std::vector<address>> resolve(std::string host, std::string service);

} // namespace muster::io
