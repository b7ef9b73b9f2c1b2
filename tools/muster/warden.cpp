// SPDX-License-Identifier: MIT
// The warden is the parent of the agent, and the subreaper of what the agent starts: when the agent is killed its
// commands become the warden's children, so that none of their numbers can be another process's before the warden has
// taken it off the system's list. The agent writes the number of each command into a pipe, and the negative number once
// it has ended. The warden reads the pipe to its end, which comes with the agent's. An agent that also writes a zero
// before it starts a command may be killed before it has written the number: then the warden looks for it among its own
// new children.
//
//     watching --the agent has ended, and no command runs--> exit
//     watching --the agent has ended, and commands run-----> ending --they have ended, or were killed--> exit
//
// The agent may be killed between taking a command off the system's list and telling so: its number may be another
// process's by then. So a group is signalled only while one of the warden's own children is in it, as whatever the
// agent leaves behind is.
//
// Signals are passed on to the agent. The connection is not the warden's: it is closed here at once, so that its end
// is seen when the agent ends.
#include "warden.hpp"

#include "ignored_signal.hpp"

#include <muster/detail/assert.hpp>

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <set>
#include <sstream>
#include <string>
#include <system_error>

namespace tool {

namespace {

using namespace std::chrono_literals;
using muster::detail::owned_fd;

/// Commands of an agent that was killed get SIGTERM, and SIGKILL after this time.
constexpr auto grace = 2s;

/// In place of a number: a command is about to be started, and that came to nothing.
constexpr std::int32_t about_to_start_one = 0;
constexpr std::int32_t not_started_one = INT32_MIN;
/// A command whose number was not written is looked for so often, as it may not have come to its own process group.
constexpr int looks = 20;
constexpr int milliseconds_between_looks = 25;
/// It has begun at most so long before. Older children were left in the background by commands, and go on.
constexpr std::chrono::nanoseconds oldest = 10s;

[[noreturn]] void fail(const char* what) { throw std::system_error(errno, std::generic_category(), what); }

sigset_t signals_of_warden() noexcept {
    sigset_t all;
    sigemptyset(&all);
    for (const int number : {SIGCHLD, SIGTERM, SIGINT, SIGHUP, SIGQUIT})
        if (number == SIGCHLD || !is_ignored(number))
            sigaddset(&all, number);
    return all;
}

void tell(int descriptor, std::int32_t number) noexcept {
    // Four bytes go into a pipe as a whole. A warden that is gone needs no news: the agent ends, too.
    while (::write(descriptor, &number, sizeof number) < 0 && errno == EINTR) {}
}

/// *Returns* how long ago a process was started; a long time if that is not known.
std::chrono::nanoseconds age_of(pid_t process) {
    std::ifstream from("/proc/" + std::to_string(process) + "/stat");
    std::string text;
    std::getline(from, text);
    // The name in brackets may have anything in it. The time is the twentieth number behind it, in ticks since boot.
    std::istringstream rest(text.substr(std::min(text.rfind(')'), text.size() - 1) + 1));
    constexpr int place = 20;
    std::string word;
    for (int i = 0; i != place; ++i)
        rest >> word;
    timespec now{};
    ::clock_gettime(CLOCK_BOOTTIME, &now);
    const auto ticks = std::strtoull(word.c_str(), nullptr, 10);
    const auto began =
        std::chrono::duration<double>(static_cast<double>(ticks) / static_cast<double>(::sysconf(_SC_CLK_TCK)));
    const std::chrono::duration<double> age =
        std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec) - began;
    return rest ? std::chrono::duration_cast<std::chrono::nanoseconds>(age) : std::chrono::nanoseconds::max();
}

class warden {
public:
    warden(pid_t agent, owned_fd news, owned_fd signals) noexcept
        : agent_(agent),
          news_(std::move(news)),
          signals_(std::move(signals)) {}
    /// *Returns* the exit status.
    int watch();

private:
    void read_news();
    void read_signals();
    void reap_agent();
    void reap();
    /// Waits for something, at most for so long; -1: for as long as it takes.
    void wait(int milliseconds) noexcept;
    void end_commands();
    void look_for_new_children();
    void signal_commands(int signal) const noexcept;

    pid_t agent_;   ///< 0 once it has ended
    owned_fd news_; ///< closed once the end has come
    owned_fd signals_;
    std::set<pid_t> commands_;
    int about_to_start_ = 0; ///< commands whose numbers are not known yet
    int status_ = 0;         ///< of the agent, once it has ended
};

int warden::watch() {
    while (agent_ != 0)
        wait(-1);
    for (int i = 0; i != looks && about_to_start_ > 0; ++i) {
        look_for_new_children();
        if (about_to_start_ > 0)
            wait(milliseconds_between_looks);
    }
    if (!commands_.empty())
        end_commands();
    return WIFEXITED(status_) ? WEXITSTATUS(status_) : 128 + WTERMSIG(status_);
}

void warden::wait(int milliseconds) noexcept {
    std::array<pollfd, 2> polled{{{news_.get(), POLLIN, 0}, {signals_.get(), POLLIN, 0}}};
    if (::poll(polled.data(), polled.size(), milliseconds) < 0)
        return;
    if (polled[0].revents != 0)
        read_news();
    if (polled[1].revents != 0)
        read_signals();
}

void warden::read_news() {
    std::array<std::int32_t, 1024> numbers{};
    const auto n = ::read(news_.get(), numbers.data(), sizeof numbers);
    if (n < 0 && errno == EINTR)
        return;
    if (n <= 0) {
        news_.reset();
        return;
    }
    for (std::size_t i = 0; i != static_cast<std::size_t>(n) / sizeof numbers[0]; ++i) {
        if (numbers[i] == about_to_start_one) {
            ++about_to_start_;
        } else if (numbers[i] == not_started_one) {
            --about_to_start_;
        } else if (numbers[i] > 0) {
            commands_.insert(numbers[i]);
            about_to_start_ = std::max(about_to_start_ - 1, 0);
        } else {
            commands_.erase(-numbers[i]);
        }
    }
}

void warden::read_signals() {
    signalfd_siginfo info{};
    if (::read(signals_.get(), &info, sizeof info) != static_cast<ssize_t>(sizeof info))
        return;
    if (info.ssi_signo == SIGCHLD)
        reap();
    else if (agent_ != 0 && info.ssi_code != SI_KERNEL)
        ::kill(agent_, static_cast<int>(info.ssi_signo)); // the terminal's own have come to the agent as well
}

/// The agent's end closes its end of the pipe: everything that it has told is read then.
void warden::reap_agent() {
    if (agent_ == 0 || ::waitpid(agent_, &status_, WNOHANG) != agent_)
        return;
    agent_ = 0;
    while (news_.is_open())
        read_news();
}

void warden::reap() {
    reap_agent();
    for (;;) {
        siginfo_t info{};
        if (::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == 0)
            return;
        if (info.si_pid == agent_) {
            reap_agent();
            continue;
        }
        // The number is the command's own until it is taken off the system's list.
        if (agent_ == 0 && commands_.erase(info.si_pid) != 0)
            ::kill(-info.si_pid, SIGKILL);
        ::waitpid(info.si_pid, nullptr, 0);
    }
}

/// The agent is gone, so that what it had started is a child of this process by now. A command leads a process group.
void warden::look_for_new_children() {
    MUSTER_ASSERT(agent_ == 0);
    std::ifstream list("/proc/thread-self/children");
    for (pid_t child = 0; list >> child;) {
        if (commands_.contains(child) || ::getpgid(child) != child || age_of(child) > oldest)
            continue;
        commands_.insert(child);
        --about_to_start_;
    }
}

void warden::end_commands() {
    signal_commands(SIGTERM);
    const auto until = std::chrono::steady_clock::now() + grace;
    reap();
    while (!commands_.empty()) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
        if (left <= 0ms)
            break;
        wait(static_cast<int>(left.count()));
    }
    signal_commands(SIGKILL);
}

void warden::signal_commands(int signal) const noexcept {
    MUSTER_ASSERT(agent_ == 0);
    for (const pid_t command : commands_) {
        siginfo_t info{};
        if (::waitid(P_PGID, static_cast<id_t>(command), &info, WEXITED | WNOHANG | WNOWAIT) == 0)
            ::kill(-command, signal);
    }
}

} // namespace

muster::hosts::agent_observer agent_report::observer() {
    muster::hosts::agent_observer o;
    o.started = [to = to_.get()](pid_t number) { tell(to, number); };
    o.ended = [to = to_.get()](pid_t number) { tell(to, -number); };
    o.about_to_start = [to = to_.get()] { tell(to, about_to_start_one); };
    o.not_started = [to = to_.get()] { tell(to, not_started_one); };
    return o;
}

void agent_report::about_to_start() const noexcept { tell(to_.get(), about_to_start_one); }

void agent_report::not_started() const noexcept { tell(to_.get(), not_started_one); }

agent_report watch_over_this_agent() {
    const auto all = signals_of_warden();
    sigset_t before;
    sigprocmask(SIG_BLOCK, &all, &before);
    int ends[2] = {-1, -1};
    if (::pipe2(ends, O_CLOEXEC) != 0)
        fail("a pipe to the warden");
    owned_fd news(ends[0]);
    owned_fd to_warden(ends[1]);
    owned_fd signals(::signalfd(-1, &all, SFD_CLOEXEC));
    if (!signals.is_open())
        fail("the warden's signals");
    // Before there is an agent: whatever that leaves behind is this process's. The agent does not inherit it.
    ::prctl(PR_SET_CHILD_SUBREAPER, 1);
    const pid_t parent = ::getpid();
    const pid_t agent = ::fork();
    if (agent < 0)
        fail("the agent can't be started");
    if (agent == 0) {
        ::prctl(PR_SET_PDEATHSIG, SIGTERM);
        if (::getppid() != parent)
            ::_exit(1);
        sigprocmask(SIG_SETMASK, &before, nullptr);
        return agent_report(std::move(to_warden));
    }
    ::prctl(PR_SET_NAME, "muster-warden");
    to_warden.reset();
    ::close(STDIN_FILENO);
    ::close(STDOUT_FILENO);
    // The connection and whatever else is the agent's is left to it: nothing is flushed or destroyed here.
    ::_exit(warden(agent, std::move(news), std::move(signals)).watch());
}

} // namespace tool
