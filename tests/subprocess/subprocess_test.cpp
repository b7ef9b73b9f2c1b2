// SPDX-License-Identifier: MIT
#include <muster/subprocess.hpp>

#include <muster/gather.hpp>
#include <muster/run.hpp>
#include <muster/sleep.hpp>
#include <muster/task_handle.hpp>
#include <muster/testing/manual_loop.hpp>
#include <muster/timeout.hpp>
#include <muster/to_thread.hpp>

#include <gtest/gtest.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include <fcntl.h>
#include <pty.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/own_resources.hpp"

namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using muster::command;
using muster::completed_process;
using muster::output;
using muster::run_command;
using muster::task;

/// Neither there nor a zombie: what was killed is given a moment to go.
bool is_gone(pid_t pid) {
    for (int i = 0; i < 500; ++i) {
        std::ifstream stat("/proc/" + std::to_string(pid) + "/stat");
        std::string line;
        if (!std::getline(stat, line) || line.find(") Z") != std::string::npos)
            return true;
        ::usleep(10'000);
    }
    return false;
}

/// Descriptors, children and coroutine frames are what they were before.
class subprocess : public ::testing::Test {
protected:
    subprocess() {
        std::string name = (fs::temp_directory_path() / "muster-subprocess-XXXXXX").string();
        if (::mkdtemp(name.data()) == nullptr)
            throw std::system_error(errno, std::generic_category(), "mkdtemp");
        folder_ = name;
        // What a first run leaves open for good.
        muster::run([]() -> task<> { co_return; }());
        frames_ = muster::testing::live_frames();
        children_ = own_resources::children();
        descriptors_ = own_resources::open_descriptors();
    }
    ~subprocess() override {
        EXPECT_EQ(own_resources::open_descriptors(), descriptors_);
        EXPECT_EQ(own_resources::children(), children_);
        EXPECT_EQ(muster::testing::live_frames(), frames_);
        fs::remove_all(folder_);
    }

    [[nodiscard]] std::string path(const std::string& name) const { return (folder_ / name).string(); }
    /// A file that a command writes when it has come so far.
    static task<std::string> appearance_of(std::string file) {
        for (;;) {
            std::ifstream in(file);
            std::string text;
            if (std::getline(in, text) && !in.eof())
                co_return text;
            co_await muster::sleep_for(5ms);
        }
    }

    static task<> end_of(muster::task_handle<completed_process> handle) {
        try {
            static_cast<void>(co_await handle);
        } catch (const muster::cancelled_error&) {}
    }

    fs::path folder_;
    std::size_t children_ = 0;
    std::size_t descriptors_ = 0;
    std::int64_t frames_ = 0;
};

completed_process run_now(command what) { return muster::run(run_command(std::move(what))); }

std::string message_of(command what) {
    try {
        run_now(std::move(what)).throw_if_failed();
    } catch (const std::exception& e) {
        return e.what();
    }
    return "no error";
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

// ---- the ordinary ----

TEST_F(subprocess, a_command_gives_both_outputs_its_status_and_its_figures) {
    const auto done = run_now(command::shell("echo out; echo err >&2; exit 7"));
    EXPECT_EQ(done.out, "out\n");
    EXPECT_EQ(done.err, "err\n");
    EXPECT_EQ(done.out_bytes, 4u);
    EXPECT_EQ(done.err_bytes, 4u);
    EXPECT_EQ(done.status, 7);
    EXPECT_EQ(done.signal, 0);
    EXPECT_FALSE(done.succeeded());
    EXPECT_TRUE(done.output_ended);
    EXPECT_GT(done.pid, 0);
    EXPECT_GT(done.duration.count(), 0);
    EXPECT_GT(done.peak_memory, 0u);
}

TEST_F(subprocess, words_reach_the_program_as_they_are) {
    const auto done = run_now(command("printf", "%s|", "a b", "", "$HOME", "*", "it's", "\xff\n"));
    EXPECT_EQ(done.out, "a b||$HOME|*|it's|\xff\n|");
    EXPECT_EQ(run_now(command({"printf", "%s", "x"})).out, "x");
    EXPECT_EQ(run_now(command(std::vector<std::string>{"printf", "y"})).out, "y");
    EXPECT_EQ(run_now(command("printf").arg("%s").arg("z")).out, "z");
    EXPECT_EQ(run_now(command::shell("printf '%s,' \"$@\"").arg("a;b").arg("$(c)")).out, "a;b,$(c),");
}

TEST_F(subprocess, the_environment_is_added_to_replaced_and_taken_from) {
    ::setenv("MUSTER_TEST_A", "a", 1);
    ::setenv("MUSTER_TEST_B", "b", 1);
    auto show = command::shell("echo \"${MUSTER_TEST_A-none} ${MUSTER_TEST_B-none} ${MUSTER_TEST_C-none}\"");
    EXPECT_EQ(run_now(show).out, "a b none\n");
    EXPECT_EQ(
        run_now(command(show).env("MUSTER_TEST_C", "c=d").env("MUSTER_TEST_A", "x").unset_env("MUSTER_TEST_B")).out,
        "x none c=d\n");
    EXPECT_EQ(run_now(command("/usr/bin/env").clear_env().env("ONLY", "this")).out, "ONLY=this\n");
    EXPECT_EQ(run_now(command("/usr/bin/env").env("ONLY", "this").clear_env()).out, "ONLY=this\n");
    ::unsetenv("MUSTER_TEST_A");
    ::unsetenv("MUSTER_TEST_B");
}

TEST_F(subprocess, a_program_is_looked_for_in_the_path_that_it_is_given) {
    std::ofstream(path("only-here")) << "#!/bin/sh\necho found\n";
    fs::permissions(path("only-here"), fs::perms::owner_all);
    EXPECT_EQ(run_now(command("only-here").env("PATH", "/nowhere:" + folder_.string())).out, "found\n");
    EXPECT_THROW(run_now(command("only-here")), muster::command_not_found_error);
    // An empty entry is the current directory.
    EXPECT_EQ(run_now(command("only-here").env("PATH", ":/nowhere").directory(folder_.string())).out, "found\n");
    EXPECT_EQ(run_now(command("true").clear_env()).status, 0);
}

TEST_F(subprocess, it_runs_in_its_directory) {
    const auto there = fs::canonical(folder_).string();
    EXPECT_EQ(run_now(command("pwd").directory(folder_.string())).out, there + "\n");
    EXPECT_TRUE(contains(message_of(command("pwd").directory("/no/such")), "the directory /no/such can't be entered"));
}

TEST_F(subprocess, standard_input_is_a_file_that_each_command_reads_from_its_beginning) {
    const auto what = command::shell("read line; echo \"$line\"").stdin_file("/proc/filesystems");
    const auto once = run_now(what).out;
    EXPECT_NE(once, "");
    EXPECT_EQ(run_now(what).out, once);
    EXPECT_THROW(static_cast<void>(run_now(command("cat").stdin_file("/no/such/file"))), muster::spawn_error);
}

TEST_F(subprocess, standard_input_is_empty_unless_it_is_given) {
    EXPECT_EQ(run_now(command("cat")).out, "");
    EXPECT_EQ(run_now(command("cat").stdin_bytes("hello")).out, "hello");
    EXPECT_EQ(run_now(command("cat").stdin_bytes("")).out, "");
}

TEST_F(subprocess, standard_error_may_go_where_standard_output_goes) {
    const auto done = run_now(command::shell("echo 1; echo 2 >&2; echo 3").merge_stderr());
    EXPECT_EQ(done.out, "1\n2\n3\n");
    EXPECT_EQ(done.err, "");
}

TEST_F(subprocess, what_is_discarded_or_inherited_is_not_captured) {
    const auto done = run_now(command::shell("echo 1; echo 2 >&2").stdout_to(output::discard));
    EXPECT_EQ(done.out, "");
    EXPECT_EQ(done.err, "2\n");
    const int before = ::dup(1);
    const int file = ::open(path("out").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    ::dup2(file, 1);
    EXPECT_EQ(run_now(command("echo", "inherited").stdout_to(output::inherit)).out, "");
    ::dup2(before, 1);
    ::close(before);
    ::close(file);
    std::ifstream in(path("out"));
    std::string line;
    std::getline(in, line);
    EXPECT_EQ(line, "inherited");
}

TEST_F(subprocess, a_sink_gets_the_output_as_it_comes) {
    std::string got;
    std::size_t pieces = 0;
    const auto done = run_now(command::shell("seq 1 100000").stdout_to([&](std::string_view piece) {
        got += piece;
        ++pieces;
    }));
    EXPECT_EQ(done.out, "");
    EXPECT_EQ(done.out_bytes, got.size());
    EXPECT_EQ(got.size(), 588'895u);
    EXPECT_GT(pieces, 1u);
}

// ---- errors ----

TEST_F(subprocess, a_command_that_is_not_there_is_an_error_of_its_own) {
    try {
        run_now(command("no-such-command-here", "x"));
        FAIL();
    } catch (const muster::command_not_found_error& e) {
        EXPECT_EQ(e.program(), "no-such-command-here");
        EXPECT_EQ(e.code(), std::errc::no_such_file_or_directory);
        EXPECT_TRUE(contains(e.what(), "there is no such command in PATH")) << e.what();
    }
    EXPECT_THROW(run_now(command("/no/such/program")), muster::command_not_found_error);
    EXPECT_THROW(run_now(command("/etc/passwd/x")), muster::command_not_found_error);
}

TEST_F(subprocess, what_can_not_be_executed_is_a_spawn_error_that_says_why) {
    EXPECT_TRUE(contains(message_of(command(folder_.string())), "may not be executed"));
    std::ofstream(path("text")) << "just text\n";
    fs::permissions(path("text"), fs::perms::owner_all);
    EXPECT_TRUE(contains(message_of(command(path("text"))), "lack its #! line"));
    std::ofstream(path("script")) << "#!/no/interpreter\n";
    fs::permissions(path("script"), fs::perms::owner_all);
    EXPECT_TRUE(contains(message_of(command(path("script"))), "interpreter"));
    EXPECT_TRUE(contains(message_of(command("true", std::string(1 << 20, 'x'))), "too long"));
    try {
        run_now(command(path("text")));
        FAIL();
    } catch (const std::system_error& e) {
        EXPECT_EQ(e.code(), std::errc::executable_format_error);
    }
}

TEST_F(subprocess, a_nul_or_a_bad_name_is_refused_where_it_is_written) {
    const std::string nul("a\0b", 3);
    EXPECT_THROW(command("echo", nul), std::invalid_argument);
    EXPECT_THROW(command{nul}, std::invalid_argument);
    EXPECT_THROW(command(""), std::invalid_argument);
    EXPECT_THROW(command(std::vector<std::string>()), std::invalid_argument);
    EXPECT_THROW(command("x").arg(nul), std::invalid_argument);
    EXPECT_THROW(command("x").env("A", nul), std::invalid_argument);
    EXPECT_THROW(command("x").env(nul, "v"), std::invalid_argument);
    EXPECT_THROW(command("x").env("A=B", "v"), std::invalid_argument);
    EXPECT_THROW(command("x").env("", "v"), std::invalid_argument);
    EXPECT_THROW(command("x").directory(nul), std::invalid_argument);
    EXPECT_THROW(command("x").directory(""), std::invalid_argument);
    EXPECT_THROW(command("x").grace(-1s), std::invalid_argument);
    EXPECT_THROW(command("x").linger(-1s), std::invalid_argument);
}

TEST_F(subprocess, an_exit_status_is_an_error_only_when_asked) {
    const auto done = run_now(command::shell("echo first >&2; echo last words >&2; exit 3"));
    try {
        done.throw_if_failed();
        FAIL();
    } catch (const muster::process_error& e) {
        const auto& exit = dynamic_cast<const muster::exit_error&>(e);
        EXPECT_EQ(exit.status(), 3);
        EXPECT_EQ(e.error_output(), "first\nlast words\n");
        EXPECT_TRUE(contains(e.what(), "exit status 3: last words")) << e.what();
    }
    EXPECT_NO_THROW(run_now(command("true")).throw_if_failed());
}

TEST_F(subprocess, only_the_tail_of_standard_error_goes_along_with_an_error) {
    try {
        run_now(command::shell("seq 1 100000 >&2; exit 1")).throw_if_failed();
        FAIL();
    } catch (const muster::exit_error& e) {
        EXPECT_LE(e.error_output().size(), 4096u);
        EXPECT_TRUE(e.error_output().ends_with("\n99999\n100000\n"));
    }
}

TEST_F(subprocess, a_signal_that_ends_it_is_named) {
    const auto done = run_now(command::shell("kill -SEGV $$"));
    EXPECT_EQ(done.status, -1);
    EXPECT_EQ(done.signal, SIGSEGV);
    try {
        done.throw_if_failed();
        FAIL();
    } catch (const muster::signal_error& e) {
        EXPECT_EQ(e.signal(), SIGSEGV);
        EXPECT_TRUE(contains(e.what(), "SIGSEGV")) << e.what();
    }
    EXPECT_EQ(muster::signal_name(SIGTERM), "SIGTERM");
    EXPECT_EQ(muster::signal_name(SIGRTMIN + 1), "SIGRTMIN+1");
    EXPECT_EQ(muster::signal_name(999), "signal 999");
}

TEST_F(subprocess, without_descriptors_it_fails_and_leaves_none) {
    rlimit before{};
    ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
    const rlimit few{100, before.rlim_max};
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &few), 0);
    // With each number of descriptors that might just be enough.
    std::vector<std::string> errors;
    for (int spare = 0; spare < 12; ++spare) {
        auto attempt = [&]() -> task<> {
            std::vector<int> held;
            for (int fd = ::open("/dev/null", O_RDONLY | O_CLOEXEC); fd >= 0;
                 fd = ::open("/dev/null", O_RDONLY | O_CLOEXEC))
                held.push_back(fd);
            for (int i = 0; i < spare && !held.empty(); ++i) {
                ::close(held.back());
                held.pop_back();
            }
            auto running = run_command(command("echo", "x"));
            auto ended = co_await muster::as_outcome(std::move(running));
            for (const int fd : held)
                ::close(fd);
            if (!ended.failed_with<std::system_error>())
                errors.push_back(ended.succeeded() ? ended.value().out : "another error");
        };
        muster::run(attempt());
    }
    ::setrlimit(RLIMIT_NOFILE, &before);
    ASSERT_FALSE(errors.empty());
    for (const auto& e : errors)
        EXPECT_EQ(e, "x\n");
    EXPECT_LT(errors.size(), 12u);
}

// ---- streams that are large, closed, or held open ----

TEST_F(subprocess, input_and_outputs_larger_than_a_pipe_flow_at_the_same_time) {
    std::string much(3'000'000, 'x');
    for (std::size_t i = 0; i < much.size(); i += 101)
        much[i] = '\n';
    const auto done = run_now(command::shell("tee /dev/stderr").stdin_bytes(much));
    EXPECT_TRUE(done.out == much);
    EXPECT_TRUE(done.err == much);
}

TEST_F(subprocess, a_process_that_closes_its_input_early_is_no_failure) {
    const auto done =
        run_now(command::shell("exec 0<&-; sleep 0.1; echo done").stdin_bytes(std::string(3'000'000, 'x')));
    EXPECT_EQ(done.out, "done\n");
    EXPECT_EQ(done.status, 0);
    EXPECT_EQ(run_now(command("true").stdin_bytes(std::string(3'000'000, 'x'))).status, 0);
}

TEST_F(subprocess, it_starts_with_the_usual_signals_whatever_this_program_does_with_its_own) {
    struct sigaction ignore {};
    struct sigaction handler {};
    struct sigaction before_pipe {};
    struct sigaction before_usr1 {};
    ignore.sa_handler = SIG_IGN;
    handler.sa_handler = [](int) {};
    ::sigaction(SIGPIPE, &ignore, &before_pipe);
    ::sigaction(SIGUSR1, &handler, &before_usr1);
    sigset_t term;
    sigset_t before;
    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &term, &before);
    const auto done = run_now(command("grep", "-E", "^Sig(Blk|Ign|Cgt)", "/proc/self/status"));
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    ::sigaction(SIGPIPE, &before_pipe, nullptr);
    ::sigaction(SIGUSR1, &before_usr1, nullptr);
    std::istringstream lines(done.out);
    std::string name;
    std::string mask;
    while (lines >> name >> mask) {
        const auto bits = std::stoull(mask, nullptr, 16);
        EXPECT_EQ(bits & (1ull << (SIGPIPE - 1)), 0u) << name;
        EXPECT_EQ(bits & (1ull << (SIGUSR1 - 1)), 0u) << name;
        EXPECT_EQ(bits & (1ull << (SIGTERM - 1)), 0u) << name;
    }
    // And the program's own handlers are where they were.
    ::sigaction(SIGUSR1, nullptr, &handler);
    EXPECT_EQ(handler.sa_handler, before_usr1.sa_handler);
}

TEST_F(subprocess, it_inherits_none_of_this_programs_descriptors) {
    const int leaky = ::open("/dev/null", O_RDONLY); // on purpose without O_CLOEXEC
    const auto done = run_now(command("ls", "/proc/self/fd"));
    ::close(leaky);
    // The fourth is the directory that ls reads.
    EXPECT_EQ(done.out, "0\n1\n2\n3\n");
}

TEST_F(subprocess, it_runs_where_the_standard_descriptors_are_closed) {
    completed_process done;
    completed_process nothing;
    // The loop is there first: libuv does not want a descriptor with such a number itself.
    auto body = [&]() -> task<> {
        int saved[3];
        for (int fd = 0; fd < 3; ++fd)
            saved[fd] = ::fcntl(fd, F_DUPFD_CLOEXEC, 10);
        for (int fd = 0; fd < 3; ++fd)
            ::close(fd);
        auto first = run_command(command::shell("cat; echo err >&2").stdin_bytes("in"));
        auto a = co_await muster::as_outcome(std::move(first));
        auto second = run_command(command("true").stdout_to(output::inherit).stderr_to(output::discard));
        auto b = co_await muster::as_outcome(std::move(second));
        for (int fd = 0; fd < 3; ++fd) {
            ::dup2(saved[fd], fd);
            ::close(saved[fd]);
        }
        done = a.value();
        nothing = b.value();
    };
    muster::run(body());
    EXPECT_EQ(done.out, "in");
    EXPECT_EQ(done.err, "err\n");
    EXPECT_EQ(nothing.status, 0);
}

TEST_F(subprocess, what_it_leaves_behind_does_not_keep_it_from_ending) {
    const auto done = run_now(command::shell("sleep 1000 & echo $!"));
    EXPECT_EQ(done.status, 0);
    EXPECT_FALSE(done.output_ended);
    const auto pid = static_cast<pid_t>(std::stol(done.out));
    EXPECT_EQ(::kill(pid, 0), 0); // a daemon may live on
    ::kill(pid, SIGKILL);
    EXPECT_TRUE(is_gone(pid));
}

TEST_F(subprocess, it_lingers_for_the_output_of_what_it_left_behind_if_asked) {
    const auto done = run_now(command::shell("(sleep 0.1; echo late) & echo early").linger(60s));
    EXPECT_EQ(done.out, "early\nlate\n");
    EXPECT_TRUE(done.output_ended);
    const auto cut = run_now(command::shell("sleep 1000 & echo $!").linger(20ms));
    EXPECT_FALSE(cut.output_ended);
    ::kill(static_cast<pid_t>(std::stol(cut.out)), SIGKILL);
}

TEST_F(subprocess, more_than_the_limit_ends_it) {
    try {
        run_now(command("yes").output_limit(100'000));
        FAIL();
    } catch (const muster::output_limit_error& e) {
        EXPECT_EQ(e.limit(), 100'000u);
        EXPECT_TRUE(contains(e.what(), "output_limit")) << e.what();
    }
    EXPECT_EQ(run_now(command("head", "-c", "100000", "/dev/zero").output_limit(100'000)).out.size(), 100'000u);
    EXPECT_EQ(run_now(command("head", "-c", "10", "/dev/zero").output_limit(command::no_limit)).out.size(), 10u);
}

TEST_F(subprocess, the_tail_is_kept_of_any_amount) {
    const auto done = run_now(command::shell("seq 1 1000000; echo end").keep_tail(11));
    EXPECT_EQ(done.out, "000000\nend\n");
    EXPECT_EQ(done.out_bytes, 6'888'900u);
    EXPECT_EQ(run_now(command("echo", "x").keep_tail(0)).out, "");
    EXPECT_EQ(run_now(command::shell("seq 1 100000").keep_tail(command::no_limit)).out.size(), 588'895u);
    EXPECT_EQ(run_now(command::shell("seq 1 100000").keep_tail(500'000)).out.size(), 500'000u);
}

TEST_F(subprocess, what_a_sink_throws_ends_it_and_is_thrown) {
    auto sink = [](std::string_view) { throw std::logic_error("enough"); };
    EXPECT_EQ(message_of(command("yes").stdout_to(sink)), "enough");
    // Even one that ignores SIGTERM.
    auto stubborn = command::shell("trap '' TERM; echo x; while :; do sleep 1; done").stdout_to(sink).grace(50ms);
    EXPECT_EQ(message_of(std::move(stubborn)), "enough");
}

// ---- cancellation ----

TEST_F(subprocess, a_time_limit_ends_it_with_sigterm) {
    const auto log = path("log");
    auto body = [&]() -> task<> {
        auto what =
            command::shell("trap 'echo term > \"$1\"; exit 0' TERM; echo ready > \"$1\"; while :; do sleep 0.01; done")
                .arg(log);
        auto running = run_command(std::move(what));
        auto handle = muster::create_task(std::move(running));
        auto ready = appearance_of(log);
        static_cast<void>(co_await std::move(ready));
        auto waiting = muster::wait_for(std::move(handle), 1ms);
        auto ended = co_await muster::as_outcome(muster::task<completed_process>(std::move(waiting)));
        EXPECT_TRUE(ended.failed_with<muster::timeout_error>());
    };
    muster::run(body());
    std::ifstream in(log);
    std::string line;
    std::getline(in, line);
    EXPECT_EQ(line, "term");
}

TEST_F(subprocess, cancelling_kills_what_ignores_sigterm_once_the_grace_is_over) {
    const auto file = path("pid");
    auto body = [&]() -> task<> {
        auto what =
            command::shell("trap '' TERM; echo $$ > \"$1\"; while :; do sleep 0.01; done").arg(file).grace(50ms);
        auto running = run_command(std::move(what));
        auto handle = muster::create_task(std::move(running));
        auto ready = appearance_of(file);
        const auto text = co_await std::move(ready);
        const auto pid = static_cast<pid_t>(std::stol(text));
        handle.cancel("enough");
        co_await end_of(handle);
        EXPECT_TRUE(handle.cancelled());
        EXPECT_EQ(::kill(pid, 0), -1);
    };
    muster::run(body());
}

TEST_F(subprocess, cancelling_reaches_what_it_started) {
    const auto file = path("pid");
    auto body = [&]() -> task<> {
        auto what = command::shell("sleep 1000 & echo $! > \"$1\"; wait").arg(file);
        auto running = run_command(std::move(what));
        auto handle = muster::create_task(std::move(running));
        auto ready = appearance_of(file);
        const auto text = co_await std::move(ready);
        const auto pid = static_cast<pid_t>(std::stol(text));
        handle.cancel();
        co_await end_of(handle);
        EXPECT_TRUE(is_gone(pid));
    };
    muster::run(body());
}

TEST_F(subprocess, a_grandchild_that_ignores_sigterm_is_killed_as_well) {
    const auto file = path("pid");
    auto body = [&]() -> task<> {
        auto what =
            command::shell("sh -c 'trap \"\" TERM; echo $$ > \"$1\"; while :; do sleep 0.01; done' sh \"$1\" & wait")
                .arg(file)
                .grace(100ms);
        auto running = run_command(std::move(what));
        auto handle = muster::create_task(std::move(running));
        auto ready = appearance_of(file);
        const auto text = co_await std::move(ready);
        const auto pid = static_cast<pid_t>(std::stol(text));
        handle.cancel();
        co_await end_of(handle);
        EXPECT_TRUE(is_gone(pid));
    };
    muster::run(body());
}

TEST_F(subprocess, a_grandchild_that_cleans_up_is_given_the_time) {
    const auto file = path("pid");
    const auto clean = path("clean");
    auto body = [&]() -> task<> {
        auto what = command::shell("sh -c 'trap \"sleep 0.2; echo x > $2; exit\" TERM; echo $$ > \"$1\"; "
                                   "while :; do sleep 0.01; done' sh \"$1\" \"$2\" & wait")
                        .arg(file)
                        .arg(clean)
                        .grace(60s);
        auto running = run_command(std::move(what));
        auto handle = muster::create_task(std::move(running));
        auto ready = appearance_of(file);
        static_cast<void>(co_await std::move(ready));
        handle.cancel();
        co_await end_of(handle);
        EXPECT_TRUE(fs::exists(clean));
    };
    muster::run(body());
}

TEST_F(subprocess, a_stopped_process_is_ended_by_a_cancellation) {
    const auto file = path("pid");
    auto body = [&]() -> task<> {
        auto what = command::shell("echo $$ > \"$1\"; kill -STOP $$").arg(file).grace(60s);
        auto running = run_command(std::move(what));
        auto handle = muster::create_task(std::move(running));
        auto ready = appearance_of(file);
        static_cast<void>(co_await std::move(ready));
        co_await muster::sleep_for(20ms);
        handle.cancel();
        co_await end_of(handle);
        EXPECT_TRUE(handle.cancelled());
    };
    muster::run(body());
}

TEST_F(subprocess, cancelled_before_it_was_started_it_never_runs) {
    const auto file = path("made");
    auto body = [&]() -> task<> {
        auto running = run_command(command("touch", file));
        auto handle = muster::create_task(std::move(running));
        handle.cancel();
        co_await end_of(handle);
        EXPECT_TRUE(handle.cancelled());
    };
    muster::run(body());
    EXPECT_FALSE(fs::exists(file));
}

TEST_F(subprocess, a_cancellation_while_it_lingers_ends_the_wait) {
    auto body = [&]() -> task<> {
        std::string pid;
        auto sink = [&](std::string_view piece) { pid += piece; };
        auto what = command::shell("sleep 1000 & echo $!").stdout_to(sink).linger(600s);
        auto running = run_command(std::move(what));
        auto waiting = muster::wait_for(std::move(running), 300ms);
        auto ended = co_await muster::as_outcome(muster::task<completed_process>(std::move(waiting)));
        EXPECT_TRUE(ended.failed_with<muster::timeout_error>());
        ::kill(static_cast<pid_t>(std::stol(pid)), SIGKILL);
    };
    muster::run(body());
}

TEST_F(subprocess, when_its_loop_ends_it_is_killed_and_reaped) {
    const auto file = path("pid");
    auto never = [&]() -> task<> {
        auto what =
            command::shell("trap '' TERM; echo $$ > \"$1\"; while :; do sleep 0.01; done").arg(file).grace(600s);
        static_cast<void>(co_await run_command(std::move(what)));
    };
    auto body = [&]() -> task<> {
        muster::create_task(never(), "never");
        auto ready = appearance_of(file);
        static_cast<void>(co_await std::move(ready));
    };
    std::size_t reports = 0;
    muster::run(body(), muster::run_options().grace(20ms).on_report([&](const muster::report&) { ++reports; }));
    EXPECT_GE(reports, 1u);
    std::ifstream in(file);
    pid_t pid = 0;
    in >> pid;
    EXPECT_TRUE(is_gone(pid));
}

TEST_F(subprocess, many_run_at_once_and_one_failure_cancels_the_others) {
    auto body = [&]() -> task<> {
        std::vector<task<completed_process>> all;
        for (int i = 0; i < 50; ++i)
            all.push_back(run_command(command("echo", std::to_string(i))));
        auto gathering = muster::gather(std::move(all));
        auto done = co_await std::move(gathering);
        for (std::size_t i = 0; i < done.size(); ++i)
            EXPECT_EQ(done[i].out, std::to_string(i) + "\n");
        auto failing = muster::gather(run_command(command("sleep", "1000")), run_command(command("no-such-command")));
        auto ended = co_await muster::as_outcome(
            [](auto g) -> task<> { static_cast<void>(co_await std::move(g)); }(std::move(failing)));
        EXPECT_TRUE(ended.failed_with<muster::command_not_found_error>());
    };
    muster::run(body());
}

TEST_F(subprocess, a_loop_without_io_is_refused) {
    muster::testing::manual_loop loop;
    EXPECT_THROW(loop.run(run_command(command("true"))), muster::invalid_state_error);
}

TEST_F(subprocess, what_belongs_to_the_other_form_is_refused) {
    EXPECT_THROW(run_now(command("cat").stdin_pipe()), std::invalid_argument);
    EXPECT_THROW(static_cast<void>(muster::start_process(command("cat").stdin_bytes("x"))), std::invalid_argument);
    EXPECT_THROW(static_cast<void>(muster::start_process(command("cat").keep_tail(10))), std::invalid_argument);
    EXPECT_THROW(static_cast<void>(muster::start_process(command("cat").linger(1s))), std::invalid_argument);
    EXPECT_THROW(static_cast<void>(muster::start_process(command("cat").stdout_to([](std::string_view) {}))),
        std::invalid_argument);
}

TEST_F(subprocess, an_end_that_somebody_else_took_is_an_error_and_no_hang) {
    struct sigaction ignore {};
    struct sigaction before {};
    ignore.sa_handler = SIG_IGN;
    ::sigaction(SIGCHLD, &ignore, &before);
    const auto message = message_of(command("true"));
    ::sigaction(SIGCHLD, &before, nullptr);
    EXPECT_TRUE(contains(message, "SIGCHLD")) << message;
}

TEST_F(subprocess, a_process_that_reads_the_terminal_stays_in_its_callers_group) {
    int main_end = -1;
    int terminal = -1;
    if (::openpty(&main_end, &terminal, nullptr, nullptr, nullptr) != 0)
        GTEST_SKIP() << "no pseudo-terminals on this machine";
    const int before = ::fcntl(0, F_DUPFD_CLOEXEC, 10);
    ::dup2(terminal, 0);
    const auto inside =
        run_now(command::shell("ps -o pgid= -p $$ 2>/dev/null || cut -d' ' -f5 /proc/$$/stat").stdin_inherit());
    ::dup2(before, 0);
    ::close(before);
    ::close(main_end);
    ::close(terminal);
    EXPECT_EQ(std::stol(inside.out), static_cast<long>(::getpgrp()));
    const auto outside = run_now(command::shell("echo $$; cut -d' ' -f5 /proc/$$/stat"));
    long pid = 0;
    long group = 0;
    std::istringstream(outside.out) >> pid >> group;
    EXPECT_EQ(pid, group);
}

TEST_F(subprocess, a_command_in_a_session_of_its_own_has_no_terminal_and_is_ended_with_its_group) {
    const auto inside = run_now(command::shell("echo $$; cut -d' ' -f5,6,7 /proc/$$/stat").new_session());
    long pid = 0;
    long group = 0;
    long session = 0;
    long terminal = -1;
    std::istringstream(inside.out) >> pid >> group >> session >> terminal;
    EXPECT_EQ(pid, group);
    EXPECT_EQ(pid, session);
    EXPECT_EQ(terminal, 0);
    auto body = []() -> task<> {
        auto running = muster::run_command(command::shell("sleep 71.25 & wait").new_session());
        auto in_time = muster::wait_for(std::move(running), 100ms);
        auto ended = co_await muster::as_outcome(std::move(in_time));
        EXPECT_TRUE(ended.failed_with<muster::timeout_error>()) << muster::to_string(ended);
    };
    muster::run(body());
    EXPECT_NE(run_now(command::shell("pgrep -f '^sleep 71[.]25$'")).status, 0);
}

// ---- a running process ----

TEST_F(subprocess, a_running_process_is_talked_to_line_by_line) {
    auto body = [&]() -> task<> {
        auto p = muster::start_process(
            command::shell("while read -r x; do echo \"got $x\"; done; echo bye; exit 4").stdin_pipe());
        co_await p.input().write("one\n");
        auto first = co_await p.output().read_line();
        EXPECT_EQ(first, "got one");
        co_await p.input().write("two\nthree\n");
        auto second = co_await p.output().read_line();
        EXPECT_EQ(second, "got two");
        p.input().close();
        auto rest = co_await p.output().read_all();
        EXPECT_EQ(rest, "got three\nbye\n");
        auto none = co_await p.output().read_line();
        EXPECT_FALSE(none.has_value());
        auto done = co_await p.wait();
        EXPECT_EQ(done.status, 4);
        EXPECT_EQ(done.pid, p.pid());
        EXPECT_FALSE(p.send_signal(SIGTERM));
        EXPECT_FALSE(p.kill());
        auto again = co_await p.wait();
        EXPECT_EQ(again.status, 4);
    };
    muster::run(body());
}

TEST_F(subprocess, pieces_lines_and_the_end_are_read_as_asked) {
    auto body = [&]() -> task<> {
        auto p = muster::start_process(command("printf", "abc\n\ndef\nlast").stderr_to(output::discard));
        auto piece = co_await p.output().read_some(2);
        EXPECT_EQ(piece, "ab");
        auto line = co_await p.output().read_line();
        EXPECT_EQ(line, "c");
        line = co_await p.output().read_line();
        EXPECT_EQ(line, "");
        line = co_await p.output().read_line();
        EXPECT_EQ(line, "def");
        line = co_await p.output().read_line();
        EXPECT_EQ(line, "last");
        piece = co_await p.output().read_some();
        EXPECT_EQ(piece, "");
        EXPECT_THROW(static_cast<void>(p.errors()), muster::invalid_state_error);
        EXPECT_THROW(static_cast<void>(p.input()), muster::invalid_state_error);
        static_cast<void>(co_await p.wait());
    };
    muster::run(body());
}

TEST_F(subprocess, a_line_that_is_too_long_is_an_error) {
    auto body = [&]() -> task<> {
        auto p = muster::start_process(command("head", "-c", "1000000", "/dev/zero"));
        auto reading = p.output().read_line(1000);
        auto ended = co_await muster::as_outcome(std::move(reading));
        EXPECT_TRUE(ended.failed_with<muster::io::limit_error>());
        auto all = p.output().read_all(1000);
        auto also = co_await muster::as_outcome(std::move(all));
        EXPECT_TRUE(also.failed_with<muster::io::limit_error>());
    };
    muster::run(body());
}

TEST_F(subprocess, writing_to_a_process_that_does_not_read_is_an_error_and_no_signal) {
    auto body = [&]() -> task<> {
        auto p = muster::start_process(command("true").stdin_pipe());
        static_cast<void>(co_await p.wait());
        auto writing = p.input().write("x");
        auto ended = co_await muster::as_outcome(std::move(writing));
        EXPECT_TRUE(ended.failed_with<std::system_error>());
        const auto* e = ended.error_as<std::system_error>();
        EXPECT_TRUE(e != nullptr && e->code() == std::errc::broken_pipe);
        p.input().close();
        auto closed = p.input().write("x");
        auto too = co_await muster::as_outcome(std::move(closed));
        EXPECT_TRUE(too.failed_with<std::system_error>());
    };
    muster::run(body());
}

TEST_F(subprocess, reading_writing_and_waiting_are_cancelled_without_loss) {
    auto body = [&]() -> task<> {
        auto p = muster::start_process(command("cat").stdin_pipe());
        auto reading = p.output().read_line();
        auto limited = muster::wait_for(std::move(reading), 20ms);
        auto read = co_await muster::as_outcome(task<std::optional<std::string>>(std::move(limited)));
        EXPECT_TRUE(read.failed_with<muster::timeout_error>());
        auto waiting = muster::wait_for(p.wait(), 20ms);
        auto waited = co_await muster::as_outcome(task<completed_process>(std::move(waiting)));
        EXPECT_TRUE(waited.failed_with<muster::timeout_error>());
        auto writing = muster::wait_for(p.input().write(std::string(1'000'000, 'x')), 20ms);
        auto written = co_await muster::as_outcome(task<>(std::move(writing)));
        EXPECT_TRUE(written.failed_with<muster::timeout_error>());
        p.input().close();
        auto all = co_await p.output().read_all();
        EXPECT_GT(all.size(), 0u);
        EXPECT_LT(all.size(), 1'000'000u);
        auto done = co_await p.wait();
        EXPECT_EQ(done.status, 0);
    };
    muster::run(body());
}

TEST_F(subprocess, several_may_wait_for_one_end_and_one_may_read_at_a_time) {
    auto body = [&]() -> task<> {
        auto p = muster::start_process(command("cat").stdin_pipe());
        auto first = muster::create_task(p.wait());
        auto second = muster::create_task(p.wait());
        auto reader = muster::create_task(p.output().read_line());
        co_await muster::sleep_for(10ms);
        auto reading = p.output().read_some();
        auto refused = co_await muster::as_outcome(std::move(reading));
        EXPECT_TRUE(refused.failed_with<muster::invalid_state_error>());
        p.input().close();
        const auto& a = co_await first;
        EXPECT_EQ(a.status, 0);
        const auto& b = co_await second;
        EXPECT_EQ(b.status, 0);
        const auto& line = co_await reader;
        EXPECT_FALSE(line.has_value());
    };
    muster::run(body());
}

TEST_F(subprocess, terminate_is_polite_first_and_reads_what_keeps_it_from_ending) {
    auto body = [&]() -> task<> {
        // On SIGTERM it writes more than a pipe holds before it exits.
        auto p = muster::start_process(
            command::shell("trap 'seq 1 100000; exit 5' TERM; echo ready; while :; do sleep 0.01; done").grace(60s));
        auto ready = co_await p.output().read_line();
        EXPECT_EQ(ready, "ready");
        auto done = co_await p.terminate();
        EXPECT_EQ(done.status, 5);
        auto again = co_await p.terminate();
        EXPECT_EQ(again.status, 5);
    };
    muster::run(body());
}

TEST_F(subprocess, terminate_kills_what_does_not_listen_while_others_wait) {
    auto body = [&]() -> task<> {
        auto p =
            muster::start_process(command::shell("trap '' TERM; echo ready; while :; do sleep 0.01; done").grace(50ms));
        static_cast<void>(co_await p.output().read_line());
        auto waiter = muster::create_task(p.wait());
        auto ender = muster::create_task(p.terminate());
        auto done = co_await p.terminate();
        EXPECT_EQ(done.signal, SIGKILL);
        const auto& same = co_await waiter;
        EXPECT_EQ(same.signal, SIGKILL);
        const auto& also = co_await ender;
        EXPECT_EQ(also.signal, SIGKILL);
    };
    muster::run(body());
}

TEST_F(subprocess, a_signal_goes_to_the_process) {
    auto body = [&]() -> task<> {
        auto p = muster::start_process(command("sleep", "1000"));
        EXPECT_TRUE(p.send_signal(SIGINT));
        auto done = co_await p.wait();
        EXPECT_EQ(done.signal, SIGINT);
    };
    muster::run(body());
}

TEST_F(subprocess, dropping_a_process_kills_its_group) {
    pid_t pid = 0;
    pid_t grandchild = 0;
    auto body = [&]() -> task<> {
        auto p = muster::start_process(command::shell("trap '' TERM; sleep 1000 & echo $!; wait; wait"));
        auto line = co_await p.output().read_line();
        grandchild = static_cast<pid_t>(std::stol(line.value()));
        pid = p.pid();
        auto other = muster::start_process(command("sleep", "1000"));
        p = std::move(other);
        EXPECT_TRUE(is_gone(pid));
    };
    muster::run(body());
    EXPECT_TRUE(is_gone(grandchild));
}

TEST_F(subprocess, dropping_a_process_ends_what_reads_writes_and_waits) {
    const auto is_cancelled = [](const auto& ended) {
        const auto* e = ended.template error_as<std::system_error>();
        return e != nullptr && e->code() == std::errc::operation_canceled;
    };
    auto body = [&]() -> task<> {
        // Dropped while it is waited for, replaced, and dropped while it is ended.
        for (const int how : {0, 1, 2}) {
            std::optional<muster::process> p(muster::start_process(command::shell("exec sleep 1000").stdin_pipe()));
            auto reading = muster::create_task(p->output().read_line());
            auto writing = muster::create_task(p->input().write(std::string(1'000'000, 'x')));
            auto waiting = muster::create_task(p->wait());
            co_await muster::sleep_for(5ms);
            std::vector<muster::task_handle<completed_process>> ending;
            if (how == 2) {
                ending.push_back(muster::create_task(p->terminate()));
                co_await muster::yield();
            }
            if (how == 1)
                *p = muster::start_process(command("true"));
            p.reset();
            auto settling = muster::settle(std::move(reading), std::move(writing), std::move(waiting));
            auto all = co_await std::move(settling);
            EXPECT_TRUE(is_cancelled(all.get<0>()));
            EXPECT_TRUE(is_cancelled(all.get<1>()));
            // Its end is known: it was killed.
            EXPECT_TRUE(all.get<2>().succeeded() && all.get<2>().value().signal != 0);
            auto ended = co_await muster::settle(std::move(ending));
            EXPECT_TRUE(ended.all_succeeded());
        }
    };
    muster::run(body());
}

TEST_F(subprocess, a_process_that_was_moved_from_refuses_everything) {
    auto body = [&]() -> task<> {
        auto p = muster::start_process(command("true"));
        auto q = std::move(p);
        EXPECT_EQ(p.pid(), -1);
        EXPECT_FALSE(p.kill());
        EXPECT_FALSE(p.send_signal(SIGTERM));
        EXPECT_THROW(static_cast<void>(p.input()), muster::invalid_state_error);
        EXPECT_THROW(static_cast<void>(p.output()), muster::invalid_state_error);
        EXPECT_THROW(static_cast<void>(p.errors()), muster::invalid_state_error);
        auto waiting = co_await muster::as_outcome(p.wait());
        EXPECT_TRUE(waiting.failed_with<muster::invalid_state_error>());
        auto ending = co_await muster::as_outcome(p.terminate());
        EXPECT_TRUE(ending.failed_with<muster::invalid_state_error>());
        auto ended = co_await q.wait();
        EXPECT_EQ(ended.status, 0);
        p = std::move(q);
        auto again = co_await p.wait();
        EXPECT_EQ(again.status, 0);
    };
    muster::run(body());
}

TEST_F(subprocess, a_process_outlives_its_loop_and_goes_on_in_the_next) {
    auto start = []() -> task<muster::process> {
        auto p = muster::start_process(command("cat").stdin_pipe());
        co_await p.input().write("hello\n");
        co_return p;
    };
    auto p = muster::run(start());
    auto finish = [&]() -> task<> {
        auto line = co_await p.output().read_line();
        EXPECT_EQ(line, "hello");
        p.input().close();
        auto done = co_await p.wait();
        EXPECT_EQ(done.status, 0);
    };
    muster::run(finish());
    // And one that nobody waits for is ended with its object.
    auto left = muster::run(start());
}

TEST_F(subprocess, every_call_on_another_thread_is_refused_while_a_task_waits_for_the_end) {
    auto body = [&]() -> task<> {
        auto p = muster::start_process(command("cat").stdin_pipe());
        auto waiting = muster::create_task(p.wait());
        co_await muster::sleep_for(0s);
        const auto refused = [](auto call) {
            try {
                call();
            } catch (const muster::invalid_state_error& e) {
                return std::string(e.what()).find("loop_handle::post") != std::string::npos;
            }
            return false;
        };
        const auto refused_task = [&refused](auto call) {
            return refused([&call] { static_cast<void>(muster::run(call())); });
        };
        auto on_thread = [&]() {
            EXPECT_TRUE(refused([&p] { static_cast<void>(p.kill()); }));
            EXPECT_TRUE(refused([&p] { static_cast<void>(p.send_signal(SIGTERM)); }));
            EXPECT_TRUE(refused([&p] { static_cast<void>(p.input()); }));
            EXPECT_TRUE(refused([&p] { static_cast<void>(p.output()); }));
            EXPECT_TRUE(refused([&p] { static_cast<void>(p.errors()); }));
            EXPECT_TRUE(refused_task([&p] { return p.wait(); }));
            EXPECT_TRUE(refused_task([&p] { return p.terminate(); }));
        };
        co_await muster::to_thread(on_thread);
        p.input().close();
        auto ended = co_await waiting;
        EXPECT_EQ(ended.status, 0) << "no call has reached it";
    };
    muster::run(body());
}

TEST(command, describes_itself_in_one_line) {
    EXPECT_EQ(command("echo", "a b", "c").describe(), "echo 'a b' c");
    EXPECT_EQ(command("x", "a\nb").describe(), "x 'a\\nb'");
    EXPECT_LE(command("x", std::string(1000, 'y'), std::string(1000, 'z')).describe().size(), 210u);
    EXPECT_EQ(muster::shell_quote("it's"), "'it'\\''s'");
    EXPECT_EQ(muster::shell_quote(""), "''");
    EXPECT_EQ(muster::shell_quote("plain-1.0/x"), "plain-1.0/x");
    EXPECT_EQ(muster::shell_quote("~"), "'~'");
}

} // namespace
