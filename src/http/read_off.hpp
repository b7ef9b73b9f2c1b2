// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Reads the rest of a body that nobody wants, such as an error page, and drops it: only a connection whose answer was
/// read to its end can serve the next request. Private to muster::http and the command.
///
///     auto reading = read_off(stream);
///     co_await std::move(reading);

#include <muster/http/response_stream.hpp>
#include <muster/task.hpp>

namespace muster::http {

/// Reads the rest of the body, if it is small, so that the connection can be used again. A failure of it is none: the
/// headers have said all that matters. *Cancellation*: as response_stream::read.
[[nodiscard]] task<> read_off(response_stream& stream);

} // namespace muster::http
