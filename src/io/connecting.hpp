// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Connecting to the first of several addresses that answers. Private to the library.
///
///     auto peer = co_await connect_to_first("example.org:80", std::move(addresses), connect_options());

#include <muster/io/address.hpp>
#include <muster/io/connect_schedule.hpp>
#include <muster/io/stream.hpp>
#include <muster/task.hpp>

#include <string>
#include <vector>

namespace muster::detail {

/// Tries the addresses in their order, as connect_schedule says. *Errors*: connect_error, which begins with `target`.
[[nodiscard]] task<io::stream> connect_to_first(
    std::string target, std::vector<io::address> all, io::connect_options options);

} // namespace muster::detail
