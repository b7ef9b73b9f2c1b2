// SPDX-License-Identifier: MIT
// This file hands out the slots in which a join's children run. A slot that was given back goes to the front of a
// linked list of free ones, and take() makes a new slot only if that list is empty.
#include <muster/detail/join/slots.hpp>

#include <muster/detail/assert.hpp>

#include <utility>

namespace muster::detail {

join_slot* slots::take(fiber_loop& loop, fiber_owner& owner, std::size_t most) noexcept {
    if (free_ != nullptr) {
        join_slot* const s = free_;
        free_ = static_cast<join_slot*>(s->next_);
        return s;
    }
    join_slot* const s = all_.make(most, loop, owner);
    if (s != nullptr)
        s->number_ = static_cast<std::uint32_t>(all_.size() - 1);
    return s;
}

void slots::give_back(join_slot& s) noexcept {
    MUSTER_ASSERT(s.ended() && s.locals() == nullptr);
    s.out_ = nullptr;
    // The next child has nothing to do with a cancellation of this one.
    s.forget_cancellation();
    s.next_ = std::exchange(free_, &s);
}

} // namespace muster::detail
