// SPDX-License-Identifier: MIT
// This file makes the system calls for the program's descriptors and limits: write_all writes until all is written,
// open_to_write opens files that the user has named, prepare_process fills closed standard descriptors with /dev/null
// opened the wrong way round, and the rest asks for or raises the limit of open files and counts the processors that
// this process may use.
#include "streams.hpp"

#include "units.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <fstream>
#include <limits>
#include <thread>

#include <fcntl.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

namespace tool {

namespace {

/// A device or a pipe may be read and written, and written by two.
bool are_one_file(const std::string& a, const std::string& b) noexcept {
    struct stat one {};
    struct stat other {};
    if (a.empty() || b.empty())
        return false;
    if (::stat(a.c_str(), &one) != 0 || ::stat(b.c_str(), &other) != 0)
        return a == b;
    return S_ISREG(one.st_mode) && one.st_dev == other.st_dev && one.st_ino == other.st_ino;
}

} // namespace

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

muster::detail::owned_fd open_to_write(const char* option, const std::string& file, int flags, unsigned mode) {
    constexpr int tries = 50;
    for (int i = 1;; ++i) {
        // A pipe that nobody reads is an error then, instead of a wait that nothing ends.
        muster::detail::owned_fd opened(::open(file.c_str(), flags | O_NONBLOCK | O_CLOEXEC | O_NOCTTY, mode));
        if (opened.is_open()) {
            // It is ours alone, so that nobody else finds it changed.
            static_cast<void>(::fcntl(opened.get(), F_SETFL, ::fcntl(opened.get(), F_GETFL) & ~O_NONBLOCK));
            return opened;
        }
        if (errno != ENXIO || i == tries)
            throw usage_error(fmt::format("{}: {} can't be written: {}", option, file,
                errno == ENXIO ? "nobody reads this pipe" : std::generic_category().message(errno)));
        std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
}

std::string text_of_file(const char* option, const std::string& file, std::size_t most) {
    constexpr std::size_t piece = std::size_t{64} << 10;
    std::ifstream in(file);
    std::string text;
    while (in && text.size() <= most) {
        const auto before = text.size();
        text.resize(before + piece);
        in.read(text.data() + before, static_cast<std::streamsize>(piece));
        text.resize(before + static_cast<std::size_t>(in.gcount()));
    }
    if (text.size() > most)
        throw usage_error(fmt::format(
            "{}: {} is longer than {}, and may have no end: name another file", option, file, show_size(most)));
    if (!in.eof())
        throw usage_error(
            fmt::format("{}: {} can't be read: {}", option, file, std::generic_category().message(errno)));
    return text;
}

void require_files_apart(const std::vector<named_file>& read, const std::vector<named_file>& written) {
    for (const auto& w : written) {
        for (const auto& r : read) {
            if (are_one_file(w.name, r.name))
                throw usage_error(fmt::format("{}: {} is {}: name another file", w.what, w.name, r.what));
        }
        for (const auto* other = &w + 1; other != written.data() + written.size(); ++other) {
            if (are_one_file(w.name, other->name))
                throw usage_error(fmt::format("{} and {} can't have one file: {}", w.what, other->what, w.name));
        }
    }
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
