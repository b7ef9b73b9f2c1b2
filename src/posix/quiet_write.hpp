// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// write() to a pipe that may have lost its reader: EPIPE, and never SIGPIPE. Private to the library.
///
///     const auto count = quiet_write(fd, text);   // as write()

#include <string_view>

#include <sys/types.h>

namespace muster::detail {

/// *Returns* how much was written, or -1 with errno set; not interrupted by signals.
[[nodiscard]] ssize_t quiet_write(int fd, std::string_view bytes) noexcept;

} // namespace muster::detail
