// SPDX-License-Identifier: MIT
#include <muster/mutex.hpp>

namespace muster {

using detail::turn;

const detail::suspension_kind mutex::lock_awaiter::kind_of{"mutex::lock", &lock_awaiter::interrupt, nullptr, true};

detail::sync_state mutex::state_of(const void* self) noexcept {
    const auto& m = *static_cast<const mutex*>(self);
    return {.kind = "mutex", .value = m.locked_ ? 1 : 0, .is_waited_for = !m.line_.empty()};
}

void mutex::unlock() {
    if (!locked_)
        throw invalid_state_error("mutex::unlock: the mutex is not locked");
    detail::about_to(detail::sync_act::given, this, &state_of);
    locked_ = false;
    wake_first();
}

void mutex::guard::unlock() {
    if (mutex_ == nullptr)
        throw invalid_state_error("mutex::guard::unlock: the guard holds no mutex");
    std::exchange(mutex_, nullptr)->unlock();
}

void mutex::lock_awaiter::leave() noexcept {
    mutex_->line_.remove(*this);
    if (where() != turn::interrupted)
        --mutex_->wanted_;
    set_where(turn::none);
}

bool mutex::lock_awaiter::end_wait() {
    if (!linked()) {
        set_where(turn::none);
        fiber_->throw_if_cancelled();
        detail::throw_destroyed_while_waited_for("mutex");
    }
    leave();
    if (fiber_->cancellation_due()) {
        // If nobody holds it, the next in line has to run, or nobody ever would.
        if (!mutex_->locked_)
            mutex_->wake_first();
        return false;
    }
    mutex_->take();
    return true;
}

void mutex::lock_awaiter::finish_wait() {
    if (!end_wait())
        fiber_->throw_cancelled();
}

detail::cancel_effect mutex::lock_awaiter::interrupt(
    detail::suspension& s, const detail::cancel_request&, detail::fiber*&) noexcept {
    auto& self = static_cast<lock_awaiter&>(s);
    if (self.linked())
        --self.mutex_->wanted_;
    self.set_where(turn::interrupted);
    return detail::cancel_effect::interrupted;
}

} // namespace muster
