// SPDX-License-Identifier: MIT
#include <muster/detail/cancel_wave.hpp>

#include <utility>

namespace muster::detail {

void cancel_wave::reach(cancel_target& target) noexcept {
    if (target.times_++ == 0)
        to_reach_.push_front(target);
    if (under_way_)
        return;
    under_way_ = true;
    ++number_;
    while (cancel_target* const next = to_reach_.pop_front()) {
        const auto times = std::exchange(next->times_, 0);
        if (std::exchange(next->reached_in_, number_) == number_)
            continue;
        for (auto i = times; i != 0; --i)
            next->cancel_children();
    }
    under_way_ = false;
}

bool cancel_wave::would_stop_something(const cancel_target& target) noexcept {
    const cancel_target* at = &target;
    while (at != nullptr) {
        const cancel_target* also = nullptr;
        if (at->has_child_to_stop(also))
            return true;
        at = also;
    }
    return false;
}

} // namespace muster::detail
