// SPDX-License-Identifier: MIT
#include <muster/event.hpp>

#include <string>

namespace muster {

namespace detail {

void throw_destroyed_while_waited_for(const char* what) {
    throw invalid_state_error(std::string("the ") + what + " was destroyed while a task waited for it");
}

} // namespace detail

const detail::suspension_kind event::wait_kind{"event::wait", &detail::event_wait::interrupt, nullptr, true, true};

} // namespace muster
