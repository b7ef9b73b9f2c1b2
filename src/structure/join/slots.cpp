// SPDX-License-Identifier: MIT
// This file makes the slots in which a join's children run. A slot that was given back stands first in a linked list of
// free ones, and a new slot is made only if that list is empty.
#include <muster/detail/join/slots.hpp>

#include <muster/error.hpp>

#include <exception>
#include <new>

namespace muster::detail {

void fail_for_lack_of_memory(join_slot& slot) noexcept {
    slot.set_ended();
    detail_outcome_access::set_error(*slot.out_, std::make_exception_ptr(std::bad_alloc()));
}

void fail_as_awaited_before(join_slot& slot) noexcept {
    slot.set_ended();
    detail_outcome_access::set_error(
        *slot.out_, std::make_exception_ptr(
                        invalid_state_error("this task was awaited or moved from before: a task is awaited once")));
}

join_slot* slots::make(fiber_loop& loop, fiber_owner& owner, std::size_t most) noexcept {
    MUSTER_ASSERT(free_ == nullptr);
    join_slot* const s = all_.make(most, loop, owner);
    if (s != nullptr)
        s->number_ = static_cast<std::uint32_t>(all_.size() - 1);
    return s;
}

} // namespace muster::detail
