// SPDX-License-Identifier: MIT
// This file makes pipes, and streams for standard input, output and error. A standard stream that is a pipe or a
// terminal is opened a second time through /proc/self/fd, since the non-blocking mode belongs to the open file and
// other programs may share it. Otherwise the descriptor is duplicated and, unless it is a file, made non-blocking
// until the stream is closed.
#include <muster/io/pipe.hpp>

#include "io/descriptor.hpp"
#include "posix/system_error.hpp"

#include <array>
#include <cerrno>
#include <memory>
#include <string>
#include <utility>

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace muster::io {

namespace {

using detail::throw_system_error;

stream standard(int fd, const char* what) {
    auto made = std::make_shared<detail::descriptor>(-1);
    struct stat found {};
    const int flags = ::fcntl(fd, F_GETFL);
    if (flags < 0 || ::fstat(fd, &found) != 0)
        throw_system_error(errno, what);
    // Opening the main side of a pseudo-terminal again would make another terminal.
    unsigned number = 0;
    const bool is_main_side = ::ioctl(fd, TIOCGPTN, &number) == 0;
    if (S_ISFIFO(found.st_mode) || (S_ISCHR(found.st_mode) && !is_main_side)) {
        const std::string path = "/proc/self/fd/" + std::to_string(fd);
        const int again = ::open(path.c_str(), (flags & O_ACCMODE) | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
        if (again >= 0) {
            made->reset(again);
            return stream(std::move(made));
        }
    }
    const int copy = ::fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (copy < 0)
        throw_system_error(errno, what);
    made->reset(copy);
    // A file is always ready, whatever its flags.
    if (!S_ISREG(found.st_mode) && (flags & O_NONBLOCK) == 0) {
        if (::fcntl(copy, F_SETFL, flags | O_NONBLOCK) < 0)
            throw_system_error(errno, what);
        made->block_again_when_closed();
    }
    return stream(std::move(made));
}

} // namespace

pipe_ends make_pipe() {
    auto reader = std::make_shared<detail::descriptor>(-1);
    auto writer = std::make_shared<detail::descriptor>(-1);
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_NONBLOCK | O_CLOEXEC) != 0)
        throw_system_error(errno, "a pipe can't be made");
    reader->reset(ends[0]);
    writer->reset(ends[1]);
    return pipe_ends(stream(std::move(reader)), stream(std::move(writer)));
}

stream standard_input() { return standard(0, "standard input"); }

stream standard_output() { return standard(1, "standard output"); }

stream standard_error() { return standard(2, "standard error"); }

} // namespace muster::io
