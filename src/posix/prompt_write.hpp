// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// write() that never waits, to a descriptor that other processes share: to make that one non-blocking would change it
/// for them, too. Private to the library.
///
///     const auto count = prompt_write(STDERR_FILENO, text);   // as write(); EAGAIN if nothing fits

#include <string_view>

#include <sys/types.h>

namespace muster::detail {

/// *Returns* how much was written, or -1 with errno set, EAGAIN if the other end takes nothing now. Raises no SIGPIPE.
[[nodiscard]] ssize_t prompt_write(int fd, std::string_view bytes) noexcept;

} // namespace muster::detail
