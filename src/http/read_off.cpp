// SPDX-License-Identifier: MIT
// A large body, or one that comes slowly, would cost more than a new connection: reading ends after 64 KiB or 5 s.
#include "read_off.hpp"

#include <muster/http/error.hpp>
#include <muster/timeout.hpp>

#include <chrono>
#include <cstddef>
#include <utility>

namespace muster::http {

namespace {

task<> read_some(response_stream& stream) {
    constexpr std::size_t most = std::size_t{64} << 10;
    for (std::size_t came = 0; came < most;) {
        auto reading = stream.read();
        auto piece = co_await std::move(reading);
        if (!piece)
            co_return;
        came += piece->size();
    }
}

} // namespace

task<> read_off(response_stream& stream) {
    try {
        auto in_time = wait_for(read_some(stream), std::chrono::seconds(5));
        co_await std::move(in_time);
    } catch (const http::error&) {
        // The headers have said all that matters.
    } catch (const muster::timeout_error&) {
        // The connection is closed instead.
    }
}

} // namespace muster::http
