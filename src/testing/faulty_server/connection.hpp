// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// One connection of faulty_server: what it waits for, what was read of it and what is still to be sent.
///
///     c.queue("HTTP/1.1 200 OK\r\n\r\n");
///     c.now = phase::writing;

#include "bodies.hpp"
#include "request.hpp"
#include "sockets.hpp"

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

enum class phase {
    reading,    // waits for a request
    delaying,   // the answer is ready and waits for its time
    dripping,   // the answer goes out byte by byte
    writing,    // the answer goes out as fast as it is taken
    swallowing, // reads, and never answers
    lingering,  // its end of the stream is sent; waits for the client's, for a close over unread bytes would be a reset
    ignoring    // neither reads nor answers
};

enum class ending { keep, close, reset };

struct connection {
    std::uint64_t id = 0;
    unique_fd socket;
    std::uint32_t armed = 0; // the events that epoll watches for
    phase now = phase::reading;
    ending after = ending::keep; // what follows the answer
    bool gone = false;           // to be closed as soon as control is back in the loop
    bool at_end = false;         // the client's end of stream was read
    bool has_left = false;       // the client's end of stream has arrived, perhaps unread

    std::string input;
    std::size_t begin = 0;   // where the input that is not consumed yet starts
    std::size_t scanned = 0; // up to where the current request was looked through
    std::optional<request> current;

    std::deque<piece> output;
    std::optional<clock::time_point> due;
    std::uint64_t drip_at = 0;
    std::uint64_t drip_end = 0;
    milliseconds drip_period{};

    [[nodiscard]] std::string_view pending() const noexcept { return std::string_view(input).substr(begin); }

    void consume(std::size_t count) noexcept {
        begin += count;
        scanned = 0;
        // Dropping the front only once it is the larger half keeps a long run of pipelined requests linear.
        if (begin * 2 >= input.size()) {
            input.erase(0, begin);
            begin = 0;
        }
    }

    void queue(std::string text) {
        if (text.empty())
            return;
        if (!output.empty() && output.back().shared.empty()) {
            output.back().owned += text;
            output.back().length = output.back().owned.size();
        } else {
            output.emplace_back(std::move(text));
        }
    }
    void queue(std::string_view unit, std::uint64_t length) {
        if (length != 0)
            output.emplace_back(unit, length);
    }
    void queue_alphabet(std::uint64_t length) { queue(alphabet(), length); }
};

} // namespace muster::testing::faulty
