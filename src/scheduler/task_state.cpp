// SPDX-License-Identifier: MIT
// A task that the loop owns. The loop lists it and holds a share of it from when it is made until it has ended.
#include <muster/detail/task_state.hpp>

#include <muster/detail/scheduler.hpp>

namespace muster::detail {

const fiber_owner_kind task_base::kind_of{.ended = &task_ended, .name = &task_name, .site = &task_site};

task_base::task_base(
    outcome_base& o, scheduler& loop, std::source_location site, const fiber_owner_kind& functions) noexcept
    : completable(o, loop.link(), site, loop.next_number()),
      fiber(loop, *this),
      fiber_owner(functions) {
    loop.enlist(*this);
}

std::string task_base::task_name(const fiber_owner& owner, const fiber&) {
    return static_cast<const task_base&>(owner).name();
}

std::source_location task_base::task_site(const fiber_owner& owner) noexcept {
    return static_cast<const task_base&>(owner).site();
}

void task_base::task_ended(fiber_owner& owner, fiber&) noexcept {
    auto& t = static_cast<task_base&>(owner);
    scheduler::of(t).delist(t);
    t.complete();
    t.completable::release(); // the loop's share
}

void task_base::end_as_destroyed() noexcept {
    detail_outcome_access::set_cancelled(
        const_cast<outcome_base&>(ended_as()), outcome_state::cancelled, cancel_reason::shutdown, {});
    owner_kind_->ended(*this, *this);
}

} // namespace muster::detail
