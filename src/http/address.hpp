// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Addresses of hosts as texts and as the system has them, and which of them are public. Private to muster::http.
///
///     if (!is_address("127.0.0.1")) ...
///     if (!is_public(*address)) ...

#include <string>
#include <string_view>

#include <sys/socket.h>

namespace muster::http {

/// *Returns* whether it is an address of IPv4 or IPv6, without brackets.
[[nodiscard]] bool is_address(const std::string& text) noexcept;

/// *Returns* the host in lower case, without a dot at its end and without brackets: the key of a look-up.
[[nodiscard]] std::string lower_host(std::string host);

/// *Returns* whether it is an address of the internet at large, and not of this machine, a private or link-local
/// network, or one that is reserved; an IPv4 address within an IPv6 address counts as itself. An address that is of
/// neither is none. *Source*: the special-purpose registries of IANA (RFC 6890).
[[nodiscard]] bool is_public(const sockaddr& address) noexcept;

/// *Returns* the address as a text, for messages.
[[nodiscard]] std::string text_of(const sockaddr& address);

} // namespace muster::http
