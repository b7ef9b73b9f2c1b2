// SPDX-License-Identifier: MIT
// This file starts a worker, or the launcher of an agent, with posix_spawnp(), kills it, and takes its end. The worker
// gets one end of a socket pair as a fixed descriptor, and the pool keeps the other. A child_process is listed by the
// system until reap() makes it reaped; kill() does nothing from then on, because the number may be another process's. A
// pidfd tells of the end where the system has one, and without it the supervisor looks from time to time.
#include "process_pool/spawn.hpp"

#include "process_pool/wire.hpp"

#include <muster/detail/assert.hpp>

#include <fcntl.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <string_view>
#include <system_error>

extern char** environ; // NOLINT: the C library's

namespace muster::workers {

namespace {

[[noreturn]] void fail(int error, const std::string& what) {
    throw std::system_error(error, std::generic_category(), what);
}

class file_actions {
public:
    file_actions() { check(::posix_spawn_file_actions_init(&actions_)); }
    ~file_actions() { ::posix_spawn_file_actions_destroy(&actions_); }
    file_actions(const file_actions&) = delete;
    file_actions& operator=(const file_actions&) = delete;

    void dup2(int from, int to) { check(::posix_spawn_file_actions_adddup2(&actions_, from, to)); }
    void open(int as, const char* path, int flags, mode_t mode) {
        check(::posix_spawn_file_actions_addopen(&actions_, as, path, flags, mode));
    }
    void enter(const char* folder) { check(::posix_spawn_file_actions_addchdir_np(&actions_, folder)); }
    /// Descriptors that were opened without O_CLOEXEC would keep sockets and pipes of this program open.
    void close_from([[maybe_unused]] int first) {
#if defined(__GLIBC_PREREQ)
#if __GLIBC_PREREQ(2, 34)
        check(::posix_spawn_file_actions_addclosefrom_np(&actions_, first));
#endif
#endif
    }
    [[nodiscard]] const posix_spawn_file_actions_t* get() const noexcept { return &actions_; }

private:
    static void check(int error) {
        if (error != 0)
            fail(error, "posix_spawn_file_actions");
    }
    posix_spawn_file_actions_t actions_{};
};

/// No blocked signals; those that a program may have turned off are as they are for a new one; a group of its own, so
/// that Ctrl-C is the pool's to deal with.
class attributes {
public:
    attributes() {
        if (const int error = ::posix_spawnattr_init(&attributes_); error != 0)
            fail(error, "posix_spawnattr_init");
        sigset_t none;
        sigset_t usual;
        ::sigemptyset(&none);
        ::sigemptyset(&usual);
        ::sigaddset(&usual, SIGPIPE);
        ::sigaddset(&usual, SIGCHLD);
        ::posix_spawnattr_setsigmask(&attributes_, &none);
        ::posix_spawnattr_setsigdefault(&attributes_, &usual);
        ::posix_spawnattr_setpgroup(&attributes_, 0);
        ::posix_spawnattr_setflags(
            &attributes_, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
    }
    ~attributes() { ::posix_spawnattr_destroy(&attributes_); }
    attributes(const attributes&) = delete;
    attributes& operator=(const attributes&) = delete;
    [[nodiscard]] const posix_spawnattr_t* get() const noexcept { return &attributes_; }

private:
    posix_spawnattr_t attributes_{};
};

std::vector<char*> pointers(std::vector<std::string>& texts) {
    std::vector<char*> all;
    all.reserve(texts.size() + 1);
    for (auto& t : texts)
        all.push_back(t.data());
    all.push_back(nullptr);
    return all;
}

} // namespace

bool child_process::kill() const noexcept {
    if (elsewhere_) {
        elsewhere_->kill();
        return true;
    }
    if (listing_ == listing::reaped)
        return true;
    if (group_ && group_->kill())
        return true;
#if defined(SYS_pidfd_send_signal)
    // Never another process that was given the same number.
    if (has_end_descriptor() &&
        (::syscall(SYS_pidfd_send_signal, end_.get(), SIGKILL, nullptr, 0) == 0 || errno == ESRCH))
        return true;
#endif
    return ::kill(id_, SIGKILL) == 0 || errno != EPERM;
}

bool child_process::has_bytes_or_end() const noexcept {
    char first = 0;
    ssize_t n = 0;
    do
        n = ::recv(socket_.get(), &first, 1, MSG_PEEK | MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    return n >= 0 || (errno != EAGAIN && errno != EWOULDBLOCK);
}

bool child_process::has_ended() const noexcept {
    siginfo_t info{};
    if (::waitid(P_PID, static_cast<id_t>(id_), &info, WEXITED | WNOHANG | WNOWAIT) != 0)
        return errno == ECHILD; // somebody else has taken it off the list
    return info.si_pid != 0;
}

void child_process::kill_group() const noexcept {
    // The agent there has done that before it said that the process had ended.
    if (elsewhere_)
        return;
    siginfo_t info{};
    int result = 0;
    do
        result = ::waitid(P_PID, static_cast<id_t>(id_), &info, WEXITED | WNOWAIT);
    while (result != 0 && errno == EINTR);
    // If somebody else took it off the list, its number may be another's.
    if (result == 0)
        ::kill(-id_, SIGKILL);
    if (group_)
        static_cast<void>(group_->kill()); // also what had left its process group
}

process_end child_process::reap() noexcept {
    process_end how;
    MUSTER_ASSERT(listing_ == listing::listed);
    listing_ = listing::reaped;
    if (elsewhere_)
        return elsewhere_->end();
    siginfo_t info{};
    int result = 0;
    do
        result = ::waitid(P_PID, static_cast<id_t>(id_), &info, WEXITED);
    while (result != 0 && errno == EINTR);
    if (result != 0)
        how.known = false;
    else if (info.si_code == CLD_EXITED)
        how.exit_status = info.si_status;
    else
        how.signal = info.si_status;
    return how;
}

namespace {

std::vector<std::string> environment_of(const std::vector<std::string>* names) {
    const std::string ours = std::string(wire::variable) + '=';
    std::vector<std::string> all;
    for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
        const std::string_view text(*entry);
        const auto name = text.substr(0, text.find('='));
        const bool is_wanted = names == nullptr || std::find(names->begin(), names->end(), name) != names->end();
        if (is_wanted && !text.starts_with(ours))
            all.emplace_back(text);
    }
    return all;
}

void discard(child_process& child) noexcept {
    if (child.kill())
        child.reap();
}

/// A process that was just started.
child_process adopt(pid_t id, detail::owned_fd ours) {
#if defined(SYS_pidfd_open)
    detail::owned_fd end(static_cast<int>(::syscall(SYS_pidfd_open, id, 0)));
    const int error = errno;
#else
    detail::owned_fd end;
    const int error = ENOSYS;
#endif
    const bool has_end = end.get() >= 0;
    child_process child(id, std::move(ours), std::move(end));
    // Without such descriptors the supervisor looks for deaths from time to time.
    if (!has_end && error != ENOSYS && error != EPERM) {
        discard(child);
        fail(error, "pidfd_open");
    }
    return child;
}

} // namespace

std::vector<std::string> environment_of_worker(const std::vector<std::string>* names) {
    auto all = environment_of(names);
    all.push_back(std::string(wire::variable) + '=' + std::to_string(wire::version));
    return all;
}

std::vector<std::string> environment_of_launcher() { return environment_of(nullptr); }

child_process start_worker(const std::string& path, std::vector<std::string> arguments,
    std::vector<std::string> environment, const surroundings& around) {
    auto group = around.cgroup.empty() ? nullptr : std::make_unique<worker_cgroup>(around.cgroup);
    int ends[2] = {-1, -1};
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
        fail(errno, "socketpair");
    detail::owned_fd ours(ends[0]);
    const detail::owned_fd theirs(ends[1]);

    file_actions actions;
    actions.dup2(theirs.get(), wire::worker_descriptor);
    actions.open(0, "/dev/null", O_RDONLY, 0);
    if (!around.output.empty()) {
        actions.open(1, around.output.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_NOCTTY, 0600);
        actions.dup2(1, 2);
    }
    if (!around.folder.empty())
        actions.enter(around.folder.c_str());
    actions.close_from(wire::worker_descriptor + 1);
    const attributes attr;
    const auto argv = pointers(arguments);
    const auto envp = pointers(environment);
    pid_t id = -1;
    if (const int error = ::posix_spawnp(&id, path.c_str(), actions.get(), attr.get(), argv.data(), envp.data());
        error != 0)
        fail(error, "'" + path + "' can't be started" +
                        (around.folder.empty() && around.output.empty() ? "" : ", or its folder or output not opened"));
    auto child = adopt(id, std::move(ours));
    // It has no call before it is greeted.
    if (group) {
        try {
            child.move_into(std::move(group));
        } catch (...) {
            discard(child);
            throw;
        }
    }
    for (const auto& [resource, most] : around.limits) {
        const rlimit limit{most, most};
        if (::prlimit(id, static_cast<__rlimit_resource>(resource), &limit, nullptr) != 0) {
            const int refused = errno;
            discard(child);
            fail(refused, "the limit " + std::to_string(resource) + " of a worker can't be " + std::to_string(most));
        }
    }
    return child;
}

launcher_process start_launcher(std::vector<std::string> words, std::vector<std::string> environment) {
    int ends[2] = {-1, -1};
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
        fail(errno, "socketpair");
    detail::owned_fd ours(ends[0]);
    const detail::owned_fd theirs(ends[1]);
    if (::pipe2(ends, O_CLOEXEC) != 0)
        fail(errno, "pipe");
    detail::owned_fd errors(ends[0]);
    const detail::owned_fd their_errors(ends[1]);

    file_actions actions;
    actions.dup2(theirs.get(), 0);
    actions.dup2(theirs.get(), 1);
    actions.dup2(their_errors.get(), 2);
    actions.close_from(3);
    const attributes attr;
    const auto argv = pointers(words);
    const auto envp = pointers(environment);
    pid_t id = -1;
    if (const int error = ::posix_spawnp(&id, argv.front(), actions.get(), attr.get(), argv.data(), envp.data());
        error != 0)
        fail(error, "'" + words.front() + "' can't be started");
    return {adopt(id, std::move(ours)), std::move(errors)};
}

} // namespace muster::workers
