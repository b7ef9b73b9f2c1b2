// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Decides when a side that is not heard is lost. It has no clock and no timer of its own: look() is called at every
/// interval with the time. Private to muster::hosts and
/// muster::process_pool.
///
///     heard ----> doubted     at the first look after the limit
///     doubted --> silent      at the next look, if nothing was heard in between
///     doubted --> heard       heard()
///
/// The second look is there because this process itself may have been stopped for longer than the limit: what has come
/// meanwhile is then read between the two.
///
///     if (watch.look(now) == silence_watch::verdict::silent) give_up();

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace muster::frames {

class silence_watch {
public:
    using nanoseconds = std::chrono::nanoseconds;
    enum class verdict : std::uint8_t { heard, doubted, silent };

    silence_watch(nanoseconds limit, nanoseconds now) noexcept : limit_(limit), last_(now) {}

    /// How often to look, and to send something so that the other side is content.
    [[nodiscard]] nanoseconds interval() const noexcept { return limit_ / 4; }
    [[nodiscard]] nanoseconds limit() const noexcept { return limit_; }
    void heard(nanoseconds now) noexcept {
        last_ = std::max(last_, now);
        state_ = verdict::heard;
    }
    [[nodiscard]] verdict look(nanoseconds now) noexcept {
        if (now - last_ < limit_)
            state_ = verdict::heard;
        else
            state_ = state_ == verdict::heard ? verdict::doubted : verdict::silent;
        return state_;
    }

private:
    nanoseconds limit_;
    nanoseconds last_;
    verdict state_ = verdict::heard;
};

} // namespace muster::frames
