// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The frames between a client and an agent on another host, and the greeting in front of them. Nothing here reads or
/// waits: bytes go in, frames come out. Private to muster::hosts and muster::process_pool.
///
///     frame_parser in;
///     in.take(bytes);
///     while (auto f = in.next()) handle(*f);

#include <cstddef>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

namespace muster::frames {

/// Sides whose numbers differ do not talk to each other.
inline constexpr std::uint32_t protocol_version = 1;
/// Each side begins with this, since a login shell may write text of its own in front of it.
inline constexpr std::string_view magic("\x01muster-agent\x02\r\n\0", 17);
/// So much text is passed over until the magic has come.
inline constexpr std::size_t longest_preamble = std::size_t{64} << 10;
/// The most bytes of a frame behind its head.
inline constexpr std::size_t largest_frame = (std::size_t{64} << 10) + 64;
/// The most bytes of a part of a submission, or of a piece of output, in a frame.
inline constexpr std::size_t largest_piece = std::size_t{64} << 10;
/// An agent sends so many bytes of an output before the client has said that it takes more.
inline constexpr std::uint32_t output_window = std::uint32_t{256} << 10;

/// The other side sent what is no frame. It is given up then.
class frame_error : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

enum class frame_type : std::uint8_t {
    hello = 1, ///< the first of each side
    beat = 2,  ///< says that the side is still there

    submit = 10, ///< client: a command is coming, of so many bytes, with so many of input
    part = 11,   ///< client: some of these bytes
    go = 12,     ///< client: the command may begin
    cancel = 13, ///< client: the command is to end, by SIGTERM and then SIGKILL
    kill = 14,   ///< client: SIGKILL for the command
    credit = 15, ///< client: so many more bytes of an output may be sent
    ping = 16,

    ready = 20,   ///< agent: all of the command is there
    refused = 21, ///< agent: the command will not be begun
    started = 22,
    output = 23,
    ended = 24,
    pong = 25,
    leaving = 26, ///< agent: it ends, and ends what it has started

    // Between a process pool and the agent that starts its workers. Each is about one of them, by its number.
    pool_hello = 40,      ///< the last part of the first of each side
    pool_hello_part = 41, ///< what comes in front of it
    worker_start = 42,    ///< pool: a worker is to be started
    worker_data = 43,     ///< bytes for the worker, or from it
    worker_last = 44,     ///< pool: the last bytes of a message, which may be handed over now
    worker_close = 45,    ///< its socket, or the pool's, was closed
    worker_kill = 46,     ///< pool: SIGKILL
    worker_begun = 47,    ///< agent: a call was handed over to it
    worker_ended = 48,    ///< agent: and how
};

struct frame {
    frame(frame_type t, std::string p) : type(t), payload(std::move(p)) {}
    frame_type type;
    std::string payload;
};

/// *Returns* the version of this muster, which each side says at the handshake.
[[nodiscard]] std::string own_version();

/// *Returns* the bytes of a frame: a byte for the type, four for the length of the payload, the payload.
[[nodiscard]] std::string to_bytes(frame_type type, std::string_view payload);

/// Cuts a stream of bytes into frames.
class frame_parser {
public:
    void take(std::string_view bytes) { bytes_.append(bytes); }
    /// *Returns* the next whole frame; nothing until the rest of it has come. *Errors*: frame_error for an unknown type
    /// and for a length that no frame has, as soon as the head has come.
    [[nodiscard]] std::optional<frame> next();

private:
    std::string bytes_;
    std::size_t at_ = 0; ///< how many of them were given already
};

/// Looks for the magic in what a launcher writes.
class greeting_scanner {
public:
    /// *Returns* whether the magic has come; then take_rest() has what came behind it. *Errors*: frame_error once more
    /// than `longest_preamble` bytes have come without it.
    bool take(std::string_view bytes);
    [[nodiscard]] std::string take_rest() noexcept { return std::move(rest_); }
    /// The text in front of the magic.
    [[nodiscard]] const std::string& preamble() const noexcept { return preamble_; }

private:
    std::string preamble_;
    std::string rest_;
};

/// Writes the fields of a payload: numbers with the highest byte first, texts behind their length.
class payload_writer {
public:
    payload_writer& number8(std::uint8_t n) { return number(n, 1); }
    payload_writer& number32(std::uint32_t n) { return number(n, 4); }
    payload_writer& number64(std::uint64_t n) { return number(n, 8); }
    payload_writer& text(std::string_view t);
    /// Without a length: it goes to the end.
    payload_writer& rest(std::string_view t);
    [[nodiscard]] std::string take() noexcept { return std::move(bytes_); }

private:
    payload_writer& number(std::uint64_t n, int bytes);
    std::string bytes_;
};

/// Reads them. *Errors*, of all: frame_error for a payload that is too short. *Lifetime*: the payload must outlive it.
class payload_reader {
public:
    explicit payload_reader(std::string_view bytes) noexcept : bytes_(bytes) {}
    [[nodiscard]] std::uint8_t number8() { return static_cast<std::uint8_t>(number(1)); }
    [[nodiscard]] std::uint32_t number32() { return static_cast<std::uint32_t>(number(4)); }
    [[nodiscard]] std::uint64_t number64() { return number(8); }
    [[nodiscard]] std::string text();
    [[nodiscard]] std::string_view rest() noexcept;
    /// *Errors*: frame_error if something is left.
    void end() const;

private:
    std::uint64_t number(std::size_t bytes);
    std::string_view bytes_;
};

} // namespace muster::frames
