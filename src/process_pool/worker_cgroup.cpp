// SPDX-License-Identifier: MIT
// This file makes, uses and removes the control group of one worker: a folder in the file system of cgroup v2, whose
// files cgroup.procs and cgroup.kill (Linux 5.14) take a process in and kill all that are there. cgroup.kill is opened
// when the group is made, so that a kill, which happens with the pool's lock held, is one write.
#include "process_pool/worker_cgroup.hpp"

#include "posix/system_error.hpp"

#include <atomic>
#include <cerrno>
#include <chrono>
#include <string>
#include <thread>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace muster::workers {

namespace {

/// The system refuses to remove a group for as long as what was killed in it has not ended.
constexpr int removal_attempts = 50;
constexpr std::chrono::milliseconds removal_pause{1};

std::string new_name() {
    static std::atomic<unsigned long> made{0};
    return "/muster-" + std::to_string(::getpid()) + '-' + std::to_string(++made);
}

/// A group of the next name may be there: it was left by a process of the same number that was killed, or belongs to
/// one in another container. It is not this program's to remove.
std::string make_folder(const std::string& parent) {
    for (;;) {
        auto folder = parent + new_name();
        if (::mkdir(folder.c_str(), 0755) == 0)
            return folder;
        if (errno != EEXIST)
            detail::throw_system_error(errno, "the cgroup '" + folder + "' of a worker can't be made");
    }
}

} // namespace

worker_cgroup::worker_cgroup(const std::string& parent) : folder_(make_folder(parent)) {
    const auto file = folder_ + "/cgroup.kill";
    kill_ = detail::owned_fd(::open(file.c_str(), O_WRONLY | O_CLOEXEC | O_NOFOLLOW));
    if (kill_.get() < 0) {
        const int error = errno;
        ::rmdir(folder_.c_str());
        detail::throw_system_error(error, "'" + file + "' can't be opened (is '" + parent +
                                              "' a cgroup of version 2, and the system Linux 5.14 or newer?)");
    }
}

worker_cgroup::~worker_cgroup() {
    for (int i = 0; i != removal_attempts; ++i) {
        if (::rmdir(folder_.c_str()) == 0 || errno != EBUSY || !kill())
            return;
        std::this_thread::sleep_for(removal_pause);
    }
}

void worker_cgroup::take_in(pid_t process) const {
    const auto file = folder_ + "/cgroup.procs";
    const detail::owned_fd list(::open(file.c_str(), O_WRONLY | O_CLOEXEC | O_NOFOLLOW));
    const auto number = std::to_string(process);
    if (list.get() < 0 || ::write(list.get(), number.data(), number.size()) < 0)
        detail::throw_system_error(errno, "a worker can't be moved to '" + file + "'");
}

bool worker_cgroup::kill() const noexcept { return ::write(kill_.get(), "1", 1) == 1; }

} // namespace muster::workers
