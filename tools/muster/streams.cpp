// SPDX-License-Identifier: MIT
// This file makes the system calls for the program's descriptors and limits: write_all writes until all is written,
// prepare_process fills closed standard descriptors with /dev/null opened the wrong way round, and the rest asks for or
// raises the limit of open files and counts the processors that this process may use.
#include "streams.hpp"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <limits>
#include <thread>

#include <fcntl.h>
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

namespace tool {

std::optional<std::error_code> write_all(int fd, std::string_view text, std::size_t* written) noexcept {
    while (!text.empty()) {
        const auto count = ::write(fd, text.data(), text.size());
        if (count < 0) {
            if (errno == EINTR)
                continue;
            return std::error_code(errno, std::generic_category());
        }
        text.remove_prefix(static_cast<std::size_t>(count));
        if (written != nullptr)
            *written += static_cast<std::size_t>(count);
    }
    return std::nullopt;
}

void prepare_process() noexcept {
    for (int fd = 0; fd <= 2; ++fd) {
        // open() takes the lowest free number, which is this one.
        if (::fcntl(fd, F_GETFD) < 0 && errno == EBADF)
            static_cast<void>(::open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY));
    }
    // A pipe without a reader and a file over its limit are errors of write() then.
    std::signal(SIGPIPE, SIG_IGN);
    std::signal(SIGXFSZ, SIG_IGN);
}

void require_descriptors(std::size_t count) noexcept {
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < count && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = std::min<rlim_t>(limit.rlim_max, count);
        ::setrlimit(RLIMIT_NOFILE, &limit);
    }
}

std::size_t processors() noexcept {
    cpu_set_t mine;
    CPU_ZERO(&mine);
    if (::sched_getaffinity(0, sizeof mine, &mine) == 0)
        return std::max<std::size_t>(1, static_cast<std::size_t>(CPU_COUNT(&mine)));
    return std::max(1u, std::thread::hardware_concurrency());
}

std::size_t most_open_files() noexcept {
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur > std::numeric_limits<std::size_t>::max())
        return std::numeric_limits<std::size_t>::max();
    return static_cast<std::size_t>(limit.rlim_cur);
}

} // namespace tool
