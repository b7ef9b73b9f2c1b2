// SPDX-License-Identifier: MIT
#include <muster/event.hpp>

#include <string>

namespace muster {

namespace detail {

void throw_destroyed_while_waited_for(const char* what) {
    throw invalid_state_error(std::string("the ") + what + " was destroyed while a task waited for it");
}

} // namespace detail

detail::sync_state event::state_of(const void* self) noexcept {
    const auto& e = *static_cast<const event*>(self);
    // A task that was woken goes on, whether the event is still there or not.
    return {.kind = "event", .value = e.set_ ? 1 : 0, .is_waited_for = !e.waiters_.empty()};
}

const detail::suspension_kind event::wait_kind{"event::wait", &detail::event_wait::interrupt, nullptr, true, true};

} // namespace muster
