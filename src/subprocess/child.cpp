// SPDX-License-Identifier: MIT
// A child starts a process with its pipes, watches for its end through a pidfd, and signals it or its whole group. It
// is running until take_end() has waited for the process; then it is reaped, or lost if another part of the program
// took its end. signal() and signal_group() reach only a running child, since the number of a reaped one may be a
// stranger's. Listeners are called once, when the end was taken or the child was given up. /proc tells whether others
// of its group still live.
#include "subprocess/child.hpp"

#include "posix/system_error.hpp"

#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string_view>
#include <system_error>

#include <dirent.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace muster::detail {

namespace {

/// A process that reads the terminal must be in the group that the terminal belongs to, which is the caller's.
grouping group_for(const command_parts& parts) noexcept {
    const bool reads_terminal = parts.input == input_from::inherit && ::isatty(STDIN_FILENO) == 1;
    return reads_terminal && parts.group == grouping::own_group ? grouping::of_caller : parts.group;
}

/// A pipe with a name is opened without waiting for its writer, which would block the loop.
owned_fd open_input(const command& what) {
    owned_fd file(::open(what.parts().bytes.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
    if (!file.is_open())
        throw spawn_error(what.words().front(), what.describe(), std::error_code(errno, std::generic_category()),
            "its standard input, " + what.parts().bytes + ", can't be opened");
    ::fcntl(file.get(), F_SETFL, ::fcntl(file.get(), F_GETFL) & ~O_NONBLOCK);
    return file;
}

/// The descriptor is made before the pipe, so that nothing can fail once the pipe is there.
std::shared_ptr<descriptor> own_end(std::shared_ptr<descriptor> made, owned_fd end) noexcept {
    ::fcntl(end.get(), F_SETFL, ::fcntl(end.get(), F_GETFL) | O_NONBLOCK);
    made->reset(end.release());
    return made;
}

std::chrono::nanoseconds duration_of(const timeval& t) noexcept {
    return std::chrono::seconds(t.tv_sec) + std::chrono::microseconds(t.tv_usec);
}

/// "PID (NAME) STATE PARENT GROUP ...": the name may hold anything.
bool is_alive_in_group(std::string_view stat, pid_t group) noexcept {
    const auto name_end = stat.rfind(')');
    if (name_end == std::string_view::npos || stat.size() < name_end + 5)
        return false;
    const char state = stat[name_end + 2];
    const auto parent = name_end + 4;
    const auto at = stat.find(' ', parent);
    if (at == std::string_view::npos || state == 'Z' || state == 'X')
        return false;
    pid_t its_group = 0;
    std::from_chars(stat.data() + at + 1, stat.data() + stat.size(), its_group);
    return its_group == group;
}

/// kill() finds zombies in a group too, and without a proper init they are never reaped. /proc says who is alive.
bool group_has_living(pid_t group) noexcept {
    const std::unique_ptr<DIR, int (*)(DIR*)> all(::opendir("/proc"), &::closedir);
    if (!all)
        return true;
    while (const dirent* entry = ::readdir(all.get())) {
        if (entry->d_name[0] < '0' || entry->d_name[0] > '9')
            continue;
        char path[300] = {};
        std::size_t length = 0;
        for (const char* c = entry->d_name; *c != '\0' && length < 256; ++c)
            path[length++] = *c;
        for (const char c : std::string_view("/stat"))
            path[length++] = c;
        const owned_fd file(::openat(::dirfd(all.get()), path, O_RDONLY | O_CLOEXEC));
        char text[512];
        // Without a descriptor it is not known, so it counts as alive.
        if (!file.is_open() && errno != ENOENT && errno != ESRCH && errno != EACCES)
            return true;
        const auto count = file.is_open() ? ::read(file.get(), text, sizeof text) : -1;
        if (count > 0 && is_alive_in_group(std::string_view(text, static_cast<std::size_t>(count)), group))
            return true;
    }
    return false;
}

} // namespace

child::child(const command& what, pipe_set& ours) : pidfd_(-1) {
    const auto& parts = what.parts();
    const auto group = group_for(parts);
    own_group_ = group != grouping::of_caller;
    description_ = what.describe();
    standard_streams theirs{stream_inherited, stream_inherited, stream_inherited};
    std::array<owned_fd, 3> theirs_ends;
    const auto connect = [&](std::size_t i) {
        auto made = std::make_shared<descriptor>(-1);
        auto ends = make_pipe(what);
        ours[i] = own_end(std::move(made), std::move(i == 0 ? ends.write : ends.read));
        theirs_ends[i] = std::move(i == 0 ? ends.read : ends.write);
        theirs[i] = theirs_ends[i].get();
    };
    switch (parts.input) {
    case input_from::null:
        theirs[0] = stream_null;
        break;
    case input_from::inherit:
        break;
    case input_from::bytes:
    case input_from::pipe:
        connect(0);
        break;
    case input_from::file:
        theirs_ends[0] = open_input(what);
        theirs[0] = theirs_ends[0].get();
        break;
    }
    const output_plan* plans[] = {&parts.out, &parts.err};
    for (std::size_t i = 0; i < 2; ++i) {
        if (plans[i]->merged)
            theirs[i + 1] = stream_as_output;
        else if (plans[i]->to == output::capture)
            connect(i + 1);
        else if (plans[i]->to == output::discard)
            theirs[i + 1] = stream_null;
    }
    began_ = std::chrono::steady_clock::now();
    auto started = spawn(what, theirs, group);
    pid_ = started.pid;
    pidfd_.reset(started.pidfd.release());
}

child::~child() { give_up(); }

void child::give_up() noexcept {
    if (!reaped() && (signal_group(SIGKILL) || errno != EPERM))
        take_end(true);
    tell_listeners();
}

std::error_code child::listen(end_listener& l, event_loop& loop) noexcept {
    MUSTER_ASSERT(!reaped());
    if (listeners_.empty()) {
        if (const auto failed = pidfd_.begin_wait(*this, descriptor::side::reading, loop))
            return failed;
        loop_ = &loop;
    } else if (loop_ != &loop) {
        return system_code(EBUSY);
    }
    listeners_.push_back(l);
    return {};
}

void child::unlisten(end_listener& l) noexcept {
    if (!listeners_.contains(l))
        return;
    listeners_.remove(l);
    if (listeners_.empty())
        pidfd_.end_wait(*this, descriptor::side::reading);
}

void child::on_ready() noexcept {
    if (reap()) {
        tell_listeners();
        return;
    }
    // It has not ended, whatever the system said. If it can't be waited for any more, listeners see it as given up.
    if (pidfd_.begin_wait(*this, descriptor::side::reading, *loop_))
        tell_listeners();
}

void child::tell_listeners() noexcept {
    pidfd_.end_wait(*this, descriptor::side::reading);
    // A listener may make others end their wait, so each is taken off the list before it is called.
    while (end_listener* const l = listeners_.pop_front())
        l->on_end();
}

bool child::take_end(bool wait) noexcept {
    siginfo_t how{};
    rusage used{};
    long status = 0;
    // By its number, which stays its own until it is reaped: waiting through a pidfd that does not block fails.
    do
        status = ::syscall(SYS_waitid, P_PID, pid_, &how, WEXITED | (wait ? 0 : WNOHANG), &used);
    while (status < 0 && errno == EINTR);
    if (status == 0 && how.si_pid == 0)
        return false;
    MUSTER_ASSERT(phase_ == phase::running);
    if (status < 0) {
        phase_ = phase::lost;
        return true;
    }
    phase_ = phase::reaped;
    end_.duration = std::chrono::steady_clock::now() - began_;
    if (how.si_code == CLD_EXITED) {
        end_.status = how.si_status;
    } else {
        end_.signal = how.si_status;
        end_.dumped_core = how.si_code == CLD_DUMPED;
    }
    end_.user_time = duration_of(used.ru_utime);
    end_.system_time = duration_of(used.ru_stime);
    end_.peak_memory = static_cast<std::uint64_t>(used.ru_maxrss) * 1024;
    return true;
}

completed_process child::result() const {
    MUSTER_ASSERT(reaped());
    if (phase_ == phase::lost)
        throw spawn_error(description_, description_, system_code(ECHILD),
            "how it ended is not known: this program ignores SIGCHLD, or another part of it waits for any process "
            "(wait, waitpid(-1)), and must not");
    auto r = end_;
    r.command = description_;
    r.pid = pid_;
    return r;
}

bool child::signal(int number) noexcept {
    if (reaped())
        return false;
    return ::syscall(SYS_pidfd_send_signal, pidfd_.fd(), number, nullptr, 0) == 0;
}

bool child::signal_group(int number) noexcept {
    // The number of a process that was reaped may be a stranger's.
    if (reaped())
        return false;
    const bool allowed = ::syscall(SYS_pidfd_send_signal, pidfd_.fd(), own_group_ ? 0 : number, nullptr, 0) == 0;
    if (!allowed && errno != EPERM)
        return false;
    if (own_group_ && ::kill(-pid_, number) != 0)
        return false;
    if (!allowed)
        errno = EPERM; // others of its group got the signal, and the process itself did not
    return allowed;
}

void child::ask_to_end() noexcept {
    signal_group(SIGTERM);
    signal_group(SIGCONT);
}

bool child::group_left() const noexcept {
    if (!own_group_ || phase_ == phase::lost)
        return false;
    return ::kill(-pid_, 0) == 0 && group_has_living(pid_);
}

void child::ask_group_left_to_end() noexcept {
    ::kill(-pid_, SIGTERM);
    ::kill(-pid_, SIGCONT);
}

void child::kill_group_left() noexcept { ::kill(-pid_, SIGKILL); }

} // namespace muster::detail
