// SPDX-License-Identifier: MIT
// This file holds the parts of event that need not be inline: state_of() describes an event, and wait_kind describes a
// wait for one. Two functions that the primitives share are here as well: report_wrong_thread reports a call on a
// foreign thread, and throw_lost ends a wait whose primitive was destroyed.
#include <muster/event.hpp>

#include <muster/report.hpp>

#include <string>
#include <string_view>

namespace muster {

namespace detail {

void report_wrong_thread(const char* what, const char* consequence) noexcept {
    report r(report_kind::wrong_thread);
    send_report(r, [&] {
        r.name = what;
        r.detail = std::string("called on a thread that is not its loop's: ") + consequence;
    });
}

void throw_lost(waiter& w) {
    w.move_to(wait_state::idle);
    w.fiber_->throw_if_cancelled();
    // A kind is named "queue::get".
    const std::string_view kind = w.kind_->what;
    std::string what(kind.substr(0, kind.find("::")));
    throw invalid_state_error("the " + what + " was destroyed while a task waited for it (" + std::string(kind) + ')');
}

} // namespace detail

detail::sync_state event::state_of(const void* self) noexcept {
    const auto& e = *static_cast<const event*>(self);
    // A task that was woken goes on, whether the event is still there or not.
    return {.kind = "event", .value = e.data_.set ? 1 : 0, .is_waited_for = !e.data_.empty()};
}

const detail::suspension_kind event::wait_kind{
    .what = wait_awaiter::name,
    .cancel = &detail::event_wait::interrupt,
    .can_fail = true,
    .can_be_dropped = true,
};

} // namespace muster
