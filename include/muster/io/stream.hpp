// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Bytes in, bytes out: a connection, an end of a pipe, a terminal. tcp.hpp, unix_socket.hpp and pipe.hpp make them.
///
///     std::array<std::byte, 4096> buffer;
///     auto count = co_await peer.read_some(buffer);      // 0: the other side has ended
///     co_await peer.write("hello\n");

#include <muster/config.hpp>
#include <muster/io/address.hpp>
#include <muster/io/error.hpp>
#include <muster/task.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

namespace muster::detail {
class descriptor;
} // namespace muster::detail

namespace muster::io {

/// Movable. It closes its descriptor when it is destroyed, also while something is in flight, and also after its loop
/// has ended. One task reads and one writes at a time: another gets an invalid_state_error.
/// *Errors*, of every operation: std::system_error, see error.hpp; invalid_state_error on a loop without I/O.
/// *Lifetime*: it may be moved and destroyed while operations are in flight; they then end with
/// std::errc::operation_canceled. It may be used on one loop after the other.
/// *Thread safety*: one thread. Once it has waited, another thread's loop can have it when its loop has ended; before
/// that through release() and adopt(). On another thread its functions throw invalid_state_error, and its destructor
/// reports and leaves it open. *Source*: asyncio's StreamReader and StreamWriter, as one.
class [[nodiscard("it is closed at once if this is dropped")]] stream {
public:
    /// A closed one.
    stream() noexcept = default;
    /// Takes over an open descriptor, makes it non-blocking and not inherited. *Errors*: std::system_error, and the
    /// descriptor then is still the caller's.
    static stream adopt(int fd);

    /// Reads what there is, waiting if there is nothing, into `into`, which must live until the read has ended.
    /// *Returns* how much; 0 at the end, or for an empty `into`.
    /// *Cancellation*: ends the wait; nothing is lost, for nothing has been read.
    [[nodiscard]] task<std::size_t> read_some(std::span<std::byte> into);

    /// Writes all of it, waiting as long as the other side does not read. `bytes` must live until then.
    /// *Cancellation*: ends the wait. A part may have been written: bytes_written() says how much in all, and if it was
    /// a part, this and every later write fails with interrupted_write_error. The same holds for a write that fails.
    [[nodiscard]] task<> write(std::span<const std::byte> bytes);
    /// The same with text, which it keeps.
    [[nodiscard]] task<> write(std::string text);

    /// The other side reads the end; reading goes on. Closes what can only be written. *Errors*: std::system_error,
    /// with ENOTSOCK for what has no halves; invalid_state_error while a write is in flight.
    void shutdown_write();
    /// Closes it; operations in flight end with std::errc::operation_canceled. Does nothing if it is closed.
    /// *Errors*: invalid_state_error on another thread than that of the loop on which it has waited.
    void close();
    [[nodiscard]] bool is_open() const noexcept;

    /// How much has been read and written since it was made.
    [[nodiscard]] std::uint64_t bytes_read() const noexcept;
    [[nodiscard]] std::uint64_t bytes_written() const noexcept;

    /// Of a socket. *Errors*: std::system_error.
    [[nodiscard]] address local_address() const;
    [[nodiscard]] address peer_address() const;

    /// *Returns* the descriptor, still owned; -1 if it is closed.
    [[nodiscard]] int native_handle() const noexcept;
    /// Gives the descriptor up; it stays non-blocking. *Returns* it, or -1 if it is closed. *Errors*:
    /// invalid_state_error while something is in flight.
    [[nodiscard("the descriptor is yours to close")]] int release();

    stream(stream && other) noexcept = default;
    stream& operator=(stream&& other) noexcept;
    ~stream();

    /// For the library.
    explicit stream(std::shared_ptr<detail::descriptor> d) noexcept;
    [[nodiscard]] const std::shared_ptr<detail::descriptor>& shared() const noexcept { return descriptor_; }

private:
    std::shared_ptr<detail::descriptor> descriptor_;
};

} // namespace muster::io
