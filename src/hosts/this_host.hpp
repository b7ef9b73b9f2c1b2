// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The first frames of both sides, which say what they are. Private to muster::hosts.
///
///     link.greet(hello_of_this_host());
///     facts = facts_of(hello.payload);

#include <muster/hosts.hpp>

#include <chrono>
#include <string>
#include <string_view>

namespace muster::hosts {

/// An agent's hello: the version, and what this host has at the moment.
[[nodiscard]] std::string hello_of_this_host();
/// A client's hello.
[[nodiscard]] std::string hello_of_client(std::chrono::nanoseconds silence_limit);
/// *Returns* what an agent's hello says, texts made printable. *Errors*: frame_error for no hello, and for another
/// version, which it says.
[[nodiscard]] host_facts facts_of(std::string_view hello);

} // namespace muster::hosts
