// SPDX-License-Identifier: MIT
#include <muster/semaphore.hpp>

#include <stdexcept>
#include <string>

namespace muster {

using detail::turn;

const detail::suspension_kind semaphore::acquire_awaiter::kind_of{
    "semaphore::acquire", &acquire_awaiter::interrupt, nullptr, true};

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

void semaphore::permit::release() {
    if (semaphore_ == nullptr)
        throw invalid_state_error("semaphore::permit::release: it was given back or moved from before");
    std::exchange(semaphore_, nullptr)->release();
}

void semaphore::acquire_awaiter::fail() {
    if (linked()) {
        if (list_->leave(*this) == turn::granted)
            ++semaphore_->value_;
        semaphore_->grant_what_is_left();
        fiber_->throw_cancelled();
    }
    set_where(turn::none);
    fiber_->throw_if_cancelled();
    detail::throw_destroyed_while_waited_for("semaphore");
}

} // namespace muster
