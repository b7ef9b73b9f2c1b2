// SPDX-License-Identifier: MIT
#include <muster/detail/join/slots.hpp>

#include <muster/detail/assert.hpp>

#include <utility>

namespace muster::detail {

join_slot* slots::take(scheduler& loop, fiber_owner& owner, std::size_t most) noexcept {
    if (free_ != nullptr) {
        join_slot* const s = free_;
        free_ = static_cast<join_slot*>(s->next_);
        return s;
    }
    join_slot* const s = all_.make(most, loop, owner);
    if (s != nullptr)
        s->place_ = static_cast<std::uint32_t>(all_.size() - 1);
    return s;
}

void slots::give_back(join_slot& s) noexcept {
    MUSTER_ASSERT(s.ended() && s.locals_ == nullptr);
    s.out_ = nullptr;
    // The next child knows nothing of a cancellation of this one.
    if (s.cancels_ != 0 || s.cancellation_due() || s.text_ != nullptr) [[unlikely]] {
        s.cancels_ = 0;
        s.interrupted_ = s.must_cancel_ = false;
        s.set_request(cancel_request(cancel_reason::none));
    }
    s.next_ = std::exchange(free_, &s);
}

} // namespace muster::detail
