// SPDX-License-Identifier: MIT
// A sleep suspends its fiber until a timer fires. A sleep until a time in the past yields once; without memory for the
// timer it yields once and then throws std::bad_alloc. A cancellation disarms the timer and ends the sleep.
#include <muster/sleep.hpp>

#include <stdexcept>
#include <string>

namespace muster::detail {

const suspension_kind sleeping::kind_of{
    .what = "sleep",
    .cancel = &sleeping::cancel,
    .can_fail = true,
    .can_be_dropped = true,
};

void throw_nan_duration(const char* what) {
    throw std::invalid_argument(std::string(what) + " is not a number (NaN): pass a time");
}

void sleeping::begin(fiber& f, std::coroutine_handle<> h, nanoseconds when) noexcept {
    fiber_ = &f;
    call_when_due(&fired);
    if (when <= scheduler::of(f).now()) {
        f.yield(h);
        return;
    }
    if (!scheduler::of(f).arm(*this, when)) {
        no_memory_ = true;
        f.yield(h);
        return;
    }
    f.wait(*this, h);
}

cancel_effect sleeping::cancel(suspension& s, const cancel_request&, fiber*&) noexcept {
    auto& self = static_cast<sleeping&>(s);
    scheduler::of(*self.fiber_).disarm(self);
    return cancel_effect::interrupted;
}

} // namespace muster::detail
