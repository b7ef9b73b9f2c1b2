// SPDX-License-Identifier: MIT
// A socket can be asked not to wait for one call. A pipe or a terminal is opened once more by its name in /proc,
// because the flag O_NONBLOCK belongs to what is open, which other processes have, too; it is opened for each write, as
// the program may lead its standard error elsewhere at any time. Where that is not permitted poll() says whether a
// piece of PIPE_BUF bytes fits. A file takes everything.
#include "posix/prompt_write.hpp"

#include "posix/owned_fd.hpp"
#include "posix/quiet_write.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <climits>
#include <cstdio>

namespace muster::detail {

ssize_t prompt_write(int fd, std::string_view bytes) noexcept {
    struct stat what {};
    if (::fstat(fd, &what) != 0)
        return -1;
    if (S_ISSOCK(what.st_mode))
        return ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (!S_ISFIFO(what.st_mode) && !S_ISCHR(what.st_mode))
        return quiet_write(fd, bytes);
    std::array<char, 32> name{};
    std::snprintf(name.data(), name.size(), "/proc/self/fd/%d", fd);
    const owned_fd own(::open(name.data(), O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
    if (own.is_open())
        return quiet_write(own.get(), bytes);
    pollfd p{fd, POLLOUT, 0};
    if (::poll(&p, 1, 0) == 0) {
        errno = EAGAIN;
        return -1;
    }
    return quiet_write(fd, bytes.substr(0, PIPE_BUF));
}

} // namespace muster::detail
