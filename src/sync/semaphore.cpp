// SPDX-License-Identifier: MIT
// The semaphore. release() takes the permit out of `value_` for the waiter that it wakes, so that no other task can
// take it meanwhile; a waiter that is cancelled or destroyed before its task runs puts the permit back.
#include <muster/semaphore.hpp>

#include <stdexcept>
#include <string>

namespace muster {

using detail::wait_state;

const detail::suspension_kind semaphore::acquire_awaiter::kind_of{
    .what = acquire_awaiter::name,
    .cancel = &acquire_awaiter::interrupt,
    .can_fail = true,
};

semaphore::semaphore(std::ptrdiff_t permits) : value_(permits) {
    if (permits < 0)
        throw std::invalid_argument("semaphore: the number of permits must not be negative, and is " +
                                    std::to_string(permits) + ": pass 0 or more");
}

semaphore::semaphore(std::ptrdiff_t permits, std::ptrdiff_t bound) : semaphore(permits) { bound_ = bound; }

detail::sync_state semaphore::state_of(const void* self) noexcept {
    const auto& s = *static_cast<const semaphore*>(self);
    return {.kind = "semaphore", .value = s.value_, .is_waited_for = !s.waiters_.empty() || s.waiters_.granted() != 0};
}

void semaphore::throw_released_too_often() {
    throw std::out_of_range("semaphore::release: released more often than acquired");
}

void semaphore::permit::end() noexcept {
    semaphore* const s = of_.get();
    if (s == nullptr)
        return; // the semaphore was destroyed, and its permits with it
    if (detail::is_loop_thread(s->home_.id()))
        s->release();
    else
        detail::report_wrong_thread("semaphore::permit::~permit", "the permit is not given back");
}

void semaphore::permit::release() {
    if (of_.empty())
        throw invalid_state_error("semaphore::permit::release: it was given back or moved from before");
    if (of_.get() == nullptr)
        throw invalid_state_error("semaphore::permit::release: the semaphore was destroyed");
    of_.get()->home_.require_thread("semaphore::permit::release");
    std::exchange(of_, {}).get()->release();
}

void semaphore::acquire_awaiter::fail() {
    if (!listed())
        detail::throw_lost(*this);
    if (list_->leave(*this) == wait_state::granted)
        ++semaphore_->value_;
    semaphore_->grant_what_is_left();
    fiber_->throw_cancelled();
}

} // namespace muster
