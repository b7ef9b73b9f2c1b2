// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The one check that the loop of this thread does I/O: a virtual loop, and a loop of Asio's, do not. Private to the
/// library.
///
///     event_loop& loop = require_event_loop("connecting");

#include <muster/event_loop.hpp>

namespace muster::detail {

/// *Returns* the running loop. *Errors*: invalid_state_error, which begins with `what`, if there is none or it does no
/// I/O.
event_loop& require_event_loop(const char* what);

} // namespace muster::detail
