// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Spaces requests out, retries included: no more than so many begin in any stretch of the window.
///
///     co_await pacer.turn();

#include "units.hpp"

#include <muster/sleep.hpp>

#include <algorithm>
#include <cstddef>
#include <vector>

namespace tool {

class pacer {
public:
    explicit pacer(const rate& r) : rate_(r) {}

    /// Awaited, it waits until the next request may begin. The place is kept for whoever asked, also if he leaves.
    [[nodiscard]] auto turn() { return muster::sleep_until(reserve(muster::loop_clock::now())); }
    [[nodiscard]] bool needed() const noexcept { return rate_.count != 0; }

private:
    muster::loop_clock::time_point reserve(muster::loop_clock::time_point now) {
        if (recent_.size() < rate_.count) {
            recent_.push_back(now);
            return now;
        }
        auto& oldest = recent_[next_];
        next_ = (next_ + 1) % recent_.size();
        oldest = std::max(now, oldest + rate_.window);
        return oldest;
    }

    rate rate_;
    std::vector<muster::loop_clock::time_point> recent_; ///< a ring of the last `count` beginnings
    std::size_t next_ = 0;
};

} // namespace tool
