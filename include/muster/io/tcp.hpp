// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// TCP: connecting to a host, listening on a port. serve.hpp has the usual server.
///
///     auto peer = co_await muster::io::connect("example.org", 80);
///     co_await peer.write("GET / HTTP/1.0\r\n\r\n");
///
///     auto door = co_await muster::io::listen("127.0.0.1", 0);      // 0: the system chooses a port
///     auto guest = co_await door.accept();

#include <muster/config.hpp>
#include <muster/io/address.hpp>
#include <muster/io/connect_schedule.hpp>
#include <muster/io/error.hpp>
#include <muster/io/listener.hpp>
#include <muster/io/stream.hpp>
#include <muster/task.hpp>

#include <cstdint>
#include <string>

namespace muster::io {

/// Each may be set in a chain: `listen_options().backlog(100).reuse_port()`.
class listen_options {
public:
    listen_options() {}

    /// How many may wait to be accepted; the system has a limit of its own, net.core.somaxconn.
    listen_options& backlog(int most) {
        backlog_ = most;
        return *this;
    }
    /// Several listeners share the port, and the system spreads connections among them: one for each loop.
    listen_options& reuse_port(bool on = true) {
        reuse_port_ = on;
        return *this;
    }
    /// Small writes are sent at once on the connections accepted (TCP_NODELAY). On by default.
    listen_options& no_delay(bool on) {
        no_delay_ = on;
        return *this;
    }

    [[nodiscard]] int backlog_size() const noexcept { return backlog_; }
    [[nodiscard]] bool reuses_port() const noexcept { return reuse_port_; }
    [[nodiscard]] bool is_no_delay() const noexcept { return no_delay_; }

private:
    int backlog_ = 4096;
    bool reuse_port_ = false;
    bool no_delay_ = true;
};

/// Looks the host up and tries its addresses, by RFC 8305: the families taking turns, each address some time after the
/// one before or when that has failed, and the first one that answers is taken. Small writes are sent at once
/// (TCP_NODELAY). *Errors*: resolve_error; connect_error with what each address failed with; invalid_state_error on a
/// loop without I/O. *Cancellation*: as resolve; then ends the attempts. *Source*: asyncio.open_connection with
/// happy_eyeballs_delay. For a time limit on all of it, use muster::timeout around it.
[[nodiscard]] task<stream> connect(std::string host, std::uint16_t port, connect_options options = {});
/// The same with one address, which may also be a Unix socket's.
[[nodiscard]] task<stream> connect(address to, connect_options options = {});

/// Listens on the first of the host's addresses that can be had; an empty host means all of this machine's of IPv4,
/// "::" those of both kinds. Port 0 has the system choose one: see listener::port(). An address that a server had
/// before can be had again at once. *Errors*: resolve_error; std::system_error. *Source*: asyncio.start_server.
[[nodiscard]] task<listener> listen(std::string host, std::uint16_t port, listen_options options = {});

} // namespace muster::io
