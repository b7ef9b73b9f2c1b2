// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// One connection of faulty_server: its phase, the bytes that were read and not used, those that are still to be sent.
///
///     c.output.queue("HTTP/1.1 200 OK\r\n\r\n");
///     c.phase.become(phase::writing);

#include "posix/owned_fd.hpp"
#include "testing/faulty_server/bodies.hpp"
#include "testing/faulty_server/request.hpp"

#include <muster/detail/assert.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace muster::testing::faulty {

using clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

/// The one thing that a connection does now.
///
///     reading --request--> writing --all sent--> reading           (the connection is kept)
///        ^                  ^   |
///        |   time is up     |   +--> lingering --> gone            (closed)
///        |  delaying -------+   |
///        |  dripping -------+   +--> gone                          (reset)
///        |
///     from the request on: delaying, dripping (by way of writing), or swallowing, which never answers; the pieces of a
///     script's answer alternate between writing and delaying
///     from the beginning: ignoring
///     from everywhere: gone, when the client has left or the connection broke
enum class phase {
    reading,    // waits for a request
    delaying,   // the answer is ready and waits for its time
    dripping,   // the answer goes out byte by byte
    writing,    // the answer goes out as fast as it is taken
    swallowing, // reads, and never answers
    lingering,  // its end of the stream is sent; waits for the client's, for a close over unread bytes would be a reset
    ignoring,   // neither reads nor answers
    gone        // is destroyed as soon as control is back in the loop
};

class connection_phase {
public:
    explicit connection_phase(phase first) noexcept : now_(first) {}

    [[nodiscard]] phase now() const noexcept { return now_; }
    [[nodiscard]] bool is(phase p) const noexcept { return now_ == p; }
    /// Whether what comes in is thrown away.
    [[nodiscard]] bool discards_input() const noexcept { return is(phase::swallowing) || is(phase::lingering); }
    /// Whether the client need not do anything before the connection goes on.
    [[nodiscard]] bool waits_for_time() const noexcept {
        return is(phase::delaying) || is(phase::dripping) || is(phase::swallowing) || is(phase::ignoring);
    }
    /// The one place where the phase changes; asserts that the picture has the transition.
    void become(phase next) noexcept {
        MUSTER_ASSERT(may_become(next));
        now_ = next;
    }

private:
    [[nodiscard]] bool may_become(phase next) const noexcept {
        switch (next) {
        case phase::reading:
            return is(phase::writing);
        case phase::writing:
            return is(phase::reading) || is(phase::delaying) || is(phase::dripping);
        case phase::delaying:
        case phase::dripping:
        case phase::swallowing:
        case phase::lingering:
            return is(phase::writing);
        case phase::ignoring:
            return false;
        case phase::gone:
            return true;
        }
        return false;
    }
    phase now_;
};

/// The end of the connection that follows the answer, if any.
enum class ending { keep, close, reset };

/// The client's side of the stream: `closed` once its end has arrived, `read_to_end` once it was read.
enum class client_side { open, closed, read_to_end };

/// The bytes that were read, up to where requests have used them.
class input_buffer {
public:
    [[nodiscard]] std::string_view pending() const noexcept { return std::string_view(bytes_).substr(begin_); }
    void append(std::string_view more) { bytes_.append(more); }
    void clear() noexcept {
        bytes_.clear();
        begin_ = searched_ = 0;
    }
    void consume(std::size_t count) noexcept {
        MUSTER_ASSERT(count <= bytes_.size() - begin_);
        begin_ += count;
        searched_ = 0;
        // Dropping the front only once it is the larger half keeps a long run of pipelined requests linear.
        if (begin_ * 2 >= bytes_.size()) {
            bytes_.erase(0, begin_);
            begin_ = 0;
        }
    }
    /// As pending().find(mark), but what was searched before is not searched again.
    [[nodiscard]] std::size_t find(std::string_view mark) noexcept {
        const auto found = pending().find(mark, searched_);
        if (found == std::string_view::npos)
            searched_ = pending().size() < mark.size() ? 0 : pending().size() - (mark.size() - 1);
        return found;
    }

private:
    std::string bytes_;
    std::size_t begin_ = 0;    // of what is pending
    std::size_t searched_ = 0; // of what is pending, from its beginning
};

/// The bytes that are still to be sent.
class output_queue {
public:
    [[nodiscard]] bool empty() const noexcept { return pieces_.empty(); }
    void queue(std::string text) {
        if (text.empty())
            return;
        if (pieces_.empty() || !pieces_.back().append(text))
            pieces_.emplace_back(std::move(text));
    }
    void queue(std::string_view unit, std::uint64_t length) {
        if (length != 0)
            pieces_.emplace_back(unit, length);
    }
    void queue_alphabet(std::uint64_t length) { queue(alphabet(), length); }
    /// *Returns* some of the next bytes; at least one, as it is not empty.
    [[nodiscard]] std::string_view next() const noexcept { return pieces_.front().next(); }
    /// Whether something follows the piece that next() is of.
    [[nodiscard]] bool has_more_pieces() const noexcept { return pieces_.size() > 1; }
    void was_sent(std::size_t count) noexcept {
        if (pieces_.front().was_sent(count))
            pieces_.pop_front();
    }

private:
    std::deque<piece> pieces_;
};

/// The bytes of a dripping answer, of which the timer sends one after the other.
struct drip {
    std::uint64_t next = 0;
    std::uint64_t end = 0;
    milliseconds period{};
};

struct connection {
    explicit connection(std::uint64_t number, faulty::phase first) noexcept : id(number), phase(first) {}

    const std::uint64_t id;
    muster::detail::owned_fd socket;
    std::uint32_t armed = 0; // the events that epoll reports
    connection_phase phase;
    ending after = ending::keep;
    client_side client = client_side::open;
    input_buffer input;
    std::optional<request> current; // its head was read, its body is not complete
    output_queue output;
    std::optional<clock::time_point> due; // when the timer is to fire
    faulty::drip drip;
    std::deque<std::pair<milliseconds, std::string>> later; // of a script's answer: each piece after its pause
};

} // namespace muster::testing::faulty
