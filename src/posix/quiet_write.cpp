// SPDX-License-Identifier: MIT
#include "posix/quiet_write.hpp"

#include <cerrno>
#include <csignal>
#include <ctime>

#include <unistd.h>

namespace muster::detail {

ssize_t quiet_write(int fd, std::string_view bytes) noexcept {
    sigset_t pipe;
    sigset_t before;
    sigset_t pending;
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    sigpending(&pending);
    // One that is pending already is somebody else's, and is not taken away.
    const bool ours = sigismember(&pending, SIGPIPE) == 0;
    pthread_sigmask(SIG_BLOCK, &pipe, &before);
    ssize_t count = 0;
    do
        count = ::write(fd, bytes.data(), bytes.size());
    while (count < 0 && errno == EINTR);
    const int error = errno;
    if (count < 0 && error == EPIPE && ours) {
        const timespec at_once{};
        sigtimedwait(&pipe, nullptr, &at_once);
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    errno = error;
    return count;
}

} // namespace muster::detail
