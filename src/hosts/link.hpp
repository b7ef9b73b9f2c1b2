// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// One side of a connection, client's or agent's: a queue of frames that a task writes, and the frames that come.
/// Private to muster::hosts.
///
///     link.send(frame_type::go, payload);
///     auto f = co_await link.next();

#include "frames/silence_watch.hpp"
#include "hosts/frames.hpp"

#include <muster/event.hpp>
#include <muster/io/reader.hpp>
#include <muster/io/stream.hpp>
#include <muster/task.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace muster::hosts {

/// Immovable. *Lifetime*: `to` must outlive it. *Thread safety*: the loop's thread.
class link {
public:
    link(io::reader from, io::stream& to, std::chrono::nanoseconds silence_limit);
    link(const link&) = delete;
    link& operator=(const link&) = delete;

    /// Puts the magic and the frame into the queue.
    void greet(std::string_view hello);
    /// Reads until the other side has greeted, and *returns* its hello. *Errors*: frame_error, also if the end comes
    /// first; those of reading.
    [[nodiscard]] task<frame> greeting();
    /// The text in front of the other side's magic.
    [[nodiscard]] const std::string& preamble() const noexcept { return scanner_.preamble(); }

    /// Puts a frame into the queue. `still_wanted`, if there is one, is called when the frame is about to be written:
    /// if it returns false the frame is left out.
    void send(frame_type type, std::string_view payload, std::function<bool()> still_wanted = {});
    /// Waits until the queue is short enough for a large frame, or the link was given up.
    [[nodiscard]] task<> room();
    /// *Returns* the next frame that is no beat; nothing at the end. After give_up() it throws away whatever comes
    /// until the end, so that the other side is never kept from ending by a full pipe. *Errors*: frame_error; those of
    /// reading.
    [[nodiscard]] task<std::optional<frame>> next();

    /// Writes what is in the queue, until it was told to finish and the queue is empty. *Errors*: those of writing.
    [[nodiscard]] task<> write_frames();
    /// The writer ends once it has written what is in the queue.
    void finish();
    /// The connection is lost: nothing is added to the queue any more, and whoever waits for room goes on. The writer
    /// is the caller's to end.
    void give_up();
    /// Sends beats. *Returns* once the other side has been silent for too long.
    [[nodiscard]] task<> until_silent();
    /// The limit that the client has asked for.
    void set_silence_limit(std::chrono::nanoseconds limit);

private:
    struct outgoing {
        outgoing(std::string b, std::function<bool()> w) : bytes(std::move(b)), still_wanted(std::move(w)) {}
        std::string bytes;
        std::function<bool()> still_wanted;
    };

    void put(std::string bytes, std::function<bool()> still_wanted);
    [[nodiscard]] std::string take_batch();

    io::reader from_;
    io::stream& to_;
    frames::silence_watch watch_;
    greeting_scanner scanner_;
    frame_parser parser_;
    std::deque<outgoing> queue_;
    std::size_t queued_ = 0; ///< bytes
    event has_work_;         ///< set while the writer has something to do
    event has_room_;
    enum class phase : std::uint8_t { open, finishing, given_up };
    phase phase_ = phase::open;
};

} // namespace muster::hosts
