// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Connections within a machine, by a path, or by a name of Linux's abstract kind, which begins with '@' and needs no
/// file
/// ("./@x" is a file of that name). An abstract name has no mode: any user may connect, so ask who it is.
///
///     auto door = muster::io::listen_unix("/run/notes.sock", muster::io::unix_listen_options().mode(0600));
///     auto peer = co_await muster::io::connect_unix("/run/notes.sock");

#include <muster/config.hpp>
#include <muster/io/listener.hpp>
#include <muster/io/stream.hpp>
#include <muster/task.hpp>

#include <optional>
#include <string>

#include <sys/types.h>

namespace muster::io {

/// Each may be set in a chain: `unix_listen_options().replace_stale().mode(0600)`.
class unix_listen_options {
public:
    unix_listen_options() {}

    /// A socket already at the path on which no process listens, as a server that was killed leaves one, is removed.
    unix_listen_options& replace_stale(bool on = true) {
        replace_stale_ = on;
        return *this;
    }
    /// The mode of the socket's file: users who may write to it may connect. It never has more than this mode, not even
    /// while it is made. Unless it is set the process's umask decides. *Errors*: std::invalid_argument for more than
    /// 0777.
    unix_listen_options& mode(mode_t bits);

    [[nodiscard]] bool replaces_stale() const noexcept { return replace_stale_; }
    [[nodiscard]] std::optional<mode_t> mode() const noexcept { return mode_; }

private:
    bool replace_stale_ = false;
    std::optional<mode_t> mode_;
};

/// *Errors*: connect_error; std::system_error with ENAMETOOLONG for a path of more than 107 bytes.
/// *Cancellation*: ends the attempt.
[[nodiscard]] task<stream> connect_unix(std::string path);

/// Makes a socket at the path and listens; the path is removed when the listener is closed. *Errors*:
/// std::system_error, with std::errc::address_in_use if there is something at the path; std::invalid_argument for the
/// mode of an abstract name, which has none.
[[nodiscard]] listener listen_unix(const std::string& path, unix_listen_options options = {});

/// The process at the other end of a Unix socket, as it was when it connected, or listened.
struct peer_credentials {
    pid_t pid = 0;
    uid_t uid = 0;
    gid_t gid = 0;
};

/// *Returns* what the system vouches for. *Errors*: std::system_error for what is no Unix socket, or is closed.
/// *Source*: SO_PEERCRED.
[[nodiscard]] peer_credentials credentials_of_peer(const stream& connection);

} // namespace muster::io
