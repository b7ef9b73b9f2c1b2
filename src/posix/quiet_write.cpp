// SPDX-License-Identifier: MIT
// quiet_write() writes to a descriptor while a guard holds SIGPIPE back, and tells the guard when no such signal can
// have been raised.
#include "posix/quiet_write.hpp"

#include "posix/sigpipe_guard.hpp"

#include <cerrno>

#include <unistd.h>

namespace muster::detail {

ssize_t quiet_write(int fd, std::string_view bytes) noexcept {
    sigpipe_guard guard;
    ssize_t count = 0;
    do
        count = ::write(fd, bytes.data(), bytes.size());
    while (count < 0 && errno == EINTR);
    if (count >= 0 || errno != EPIPE)
        guard.none_was_raised();
    return count;
}

} // namespace muster::detail
