// SPDX-License-Identifier: MIT
// This file finds this thread's event loop for an operation that needs I/O, or throws an error that names the
// operation.
#include "loops/require_event_loop.hpp"

#include <muster/error.hpp>

#include <string>

namespace muster::detail {

event_loop& require_event_loop(const char* what) {
    auto* const loop = dynamic_cast<event_loop*>(&scheduler::require(what));
    if (loop == nullptr)
        throw invalid_state_error(std::string(what) + " needs a muster::event_loop, as muster::run makes it: "
                                                      "this loop does no I/O");
    return *loop;
}

} // namespace muster::detail
