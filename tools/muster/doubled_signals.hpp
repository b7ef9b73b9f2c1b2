// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A signal that is sent to the whole process group of a worker, by `kill %1` say, comes to the worker twice: from its
/// sender, and from the warden, which passes on what it gets. It has to count once. Of two that come by different ways
/// within a second the later one does not count; two that come by one way were sent one by one, and both count. When a
/// terminal is closed the shell and the kernel send SIGHUP, each to all: it counts once in a second, whatever its ways.
///
///     doubled_signals seen;
///     if (seen.counts(SIGTERM, doubled_signals::way::passed_on, std::chrono::steady_clock::now())) leave();

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <vector>

namespace tool {

class doubled_signals {
public:
    using time_point = std::chrono::steady_clock::time_point;
    enum class way : std::uint8_t { direct, passed_on };

    /// *Returns* whether the signal counts, which has come at that time.
    [[nodiscard]] bool counts(int number, way by, time_point at) {
        constexpr std::chrono::seconds longest(1);
        std::erase_if(alone_, [&](const arrival& a) { return at - a.at > longest; });
        if (number == SIGHUP) {
            const bool is_first = std::ranges::find(alone_, SIGHUP, &arrival::number) == alone_.end();
            if (is_first)
                alone_.emplace_back(number, by, at);
            return is_first;
        }
        const auto twin =
            std::ranges::find_if(alone_, [&](const arrival& a) { return a.number == number && a.by != by; });
        if (twin == alone_.end()) {
            alone_.emplace_back(number, by, at);
            return true;
        }
        alone_.erase(twin);
        return false;
    }

private:
    struct arrival {
        arrival(int n, way w, time_point t) noexcept : number(n), by(w), at(t) {}
        int number;
        way by;
        time_point at;
    };
    std::vector<arrival> alone_; ///< those that counted, and whose twin may still come
};

} // namespace tool
