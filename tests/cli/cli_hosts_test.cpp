// SPDX-License-Identifier: MIT
// muster run --on, muster hosts and muster agent. The hosts are agents that a launcher starts here; with an sshd they
// are also reached as they are in earnest.
#include "support/cli_program.hpp"
#include "support/own_sshd.hpp"
#include "support/soon.hpp"

#include <algorithm>
#include <set>

namespace {

using namespace std::chrono_literals;
using cli::ledger_of;
using cli::program;

class muster_hosts : public cli::muster_command {
protected:
    /// muster run on hosts that are this one.
    [[nodiscard]] static std::vector<std::string> on(const std::string& hosts, std::vector<std::string> more) {
        std::vector<std::string> all{"run", "--on", hosts, "--launcher", "env", "--agent", MUSTER_PROGRAM};
        all.insert(all.end(), more.begin(), more.end());
        return all;
    }
    [[nodiscard]] std::vector<std::string> rows(const std::string& name) const {
        std::vector<std::string> all;
        std::istringstream in(read(path(name)));
        for (std::string line; std::getline(in, line);)
            all.push_back(line);
        return all;
    }
    static void expect_words(const std::string& text, std::initializer_list<std::string> all) {
        for (const auto& words : all)
            EXPECT_NE(text.find(words), std::string::npos) << words << "\nis not in\n" << text;
    }
    static bool is_alive(const std::string& pid) {
        const auto stat = read("/proc/" + pid + "/stat");
        const auto end = stat.rfind(')');
        return end != std::string::npos && stat.size() > end + 2 && stat[end + 2] != 'Z' && stat[end + 2] != 'X';
    }
};

TEST_F(muster_hosts, run_commands_with_all_that_holds_here) {
    program p(
        on("one,3/two", {"-k", "--tag", "--jsonl", path("log"), "-t", "--results", path("results"), "--wd", "/usr",
                            "echo {} on {host} in $(pwd); test {} != 3 || exit 7; test {} != 4 || kill -9 $$",
                            ":::", "1", "2", "3", "4", "5", "6"}));
    EXPECT_EQ(p.wait(), 1) << p.err;
    std::istringstream in(p.out);
    int number = 0;
    std::set<std::string> used;
    for (std::string line; std::getline(in, line);) {
        const auto n = std::to_string(++number);
        EXPECT_TRUE(line == n + '\t' + n + " on one in /usr" || line == n + '\t' + n + " on two in /usr") << line;
        used.insert(line.substr(line.find(" on ")));
    }
    EXPECT_EQ(number, 6);
    EXPECT_EQ(used.size(), 2u);
    const auto c = ledger_of(p.err.substr(p.err.find("6 submitted")));
    EXPECT_EQ(c.succeeded, 4u);
    EXPECT_EQ(c.failed, 2u);
    const auto log = lines_of(read(path("log")));
    expect_same(log, c);
    for (const auto& line : log) {
        const auto host = line.at("host").get<std::string>();
        EXPECT_TRUE(host == "one" || host == "two") << line;
        EXPECT_NE(line.at("command").get<std::string>().find(" on " + host), std::string::npos) << line;
    }
    EXPECT_EQ(log[2].at("exit_status"), 7);
    EXPECT_EQ(log[3].at("signal"), "SIGKILL");
    expect_words(p.err, {"exit status 7", "line 3 on ", "SIGKILL", "line 4 on "});
    EXPECT_TRUE(p.err.find("+ one: ") != std::string::npos && p.err.find("+ two: ") != std::string::npos) << p.err;
    EXPECT_EQ(read(path("results/000001-1.out")).substr(0, 5), "1 on ");
}

TEST_F(muster_hosts, run_again_only_what_has_not_succeeded) {
    const auto arguments = on("one,two",
        {"--jsonl", path("log"), "--resume", "echo {} >> " + path("began") + "; test {} != 2 || test -e " + path("now"),
            ":::", "1", "2", "3"});
    program first(arguments);
    EXPECT_EQ(first.wait(), 1) << first.err;
    write("now", "");
    program second(arguments);
    EXPECT_EQ(second.wait(), 0) << second.err;
    auto began = rows("began");
    std::ranges::sort(began);
    EXPECT_EQ(began, (std::vector<std::string>{"1", "2", "2", "3"}));
}

TEST_F(muster_hosts, get_the_input_and_the_environment_that_are_named_and_nothing_else) {
    const auto lines = write("lines", "one\ntwo\nthree\n");
    program piped(on("a,b", {"--pipe", "--block", "4", "-k", "-f", lines, "cat; echo -"}));
    EXPECT_EQ(piped.wait(), 0) << piped.err;
    EXPECT_EQ(piped.out, "one\n-\ntwo\n-\nthree\n-\n");
    program from(on("a", {"--stdin-from", lines, "wc -l; echo {}", ":::", "x"}));
    EXPECT_EQ(from.wait(), 0) << from.err;
    EXPECT_EQ(from.out, "3\nx\n");
    ::setenv("MUSTER_TEST_NAMED", "it's\nhere", 1);
    ::setenv("MUSTER_TEST_OTHER", "not there", 1);
    // The launcher here passes the environment on, as no ssh does: env takes the variables out.
    program p({"run", "--on", "a", "--launcher", "env -u MUSTER_TEST_NAMED -u MUSTER_TEST_OTHER", "--agent",
        MUSTER_PROGRAM, "--env", "MUSTER_TEST_NAMED", "echo \"$MUSTER_TEST_NAMED-$MUSTER_TEST_OTHER-\"{}", ":::", "x"});
    EXPECT_EQ(p.wait(), 0) << p.err;
    EXPECT_EQ(p.out, "it's\nhere--x\n");
    ::unsetenv("MUSTER_TEST_NAMED");
    ::unsetenv("MUSTER_TEST_OTHER");
}

TEST_F(muster_hosts, hold_time_limits_retries_and_limits_of_output) {
    program slow(on("a", {"--timeout", "300ms", "--grace", "50ms",
                             "trap '' TERM; echo $$ > " + path("pid") + "; sleep 60 & wait; wait; : {}", ":::", "x"}));
    EXPECT_EQ(slow.wait(), 1);
    expect_words(slow.err, {"time limit"});
    EXPECT_TRUE(soon([&] { return !is_alive(rows("pid").at(0)); }));
    program again(on("a",
        {"--retries", "2", "echo {} >> " + path("tries") + "; test $(wc -l < " + path("tries") + ") = 3", ":::", "x"}));
    EXPECT_EQ(again.wait(), 0) << again.err;
    EXPECT_EQ(rows("tries").size(), 3u);
    program loud(on("a", {"--max-output", "100K", "yes {}", ":::", "x"}));
    EXPECT_EQ(loud.wait(), 1);
    expect_words(loud.err, {"it wrote more than 100 KiB"});
}

TEST_F(muster_hosts, say_that_an_output_was_still_open) {
    write("stay", ""); // goes with the folder, and ends what was left behind
    const std::string open =
        "if [ {} != 2 ]; then setsid sh -c 'while test -e " + path("stay") + "; do sleep 0.05; done' & fi; echo {}";
    program p(on("a", {"--linger", "0", "-k", open, ":::", "1", "2"}));
    EXPECT_EQ(p.wait(), 0) << p.err;
    EXPECT_EQ(p.out, "1\n2\n");
    expect_words(p.err, {"an output of a command is still open and not read any more", "that of line 1"});
}

TEST_F(muster_hosts, that_can_not_be_reached_are_told_once_and_left_out) {
    const std::string launcher = "sh -c 'test {} != bad || { echo no route to {} >&2; exit 255; }; exec \"$@\"' sh";
    program p({"run", "--on", "good,bad", "--launcher", launcher, "--agent", MUSTER_PROGRAM, "echo {} on {host}",
        ":::", "1", "2", "3"});
    EXPECT_EQ(p.wait(), 0) << p.err;
    EXPECT_EQ(p.err.find("no route to bad"), p.err.rfind("no route to bad")) << p.err;
    expect_words(p.err, {"left out bad: ", "no route to bad"});
    EXPECT_EQ(p.out.find("on bad"), std::string::npos);
    program enough({"run", "--on", "good,bad", "--hosts-min", "2", "--launcher", launcher, "--agent", MUSTER_PROGRAM,
        "echo {}", ":::", "1", "2"});
    EXPECT_EQ(enough.wait(), 1);
    expect_words(enough.err, {"1 of 2 hosts could be reached, and --hosts-min wants 2: nothing was run"});
    EXPECT_EQ(ledger_of(enough.err.substr(enough.err.find("2 submitted"))).not_started, 2u);
    EXPECT_EQ(enough.out, "");
    program none({"run", "--on", "bad", "--launcher", launcher, "echo {}", ":::", "1", "2"});
    EXPECT_EQ(none.wait(), 1);
    expect_words(none.err, {"no host could be reached, so nothing was run"});
    EXPECT_EQ(ledger_of(none.err.substr(none.err.find("2 submitted"))).not_started, 2u);
}

TEST_F(muster_hosts, that_are_lost_cost_what_had_begun_there_and_nothing_else) {
    // The eighth command kills the agent that it runs under.
    const auto script = "echo {} >> " + path("began") + "; test {} != 8 || kill -9 $PPID; sleep 0.05; echo {}";
    std::vector<std::string> words{"--jsonl", path("log"), script, ":::"};
    for (int i = 1; i <= 40; ++i)
        words.push_back(std::to_string(i));
    program p(on("3/a,3/b", words));
    EXPECT_EQ(p.wait(), 1);
    const auto c = ledger_of(p.err.substr(p.err.find("40 submitted")));
    expect_same(lines_of(read(path("log"))), c);
    EXPECT_GE(c.failed, 1u);
    EXPECT_LE(c.failed, 3u);
    EXPECT_EQ(c.succeeded + c.failed, 40u);
    auto began = rows("began");
    std::ranges::sort(began);
    EXPECT_TRUE(std::ranges::adjacent_find(began) == began.end()) << "a command was started twice";
    expect_words(p.err, {"host_lost_error", "had begun there"});
}

TEST_F(muster_hosts, that_are_lost_cost_nothing_where_commands_may_run_twice) {
    const auto script = "echo {} >> " + path("began") + "; test {} != 8 || ! mkdir " + path("once") +
                        " 2> /dev/null || kill -9 $PPID; sleep 0.05; echo {}";
    std::vector<std::string> words{"--retry-elsewhere", script, ":::"};
    for (int i = 1; i <= 40; ++i)
        words.push_back(std::to_string(i));
    program p(on("3/a,3/b", words));
    EXPECT_EQ(p.wait(), 0) << p.err;
    EXPECT_EQ(ledger_of(p.err.substr(p.err.find("40 submitted"))).succeeded, 40u);
    EXPECT_EQ(std::ranges::count(p.out, '\n'), 40);
    EXPECT_LE(rows("began").size(), 43u);
}

TEST_F(muster_hosts, that_are_all_lost_under_a_command_that_had_begun_do_not_make_it_not_started) {
    const auto script = "echo {} >> " + path("began") + "; kill -9 $PPID; sleep 60";
    program p(on("1/a,1/b", {"--retry-elsewhere", "--limit", "1", "--jsonl", path("log"), script, ":::", "1", "2"}));
    EXPECT_EQ(p.wait(), 1);
    const auto c = ledger_of(p.err.substr(p.err.find("2 submitted")));
    expect_same(lines_of(read(path("log"))), c);
    EXPECT_EQ(rows("began"), (std::vector<std::string>{"1", "1"}));
    EXPECT_EQ(c.failed, 1u) << p.err;
    EXPECT_EQ(c.not_started, 1u) << p.err;
    expect_words(p.err, {"had begun there"});
}

TEST_F(muster_hosts, are_not_all_lost_to_one_command_that_ends_each_of_them) {
    const auto script = "echo {} >> " + path("began") + "; test {} != 1 || { kill -9 $PPID; sleep 60; }";
    program p(on("1/a,1/b,1/c,1/d,1/e", {"--retry-elsewhere", "--limit", "1", script, ":::", "1", "2", "3"}));
    EXPECT_EQ(p.wait(), 1);
    const auto c = ledger_of(p.err.substr(p.err.find("3 submitted")));
    EXPECT_EQ(c.failed, 1u) << p.err;
    EXPECT_EQ(c.succeeded, 2u) << p.err;
    EXPECT_EQ(rows("began"), (std::vector<std::string>{"1", "1", "1", "2", "3"}));
}

TEST_F(muster_hosts, that_are_far_do_not_spend_the_time_limit_of_a_command_on_its_way) {
    // The way to the agent is slower than the limit: what comes behind the beginning of the command takes three
    // seconds.
    program p({"run", "--on", "a", "--launcher", "sh -c '{ head -c 100; sleep 3; cat; } | \"$@\"' sh", "--agent",
        MUSTER_PROGRAM, "--timeout", "2", "echo {}", ":::", "there"});
    EXPECT_EQ(p.wait(), 0) << p.err;
    EXPECT_EQ(p.out, "there\n");
}

TEST_F(muster_hosts, in_a_file_may_have_a_comment_behind_them) {
    const auto list = write("list", "# all of them\na # the first, not b\n  # none\n2/c #d\n");
    program p({"hosts", "--on-file", list, "--launcher", "env", "--agent", MUSTER_PROGRAM});
    EXPECT_EQ(p.wait(), 0) << p.err;
    for (const char* no_host : {"the", "first", "not", "b ", "none", "d "})
        EXPECT_EQ(("\n" + p.out).find(std::string("\n") + no_host), std::string::npos) << p.out;
    expect_words("\n" + p.out, {"\na ", "\nc "});
}

TEST_F(muster_hosts, that_are_all_lost_leave_the_rest_not_started) {
    const auto script = "echo {} >> " + path("began") + "; test {} != 3 || kill -9 $PPID; sleep 0.05";
    program p(on("1/a", {"--jsonl", path("log"), script, ":::", "1", "2", "3", "4", "5", "6"}));
    EXPECT_EQ(p.wait(), 1);
    const auto c = ledger_of(p.err.substr(p.err.find("6 submitted")));
    expect_same(lines_of(read(path("log"))), c);
    EXPECT_EQ(c.succeeded, 2u);
    EXPECT_EQ(c.failed, 1u);
    EXPECT_EQ(c.not_started, 3u);
    EXPECT_EQ(rows("began").size(), 3u);
    expect_words(p.err, {"no host is left: a: "});
}

TEST_F(muster_hosts, have_nothing_left_to_run_after_an_interrupt) {
    program p(on("2/a,2/b", {"echo $$ >> " + path("pids") + "; sleep 60 & echo $! >> " + path("pids") + "; wait; : {}",
                                ":::", "1", "2", "3", "4", "5", "6"}));
    ASSERT_TRUE(soon([&] { return rows("pids").size() == 8; }));
    p.signal(SIGINT);
    EXPECT_EQ(p.wait(), 130);
    const auto c = ledger_of(p.err.substr(p.err.find("6 submitted")));
    EXPECT_EQ(c.cancelled, 4u);
    EXPECT_EQ(c.not_started, 2u);
    for (const auto& pid : rows("pids"))
        EXPECT_TRUE(soon([&] { return !is_alive(pid); })) << pid;
}

TEST_F(muster_hosts, end_what_runs_when_muster_itself_is_killed) {
    program p(on("a", {"echo $$ > " + path("pid") + "; exec sleep 60; : {}", ":::", "1"}));
    ASSERT_TRUE(soon([&] { return rows("pid").size() == 1; }));
    p.signal(SIGKILL);
    static_cast<void>(p.wait());
    const auto pid = rows("pid").at(0);
    EXPECT_TRUE(soon([&] { return !is_alive(pid); }));
}

TEST_F(muster_hosts, kill_what_ignores_the_first_interrupt_at_the_second) {
    program p(
        on("a", {"--grace", "1h", "trap '' TERM; echo $$ > " + path("pid") + "; while :; do sleep 0.01; done; : {}",
                    ":::", "1"}));
    ASSERT_TRUE(soon([&] { return rows("pid").size() == 1; }));
    p.signal(SIGINT);
    std::this_thread::sleep_for(100ms);
    p.signal(SIGINT);
    EXPECT_EQ(p.wait(), 130);
    EXPECT_TRUE(soon([&] { return !is_alive(rows("pid").at(0)); }));
}

TEST_F(muster_hosts, that_are_frozen_have_no_launcher_left_after_the_third_interrupt) {
    // The launcher stays although its agent has gone, as one does whose host does not answer.
    program p({"run", "--on", "a", "--launcher", "sh -c 'echo $$ > " + path("launcher") + "; \"$@\"; exec sleep 60' sh",
        "--agent", MUSTER_PROGRAM, "echo $PPID > " + path("agent") + "; kill -STOP $PPID; sleep 60; : {}", ":::", "1"});
    ASSERT_TRUE(soon([&] {
        const auto pid = rows("agent");
        return pid.size() == 1 && read("/proc/" + pid.at(0) + "/stat").find(") T ") != std::string::npos;
    }));
    for (int i = 0; i != 3; ++i) {
        p.signal(SIGINT);
        std::this_thread::sleep_for(100ms);
    }
    EXPECT_EQ(p.wait(), 130);
    EXPECT_TRUE(soon([&] { return !is_alive(rows("launcher").at(0)); }));
    // The kernel may have let it go on already: the end of its warden has left its process group an orphan.
    static_cast<void>(::kill(std::stoi(rows("agent").at(0)), SIGCONT));
    EXPECT_TRUE(soon([&] { return !is_alive(rows("agent").at(0)); }));
}

TEST_F(muster_hosts, are_refused_where_the_options_make_no_sense) {
    const std::string list = write("hosts", "# nothing here\n");
    const std::vector<std::pair<std::vector<std::string>, std::string>> all = {
        {{"run", "--on", "a", "-u", "echo", ":::", "1"}, "excludes --ungroup and --tty"},
        {{"run", "--on", "a", "--tty", "echo", ":::", "1"}, "excludes --ungroup and --tty"},
        {{"run", "--on", "a", "--nice", "3", "echo", ":::", "1"}, "write nice into the template"},
        {{"run", "--env", "HOME", "echo", ":::", "1"}, "say which with --on"},
        {{"run", "--retry-elsewhere", "echo", ":::", "1"}, "say which with --on"},
        {{"run", "--launcher", "env", "echo", ":::", "1"}, "say which with --on"},
        {{"run", "--on", "a", "--env", "NO_SUCH_VARIABLE", "echo", ":::", "1"}, "no variable NO_SUCH_VARIABLE"},
        {{"run", "--on", "a,b,a", "echo", ":::", "1"}, "a is there twice"},
        {{"run", "--on", ",", "echo", ":::", "1"}, "there is no host in the list"},
        {{"run", "--on-file", list, "echo", ":::", "1"}, "there is no host in the list"},
        {{"run", "--on-file", "/no/such", "echo", ":::", "1"}, "can't be read"},
        {{"run", "--on", "x/a", "echo", ":::", "1"}, "--on x/a"},
        {{"run", "--on", "-oProxyCommand=x", "echo", ":::", "1"}, "does not begin with a dash"},
        {{"run", "--on", "a$(x)", "echo", ":::", "1"}, "can't have $ in it"},
        {{"run", "--on", "u@-a", "echo", ":::", "1"}, "begins with a dash"},
        {{"run", "--on", "a:99999", "echo", ":::", "1"}, "a port is a number from 1 to 65535"},
        {{"run", "--on", "a", "--launcher", "sh -c 'x", "echo", ":::", "1"}, "a quote is opened and never closed"},
        {{"run", "--on", "a", "--hosts-min", "2", "echo", ":::", "1"}, "--hosts-min wants 2 hosts"},
        {{"hosts"}, "say which hosts"}, {{"hosts", "--on", "a", "b"}, "b"}};
    for (const auto& [arguments, words] : all)
        expect_refused(arguments, words);
}

TEST_F(muster_hosts, in_a_file_that_is_no_list_are_refused_by_name_and_within_bounds) {
    const auto refused = [&](const std::string& file, const std::string& words) {
        program p({"run", "--on-file", file, "--launcher", "false", "echo", ":::", "1"});
        EXPECT_EQ(p.wait(), 2) << file;
        EXPECT_NE(p.err.find(words), std::string::npos) << p.err.substr(0, 2000);
        EXPECT_LT(p.err.size(), 2000u);
        EXPECT_EQ(p.err.find_first_of(std::string("\x1b\x07\0", 3)), std::string::npos) << p.err;
        EXPECT_EQ(p.err.find("sesame"), std::string::npos) << p.err;
        EXPECT_TRUE(cli::with_sanitizer || p.peak_kilobytes() < 100'000) << file;
    };
    refused(write("nul", std::string("a\0b\n", 4)), "a\\x00b': a host has neither blanks");
    refused(write("escape", "a\x1b[2J\x07\n"), "a\\x1b[2J");
    refused(write("option", "-oProxyCommand=x\n"), "does not begin with a dash");
    refused(write("long", std::string(3'000'000, 'a')), "1000 bytes at most");
    refused(write("many",
                [] {
                    std::string text;
                    for (int i = 0; i != 10'001; ++i)
                        text += 'h' + std::to_string(i) + '\n';
                    return text;
                }()),
        "more than 10000 hosts");
    refused(write("password", "user:sesame@h\n"), "ssh takes no password there");
    refused("/dev/zero", "longer than 16 MiB");
    refused(folder_.string(), "Is a directory");
}

TEST_F(muster_hosts, are_shown_in_a_table_with_those_that_do_not_answer) {
    const auto list = write("hosts", "# ours\ngood, 3/better\nbad\n");
    program p({"hosts", "--on-file", list, "--launcher",
        "sh -c 'test {} != bad || { echo no route >&2; exit 255; }; echo hello; exec \"$@\"' sh", "--agent",
        MUSTER_PROGRAM});
    EXPECT_EQ(p.wait(), 1);
    EXPECT_EQ(p.err, "");
    std::istringstream in(p.out);
    std::vector<std::string> lines;
    for (std::string line; std::getline(in, line);)
        lines.push_back(line);
    ASSERT_EQ(lines.size(), 4u) << p.out;
    EXPECT_TRUE(lines[0].starts_with("host ")) << p.out;
    EXPECT_TRUE(lines[1].starts_with("good ") && lines[1].ends_with(" ms")) << p.out;
    EXPECT_TRUE(lines[2].starts_with("better ") && lines[2].find("    3 ") != std::string::npos) << p.out;
    EXPECT_TRUE(lines[3].starts_with("bad ") && lines[3].ends_with("no route")) << p.out;
}

TEST_F(muster_hosts, leave_nothing_running_when_the_agent_is_killed) {
    // The first command ignores SIGTERM, and has a child; the second kills the agent.
    program p(on("2/a", {"echo $$ >> " + path("pids") + "; if test {} = 1; then trap '' TERM; sleep 60 & echo $! >> " +
                                path("pids") + "; while :; do sleep 0.05; done; fi; until test $(wc -l < " +
                                path("pids") + ") = 3; do sleep 0.05; done; kill -9 $PPID; sleep 60",
                            ":::", "1", "2"}));
    EXPECT_EQ(p.wait(), 1);
    EXPECT_EQ(ledger_of(p.err.substr(p.err.find("2 submitted"))).failed, 2u);
    ASSERT_EQ(rows("pids").size(), 3u);
    for (const auto& pid : rows("pids"))
        EXPECT_TRUE(soon([&] { return !is_alive(pid); })) << pid;
}

TEST_F(muster_hosts, end_with_the_warden_of_their_agent) {
    program p(on(
        "a", {"echo $$ > " + path("pid") + "; kill -9 $(awk '/^PPid/ {print $2}' /proc/$PPID/status); sleep 60; : {}",
                 ":::", "1"}));
    EXPECT_EQ(p.wait(), 1);
    EXPECT_TRUE(soon([&] { return !is_alive(rows("pid").at(0)); }));
}

/// The working folder of this process, and of what it starts, as long as it lives.
class in_folder {
public:
    explicit in_folder(const std::string& folder) : before_(cli::fs::current_path()) { cli::fs::current_path(folder); }
    ~in_folder() { cli::fs::current_path(before_); }
    in_folder(const in_folder&) = delete;
    in_folder& operator=(const in_folder&) = delete;

private:
    cli::fs::path before_;
};

TEST_F(muster_hosts, get_the_files_that_commands_need_and_give_back_what_they_make) {
    const auto here = folder_.string() + "/here/";
    const auto there = folder_.string() + "/there/";
    cli::fs::create_directories(here + "in/deep");
    cli::fs::create_directories(there);
    for (const std::string name : {"in/a b", "in/deep/-x", "$(touch y)"})
        std::ofstream(here + name) << "of " << name << '\n';
    cli::fs::permissions(here + "in/a b", cli::fs::perms::owner_all);
    const in_folder inside(here);
    const std::vector<std::string> hosts{
        "--on", "2/a", "--launcher", "env", "--agent", MUSTER_PROGRAM, "--wd", there, "-k"};
    const auto run_there = [&](std::vector<std::string> more) {
        more.insert(more.begin(), hosts.begin(), hosts.end());
        more.insert(more.begin(), "run");
        return more;
    };
    program p(run_there({"--trc", "out/{}.gz",
        "test -x ./{} && echo is executable; mkdir -p out/\"$(dirname ./{})\"; "
        "gzip -c ./{} > out/{}.gz",
        ":::", "in/a b", "in/deep/-x", "$(touch y)"}));
    EXPECT_EQ(p.wait(), 0) << p.err;
    EXPECT_EQ(p.out, "is executable\n");
    for (const std::string name : {"in/a b", "in/deep/-x", "$(touch y)"})
        EXPECT_GT(cli::fs::file_size(here + "out/" + name + ".gz"), 0u) << name;
    EXPECT_FALSE(cli::fs::exists(here + "y"));
    EXPECT_TRUE(cli::fs::is_empty(there));
    program kept(run_there({"--transferfile", here + "in/./deep", "--return", "made{}", "cat deep/-x > made{}; exit {}",
        ":::", "0", "3"}));
    EXPECT_EQ(kept.wait(), 1);
    EXPECT_EQ(read(here + "made0"), "of in/deep/-x\n") << kept.err;
    EXPECT_EQ(read(here + "made3"), "of in/deep/-x\n");
    EXPECT_TRUE(cli::fs::exists(there + "deep/-x"));
    expect_words(kept.err, {"exit status 3"});
}

TEST_F(muster_hosts, have_a_file_whole_while_other_commands_send_it_again) {
    const auto here = folder_.string() + "/here/";
    const auto there = folder_.string() + "/there/";
    cli::fs::create_directories(here + "deep");
    cli::fs::create_directories(there);
    std::ofstream(here + "deep/big") << std::string(300'000, 'x');
    const in_folder inside(here);
    std::vector<std::string> words{"run", "-q", "--on", "6/a", "--launcher", "env", "--agent", MUSTER_PROGRAM, "--wd",
        there, "--transferfile", "deep", "test \"$(wc -c < deep/big)\" = 300000 || exit 9; : {}", ":::"};
    for (int i = 0; i != 30; ++i)
        words.push_back(std::to_string(i));
    program p(words);
    EXPECT_EQ(p.wait(), 0) << p.err;
    EXPECT_TRUE(cli::fs::exists(there + "deep/big"));
    const auto left = std::distance(cli::fs::directory_iterator(there), cli::fs::directory_iterator());
    EXPECT_EQ(left, 1) << "something of the transfer is left";
}

TEST_F(muster_hosts, can_not_say_where_a_file_is_put_here) {
    const auto here = folder_.string() + "/here/";
    const auto there = folder_.string() + "/there/";
    cli::fs::create_directories(here);
    cli::fs::create_directories(there);
    cli::fs::create_directories(folder_ / "outside");
    cli::fs::create_directory_symlink(folder_ / "outside", here + "link");
    std::ofstream(there + "x") << "x\n";
    const in_folder inside(here);
    const auto error_of = [&](std::vector<std::string> more) {
        std::vector<std::string> all{"run", "--on", "a", "--launcher", "env", "--agent", MUSTER_PROGRAM, "--wd", there};
        all.insert(all.end(), more.begin(), more.end());
        program p(all);
        EXPECT_EQ(p.wait(), 1);
        return p.err;
    };
    expect_words(error_of({"--return", "{}", "true {}", ":::", "../x", "/tmp/x", "a/../..", "."}),
        {"'../x' is no file within", "/tmp/x is outside of the folder", "'a/../..' is no file", "'.' is no file"});
    expect_words(error_of({"--transfer", "true {}", ":::", "/etc/passwd"}), {"write FOLDER/./NAME"});
    expect_words(
        error_of({"--return", "link/{}", "mkdir link; cp x link/; : {}", ":::", "x"}), {"the folder of link/x"});
    EXPECT_TRUE(cli::fs::is_empty(folder_ / "outside"));
    expect_words(
        error_of({"--return", "{}", "true {}", ":::", "missing"}), {"a file could not be returned from a", "missing"});
    expect_words(error_of({"--transfer", "true {}", ":::", "missing"}), {"the files could not be read", "missing"});
    EXPECT_FALSE(cli::fs::exists(here + "missing.part"));
    expect_refused({"run", "--transfer", "echo", ":::", "1"}, "say which with --on");
    expect_refused({"run", "--on", "a", "--cleanup", "echo", ":::", "1"}, "give one of them, too");
}

TEST_F(muster_hosts, return_a_file_of_any_name_to_that_name_and_follow_nothing_that_is_planted_there) {
    const auto here = folder_.string() + "/here/";
    const auto there = folder_.string() + "/there/";
    cli::fs::create_directories(here);
    cli::fs::create_directories(there);
    const auto outside = write("outside", "kept\n");
    for (const char* planted : {"link", "linked.part"})
        cli::fs::create_symlink(outside, here + planted);
    cli::fs::create_hard_link(outside, here + "hard");
    ASSERT_EQ(::mkfifo((here + "pipe").c_str(), 0600), 0);
    const std::vector<std::string> names = {"a\nb", "-rf", "--help", "-", "x y", "e\x1b[2J", "*", "$(touch pwned)",
        "q'q", "\xff", "link", "linked", "hard", "pipe", "deep/er/x", "./dot", "-d/-x"};
    std::string inputs;
    for (const auto& name : names)
        inputs += name + '\0';
    const auto list = write("names", inputs);
    const in_folder inside(here);
    program p({"run", "-0", "-a", list, "--on", "a", "--launcher", "env", "--agent", MUSTER_PROGRAM, "--wd", there,
        "--return", "{}", "mkdir -p -- \"$(dirname -- {})\"; echo made > ./{}"});
    EXPECT_EQ(p.wait(), 0) << p.err;
    EXPECT_EQ(p.err.find('\x1b'), std::string::npos) << p.err;
    for (const auto& name : names) {
        EXPECT_EQ(read(here + name), "made\n") << name;
        EXPECT_TRUE(cli::fs::is_regular_file(cli::fs::symlink_status(here + name))) << name;
    }
    EXPECT_EQ(read(outside), "kept\n");
    EXPECT_FALSE(cli::fs::exists(here + "pwned"));
    EXPECT_FALSE(cli::fs::exists(there + "pwned"));
}

TEST_F(muster_hosts, do_not_return_the_files_of_two_commands_to_one_place) {
    const auto here = folder_.string() + "/here/";
    const auto there = folder_.string() + "/there/";
    cli::fs::create_directories(here);
    cli::fs::create_directories(there);
    const in_folder inside(here);
    program p({"run", "--on", "4/a", "--launcher", "env", "--agent", MUSTER_PROGRAM, "--wd", there, "--return", "made",
        "--return", "{}", "echo {} >> " + path("began") + "; echo {} > {}; mv {} made; echo {} > {}", ":::", "x", "y",
        "z"});
    EXPECT_EQ(p.wait(), 1);
    EXPECT_EQ(ledger_of(p.err.substr(p.err.find("3 submitted"))).failed, 2u) << p.err;
    expect_words(p.err, {"it returns made, and so does the command of line ", "let the name depend on the input"});
    const auto began = rows("began");
    ASSERT_EQ(began.size(), 1u);
    EXPECT_EQ(read(here + "made"), began[0] + '\n');
    EXPECT_EQ(read(here + began[0]), began[0] + '\n');
}

// ---- with the static agent ----

/// The program that --install copies; empty where none was built.
std::string static_agent() {
    const auto file = cli::fs::path(MUSTER_PROGRAM).parent_path() / "muster-agent";
    return cli::fs::exists(file) ? file.string() : std::string();
}

TEST_F(muster_hosts, get_the_agent_if_they_have_none) {
    if (static_agent().empty()) {
        expect_refused({"run", "--on", "a", "--install", "echo", ":::", "1"}, "that is neither ");
        GTEST_SKIP() << "there is no static libuv to build the agent with";
    }
    cli::fs::create_directories(folder_ / "home of a");
    const auto launcher = "sh -c 'echo hello; export HOME=\"" + folder_.string() + "/home of {}\"; exec \"$@\"' sh";
    for (const char* const again : {"first", "second"}) {
        program p({"run", "--on", "2/a", "--install", "--launcher", launcher, "readlink /proc/$PPID/exe; : {}",
            ":::", again});
        EXPECT_EQ(p.wait(), 0) << p.err;
        EXPECT_TRUE(p.out.starts_with((folder_ / "home of a/.cache/muster/muster-agent-").string())) << p.out;
    }
    std::size_t count = 0;
    for (const auto& file : cli::fs::directory_iterator(folder_ / "home of a/.cache/muster")) {
        ++count;
        EXPECT_EQ(file.file_size(), cli::fs::file_size(static_agent()));
    }
    EXPECT_EQ(count, 1u);
    // The connection of the copy ends in the middle: the next attempt must not find a part of the agent.
    cli::fs::create_directories(folder_ / "home of b");
    const auto cut = "sh -c 'export HOME=\"" + folder_.string() +
                     "/home of {}\"; case \"$*\" in *mktemp*) head -c 1000 | \"$@\";; *) exec \"$@\";; esac' sh";
    program half({"run", "--on", "b", "--install", "--launcher", cut, "echo {}", ":::", "1"});
    EXPECT_EQ(half.wait(), 1);
    expect_words(half.err, {"left out b: ", "only a part of the agent has come"});
    EXPECT_TRUE(cli::fs::is_empty(folder_ / "home of b/.cache/muster"));
    program full({"run", "--on", "a", "--install", "--launcher", "env HOME=/proc", "echo {}", ":::", "1"});
    EXPECT_EQ(full.wait(), 1);
    expect_words(full.err, {"left out a: ", "/proc/.cache"});
    expect_refused({"run", "--on", "a", "--install", "--agent", "x", "echo", ":::", "1"}, "leave --agent out");
    expect_refused({"run", "--install", "echo", ":::", "1"}, "say which with --on");
}

TEST_F(muster_hosts, need_nothing_but_the_static_agent) {
    if (static_agent().empty())
        GTEST_SKIP() << "there is no static libuv to build the agent with";
    cli::fs::create_directories(folder_ / "bare/dev");
    write("bare/dev/null", "");
    cli::fs::copy_file(static_agent(), folder_ / "bare/agent");
    const auto enter = "unshare -r chroot '" + (folder_ / "bare").string() + "'";
    if (std::system((enter + " /agent --version > /dev/null 2>&1").c_str()) != 0)
        GTEST_SKIP() << "no name space of users can be made here";
    program p({"hosts", "--on", "a", "--launcher", enter, "--agent", "/agent"});
    EXPECT_EQ(p.wait(), 0) << p.out << p.err;
    program none({"run", "--on", "a", "--launcher", enter, "--agent", "/agent", "/bin/sh {}", ":::", "x"});
    EXPECT_EQ(none.wait(), 1);
    expect_words(none.err, {"/bin/sh"});
}

// ---- with a Slurm that is played ----

TEST_F(muster_hosts, are_the_nodes_of_an_allocation_of_slurm) {
    const auto script = [&](const std::string& name, const std::string& text) {
        const auto file = write(name, "#!/bin/sh\n" + text);
        cli::fs::permissions(file, cli::fs::perms::owner_all);
    };
    script("scontrol",
        "test \"$*\" = 'show hostnames n[1-3]' || { echo odd words >&2; exit 3; }\nprintf 'n1\\nn2\\nn3\\n'\n");
    script("srun", "while :; do case $1 in\n--nodelist=*) node=${1#*=};; -*) ;; *) break;; esac\nshift; done\n"
                   "test $node != n3 || { echo 'srun: error: n3 is down' >&2; exit 1; }\nexec \"$@\"\n");
    const std::string before = std::getenv("PATH");
    ::setenv("PATH", (folder_.string() + ':' + before).c_str(), 1);
    ::setenv("SLURM_JOB_NODELIST", "n[1-3]", 1);
    ::setenv("SLURM_JOB_CPUS_PER_NODE", "2(x2),1", 1);
    program p({"run", "--on", "slurm", "--agent", MUSTER_PROGRAM, "-k", "echo {} on {host}; sleep 0.1", ":::", "1", "2",
        "3", "4"});
    EXPECT_EQ(p.wait(), 0) << p.err;
    expect_words(p.err, {"left out n3: ", "n3 is down"});
    expect_words(p.out, {"1 on n1\n", " on n2\n"});
    program fixed({"hosts", "--on", "7/slurm", "--agent", MUSTER_PROGRAM});
    EXPECT_EQ(fixed.wait(), 1);
    expect_words(fixed.out, {"\nn1 ", "    7 "});
    expect_refused({"run", "--on", "slurm", "--launcher", "env", "echo", ":::", "1"}, "leave --launcher out");
    ::setenv("SLURM_JOB_NODELIST", "m1", 1);
    expect_refused({"run", "--on", "slurm", "echo", ":::", "1"}, "scontrol does not say which nodes m1 are");
    ::setenv("SLURM_JOB_NODELIST", "n[1-3]", 1);
    ::setenv("SLURM_JOB_CPUS_PER_NODE", "two", 1);
    expect_refused({"run", "--on", "slurm", "echo", ":::", "1"}, "SLURM_JOB_CPUS_PER_NODE");
    ::unsetenv("SLURM_JOB_NODELIST");
    ::unsetenv("SLURM_JOB_CPUS_PER_NODE");
    ::setenv("PATH", before.c_str(), 1);
    expect_refused({"run", "--on", "slurm", "echo", ":::", "1"}, "salloc -N4 muster run --on slurm");
}

TEST_F(muster_hosts, have_an_agent_that_says_so_when_it_is_started_by_hand) {
    if (!cli::pseudo_terminals())
        GTEST_SKIP() << "there are no pseudo-terminals here";
    int ends[2];
    char name[64];
    ASSERT_EQ(::openpty(&ends[0], &ends[1], name, nullptr, nullptr), 0);
    cli::setting s;
    s.input_file = name;
    program p({"agent"}, s);
    EXPECT_EQ(p.wait(), 2);
    expect_words(p.err, {"there is nothing to type here"});
    ::close(ends[0]);
    ::close(ends[1]);
}

// ---- with an sshd of its own ----

TEST_F(muster_hosts, are_reached_by_ssh) {
    const own_sshd server(folder_.string());
    if (!server.answers())
        GTEST_SKIP() << own_sshd::none;
    const std::string before = std::getenv("PATH");
    ::setenv("PATH", (folder_.string() + ':' + before).c_str(), 1);
    const auto hosts = server.host("127.0.0.1") + ",2/" + server.host("127.0.0.2");
    program table({"hosts", "--on", server.host("127.0.0.1"), "--agent", MUSTER_PROGRAM});
    EXPECT_EQ(table.wait(), 0) << table.out << table.err;
    program p(
        {"run", "--on", hosts, "--agent", MUSTER_PROGRAM, "-k", "echo {}; exit {}", ":::", "0", "255", "it's a word"});
    EXPECT_EQ(p.wait(), 1);
    EXPECT_EQ(p.out, "0\n255\nit's a word\n") << p.err;
    expect_words(p.err, {"exit status 255", "left out 127.0.0.2"});
    program none({"run", "--on", server.host("127.0.0.1"), "--agent", "/no/such/muster", "echo {}", ":::", "1"});
    EXPECT_EQ(none.wait(), 1);
    expect_words(none.err, {"left out 127.0.0.1", "/no/such/muster"});
    // Killing the ssh client ends what runs there.
    program q({"run", "--on", server.host("127.0.0.1"), "--agent", MUSTER_PROGRAM,
        "echo $$ > " + path("pid") + "; exec sleep 60; : {}", ":::", "1"});
    ASSERT_TRUE(soon([&] { return rows("pid").size() == 1; }));
    q.signal(SIGKILL);
    static_cast<void>(q.wait());
    EXPECT_TRUE(soon([&] { return !is_alive(rows("pid").at(0)); }));
    ::setenv("PATH", before.c_str(), 1);
}

} // namespace
