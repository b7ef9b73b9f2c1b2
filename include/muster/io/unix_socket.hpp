// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Connections within a machine, by a path.
///
///     auto door = muster::io::listen_unix("/run/user/1000/notes.sock");
///     auto peer = co_await muster::io::connect_unix("/run/user/1000/notes.sock");

#include <muster/config.hpp>
#include <muster/io/listener.hpp>
#include <muster/io/stream.hpp>
#include <muster/task.hpp>

#include <string>

namespace muster::io {

/// *Errors*: connect_error; std::system_error with ENAMETOOLONG for a path of more than 107 bytes.
/// *Cancellation*: ends the attempt.
[[nodiscard]] task<stream> connect_unix(std::string path);

/// Makes a socket at the path and listens; the path is removed when the listener is closed. If there is a socket
/// already on which no process listens, as a server that was killed leaves one, `replace_stale` removes it first.
/// *Errors*: std::system_error, with std::errc::address_in_use if there is something at the path.
[[nodiscard]] listener listen_unix(const std::string& path, bool replace_stale = false);

} // namespace muster::io
