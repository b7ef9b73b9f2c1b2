// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A server of HTTP/2 without TLS (prior knowledge) whose answers are frames that a test writes byte by byte. It gives
/// no window beyond the first 65,535 bytes, and answers a request when its headers are there.
///
///     http2_server server([](std::uint32_t stream, std::size_t) { return h2::headers(stream, "200", h2::end_stream);
///     }); client.get(server.url());              // with http_version::http2_only

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include "support/loopback_listener.hpp"

namespace h2 {

inline constexpr unsigned end_stream = 1;
inline constexpr unsigned end_headers = 4;
/// At the end of an answer: the connection is closed.
/// Within an answer: what follows is sent a moment later, in a packet of its own.
inline constexpr std::string_view later{"\0(later)", 8};
inline constexpr std::string_view then_close{"\0(close)", 8};

enum class error : std::uint32_t { none = 0, protocol = 1, internal = 2, refused = 7, cancel = 8 };

inline std::string number(std::uint64_t n, int bytes) {
    std::string all;
    for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8)
        all += static_cast<char>(n >> shift & 0xFFU);
    return all;
}

inline std::string frame(unsigned type, unsigned flags, std::uint32_t stream, std::string_view payload) {
    return number(static_cast<std::uint32_t>(payload.size()), 3) + static_cast<char>(type) + static_cast<char>(flags) +
           number(stream, 4) + std::string(payload);
}

/// A literal field, not indexed and not compressed.
inline std::string field(std::string_view name, std::string_view value) {
    return std::string(1, '\0') + static_cast<char>(name.size()) + std::string(name) + static_cast<char>(value.size()) +
           std::string(value);
}

inline std::string headers(std::uint32_t stream, std::string_view status, unsigned flags, std::string_view more = {}) {
    return frame(1, flags | end_headers, stream, field(":status", status) + std::string(more));
}
inline std::string data(std::uint32_t stream, std::string_view bytes, unsigned flags) {
    return frame(0, flags, stream, bytes);
}
inline std::string reset(std::uint32_t stream, error e) {
    return frame(3, 0, stream, number(static_cast<std::uint32_t>(e), 4));
}
inline std::string go_away(std::uint32_t last_stream, error e) {
    return frame(7, 0, 0, number(last_stream, 4) + number(static_cast<std::uint32_t>(e), 4));
}

} // namespace h2

class http2_server {
public:
    /// Called with the stream, and the number of the request from 0, over all connections.
    using script = std::function<std::string(std::uint32_t stream, std::size_t number)>;

    explicit http2_server(script answer) : answer_(std::move(answer)), here_([this](int s) { serve(s); }) {}

    [[nodiscard]] std::string url(std::string_view path = "/") const {
        return "http://127.0.0.1:" + std::to_string(here_.port()) + std::string(path);
    }
    [[nodiscard]] std::size_t requests() const { return requests_; }

private:
    void serve(int s) {
        constexpr std::size_t preface = 24;
        std::string buffer;
        while (buffer.size() < preface)
            if (!loopback::more(s, buffer))
                return;
        buffer.erase(0, preface);
        if (!loopback::say(s, h2::frame(4, 0, 0, {})))
            return;
        for (;;) {
            while (buffer.size() < 9)
                if (!loopback::more(s, buffer))
                    return;
            const auto at = [&](std::size_t i) {
                return static_cast<std::uint32_t>(static_cast<unsigned char>(buffer[i]));
            };
            const std::size_t size = at(0) << 16U | at(1) << 8U | at(2);
            while (buffer.size() < 9 + size)
                if (!loopback::more(s, buffer))
                    return;
            const auto type = at(3);
            const auto flags = at(4);
            const std::uint32_t stream = at(5) << 24U | at(6) << 16U | at(7) << 8U | at(8);
            buffer.erase(0, 9 + size);
            if (type == 4 && (flags & 1U) == 0 && !loopback::say(s, h2::frame(4, 1, 0, {})))
                return;
            if (type != 1)
                continue;
            std::string reply = answer_(stream, requests_++);
            const bool closes = reply.ends_with(h2::then_close);
            if (closes)
                reply.resize(reply.size() - h2::then_close.size());
            for (std::size_t at_hand = 0; (at_hand = reply.find(h2::later)) != std::string::npos;) {
                loopback::say(s, reply.substr(0, at_hand));
                reply.erase(0, at_hand + h2::later.size());
                std::this_thread::sleep_for(std::chrono::milliseconds(100));
            }
            if (!loopback::say(s, reply) || closes)
                return;
        }
    }

    script answer_;
    std::atomic<std::size_t> requests_{0};
    loopback_listener here_;
};
