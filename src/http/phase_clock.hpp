// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The time limits of a request: one for all of it, and one for each thing that it waits for. Plain arithmetic on times
/// that the caller gives; arms no timer. Private to muster::http.
///
///     clock.begin(limits, now);                    // it waits for a free connection
///     clock.enter(waits_for::connection, now);
///     if (auto late = clock.expired(now)) throw timeout_error(url, late->text);

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <optional>
#include <string>

namespace muster::http {

/// In this order, from the first on again after a redirect.
enum class waits_for { admission, connection, first_byte, more };

/// Zero is no limit.
struct phase_limits {
    std::chrono::nanoseconds total{0};
    std::array<std::chrono::nanoseconds, 4> each{}; ///< by waits_for
};

class phase_clock {
public:
    using time = std::chrono::nanoseconds;

    void begin(const phase_limits& limits, time now) noexcept {
        limits_ = limits;
        began_ = now;
        enter(waits_for::admission, now);
    }
    void enter(waits_for what, time now) noexcept {
        phase_ = what;
        since_ = now;
    }
    /// Bytes came or went, or it was us who did not read or give any: the phase's time begins anew.
    void progress(time now) noexcept { since_ = now; }
    [[nodiscard]] waits_for phase() const noexcept { return phase_; }

    /// *Returns* the time before which no limit can be reached; nothing if there is none.
    [[nodiscard]] std::optional<time> next() const noexcept;
    /// *Returns* how long whoever has to find out whether bytes went may leave it: so much later than its limit a phase
    /// ends at the most.
    [[nodiscard]] std::chrono::nanoseconds pause_between_looks() const noexcept {
        constexpr std::chrono::nanoseconds longest = std::chrono::seconds(1);
        return limit().count() > 0 ? std::min(limit() / 8, longest) : std::chrono::nanoseconds::max() / 4;
    }
    /// *Returns* whether the limit for the phase, and only that, is reached: see progress.
    [[nodiscard]] bool phase_is_over(time now) const noexcept {
        return limit().count() > 0 && now - since_ >= limit() && !all_is_over(now);
    }
    [[nodiscard]] bool all_is_over(time now) const noexcept {
        return limits_.total.count() > 0 && now - began_ >= limits_.total;
    }
    /// *Returns* what was waited for, how long, and which option says so.
    [[nodiscard]] std::string text(time now) const;

private:
    [[nodiscard]] time limit() const noexcept { return limits_.each[static_cast<std::size_t>(phase_)]; }

    phase_limits limits_;
    time began_{0};
    time since_{0};
    waits_for phase_ = waits_for::admission;
};

} // namespace muster::http
