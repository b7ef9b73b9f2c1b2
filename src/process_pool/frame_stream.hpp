// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// One side of the connection between a pool and an agent, for a thread that waits with poll(): frames are queued and
/// written as far as the descriptor takes them, bytes are read and cut into frames. Private to muster::process_pool.
///
///     stream.put(frame_type::worker_kill, payload);
///     if (!stream.write_some()) give_up();
///     while (auto f = stream.next()) handle(*f);

#include "frames/frames.hpp"
#include "frames/silence_watch.hpp"
#include "posix/owned_fd.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace muster::workers {

/// *Thread safety*: one thread.
class frame_stream {
public:
    using clock = std::chrono::steady_clock;

    /// Reads from `in`, and writes to `out`, or to `in` if `out` is not open.
    frame_stream(detail::owned_fd in, detail::owned_fd out, std::chrono::nanoseconds silence_limit);

    // ---- to the other side ----
    /// The magic, and a hello of any length in as many frames as it needs.
    void greet(std::string_view hello);
    void put(frames::frame_type type, std::string_view payload);
    /// False while so much is queued that a sender of many bytes had better wait.
    [[nodiscard]] bool has_room() const noexcept;
    [[nodiscard]] bool has_to_write() const noexcept { return at_ != queue_.size(); }
    /// How many bytes were queued ever, and how many of them the descriptor has taken.
    [[nodiscard]] std::uint64_t queued() const noexcept { return written_ + (queue_.size() - at_); }
    [[nodiscard]] std::uint64_t written() const noexcept { return written_; }
    /// Writes what the descriptor takes. *Returns* false if the other side is gone.
    [[nodiscard]] bool write_some() noexcept;
    /// The other side sees the end, once it has read what was written. Only for a socket.
    void shut_down() noexcept;

    // ---- from the other side ----
    /// *Returns* false at the end. *Errors*: frame_error if too much text comes in front of the greeting.
    [[nodiscard]] bool read_some();
    /// *Returns* the next frame that is no beat. *Errors*: frame_error.
    [[nodiscard]] std::optional<frames::frame> next();
    /// The text in front of the greeting.
    [[nodiscard]] const std::string& preamble() const noexcept { return scanner_.preamble(); }

    // ---- silence ----
    /// When look() is to be called next.
    [[nodiscard]] clock::time_point next_look() const noexcept { return next_look_; }
    /// Queues a beat. *Returns* true if the other side was silent for too long.
    [[nodiscard]] bool look();
    void set_silence_limit(std::chrono::nanoseconds limit);

    [[nodiscard]] int reads_from() const noexcept { return in_.get(); }
    [[nodiscard]] int writes_to() const noexcept { return out_.is_open() ? out_.get() : in_.get(); }

private:
    enum class kind : bool { file, socket };

    detail::owned_fd in_;
    detail::owned_fd out_;
    kind kind_of_out_ = kind::socket;
    bool greeted_ = false; ///< the other side's magic has come
    std::string queue_;
    std::size_t at_ = 0; ///< how much of the queue was written
    std::uint64_t written_ = 0;
    frames::greeting_scanner scanner_;
    frames::frame_parser parser_;
    frames::silence_watch watch_;
    clock::time_point next_look_;
};

} // namespace muster::workers
