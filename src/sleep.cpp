// SPDX-License-Identifier: MIT
#include <muster/sleep.hpp>

#include <new>

namespace muster::detail {

const suspension_kind sleep_awaiter::kind_of{"sleep", &sleep_awaiter::cancel};

void sleep_awaiter::begin(fiber& f, std::coroutine_handle<> h) noexcept {
    fiber_ = &f;
    const nanoseconds when = absolute_ ? when_ : f.loop_->now() + when_;
    if (when <= f.loop_->now()) {
        f.yield(h);
        return;
    }
    if (!f.loop_->arm(timer_, when)) {
        no_memory_ = true;
        f.yield(h);
        return;
    }
    f.wait(*this, h);
}

void sleep_awaiter::fail() {
    fiber_->throw_if_cancelled();
    throw std::bad_alloc();
}

cancel_effect sleep_awaiter::cancel(suspension& s, const cancel_request&, fiber*&) noexcept {
    auto& self = static_cast<sleep_awaiter&>(s);
    self.fiber_->loop_->disarm(self.timer_);
    return cancel_effect::interrupted;
}

} // namespace muster::detail
