// SPDX-License-Identifier: MIT
// This file starts processes by clone() with CLONE_VM and CLONE_VFORK. The parent first makes a plan of all that the
// child needs, because the child may not allocate. The child follows the plan with plain system calls: process group,
// streams, directory, signals, then execve. If a step fails, the child writes the step and the error into the plan, and
// the parent, which was suspended meanwhile, reaps the child and throws.
#include "subprocess/spawn.hpp"

#include "posix/signal_actions.hpp"

#include <muster/subprocess/error.hpp>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstddef>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include <fcntl.h>
#include <sched.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#if defined(__SANITIZE_THREAD__)
#define MUSTER_THREAD_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define MUSTER_THREAD_SANITIZER 1
#endif
#endif

#ifdef MUSTER_THREAD_SANITIZER
// ThreadSanitizer's own clone() takes the child for a process with a memory of its own.
extern "C" int __clone(int (*function)(void*), void* stack, int flags, void* argument, ...);
#endif

namespace muster::detail {

namespace {

/// Not in the headers of older systems; the numbers are the kernel's and the same everywhere.
constexpr long number_of_close_range = 436;
constexpr unsigned close_range_on_exec = 1u << 2;
constexpr int clone_with_pidfd = 0x00001000;

enum class step : int { none, group, streams, directory, execute };

/// All that the child needs. It is made before the child begins, because the child may not allocate.
struct child_plan {
    const char* const* words;
    const char* const* environment;
    const char* directory;   ///< or null
    const char* search_path; ///< or null: the program is a path
    char* candidate;         ///< room for the longest of the search path
    standard_streams streams;
    grouping group;
    volatile step failed_at = step::none;
    volatile int error = 0;
};

// From here to the exec the child runs on memory that it shares, so nothing below may touch what the parent relies on.
// It makes plain system calls: the functions by which sanitizers replace the library's record everything as if the
// parent had done it.
#define MUSTER_IN_CHILD [[gnu::noinline]] __attribute__((no_sanitize("address", "thread", "undefined")))

MUSTER_IN_CHILD bool set_up_streams(const standard_streams& streams) noexcept {
    for (int i = 0; i < 3; ++i) {
        const int from = streams[static_cast<std::size_t>(i)];
        if (from == stream_inherited) {
            // It may be closed, which is then inherited too.
            ::syscall(SYS_fcntl, i, F_SETFD, 0);
        } else if (from == stream_as_output) {
            if (::syscall(SYS_dup3, 1, i, 0) < 0)
                return false;
        } else if (from == stream_null) {
            const long null = ::syscall(SYS_openat, AT_FDCWD, "/dev/null", i == 0 ? O_RDONLY : O_WRONLY);
            if (null < 0)
                return false;
            if (null != i) {
                if (::syscall(SYS_dup3, null, i, 0) < 0)
                    return false;
                ::syscall(SYS_close, null);
            }
        } else if (::syscall(SYS_dup3, from, i, 0) < 0) {
            return false;
        }
    }
    // Closes descriptors that other parts of the program forgot to mark. Older kernels do not know the call.
    ::syscall(number_of_close_range, 3u, UINT_MAX, close_range_on_exec);
    return true;
}

/// Handlers must not run in here, and are the default's after the exec in any case. An ignored signal stays ignored,
/// but for two signals that programs ignore for themselves and seldom mean for others.
MUSTER_IN_CHILD void reset_signals() noexcept {
    // The kernel's struct sigaction: the handler comes first, and zero is the default.
    unsigned long standard[8] = {};
    for (int signal = 1; signal < _NSIG; ++signal) {
        unsigned long now[8] = {};
        if (::syscall(SYS_rt_sigaction, signal, nullptr, now, _NSIG / 8) != 0)
            continue;
        const bool ignored = now[0] == reinterpret_cast<unsigned long>(SIG_IGN);
        if (now[0] != 0 && (!ignored || signal == SIGPIPE || signal == SIGXFSZ))
            ::syscall(SYS_rt_sigaction, signal, standard, nullptr, _NSIG / 8);
    }
    unsigned long none[_NSIG / 8 / sizeof(unsigned long) + 1] = {};
    ::syscall(SYS_rt_sigprocmask, SIG_SETMASK, none, nullptr, _NSIG / 8);
}

MUSTER_IN_CHILD int execute(const child_plan& plan) noexcept {
    const char* program = plan.words[0];
    if (plan.search_path == nullptr) {
        ::syscall(SYS_execve, program, plan.words, plan.environment);
        return errno;
    }
    int error = ENOENT;
    for (const char* at = plan.search_path;;) {
        char* end = plan.candidate;
        while (*at != '\0' && *at != ':')
            *end++ = *at++;
        if (end != plan.candidate)
            *end++ = '/';
        for (const char* c = program; *c != '\0'; ++c)
            *end++ = *c;
        *end = '\0';
        ::syscall(SYS_execve, plan.candidate, plan.words, plan.environment);
        if (errno == EACCES)
            error = EACCES; // there may be another one further on
        else if (errno != ENOENT && errno != ENOTDIR && errno != ENODEV && errno != ESTALE && errno != ETIMEDOUT &&
                 errno != ENAMETOOLONG && errno != ELOOP)
            return errno;
        if (*at == '\0')
            return error;
        ++at;
    }
}

MUSTER_IN_CHILD int child_main(void* argument) {
    auto& plan = *static_cast<child_plan*>(argument);
    step at = step::group;
    int error = 0;
    if ((plan.group == grouping::own_group && ::syscall(SYS_setpgid, 0, 0) < 0) ||
        (plan.group == grouping::own_session && ::syscall(SYS_setsid) < 0)) {
        error = errno;
    } else if (at = step::streams; !set_up_streams(plan.streams)) {
        error = errno;
    } else if (at = step::directory; plan.directory != nullptr && ::syscall(SYS_chdir, plan.directory) < 0) {
        error = errno;
    } else {
        at = step::execute;
        reset_signals();
        error = execute(plan);
    }
    plan.error = error;
    plan.failed_at = at;
    ::syscall(SYS_exit_group, 127);
    return 127;
}

#undef MUSTER_IN_CHILD

// ---- the parent ----

constexpr std::size_t stack_size = std::size_t{64} << 10;

/// The environment as execve takes it: a view of this process's own where nothing is changed.
class environment_of {
public:
    explicit environment_of(const command_parts& parts) {
        if (parts.environment.empty() && !parts.clear_environment) {
            all_ = environ;
            return;
        }
        if (!parts.clear_environment) {
            for (char** at = environ; at != nullptr && *at != nullptr; ++at) {
                if (std::ranges::none_of(parts.environment, [&](const auto& c) { return names(*at, c.name); }))
                    pointers_.push_back(*at);
            }
        }
        set_.reserve(parts.environment.size());
        for (const auto& c : parts.environment) {
            if (c.value)
                pointers_.push_back(set_.emplace_back(c.name + '=' + *c.value).c_str());
        }
        pointers_.push_back(nullptr);
        all_ = pointers_.data();
    }

    [[nodiscard]] const char* const* get() const noexcept { return all_; }
    [[nodiscard]] const char* value(std::string_view name) const noexcept {
        for (auto* at = all_; at != nullptr && *at != nullptr; ++at) {
            if (names(*at, name))
                return *at + name.size() + 1;
        }
        return nullptr;
    }

private:
    static bool names(std::string_view entry, std::string_view name) noexcept {
        return entry.size() > name.size() && entry[name.size()] == '=' && entry.starts_with(name);
    }

    const char* const* all_ = nullptr;
    std::vector<const char*> pointers_;
    std::vector<std::string> set_;
};

[[noreturn]] void fail(const command& what, int error, const std::string& problem) {
    const auto& program = what.words().front();
    throw spawn_error(program, what.describe(), std::error_code(error, std::generic_category()), problem);
}

[[noreturn]] void report_failure(const command& what, const child_plan& plan) {
    const auto& program = what.words().front();
    const std::error_code code(plan.error, std::generic_category());
    switch (plan.failed_at) {
    case step::directory:
        fail(what, plan.error, "the directory " + what.parts().directory + " can't be entered");
    case step::execute:
        break;
    default:
        fail(what, plan.error, "the process could not be set up");
    }
    const bool searched = plan.search_path != nullptr;
    switch (plan.error) {
    case ENOENT:
    case ENOTDIR:
        // A path that is there but can't be found when it is run: its interpreter is missing.
        if (searched || ::access(program.c_str(), F_OK) != 0 || !what.parts().directory.empty())
            throw command_not_found_error(program, what.describe(), code,
                searched ? "there is no such command in PATH" : "there is no such program");
        fail(what, plan.error, "the interpreter that its first line names is missing");
    case EACCES:
        fail(what, plan.error, "it may not be executed");
    case ENOEXEC:
        fail(what, plan.error, "it is nothing that the system can run; does a script lack its #! line?");
    case E2BIG:
        fail(what, plan.error, "the arguments and the environment are too long: pass data on standard input");
    default:
        fail(what, plan.error, "it can't be executed");
    }
}

} // namespace

pipe_ends make_pipe(const command& what) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0)
        fail(what, errno, "no pipe can be made; run fewer commands at once");
    pipe_ends made{owned_fd(ends[0]), owned_fd(ends[1])};
    // Where a standard descriptor is closed a pipe may get its number, and would be overwritten in the child.
    for (auto* end : {&made.read, &made.write}) {
        if (end->get() <= 2) {
            const int moved = ::fcntl(end->get(), F_DUPFD_CLOEXEC, 3);
            if (moved < 0)
                fail(what, errno, "no pipe can be made; run fewer commands at once");
            *end = owned_fd(moved);
        }
    }
    return made;
}

spawned spawn(const command& what, const standard_streams& streams, grouping group) {
    const auto& parts = what.parts();
    const environment_of environment(parts);
    std::vector<const char*> words;
    words.reserve(parts.words.size() + 1);
    for (const auto& w : parts.words)
        words.push_back(w.c_str());
    words.push_back(nullptr);

    child_plan plan{words.data(), environment.get(), parts.directory.empty() ? nullptr : parts.directory.c_str(),
        nullptr, nullptr, streams, group};
    std::string candidate;
    if (parts.words.front().find('/') == std::string::npos) {
        const char* path = environment.value("PATH");
        plan.search_path = path != nullptr ? path : "/bin:/usr/bin";
        candidate.resize(std::string_view(plan.search_path).size() + parts.words.front().size() + 2);
        plan.candidate = candidate.data();
    }

    const auto stack = std::make_unique_for_overwrite<std::byte[]>(stack_size);
    void* const top = stack.get() + stack_size - reinterpret_cast<std::uintptr_t>(stack.get() + stack_size) % 16;
    constexpr int flags = CLONE_VM | CLONE_VFORK | clone_with_pidfd | SIGCHLD;
    spawned s;
    int pidfd = -1;
    int error = 0;
    {
        // A handler that ran in the child would act on this process's memory.
        const all_signals_blocked block;
#ifdef MUSTER_THREAD_SANITIZER
        s.pid = __clone(&child_main, top, flags, &plan, &pidfd);
#else
        s.pid = ::clone(&child_main, top, flags, &plan, &pidfd);
#endif
        error = errno;
    }
    if (s.pid < 0)
        fail(what, error,
            error == EAGAIN   ? "no more processes are allowed; run fewer at once"
            : error == EINVAL ? "this system is too old: Linux 5.4 or later is needed"
                              : "no process can be made");
    s.pidfd = owned_fd(pidfd);
    if (plan.failed_at != step::none) {
        while (::waitpid(s.pid, nullptr, 0) < 0 && errno == EINTR) {}
        report_failure(what, plan);
    }
    return s;
}

} // namespace muster::detail
