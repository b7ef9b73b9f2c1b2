// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Names to addresses, as the system looks them up: /etc/hosts, DNS and what else it is told to ask.
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
/// not looked up and take no thread. *Returns* at least one address, in the order in which to try them. *Errors*:
/// resolve_error. *Cancellation*: a look-up that waits for a thread is taken back; one that runs is waited for, because
/// it can't be stopped. *Source*: loop.getaddrinfo.
[[nodiscard]] task<std::vector<address>> resolve(std::string host, std::string service);

} // namespace muster::io
