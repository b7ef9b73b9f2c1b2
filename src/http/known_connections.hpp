// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The facts about the connections that libcurl keeps that libcurl does not tell, so that a request can look at its
/// connection before it is sent. At that moment libcurl names a connection by its ports only; its descriptor it names
/// when a request on it has ended. Private to muster::http.
///
///     connections.learned(ports, protocol_kind::http1);      // the headers of an answer were there
///     connections.kept(ports, socket);                       // the request has ended, the connection is open
///     if (connections.find(ports).socket != known_connections::none) ...

#include <cstdint>
#include <unordered_map>

namespace muster::http {

enum class protocol_kind : std::uint8_t { unknown, http1, multiplexed };

/// The ports of both ends of a connection.
struct connection_ports {
    int local = 0;
    int remote = 0;
};

class known_connections {
public:
    static constexpr int none = -1;

    struct connection {
        int socket = none; ///< until a first request on it has ended
        protocol_kind protocol = protocol_kind::unknown;
    };

    [[nodiscard]] connection find(connection_ports ports) const noexcept {
        const auto at = all_.find(key(ports));
        return at != all_.end() ? at->second : connection();
    }
    /// *Errors*: std::bad_alloc.
    void learned(connection_ports ports, protocol_kind what) { all_[key(ports)].protocol = what; }
    /// *Errors*: std::bad_alloc.
    void kept(connection_ports ports, int socket) { all_[key(ports)].socket = socket; }
    /// The connection was closed, or the ports are those of a new one.
    void forget(connection_ports ports) noexcept { all_.erase(key(ports)); }

private:
    static std::uint32_t key(connection_ports p) noexcept {
        return static_cast<std::uint32_t>(p.local) << 16U | (static_cast<std::uint32_t>(p.remote) & 0xFFFFU);
    }

    std::unordered_map<std::uint32_t, connection> all_;
};

} // namespace muster::http
