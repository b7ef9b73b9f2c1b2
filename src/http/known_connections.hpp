// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The facts about the connections that libcurl keeps that libcurl does not tell, so that a request can look at its
/// connection before it is sent. At that moment libcurl names a connection by its ends only; its descriptor it names
/// when a request on it has ended. Private to muster::http.
///
///     connections.learned(name, protocol_kind::http1);       // the headers of an answer were there
///     connections.kept(name, socket);                        // the request has ended, the connection is open
///     if (connections.find(name).socket != known_connections::none) ...

#include <cstddef>
#include <cstdint>
#include <optional>
#include <unordered_map>

namespace muster::http {

enum class protocol_kind : std::uint8_t { unknown, http1, multiplexed };

/// A connection as libcurl names it before a request is sent.
struct connection_name {
    int local_port = 0; ///< 0: there is no connection, or it is that of a Unix socket
    int remote_port = 0;
    std::size_t address = 0; ///< a hash of the server's address: one local port may lead to several servers

    bool operator==(const connection_name&) const = default;
};

class known_connections {
public:
    static constexpr int none = -1;

    struct connection {
        int socket = none; ///< until a first request on it has ended
        protocol_kind protocol = protocol_kind::unknown;
        /// The last of our streams that the server may process, once it has said so (GOAWAY).
        std::optional<std::uint32_t> last_stream;
    };

    [[nodiscard]] connection find(const connection_name& name) const noexcept {
        const auto at = all_.find(name);
        return at != all_.end() ? at->second : connection();
    }
    /// *Errors*: std::bad_alloc.
    void learned(const connection_name& name, protocol_kind what) { all_[name].protocol = what; }
    /// *Errors*: std::bad_alloc.
    void going_away(const connection_name& name, std::uint32_t last_stream) { all_[name].last_stream = last_stream; }
    /// *Errors*: std::bad_alloc.
    void kept(const connection_name& name, int socket) { all_[name].socket = socket; }
    /// The connection was closed, or the name is that of a new one.
    void forget(const connection_name& name) noexcept { all_.erase(name); }

private:
    struct hash {
        std::size_t operator()(const connection_name& n) const noexcept {
            const auto ports = static_cast<std::size_t>(n.local_port) << 16U | static_cast<std::size_t>(n.remote_port);
            return n.address ^ ports * 0x9E3779B97F4A7C15U;
        }
    };

    std::unordered_map<connection_name, connection, hash> all_;
};

} // namespace muster::http
