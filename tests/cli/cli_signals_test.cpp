// SPDX-License-Identifier: MIT
// Signals that do more than end `muster run`, or end it faster: SIGQUIT, SIGTSTP and SIGUSR1; and those of which nobody
// thinks, which end it in order. Random ones are in
// signal_storm.py.
#include "support/cli_program.hpp"

#include <functional>
#include <thread>

namespace {

using namespace cli;

class run_signals : public muster_command {
protected:
    /// *Returns* whether it came true in time.
    static bool comes_true(const std::function<bool()>& condition) {
        for (int i = 0; i != 2000; ++i, std::this_thread::sleep_for(5ms)) {
            if (condition())
                return true;
        }
        return false;
    }
    /// *Returns* the state of a process as /proc has it, 'T' if it is stopped; '-' if there is none.
    static char state_of(pid_t pid) {
        const auto text = read("/proc/" + std::to_string(pid) + "/stat");
        const auto name_end = text.rfind(')');
        return name_end == std::string::npos ? '-' : text.at(name_end + 2);
    }
    /// Waits for the number that a command has written to the file.
    [[nodiscard]] pid_t pid_in(const std::string& name) const {
        std::string text;
        EXPECT_TRUE(comes_true([&] { return (text = read(path(name))).ends_with('\n'); }));
        return text.empty() ? -1 : std::stoi(text);
    }
};

TEST_F(run_signals, sigquit_kills_what_runs_at_once) {
    program p({"run", "--grace", "600s", "sh", "-c",
        "trap '' TERM; echo $$ > " + path("pid") + "; sleep 600 & wait; :", ":::", "a"});
    const auto pid = pid_in("pid");
    p.signal(SIGQUIT);
    EXPECT_EQ(p.wait(), 131) << p.err;
    EXPECT_FALSE(p.was_killed());
    EXPECT_EQ(ledger_of(p.err.substr(p.err.find("1 submitted"))).cancelled, 1u);
    EXPECT_TRUE(comes_true([&] { return state_of(pid) == '-'; }));
}

TEST_F(run_signals, each_signal_that_would_end_it_ends_what_runs_first) {
    for (const int signal : {SIGHUP, SIGUSR2, SIGALRM, SIGVTALRM, SIGPROF, SIGXCPU, SIGIO, SIGPWR, SIGSTKFLT, SIGRTMIN,
             SIGRTMIN + 5, SIGRTMAX}) {
        const auto name = "pid" + std::to_string(signal);
        program p({"run", "--jsonl", path("log" + name), "sh", "-c", "echo $$ > " + path(name) + "; exec sleep 600",
            ":::", "a"});
        const auto pid = pid_in(name);
        p.signal(signal);
        EXPECT_EQ(p.wait(), 128 + signal) << p.err;
        EXPECT_FALSE(p.was_killed()) << signal;
        const auto c = ledger_of(p.err.substr(p.err.find("1 submitted")));
        EXPECT_EQ(c.cancelled, 1u) << signal;
        expect_same(lines_of(read(path("log" + name))), c);
        EXPECT_TRUE(comes_true([&] { return state_of(pid) == '-'; })) << signal;
    }
}

TEST_F(run_signals, sigusr1_says_how_far_it_is_and_ends_nothing) {
    program p({"run", "--limit", "1",
        "echo $$ > " + path("{}") + "; while ! test -e " + path("go") + "; do sleep 0.01; done", ":::", "one", "two"});
    static_cast<void>(pid_in("one"));
    p.signal(SIGUSR1);
    for (int i = 0; i != 1000 && p.err.find("running") == std::string::npos; ++i)
        p.read_error_for(10ms);
    EXPECT_NE(p.err.find("muster: 0/2  0 ok  0 failed  1 running"), std::string::npos) << p.err;
    write("go", "");
    EXPECT_EQ(p.wait(), 0) << p.err;
}

TEST_F(run_signals, sigtstp_stops_what_runs_as_well_and_sigcont_lets_it_go_on) {
    const std::string job =
        "echo $$ > " + path("pid") + "; while ! test -e " + path("go") + "; do sleep 0.01; done; : {}";
    const pid_t muster = ::fork();
    if (muster == 0) {
        // A group of its own, whose parent is in this session: only such a one can be stopped.
        ::setpgid(0, 0);
        ::execl(MUSTER_PROGRAM, "muster", "run", "-q", job.c_str(), ":::", "a", nullptr);
        ::_exit(127);
    }
    const auto pid = pid_in("pid");
    ::kill(muster, SIGTSTP);
    EXPECT_TRUE(comes_true([&] { return state_of(muster) == 'T' && state_of(pid) == 'T'; }));
    ::kill(muster, SIGCONT);
    EXPECT_TRUE(comes_true([&] { return state_of(muster) != 'T' && state_of(pid) != 'T'; }));
    write("go", "");
    int status = -1;
    EXPECT_TRUE(comes_true([&] { return ::waitpid(muster, &status, WNOHANG) == muster; }));
    EXPECT_EQ(status, 0);
    if (status == -1) {
        ::kill(muster, SIGKILL);
        ::waitpid(muster, nullptr, 0);
    }
}

} // namespace
