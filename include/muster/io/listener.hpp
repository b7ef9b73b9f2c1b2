// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A listener waits for connections. It is made by listen() in tcp.hpp and listen_unix() in unix_socket.hpp.
///
///     auto peer = co_await door.accept();

#include <muster/config.hpp>
#include <muster/io/address.hpp>
#include <muster/io/stream.hpp>
#include <muster/task.hpp>

#include <cstdint>
#include <memory>

namespace muster::detail {
class listening;
} // namespace muster::detail

namespace muster::io {

/// Movable. *Lifetime*: it may be moved and destroyed while accept() waits, which then ends with
/// std::errc::operation_canceled; also after its loop has ended. *Thread safety*: one thread.
class [[nodiscard("it stops listening at once if this is dropped")]] listener {
public:
    /// A closed one.
    listener() noexcept = default;

    /// Waits for a connection. One task at a time. A connection that was broken off before it was accepted is passed
    /// over. While the process has no descriptors left it tries again every 20 ms, and peers that connect wait.
    /// *Errors*: std::system_error; invalid_state_error if another task accepts, or on a loop without I/O.
    /// *Cancellation*: ends the wait; no connection is lost. *Source*: loop.sock_accept.
    [[nodiscard]] task<stream> accept();

    /// Where it listens. *Errors*: std::system_error if it is closed.
    [[nodiscard]] address local_address() const;
    /// *Returns* its port, also one that the system chose; 0 if it is closed or has none.
    [[nodiscard]] std::uint16_t port() const noexcept;

    /// Peers that connect from now on, or have not been accepted yet, are refused. Accepted connections go on.
    /// *Errors*: invalid_state_error on another thread than that of the loop on which it has waited.
    void close();
    [[nodiscard]] bool is_open() const noexcept;

    listener(listener && other) noexcept = default;
    listener& operator=(listener&& other) noexcept;
    ~listener();

    /// For the library.
    explicit listener(std::shared_ptr<detail::listening> l) noexcept;
    [[nodiscard]] const std::shared_ptr<detail::listening>& shared() const noexcept { return listening_; }

private:
    std::shared_ptr<detail::listening> listening_;
};

} // namespace muster::io

namespace muster::detail {

[[nodiscard]] task<io::stream> accept_on(std::shared_ptr<listening> l);
[[nodiscard]] bool is_open(const listening* l) noexcept;

} // namespace muster::detail
