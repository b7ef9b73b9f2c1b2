// SPDX-License-Identifier: MIT
// Runs the built program `muster run` as a person does, and looks at what it says, runs and leaves.
#include "support/cli_program.hpp"

#include <algorithm>
#include <string>
#include <vector>

namespace {

using cli::counted;
using cli::ledger_of;
using cli::program;
using cli::pseudo_terminals;
using cli::setting;
using namespace std::chrono_literals;
namespace fs = std::filesystem;

class muster_run : public cli::muster_command {
protected:
    struct done {
        int status = 0;
        std::string out;
        std::string err;
    };
    static done run(std::vector<std::string> arguments, const setting& s = {}) {
        arguments.insert(arguments.begin(), "run");
        program p(std::move(arguments), s);
        done d;
        d.status = p.wait();
        d.out = p.out;
        d.err = p.err;
        return d;
    }
    [[nodiscard]] setting input(const std::string& text) const {
        setting s;
        s.input_file = write("input", text);
        return s;
    }
    void refused(std::vector<std::string> arguments, const std::string& words, const setting& s = {}) {
        arguments.insert(arguments.begin(), "run");
        expect_refused(std::move(arguments), words, s);
    }
    static std::string sorted(const std::string& text) {
        std::istringstream in(text);
        std::vector<std::string> all;
        for (std::string line; std::getline(in, line);)
            all.push_back(line);
        std::ranges::sort(all);
        std::string joined;
        for (const auto& line : all)
            joined += line + '\n';
        return joined;
    }
    /// Waits until a file is there, and not empty.
    [[nodiscard]] std::string appearance_of(const std::string& name) const {
        for (int i = 0; i != 2000; ++i) {
            if (auto text = read(path(name)); text.ends_with('\n'))
                return text;
            std::this_thread::sleep_for(5ms);
        }
        return {};
    }
    static bool is_gone(pid_t pid) {
        for (int i = 0; i != 1000; ++i) {
            const auto stat = read("/proc/" + std::to_string(pid) + "/stat");
            if (stat.empty() || stat.find(") Z") != std::string::npos)
                return true;
            std::this_thread::sleep_for(5ms);
        }
        return false;
    }
    static void expect_words(const std::string& text, std::initializer_list<std::string> all) {
        for (const auto& words : all)
            EXPECT_NE(text.find(words), std::string::npos) << words << "\nis not in\n" << text;
    }
};

// ---- templates ----

TEST_F(muster_run, a_template_is_run_for_each_input_and_the_ledger_is_on_standard_error) {
    const auto d = run({"echo {}", ":::", "a", "b c", "d"});
    EXPECT_EQ(d.status, 0) << d.err;
    EXPECT_EQ(sorted(d.out), "a\nb c\nd\n");
    const auto c = ledger_of(d.err);
    EXPECT_EQ(c.submitted, 3u);
    EXPECT_EQ(c.succeeded, 3u);
    expect_words(d.err, {"8 bytes of output in", "slowest:"});
}

TEST_F(muster_run, placeholders_are_parts_of_the_input) {
    const auto e = run({"-q", "-j1", "printf '%s|' {} {.} {/} {//} {/.} {#} {%}; echo", ":::", "dir/sub/name.tar.gz",
        "x", "/y", ".hidden", "a.b/c", "d/"});
    EXPECT_EQ(e.out, "dir/sub/name.tar.gz|dir/sub/name.tar|name.tar.gz|dir/sub|name.tar|1|1|\n"
                     "x|x|x|.|x|2|1|\n"
                     "/y|/y|y|/|y|3|1|\n"
                     ".hidden|.hidden|.hidden|.|.hidden|4|1|\n"
                     "a.b/c|a.b/c|c|a.b|c|5|1|\n"
                     "d/|d/|d|.|d|6|1|\n");
}

TEST_F(muster_run, without_a_placeholder_the_input_comes_last) {
    EXPECT_EQ(run({"-q", "echo x", ":::", "a b"}).out, "x a b\n");
    EXPECT_EQ(run({"-q", "echo", "x", ":::", "a b"}).out, "x a b\n");
    EXPECT_EQ(run({"-q", "echo x | cat; echo", ":::", "a b"}).out, "x\na b\n");
}

TEST_F(muster_run, several_words_are_the_command_as_it_is) {
    EXPECT_EQ(run({"-q", "printf", "%s\\n", "a b", "$HOME|{}", "-x", ":::", "*"}).out, "a b\n$HOME|*\n-x\n");
    EXPECT_EQ(run({"-q", "--", "echo", "--limit", "{}", ":::", "1"}).out, "--limit 1\n");
    EXPECT_EQ(run({"-q", "printf", "%s.", "--", "-q", "{}", ":::", "1"}).out, "--.-q.1.");
}

TEST_F(muster_run, no_input_is_ever_read_by_a_shell) {
    const std::vector<std::string> evil = {"$(touch evil)", "`touch evil`", "; touch evil", "'; touch evil; '",
        "\" ; touch evil; \"", "a\nb", "-n", "*", "~", "\\", "a\\nb", "${HOME}", "{}", "\xff\xfe", "# x", "", " "};
    const std::vector<std::string> templates = {"printf '<%s>' {}", "printf '<%s>' {} | cat",
        "printf '<%s>' \"{}\" | cat", "printf '<%s>' '{}' | cat",
        "printf '<%s>' \"$(printf '%sx' {})\" | sed 's/x>$/>/'", "x={}; printf '<%s>' \"$x\"",
        "true # don't {}\nprintf '<%s>' {}"};
    for (const auto& t : templates) {
        std::vector<std::string> arguments = {"-q", "-k", "cd '" + folder_.string() + "' && " + t, ":::"};
        arguments.insert(arguments.end(), evil.begin(), evil.end());
        std::string expected;
        for (const auto& e : evil)
            expected += '<' + e + '>';
        const auto d = run(arguments);
        EXPECT_EQ(d.out, expected) << t;
        EXPECT_EQ(d.err, "") << t;
        EXPECT_FALSE(fs::exists(folder_ / "evil")) << t;
    }
    // And what is executed without a shell.
    std::vector<std::string> arguments = {"-q", "-k", "printf", "<%s>", ":::"};
    arguments.insert(arguments.end(), evil.begin(), evil.end());
    std::string expected;
    for (const auto& e : evil)
        expected += '<' + e + '>';
    EXPECT_EQ(run(arguments).out, expected);
}

TEST_F(muster_run, a_dry_run_prints_what_would_run_and_runs_nothing) {
    const auto d = run({"--dry-run", "touch " + path("made") + " && echo \"{}\" {.}", ":::", "a'b.c", "d"});
    EXPECT_EQ(d.status, 0);
    EXPECT_EQ(d.out, "touch " + path("made") + " && echo \"\"'a'\\''b.c'\"\" 'a'\\''b'\ntouch " + path("made") +
                         " && echo \"\"d\"\" d\n");
    EXPECT_EQ(d.err, "");
    EXPECT_FALSE(fs::exists(path("made")));
    // A shell reads back what it prints.
    program p({"run", "--dry-run", "echo \"<{}>\"", ":::", "$(x) \"'\\"});
    p.wait();
    write("script", p.out);
    EXPECT_EQ(run({"-q", "sh {}", ":::", path("script")}).out, "<$(x) \"'\\>\n");
}

TEST_F(muster_run, options_behind_a_template_of_one_word_are_musters) {
    write("list", "x\ny\n");
    EXPECT_EQ(run({"-q", "echo {}", "-f", path("list"), "-k"}).out, "x\ny\n");
    EXPECT_EQ(run({"-q", "echo {} {#}", "-k", "-j1", ":::", "a"}).out, "a 1\n");
    EXPECT_EQ(run({"-q", "echo {}", "--file=" + path("list"), "--limit", "1"}).out, "x\ny\n");
    refused({"echo {}", "-f", path("list"), "other"}, "'other' is no option of muster run");
    // A template of several words has its own.
    write("patterns", "y\n");
    EXPECT_EQ(run({"-q", "grep", "-f", path("patterns"), ":::", path("list")}).out, "y\n");
}

TEST_F(muster_run, an_option_that_was_taken_for_a_word_is_pointed_out_if_nothing_ran) {
    const auto d = run({"echo", "-f", path("list")});
    EXPECT_EQ(d.status, 0);
    expect_words(d.err, {"nothing ran", "-f stands behind the first word of the template"});
}

// ---- where lines come from ----

TEST_F(muster_run, inputs_are_lines_of_standard_input_or_a_file) {
    EXPECT_EQ(run({"-q", "-k", "echo <{}> | cat"}, input("a\n")).status, 1); // < is the shell's
    EXPECT_EQ(run({"-q", "-k", "echo [{}]"}, input(" a \n\nb\r\n#c\nlast")).out, "[ a ]\n[b\r]\n[#c]\n[last]\n");
    write("list", "x\ny\n");
    EXPECT_EQ(run({"-q", "-k", "-f", path("list"), "echo"}).out, "x\ny\n");
    EXPECT_EQ(run({"-q", "-k", "-a", path("list"), "echo"}).out, "x\ny\n");
}

TEST_F(muster_run, with_0_lines_end_with_a_nul_and_may_have_line_feeds) {
    EXPECT_EQ(
        run({"-q", "-k", "-0", "printf '<%s>' {}"}, input(std::string("a\nb\0 c \0\0d", 10))).out, "<a\nb>< c ><d>");
}

TEST_F(muster_run, commands_are_lines_of_a_file_or_of_standard_input) {
    const std::string commands = "#!/bin/sh\n\n  # a comment\necho one\n  echo 'two  x' | cat  \nexit 3\r\ncd /; pwd\n";
    const auto d = run({"-k"}, input(commands));
    EXPECT_EQ(d.status, 1);
    EXPECT_EQ(d.out, "one\ntwo  x\n/\n");
    const auto c = ledger_of(d.err);
    EXPECT_EQ(c.submitted, 4u);
    EXPECT_EQ(c.failed, 1u);
    expect_words(d.err, {"exit status 3", "line 6: exit 3", "1 blank lines, 2 comments"});
    EXPECT_EQ(run({"-q", "-k", "-"}, input(commands)).out, d.out);
    EXPECT_EQ(run({"-q", "-k", "-f", path("input")}).out, d.out);
    EXPECT_EQ(run({"-q", "-k", ":::", "echo 1", "echo 2"}).out, "1\n2\n");
}

TEST_F(muster_run, a_nul_in_a_line_costs_that_line) {
    const auto d = run({"-k", "echo"}, input(std::string("a\nb\0c\nd\n", 8)));
    EXPECT_EQ(d.out, "a\nd\n");
    EXPECT_EQ(ledger_of(d.err).failed, 1u);
    expect_words(d.err, {"has a NUL in it"});
    EXPECT_EQ(d.status, 1);
}

TEST_F(muster_run, a_line_that_is_too_long_costs_that_line) {
    const auto d = run({"-k", "echo"}, input("a\n" + std::string(1'200'000, 'x') + "\nb\n"));
    EXPECT_EQ(d.out, "a\nb\n");
    EXPECT_EQ(ledger_of(d.err).failed, 1u);
    expect_words(d.err, {"longer than 1048576 bytes"});
    // More than the system takes as an argument, too.
    const auto e = run({"-k", "true"}, input(std::string(1'000'000, 'x') + "\n"));
    expect_words(e.err, {"too long"});
}

TEST_F(muster_run, no_inputs_are_no_failure) {
    EXPECT_EQ(run({"echo", ":::"}).status, 0);
    const auto d = run({"echo {}"}, input(""));
    EXPECT_EQ(d.status, 0);
    EXPECT_EQ(ledger_of(d.err).submitted, 0u);
}

TEST_F(muster_run, inputs_are_run_while_standard_input_still_comes) {
    setting s;
    s.input_file.clear();
    program p({"run", "-q", "echo {} >> " + path("seen")}, s);
    p.write_input("one\n");
    EXPECT_EQ(appearance_of("seen"), "one\n");
    p.write_input("two\n");
    p.end_input();
    EXPECT_EQ(p.wait(), 0);
    EXPECT_EQ(read(path("seen")), "one\ntwo\n");
}

// ---- outputs ----

TEST_F(muster_run, each_output_is_in_one_piece_and_on_its_own_stream) {
    const auto d =
        run({"-j4", "for i in 1 2 3; do echo {}; echo {}{} >&2; sleep 0.01; done", ":::", "a", "b", "c", "d"});
    EXPECT_EQ(d.status, 0);
    for (const auto* part : {"a\na\na\n", "b\nb\nb\n", "c\nc\nc\n", "d\nd\nd\n"})
        EXPECT_NE(d.out.find(part), std::string::npos) << d.out;
    EXPECT_EQ(d.out.size(), 24u);
    EXPECT_NE(d.err.find("dd\ndd\ndd\n"), std::string::npos);
}

TEST_F(muster_run, keep_order_prints_in_the_order_of_the_inputs) {
    const auto d = run({"-q", "-k", "-j4", "sleep 0.{}; echo {}", ":::", "3", "2", "1", "0"});
    EXPECT_EQ(d.out, "3\n2\n1\n0\n");
    // Also where there is more than is held in memory.
    const auto e = run(
        {"-k", "-j2", "test {} = 0 && sleep 0.3; head -c 400000 /dev/zero | tr '\\0' {}", ":::", "0", "1", "2", "3"});
    std::string expected;
    for (const char c : {'0', '1', '2', '3'})
        expected += std::string(400'000, c);
    EXPECT_TRUE(e.out == expected);
    // And of what was not run.
    const auto f = run({"-k", "-j1", "--fail-fast", "echo {}; exit {}", ":::", "0", "1", "2"});
    EXPECT_EQ(f.out, "0\n1\n");
    EXPECT_EQ(ledger_of(f.err).not_started, 1u);
}

TEST_F(muster_run, huge_outputs_are_printed_whole_and_not_held_in_memory) {
    setting s;
    s.output_file = write("out", "");
    program p(
        {"run", "-q", "-k", "-j2", "test {} = 1 && sleep 0.2; head -c 60000000 /dev/zero", ":::", "1", "2", "3"}, s);
    EXPECT_EQ(p.wait(), 0) << p.err;
    EXPECT_EQ(fs::file_size(path("out")), 180'000'000u);
    EXPECT_TRUE(cli::with_sanitizer || p.peak_kilobytes() < 60'000) << p.peak_kilobytes();
}

TEST_F(muster_run, ungrouped_commands_write_where_it_does) {
    const auto d = run({"-u", "echo {}; echo x{} >&2", ":::", "a"});
    EXPECT_EQ(d.out, "a\n");
    expect_words(d.err, {"xa\n"});
}

TEST_F(muster_run, standard_output_that_is_closed_stops_it_and_fails) {
    setting s;
    s.output_file = "/dev/full";
    const auto d =
        run({"-j1", "--jsonl", path("log"), "echo {}; sleep 0.2", ":::", "a", "b", "c", "d", "e", "f", "g", "h"}, s);
    EXPECT_EQ(d.status, 1);
    expect_words(d.err, {"writing to standard output failed", "No space left"});
    const auto c = ledger_of(d.err);
    EXPECT_EQ(c.submitted, 8u);
    EXPECT_EQ(c.succeeded, 0u);
    EXPECT_GE(c.not_started, 1u);
    expect_same(lines_of(read(path("log"))), c);
}

TEST_F(muster_run, a_slow_reader_costs_no_command_its_time_limit_and_no_success) {
    program p({"run", "--limit", "4", "--timeout", "1s", "--jsonl", path("log"),
        "if [ {} = 1 ]; then head -c 300000 /dev/zero; else sleep 0.5; fi", ":::", "1", "2", "3", "4"});
    std::this_thread::sleep_for(2s);
    EXPECT_EQ(p.wait(), 0) << p.err;
    EXPECT_EQ(p.out.size(), 300'000u);
    EXPECT_EQ(ledger_of(p.err).succeeded, 4u);
    // The times are the commands' own.
    for (const auto& line : lines_of(read(path("log"))))
        EXPECT_LT(line.at("seconds").get<double>(), 1.5) << line;
}

TEST_F(muster_run, what_a_reader_does_not_take_is_spooled_up_to_a_limit_and_then_nothing_more_starts) {
    program p({"run", "-j1", "--spool-limit", "1M", "head -c 600000 /dev/zero; echo {} >> " + path("ran"), ":::", "1",
        "2", "3", "4", "5", "6", "7", "8"});
    for (int i = 0; i != 400 && p.err.find("--spool-limit") == std::string::npos; ++i)
        p.read_error_for(10ms);
    std::this_thread::sleep_for(200ms);
    const auto ran = std::ranges::count(read(path("ran")), '\n');
    EXPECT_LE(ran, 3);
    EXPECT_EQ(p.wait(), 0) << p.err;
    EXPECT_EQ(p.out.size(), 8u * 600'000);
    expect_words(p.err, {"1 MiB of output wait to be read"});
}

TEST_F(muster_run, an_interrupt_counts_what_a_stalled_reader_did_not_take_as_not_printed) {
    // That the fourth command has begun shows that the third one's end was seen.
    program p({"run", "-j1", "--jsonl", path("log"),
        "echo {} >> " + path("ran") + "; test {} != 4 || exec sleep 60; head -c 300000 /dev/zero", ":::", "1", "2", "3",
        "4"});
    for (int i = 0; i != 6000 && std::ranges::count(read(path("ran")), '\n') != 4; ++i)
        std::this_thread::sleep_for(5ms);
    p.signal(SIGINT);
    EXPECT_TRUE(p.ends_unread());
    EXPECT_EQ(p.wait(), 130);
    const auto c = ledger_of(p.err.substr(p.err.find("4 submitted")));
    EXPECT_EQ(c.failed, 3u);
    EXPECT_EQ(c.cancelled, 1u);
    expect_words(p.err, {"nobody had read it by the time of the interrupt"});
    expect_same(lines_of(read(path("log"))), c);
}

TEST_F(muster_run, output_that_comes_after_the_first_process_has_ended_is_the_commands) {
    std::vector<std::string> arguments{"-q", "bash", "-c", "exec > >(cat); echo {}", ":::"};
    for (int i = 0; i != 20; ++i)
        arguments.push_back(std::to_string(i));
    EXPECT_EQ(std::ranges::count(run(arguments).out, '\n'), 20);
}

TEST_F(muster_run, output_that_comes_later_than_the_linger_time_is_printed_until_muster_ends) {
    const auto d = run({"-j1", "--linger", "50ms", "--timeout", "1s", "--jsonl", path("log"),
        "if [ {} = 1 ]; then (sleep 0.4; echo late; echo later >&2) & echo soon; else sleep 0.8; fi", ":::", "1", "2"});
    EXPECT_EQ(d.status, 0) << d.err;
    EXPECT_EQ(d.out, "soon\nlate\n");
    expect_words(d.err, {"later\n"});
    EXPECT_LT(lines_of(read(path("log")))[0].at("seconds").get<double>(), 0.3);
}

TEST_F(muster_run, an_output_that_is_still_open_at_the_end_is_said) {
    const auto d = run({"--linger", "0", "sleep 3 & echo {}", ":::", "1"});
    EXPECT_EQ(d.status, 0);
    EXPECT_EQ(d.out, "1\n");
    expect_words(d.err, {"still open and not read any more", "that of line 1"});
}

TEST_F(muster_run, a_tag_begins_each_line_of_both_outputs) {
    const auto d = run({"-q", "-k", "--tag", "echo 1{}; echo 2{}; printf end; echo err >&2", ":::", "a", "b"});
    EXPECT_EQ(d.out, "a\t1a\na\t2a\na\tendb\t1b\nb\t2b\nb\tend");
    expect_words(d.err, {"a\terr\n", "b\terr\n"});
    EXPECT_EQ(run({"-q", "--tagstring", "<{#}:{/}>", "echo x; true {}", ":::", "d/a"}).out, "<1:a>\tx\n");
}

TEST_F(muster_run, with_line_buffer_whole_lines_are_printed_as_they_come) {
    program p({"run", "-q", "--line-buffer", "printf 'a{}'; sleep 0.2; echo b; sleep 2; printf c", ":::", "1"});
    p.read_for(1s);
    EXPECT_EQ(p.out, "a1b\n");
    EXPECT_EQ(p.wait(), 0);
    EXPECT_EQ(p.out, "a1b\nc");
}

TEST_F(muster_run, results_are_files_of_their_own) {
    EXPECT_EQ(
        run({"-q", "--results", path("results"), "--retries", "1",
                "echo o{}; echo e{} >&2; echo x >> " + path("tries") + "; test $(wc -l < " + path("tries") + ") != 1",
                ":::", "a/b"})
            .status,
        0);
    EXPECT_EQ(read(path("results/000001-a_b.out")), "oa/b\n");
    EXPECT_EQ(read(path("results/000001-a_b.err")), "ea/b\n");
}

// ---- failures ----

TEST_F(muster_run, failures_are_grouped_by_status_and_signal_with_the_tail_of_what_they_said) {
    const auto d = run({"-k", "--jsonl", path("log"),
        "case {} in ok) ;; sig) kill -SEGV $$;; *) seq 1 20 >&2; echo last {} >&2; exit {};; esac", ":::", "ok", "3",
        "sig", "4", "3"});
    EXPECT_EQ(d.status, 1);
    const auto c = ledger_of(d.err.substr(d.err.find("5 submitted")));
    EXPECT_EQ(c.succeeded, 1u);
    EXPECT_EQ(c.failed, 4u);
    expect_words(d.err, {"2  exit status 3      line 2: 3\n", "17\n", "last 3\n", "1  SIGSEGV            line 3: sig",
                            "1  exit status 4"});
    const auto log = lines_of(read(path("log")));
    expect_same(log, c);
    EXPECT_EQ(log[1].at("exit_status"), 3);
    EXPECT_EQ(log[1].at("error_type"), "exit_error");
    EXPECT_EQ(log[2].at("signal"), "SIGSEGV");
    EXPECT_EQ(log[0].at("exit_status"), 0);
    EXPECT_EQ(log[0].at("input"), "ok");
}

TEST_F(muster_run, a_command_that_is_not_there_is_a_failure_that_says_so) {
    const auto d = run({"no-such-command-here {}", ":::", "a"});
    EXPECT_EQ(d.status, 1);
    expect_words(d.err, {"no such command", "no-such-command-here: there is no such command in PATH"});
}

TEST_F(muster_run, a_time_limit_ends_the_command_and_what_it_started) {
    const auto d =
        run({"--timeout", "300ms", ": {}; sleep 1000 & echo $! > " + path("pid") + "; echo said; wait", ":::", "a"});
    EXPECT_EQ(d.status, 1);
    EXPECT_EQ(d.out, "said\n");
    expect_words(d.err, {"time limit", "had not ended after 0.300 s"});
    EXPECT_TRUE(is_gone(std::stoi(read(path("pid")))));
}

TEST_F(muster_run, a_failed_command_is_tried_again_and_only_the_last_attempt_is_printed) {
    const auto d = run({"--retries", "2", "--jsonl", path("log"),
        ": {}; echo x >> " + path("tries") + "; echo try; test $(wc -l < " + path("tries") + ") = 3", ":::", "a"});
    EXPECT_EQ(d.status, 0) << d.err;
    EXPECT_EQ(d.out, "try\n");
    expect_words(d.err, {"2 retries"});
    EXPECT_EQ(lines_of(read(path("log")))[0].at("attempts"), 3);
    const auto e = run({"--retries", "3", "--jsonl", path("log"), "no-such-command-here", ":::", "a"});
    EXPECT_EQ(lines_of(read(path("log")))[0].at("attempts"), 1);
}

TEST_F(muster_run, a_command_that_waits_for_its_next_attempt_gives_up_its_place) {
    const auto d =
        run({"-j1", "-k", "--retries", "1", "echo {} >> " + path("ran") + "; test {} != a", ":::", "a", "b", "c"});
    EXPECT_EQ(d.status, 1);
    EXPECT_EQ(read(path("ran")), "a\nb\nc\na\n");
    expect_words(d.err, {"1 retry"});
}

TEST_F(muster_run, no_more_than_four_times_the_limit_wait_for_their_next_attempt) {
    std::vector<std::string> arguments{"-j1", "--retries", "1", "echo {} >> " + path("ran") + "; false", ":::"};
    for (int i = 0; i != 7; ++i)
        arguments.push_back(std::to_string(i));
    EXPECT_EQ(run(arguments).status, 1);
    const auto ran = read(path("ran"));
    EXPECT_TRUE(ran.starts_with("0\n1\n2\n3\n")) << ran;
    // Four wait: the next one that runs is one of them.
    EXPECT_LT(ran.at(8), '4') << ran;
    EXPECT_EQ(std::ranges::count(ran, '\n'), 14);
}

TEST_F(muster_run, an_input_without_an_end_does_not_keep_it_from_stopping) {
    for (const std::vector<std::string>& how : {std::vector<std::string>{"--fail-fast", "false"},
             {"--max-failures", "3", "false"}, {"--deadline", "200ms", "true"}}) {
        const std::string words = "yes | " MUSTER_PROGRAM " run -j2 " + how[0] +
                                  (how.size() == 3 ? " " + how[1] + ' ' + how[2] : ' ' + how[1]);
        const auto began = std::chrono::steady_clock::now();
        const auto d = run({"-q", "-u", "sh", "-c", words + "; echo status $?", ":::", "x"});
        EXPECT_LT(std::chrono::steady_clock::now() - began, 20s);
        expect_words(d.out, {"status 1"});
        const auto c = ledger_of(d.err);
        EXPECT_GE(c.not_started, 1u);
        expect_words(d.err, {"standard input was not read to its end"});
    }
}

TEST_F(muster_run, a_pipe_that_had_ended_when_it_stopped_counts_as_read_to_its_end) {
    const auto d = run({"-q", "-u", "sh", "-c", "seq 5 | " MUSTER_PROGRAM " run -j1 --fail-fast false", ":::", "x"});
    EXPECT_EQ(ledger_of(d.err).submitted, 5u);
    EXPECT_EQ(d.err.find("not read to its end"), std::string::npos) << d.err;
}

TEST_F(muster_run, it_stops_after_failures_as_it_is_told) {
    const auto d = run({"-j1", "--fail-fast", "--jsonl", path("log"), "test {} -lt 3", ":::", "1", "2", "3", "4", "5"});
    EXPECT_EQ(d.status, 1);
    const auto c = ledger_of(d.err);
    EXPECT_EQ(c.succeeded, 2u);
    EXPECT_EQ(c.failed, 1u);
    EXPECT_EQ(c.not_started, 2u);
    expect_same(lines_of(read(path("log"))), c);
    const auto e = run({"-j1", "--max-failures", "2", "test {} -lt 3", ":::", "1", "2", "3", "4", "5"});
    EXPECT_EQ(ledger_of(e.err).failed, 2u);
    const auto f = run({"-j1", "--keep-going", "test {} -lt 3", ":::", "1", "2", "3", "4", "5"});
    EXPECT_EQ(ledger_of(f.err).failed, 3u);
}

TEST_F(muster_run, halt_stops_soon_or_now_at_failures_successes_and_ends) {
    const auto counted = [&](const std::string& when, const std::string& what, int status = 1) {
        const auto d = run({"-j2", "--halt", when, what, ":::", "1", "2", "3", "4", "5", "6", "7", "8"});
        EXPECT_EQ(d.status, status) << d.err;
        return ledger_of(d.err);
    };
    // The second one goes on, or is cancelled.
    const std::string one_fails = "case {} in 1) sleep 0.1; false;; 2) sleep 0.6;; esac";
    auto c = counted("soon,fail=1", one_fails);
    EXPECT_EQ(c.succeeded, 1u);
    EXPECT_EQ(c.failed, 1u);
    EXPECT_EQ(c.cancelled, 0u);
    c = counted("now,fail=1", one_fails);
    EXPECT_EQ(c.cancelled, 1u);
    EXPECT_GE(counted("now,success=2", "true {}", 0).succeeded, 2u);
    // So many successes were asked for: what has failed before, or did not begin, is none of the whole.
    c = counted("soon,success=2", "test {} -gt 2", 0);
    EXPECT_EQ(c.failed, 2u);
    EXPECT_GE(c.not_started, 3u);
    EXPECT_EQ(counted("now,success=50%", "test {} -gt 2", 0).failed, 2u);
    EXPECT_EQ(counted("now,success=9", "test {} -gt 2").failed, 2u);
    EXPECT_EQ(run({"-q", "--halt", "now,success=9", "true", ":::", "1"}).status, 0);
    EXPECT_GE(counted("soon,done=3", "test {} = 1").not_started, 3u);
    c = counted("soon,fail=50%", "false {}");
    EXPECT_GE(c.failed, 3u);
    EXPECT_LE(c.failed, 4u);
    EXPECT_EQ(run({"-q", "--halt", "never", "false", ":::", "1"}).status, 1);
    refused({"--halt", "later", "true", ":::", "a"}, "soon,fail=1");
    refused({"--halt", "now,fail=0", "true", ":::", "a"}, "--halt");
    refused({"--halt", "now,fail=1", "--fail-fast", "true", ":::", "a"}, "exclude each other");
}

TEST_F(muster_run, the_inputs_that_did_not_succeed_can_be_given_back) {
    const std::vector<std::string> begin{"-j1", "--failed", path("failed")};
    const auto d = run({"-j1", "--failed", path("failed"), "test {} != b", ":::", "a", "b", "c d", "b"});
    EXPECT_EQ(d.status, 1);
    EXPECT_EQ(read(path("failed")), "b\nb\n");
    const auto e = run({"-q", "-k", "echo again", "-f", path("failed")});
    EXPECT_EQ(e.out, "again b\nagain b\n");
    EXPECT_EQ(
        run({"-q", "-j1", "--fail-fast", "-0", "--failed", path("failed"), "false"}, input(std::string("a\nb\0c\0", 6)))
            .status,
        1);
    EXPECT_EQ(read(path("failed")), std::string("a\nb\0c\0", 6));
    refused({"--failed", "/no/such/folder/f", "true", ":::", "a"}, "--failed");
}

TEST_F(muster_run, a_delay_stands_between_the_beginnings) {
    const auto began = std::chrono::steady_clock::now();
    EXPECT_EQ(run({"-q", "-j4", "--delay", "200ms", "true", ":::", "1", "2", "3"}).status, 0);
    EXPECT_GE(std::chrono::steady_clock::now() - began, 400ms);
}

TEST_F(muster_run, a_deadline_cancels_what_has_not_ended) {
    const auto d = run({"-j1", "--deadline", "300ms", "sleep {}", ":::", "0", "1000", "0"});
    EXPECT_EQ(d.status, 1);
    const auto c = ledger_of(d.err);
    EXPECT_EQ(c.succeeded, 1u);
    EXPECT_EQ(c.cancelled, 1u);
    EXPECT_EQ(c.not_started, 1u);
}

TEST_F(muster_run, commands_get_no_input_of_its_own_and_no_descriptors) {
    EXPECT_EQ(run({"-q", "-k", "-j1", "cat; echo {}"}, input("a\nb\n")).out, "a\nb\n");
    EXPECT_EQ(run({"-q", "-j1", "ls /proc/self/fd; true {}", ":::", "x"}).out, "0\n1\n2\n3\n");
    // And signals as they were when it was started.
    EXPECT_EQ(run({"-q", "grep -E '^Sig(Blk|Ign)' /proc/self/status; true {}", ":::", "x"}).out,
        "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
}

// ---- the log ----

TEST_F(muster_run, the_log_is_json_whatever_the_inputs_are) {
    const auto d = run({"--jsonl", path("log"), "true", ":::", "\xff\xfe", "a\nb", "\"'\\", "\x01\x7f", "ü"});
    EXPECT_EQ(d.status, 0);
    const auto log = lines_of(read(path("log")));
    expect_same(log, ledger_of(d.err));
    for (const auto& line : log) {
        EXPECT_EQ(line.at("key").get<std::string>().size(), 32u);
        EXPECT_EQ(line.at("outcome"), "ok");
        EXPECT_TRUE(line.at("seconds").is_number());
    }
}

TEST_F(muster_run, resume_runs_what_has_not_succeeded_and_adds_to_the_log) {
    const std::vector<std::string> arguments = {"-j1", "-k", "--jsonl", path("log"), "--resume",
        "echo {} >> " + path("ran") + "; echo {}; test {} != b || test -e " + path("mended"), ":::", "a", "b", "c"};
    EXPECT_EQ(run(arguments).status, 1);
    EXPECT_EQ(read(path("ran")), "a\nb\nc\n");
    write("mended", "");
    const auto d = run(arguments);
    EXPECT_EQ(d.status, 0) << d.err;
    EXPECT_EQ(d.out, "b\n");
    EXPECT_EQ(read(path("ran")), "a\nb\nc\nb\n");
    EXPECT_EQ(ledger_of(d.err).submitted, 1u);
    expect_words(d.err, {"had succeeded before: 2"});
    EXPECT_EQ(lines_of(read(path("log"))).size(), 4u);
    const auto e = run(arguments);
    EXPECT_EQ(e.status, 0);
    EXPECT_EQ(e.out, "");
    expect_words(e.err, {"had succeeded before: 3"});
}

TEST_F(muster_run, resume_takes_no_index_that_is_no_number_of_a_line) {
    const std::vector<std::string> arguments = {"--jsonl", path("log"), "--resume", "true", ":::", "a"};
    EXPECT_EQ(run(arguments).status, 0);
    const auto log = read(path("log"));
    const auto at = log.find("\"index\":");
    ASSERT_NE(at, std::string::npos) << log;
    const auto end = log.find_first_of(",}", at);
    for (const std::string index : {"184467440737095516150", "0.5", "1e300", "-1", "true"}) {
        write("log", log.substr(0, at) + "\"index\":" + index + log.substr(end));
        const auto d = run(arguments);
        EXPECT_NE(d.status, 0) << index;
        expect_words(d.err, {"is no entry of a log"});
    }
}

TEST_F(muster_run, a_log_that_was_cut_off_is_taken_up_where_it_is_whole) {
    const std::vector<std::string> arguments = {
        "-j1", "--jsonl", path("log"), "--resume", "echo {}", ":::", "a", "b", "c"};
    EXPECT_EQ(run(arguments).status, 0);
    const auto whole = read(path("log"));
    const auto second = whole.find('\n', whole.find('\n') + 1) + 1;
    for (std::size_t cut : {second + 10, whole.size() - 1, std::size_t{5}}) {
        write("log", whole.substr(0, cut));
        const auto d = run(arguments);
        EXPECT_EQ(d.status, 0) << d.err;
        expect_words(d.err, {"was cut off: that command runs again"});
        EXPECT_EQ(d.out, cut < 10 ? "a\nb\nc\n" : "c\n");
        const auto log = lines_of(read(path("log")));
        EXPECT_EQ(log.size(), 3u);
    }
}

TEST_F(muster_run, the_log_of_another_list_is_refused_before_anything_runs) {
    EXPECT_EQ(run({"--jsonl", path("log"), "echo {}", ":::", "a", "b"}).status, 0);
    refused({"--jsonl", path("log"), "--resume", "echo {}", ":::", "x", "y"}, "none of its 2 commands is in this one");
    refused({"--jsonl", path("log"), "--resume", "echo -n {}", ":::", "a", "b"}, "another list or another template");
    write("urls", "{\"index\":0,\"url\":\"http://x\",\"outcome\":\"ok\"}\n");
    refused({"--jsonl", path("urls"), "--resume", "echo {}", ":::", "a"}, "line 1 of " + path("urls") + " is no entry");
    refused({"--jsonl", folder_.string(), "--resume", "echo {}", ":::", "a"}, "Is a directory");
    EXPECT_EQ(lines_of(read(path("log"))).size(), 2u);
}

TEST_F(muster_run, resume_knows_inputs_by_their_content_when_the_list_has_changed) {
    const auto log = path("log");
    EXPECT_EQ(run({"-q", "-j1", "--jsonl", log, "echo {}; test {} != b", ":::", "a", "b", "c", "c"}).status, 1);
    // One is new, one is gone, the others stand elsewhere; what failed runs again.
    const auto d = run({"-j1", "--jsonl", log, "--resume", "echo {}; test {} != b", ":::", "c", "new", "b", "c"});
    EXPECT_EQ(d.out, "new\nb\n");
    expect_words(d.err,
        {"1 entry of " + log + " is not in the list any more", "not run again, because they had succeeded before: 2"});
    // Of equal inputs each counts: a third one is new.
    EXPECT_EQ(run({"-q", "--jsonl", log, "--resume", "echo {}; test {} != b", ":::", "c", "c", "c"}).out, "c\n");
    EXPECT_EQ(run({"-q", "--jsonl", log, "--resume", "echo {}; test {} != b", ":::", "c", "c", "c"}).out, "");
    // A pipe is not known before it is read.
    EXPECT_EQ(run({"-q", "--jsonl", log, "--resume", "echo {}; test {} != b"}, input("new\nc\nx\n")).out, "x\n");
    // Combinations and bundles are their inputs.
    EXPECT_EQ(run({"-q", "-k", "--jsonl", path("l2"), "echo", ":::", "a", "b", ":::", "1"}).out, "a 1\nb 1\n");
    EXPECT_EQ(
        run({"-q", "-k", "--jsonl", path("l2"), "--resume", "echo", ":::", "b", "a", "c", ":::", "1"}).out, "c 1\n");
}

TEST_F(muster_run, resume_starts_anew_without_a_log) {
    EXPECT_EQ(run({"--jsonl", path("new"), "--resume", "echo {}", ":::", "a"}).out, "a\n");
    EXPECT_EQ(lines_of(read(path("new"))).size(), 1u);
}

TEST_F(muster_run, two_runs_cannot_destroy_one_log) {
    program first({"run", "-q", "--jsonl", path("log"), "echo $$ > " + path("pid") + "; sleep 1; true {}", ":::", "a"});
    ASSERT_NE(appearance_of("pid"), "");
    for (const auto* how : {"--resume", "--no-progress"})
        refused({"--jsonl", path("log"), how, "true", ":::", "b"},
            "is being written by another run, process " + std::to_string(first.pid()));
    EXPECT_EQ(first.wait(), 0) << first.err;
    const auto log = lines_of(read(path("log")));
    ASSERT_EQ(log.size(), 1u);
    EXPECT_EQ(log[0].at("input"), "a");
}

TEST_F(muster_run, an_earlier_log_is_renamed_and_a_file_that_is_no_log_stays) {
    EXPECT_EQ(run({"--jsonl", path("log"), "true", ":::", "a"}).status, 0);
    const auto d = run({"--jsonl", path("log"), "true", ":::", "b"});
    EXPECT_NE(d.err.find("log of an earlier run: it is " + path("log") + ".old now"), std::string::npos) << d.err;
    EXPECT_EQ(lines_of(read(path("log")))[0].at("input"), "b");
    EXPECT_EQ(lines_of(read(path("log.old")))[0].at("input"), "a");
    for (const std::string text : {"hello\n", "hello", "{\"x\":1}\n"}) {
        write("notes", text);
        refused({"--jsonl", path("notes"), "true", ":::", "a"}, "is no log of muster's");
        refused({"--jsonl", path("notes"), "--resume", "true", ":::", "a"}, "is no entry of a log");
        EXPECT_EQ(read(path("notes")), text);
    }
}

TEST_F(muster_run, a_log_may_be_a_pipe_with_a_name) {
    ASSERT_EQ(::mkfifo(path("fifo").c_str(), 0600), 0);
    std::string text;
    std::jthread reader([&] { text = read(path("fifo")); });
    EXPECT_EQ(run({"-q", "--jsonl", path("fifo"), "true", ":::", "a", "b"}).status, 0);
    reader.join();
    EXPECT_EQ(lines_of(text).size(), 2u);
    refused({"--jsonl", path("fifo"), "--resume", "true", ":::", "a"}, "nobody reads this pipe");
}

// ---- signals ----

TEST_F(muster_run, an_interrupt_ends_what_runs_and_counts_everything) {
    for (const int signal : {SIGINT, SIGTERM}) {
        fs::remove(path("pid"));
        fs::remove(path("cleaned"));
        program p({"run", "-j1", "--jsonl", path("log"),
            ": {}; trap 'echo x > " + path("cleaned") + "; exit 1' TERM; echo $$ > " + path("pid") +
                "; echo said; while :; do sleep 0.01; done",
            ":::", "a", "b"});
        ASSERT_NE(appearance_of("pid"), "");
        p.signal(signal);
        EXPECT_EQ(p.wait(), 128 + signal);
        EXPECT_EQ(p.out, "said\n");
        EXPECT_TRUE(fs::exists(path("cleaned")));
        const auto c = ledger_of(p.err.substr(p.err.find("2 submitted")));
        EXPECT_EQ(c.cancelled, 1u);
        EXPECT_EQ(c.not_started, 1u);
        expect_same(lines_of(read(path("log"))), c);
        EXPECT_EQ(lines_of(read(path("log")))[0].at("reason"), "interrupted");
    }
}

TEST_F(muster_run, with_drain_the_first_interrupt_lets_what_runs_go_on) {
    program p({"run", "-j1", "--drain", "echo x > " + path("began") + "; sleep 0.4; echo {}", ":::", "a", "b"});
    ASSERT_NE(appearance_of("began"), "");
    p.signal(SIGINT);
    EXPECT_EQ(p.wait(), 130);
    EXPECT_EQ(p.out, "a\n");
    const auto c = ledger_of(p.err.substr(p.err.find("2 submitted")));
    EXPECT_EQ(c.succeeded, 1u);
    EXPECT_EQ(c.not_started, 1u);
    program q({"run", "-j1", "--drain", "echo y > " + path("began2") + "; sleep 100; echo {}", ":::", "a", "b"});
    ASSERT_NE(appearance_of("began2"), "");
    q.signal(SIGINT);
    std::this_thread::sleep_for(100ms);
    q.signal(SIGINT);
    EXPECT_EQ(q.wait(), 130);
    EXPECT_EQ(ledger_of(q.err.substr(q.err.find("2 submitted"))).cancelled, 1u);
}

TEST_F(muster_run, a_second_interrupt_kills_what_ignores_the_first) {
    program p({"run", "--grace", "1h",
        ": {}; trap '' TERM; echo $$ > " + path("pid") + "; while :; do sleep 0.01; done", ":::", "a"});
    const auto pid = appearance_of("pid");
    ASSERT_NE(pid, "");
    p.signal(SIGINT);
    std::this_thread::sleep_for(100ms);
    p.signal(SIGINT);
    EXPECT_EQ(p.wait(), 130);
    EXPECT_TRUE(is_gone(std::stoi(pid)));
    EXPECT_EQ(ledger_of(p.err.substr(p.err.find("1 submitted"))).cancelled, 1u);
}

TEST_F(muster_run, what_ignores_sigterm_is_killed_after_the_grace) {
    program p({"run", "--grace", "100ms",
        ": {}; trap '' TERM; echo $$ > " + path("pid") + "; while :; do sleep 0.01; done", ":::", "a"});
    const auto pid = appearance_of("pid");
    ASSERT_NE(pid, "");
    p.signal(SIGTERM);
    EXPECT_EQ(p.wait(), 143);
    EXPECT_TRUE(is_gone(std::stoi(pid)));
}

TEST_F(muster_run, an_interrupt_reaches_it_though_its_reader_does_not_read) {
    program p({"run", "-q", ": {}; head -c 1000000 /dev/zero; echo x > " + path("written"), ":::", "a"});
    ASSERT_NE(appearance_of("written"), "");
    std::this_thread::sleep_for(100ms);
    p.signal(SIGINT);
    std::this_thread::sleep_for(50ms);
    p.signal(SIGINT);
    EXPECT_TRUE(p.ends_unread());
    EXPECT_EQ(p.wait(), 130);
}

TEST_F(muster_run, a_signal_that_was_ignored_stays_so) {
    setting s;
    s.ignored = {SIGINT};
    program p({"run", "-q", "echo $$ > " + path("pid") + "; sleep 0.2; echo {}", ":::", "a"}, s);
    ASSERT_NE(appearance_of("pid"), "");
    p.signal(SIGINT);
    EXPECT_EQ(p.wait(), 0);
    EXPECT_EQ(p.out, "a\n");
}

// ---- several inputs for a command ----

TEST_F(muster_run, several_lists_give_every_combination_and_side_by_side_one_with_one) {
    EXPECT_EQ(
        run({"-q", "-k", "echo {1}-{2} {#}", ":::", "a", "b", ":::", "1", "2"}).out, "a-1 1\na-2 2\nb-1 3\nb-2 4\n");
    EXPECT_EQ(run({"-q", "-k", "echo {2} {1}", ":::", "a", "b", ":::+", "1", "2"}).out, "1 a\n2 b\n");
    EXPECT_EQ(run({"-q", "-k", "echo {3}{1}{2}", ":::", "a", "b", ":::+", "1", "2", ":::", "x", "y"}).out,
        "xa1\nya1\nxb2\nyb2\n");
    // Each input is a word of its own, with a shell and without.
    EXPECT_EQ(run({"-q", "-k", "printf '<%s>'", ":::", "a b", ":::", "c d"}).out, "<a b><c d>");
    EXPECT_EQ(run({"-q", "-k", "printf '<%s>' {} | cat", ":::", "a b", ":::", "c d"}).out, "<a b><c d>");
    EXPECT_EQ(run({"-q", "-k", "echo {}", "::::", write("l", "a\nb\n"), ":::", "1"}).out, "a 1\nb 1\n");
    EXPECT_EQ(run({"-q", "-k", "echo {}", "::::", path("l")}).out, "a\nb\n");
    EXPECT_EQ(run({"-q", "-k", "--header", ":", "echo {x}{y}", ":::", "x", "1", "2", ":::", "y", "3"}).out, "13\n23\n");
    EXPECT_EQ(run({"-q", "echo {1/.}", ":::", "a/b.c"}).out, "b\n");
    const auto none = run({"echo", ":::", "a", ":::"});
    EXPECT_EQ(none.status, 0);
    EXPECT_EQ(ledger_of(none.err).submitted, 0u);
}

TEST_F(muster_run, columns_have_numbers_and_names) {
    const auto table = write("t", "a\tb\n1  \t2\n3\n");
    EXPECT_EQ(run({"-q", "-k", "--colsep", "\\t", "echo {2}{1}", "-f", table}).out, "ba\n21  \n");
    const auto failed = run({"-k", "--colsep", "\\t", "echo {2}{1}", "-f", table});
    EXPECT_EQ(failed.status, 1);
    EXPECT_EQ(ledger_of(failed.err).failed, 1u);
    expect_words(failed.err, {"line 3: 3", "the template asks for {2}, and here the input has 1 part"});
    EXPECT_EQ(run({"-q", "-k", "-C", " +", "echo {2}", ":::", "a   b", "c d"}).out, "b\nd\n");
    // A quote of CSV holds commas, quotes and line feeds.
    const auto csv = write("c", "name,n\n\"x, y\",3\n\"q \"\"z\"\"\",4\n\"two\nlines\",5\n");
    EXPECT_EQ(run({"-q", "-k", "--csv", "--header", ":", "printf '<%s>' {name} {n} '{other}'", "-f", csv}).out,
        "<x, y><3><{other}><q \"z\"><4><{other}><two\nlines><5><{other}>");
    // Lines may end as the standard has it, and a blank line in quotes is text.
    EXPECT_EQ(run({"-q", "-k", "--csv", "printf '<%s>' {1} {2}", "-f", write("d", "a,b\r\n\"c\r\n\r\nd\",e\r\n")}).out,
        "<a><b><c\r\n\r\nd><e>");
    const auto open = run({"--csv", "-f", write("o", "a,\"b\nc\n"), "echo"});
    EXPECT_EQ(open.status, 1);
    EXPECT_EQ(ledger_of(open.err).failed, 1u);
    expect_words(open.err, {"a quote of CSV is opened and never closed"});
}

TEST_F(muster_run, a_command_gets_many_inputs_and_the_ledger_counts_both) {
    const auto two = run({"-k", "-n2", "printf '<%s>' {}; echo", ":::", "a", "b c", "d"});
    EXPECT_EQ(two.out, "<a><b c>\n<d>\n");
    EXPECT_EQ(ledger_of(two.err).submitted, 2u);
    expect_words(two.err, {"0 not started [3 inputs = 3 + 0 + 0 + 0]"});
    EXPECT_EQ(run({"-q", "-k", "-n2", "echo", "x={}", "y", ":::", "a", "b c", "d"}).out, "x=a x=b c y\nx=d y\n");
    EXPECT_EQ(run({"-q", "-k", "-n2", "printf '<%s>' \"{}\" '{}' \"({})\"", ":::", "a", "b c"}).out,
        "<a><b c><a><b c><(a b c)>");
    EXPECT_EQ(run({"-q", "-k", "-N2", "echo {2}{1}", ":::", "a", "b", "c", "d"}).out, "ba\ndc\n");
    const auto failed = run({"-n2", "--failed", path("failed"), "false", ":::", "a", "b", "c"});
    EXPECT_EQ(sorted(read(path("failed"))), "a\nb\nc\n");
    static_cast<void>(run({"--failed", path("failed"), "false", ":::", "a", ":::", "1"}));
    EXPECT_EQ(read(path("failed")), "a\t1\n");
}

TEST_F(muster_run, as_many_inputs_as_fit_are_few_commands_and_none_is_lost) {
    std::string lines;
    std::string words;
    for (int i = 0; i != 40'000; ++i) {
        lines += std::to_string(i) + '\n';
        words += (i == 0 ? "" : " ") + std::to_string(i);
    }
    const auto d = run({"-k", "-X", "echo"}, input(lines));
    EXPECT_EQ(d.status, 0) << d.err;
    auto joined_again = d.out;
    std::ranges::replace(joined_again, '\n', ' ');
    EXPECT_EQ(joined_again, words + ' ');
    EXPECT_LE(ledger_of(d.err).submitted, 10u);
    // And where a shell reads them.
    auto shell = run({"-q", "-k", "-X", "echo {} | cat"}, input(lines)).out;
    std::ranges::replace(shell, '\n', ' ');
    EXPECT_EQ(shell, words + ' ');
}

TEST_F(muster_run, a_placeholder_is_the_users_or_literal_if_asked) {
    EXPECT_EQ(run({"-q", "-I", "X", "echo {} X {1}", ":::", "a"}).out, "{} a {1}\n");
    EXPECT_EQ(run({"-q", "echo {{}} {{2}} {}", ":::", "a"}).out, "{} {2} a\n");
    EXPECT_EQ(run({"-q", "echo '{{}}' {} | cat", ":::", "a"}).out, "{} a\n");
}

TEST_F(muster_run, a_shell_of_the_users_choice_reads_the_commands_and_never_the_inputs) {
    if (std::system("bash -c 'exit 0' > /dev/null 2>&1") != 0)
        GTEST_SKIP() << "there is no bash here";
    EXPECT_EQ(run({"-q", "--shell", "bash -o pipefail", "false | true; echo $? {}", ":::", "a"}).out, "1 a\n");
    // Words stay words: f would be another's if it were split.
    EXPECT_EQ(run({"-q", "--shell", "bash", "printf", "<%s>", "x  y", "{}", ":::", "$(touch evil)"}).out,
        "<x  y><$(touch evil)>");
    EXPECT_EQ(
        run({"-q", "--shell", "bash"}, input("echo ${BASH_VERSION:+it}; [[ a == a ]] && echo yes\n")).out, "it\nyes\n");
}

TEST_F(muster_run, blocks_of_lines_go_to_commands_on_standard_input_and_no_line_is_lost_or_broken) {
    const auto d =
        run({"--pipe", "--block", "6", "-k", "-j2", "wc -l; true {#}"}, input("1\n2\n3\n4\n5\n6\n7\n8\n9\n10"));
    EXPECT_EQ(d.out, "3\n3\n3\n0\n");
    EXPECT_EQ(ledger_of(d.err).submitted, 4u);
    expect_words(d.err, {": lines "});
    std::string lines;
    for (int i = 0; i != 50'000; ++i)
        lines += std::to_string(i) + '\n';
    EXPECT_EQ(run({"-q", "--pipe", "--block", "10K", "-k", "cat"}, input(lines)).out, lines);
    // A line that is longer than a block stays whole.
    EXPECT_EQ(
        run({"-q", "--pipe", "--block", "2", "-k", "wc -c; :"}, input("a\n" + std::string(50, 'x') + "\nb\n")).out,
        "2\n51\n2\n");
    // What failed is given back, and what is tried again gets its block again.
    const auto failed =
        run({"-q", "--pipe", "--block", "2", "-k", "--failed", path("failed"), "grep -v b"}, input("a\nb\nc\n"));
    EXPECT_EQ(failed.status, 1);
    EXPECT_EQ(read(path("failed")), "b\n");
    const auto again =
        run({"-q", "--pipe", "--retries", "1", "cat; test -e again || { touch again; false; }"}, input("a\n"));
    EXPECT_EQ(again.status, 0) << again.err;
    EXPECT_EQ(again.out, "a\n");
    refused({"--pipe", "cat {}"}, "with --pipe the lines come on standard input", input("a\n"));
    refused({"--pipe", "cat", ":::", "a"}, "excludes :::");
    refused({"--block", "1M", "cat", ":::", "a"}, "--pipe");
}

TEST_F(muster_run, a_file_is_the_standard_input_of_each_command) {
    EXPECT_EQ(run({"-q", "-k", "--stdin-from", write("in", "one\ntwo\n"), "head -n {}", ":::", "1", "2"}).out,
        "one\none\ntwo\n");
    refused({"--stdin-from", path("none"), "cat", ":::", "a"}, "can't be read");
}

TEST_F(muster_run, a_trace_prints_what_starts) {
    EXPECT_EQ(run({"-q", "--trace", "echo 'x y' {}", ":::", "a b"}).err, "+ echo 'x y' 'a b'\n");
}

TEST_F(muster_run, a_command_that_writes_too_much_is_ended_and_fails_by_name) {
    const auto d = run({"--max-output", "10K", "test {} = a && yes; echo fine", ":::", "a", "b"});
    EXPECT_EQ(d.status, 1);
    EXPECT_EQ(ledger_of(d.err).failed, 1u);
    expect_words(d.err, {"too much output    line 1: a", "it wrote more than 10 KiB (--max-output)"});
    refused({"--max-output", "1K", "-u", "echo", ":::", "a"}, "--max-output");
}

TEST_F(muster_run, the_limit_is_a_part_of_the_processors_or_follows_a_file) {
    EXPECT_EQ(run({"-q", "-j", "100%", "echo", ":::", "a"}).out, "a\n");
    refused({"-j", "0%", "echo", ":::", "a"}, "--limit");
    // The first command raises the limit, and ends once a second one has begun beside it.
    const auto limit = write("limit", "1\n");
    const auto d = run({"-q", "-j", limit,
        "test {} = a || { touch '" + path("begun") + "'; exit 0; }; echo 2 > '" + limit + "'; while ! test -e '" +
            path("begun") + "'; do sleep 0.02; done",
        ":::", "a", "b"});
    EXPECT_EQ(d.status, 0) << d.err;
    refused({"-j", write("limit", "many\n"), "echo", ":::", "a"}, "--limit");
}

TEST_F(muster_run, nothing_starts_while_the_machine_is_short_of_something) {
    program p({"run", "--min-memory", "100000G", "echo", ":::", "a"});
    for (int i = 0; i != 1000 && p.err.find("--min-memory") == std::string::npos; ++i)
        p.read_error_for(20ms);
    p.signal(SIGINT);
    EXPECT_EQ(p.wait(), 130);
    EXPECT_EQ(p.out, "");
    expect_words(p.err, {"of memory is available (--min-memory): nothing more is started until that changes"});
    EXPECT_EQ(run({"-q", "--max-load", "100000", "--min-memory", "1K", "echo", ":::", "a"}).out, "a\n");
    const auto nicer = run({"-q", "--nice", "3", "nice; true {}", ":::", "a"});
    EXPECT_EQ(nicer.out, std::to_string(std::stoi(run({"-q", "nice; true {}", ":::", "a"}).out) + 3) + "\n");
}

TEST_F(muster_run, the_ledger_is_as_long_as_there_is_something_to_say) {
    EXPECT_EQ(run({"true", ":::", "a"}).err, "1 submitted = 1 succeeded + 0 failed + 0 cancelled + 0 not started\n");
    expect_words(run({"false", ":::", "a"}).err, {"slowest:"});
    expect_words(run({"true", ":::", "a", "b"}).err, {"slowest:"});
    expect_words(run({"--ledger", "always", "true", ":::", "a"}).err, {"slowest:"});
    EXPECT_EQ(run({"--ledger", "failures", "true", ":::", "a", "b"}).err, "");
    expect_words(run({"--ledger", "failures", "false", ":::", "a", "b"}).err, {"2 failed"});
    EXPECT_EQ(run({"--ledger", "never", "false", ":::", "a", "b"}).err, "");
    expect_words(
        run({"--ledger", "never", "no-such-command-here", ":::", "a"}).err, {"there is no such command in PATH"});
    refused({"--ledger", "x", "true", ":::", "a"}, "always, failures or never");
}

TEST_F(muster_run, a_dry_run_marks_what_would_read_inputs_again) {
    for (const std::string what : {"eval echo {}", "trap {} EXIT", "echo $(({} + 1))", "[[ -v {} ]]", "true; eval {}"})
        expect_words(run({"--dry-run", what, ":::", "a"}).err, {"reads its text again"});
    EXPECT_EQ(run({"--dry-run", "echo evaluate {} | cat", ":::", "a"}).err, "");
}

TEST_F(muster_run, the_terminal_is_one_commands_at_a_time) {
    refused({"--tty", "cat"}, "give the inputs with :::", input("a\n"));
    refused({"--tty", "-k", "cat", ":::", "a"}, "excludes --stdin-from");
    EXPECT_EQ(run({"-q", "--tty", "echo begin {}; sleep 0.1; echo end {}", ":::", "a", "b"}).out,
        "begin a\nend a\nbegin b\nend b\n");
    EXPECT_EQ(run({"-q", "--tty", "cat; true {}", ":::", "a"}, input("mine\n")).out, "mine\n");
}

// ---- the screen ----

TEST_F(muster_run, a_terminal_gets_progress_with_an_estimate) {
    if (!pseudo_terminals())
        GTEST_SKIP() << "no pseudo-terminals on this machine";
    setting s;
    s.terminal = true;
    program p({"run", "-j1", "sleep 0.4; true {}", ":::", "1", "2", "3", "4"}, s);
    EXPECT_EQ(p.wait(), 0);
    expect_words(p.err, {"/4  ", " left", "4 submitted"});
}

TEST_F(muster_run, the_screen_names_what_runs_and_the_last_failure) {
    if (!pseudo_terminals())
        GTEST_SKIP() << "no pseudo-terminals on this machine";
    setting s;
    s.terminal = true;
    program p({"run", "-j1", "--bar", "echo no such fish >&2; sleep 0.4; test {} != a", ":::", "a", "b\nc"}, s);
    EXPECT_EQ(p.wait(), 1);
    expect_words(p.err, {"[...............]   0%  0/2", "running: a (0 s)", "[#######........]  50%",
                            "running: b\\nc (", "last failure: line 1: a: exit status 1: no"});
    // All three lines are taken away at the end.
    expect_words(p.err, {"\r\x1b[K\x1b[A\x1b[K\x1b[A\x1b[K"});
}

TEST_F(muster_run, the_screen_keeps_its_progress_under_steady_output_and_never_overwrites_half_a_line) {
    if (!pseudo_terminals())
        GTEST_SKIP() << "no pseudo-terminals on this machine";
    setting s;
    s.terminal = true;
    program p({"run", "-j1", "sleep 0.15; printf half >&2; seq 3 >&2; true {}", ":::", "a", "b"}, s);
    EXPECT_EQ(p.wait(), 0);
    // Whole lines have the progress behind them in the same write.
    expect_words(p.err, {"half1\r\n2\r\n3\r\n0/2  ", "half1\r\n2\r\n3\r\n1/2  "});
    program q({"run", "-j1", "sleep 0.15; printf half >&2; test {} = a", ":::", "a", "b"}, s);
    EXPECT_EQ(q.wait(), 1);
    // Nothing is drawn behind output that did not end its line, and the ledger begins a line of its own.
    expect_words(q.err, {"halfhalf\r\n2 submitted"});
}

TEST_F(muster_run, output_without_a_line_end_is_not_erased_when_the_next_command_says_nothing) {
    if (!pseudo_terminals())
        GTEST_SKIP() << "no pseudo-terminals on this machine";
    setting s;
    s.terminal = true;
    // With --keep-order what a command did not say is handed to the writer, too.
    program p({"run", "-k", "-j1", "test {} != a || printf half >&2; sleep 0.2", ":::", "a", "b", "c"}, s);
    EXPECT_EQ(p.wait(), 0);
    expect_words(p.err, {"half\r\n3 submitted"});
}

TEST_F(muster_run, a_message_on_an_interrupt_is_not_glued_to_what_stands_there) {
    if (!pseudo_terminals())
        GTEST_SKIP() << "no pseudo-terminals on this machine";
    setting s;
    s.terminal = true;
    program p({"run", "--no-progress", "--line-buffer", "echo begun >&2; sleep 30; true {}", ":::", "a"}, s);
    for (int i = 0; i != 1000 && p.err.find("begun\r\n") == std::string::npos; ++i)
        p.read_error_for(20ms);
    p.signal(SIGINT);
    EXPECT_EQ(p.wait(), 130);
    expect_words(p.err, {"begun\r\n\r\nmuster: SIGINT: ending"});
}

TEST_F(muster_run, commands_that_write_to_the_terminal_themselves_have_it_alone) {
    if (!pseudo_terminals())
        GTEST_SKIP() << "no pseudo-terminals on this machine";
    setting s;
    s.terminal = true;
    program p({"run", "-u", "sleep 0.3; echo {} >&2", ":::", "a"}, s);
    EXPECT_EQ(p.wait(), 0);
    EXPECT_TRUE(p.err.starts_with("a\r\n1 submitted")) << p.err;
}

TEST_F(muster_run, progress_is_lines_of_text_where_it_is_asked_for_and_there_is_no_terminal) {
    const auto d = run({"--progress", "-j1", "sleep 1.3; true {}", ":::", "a"});
    EXPECT_EQ(d.status, 0);
    EXPECT_TRUE(d.err.starts_with("muster: 0/1  0 ok  0 failed  1 running  0/s")) << d.err;
    EXPECT_EQ(run({"-j1", "sleep 1.3; true {}", ":::", "a"}).err.find("running"), std::string::npos);
}

// ---- bad usage ----

TEST_F(muster_run, bad_usage_is_refused_with_what_to_do) {
    refused({"--limt", "3", "echo", ":::", "a"}, "did you mean --limit?");
    refused({"--limit", "0", "echo", ":::", "a"}, "--limit");
    refused({"--limit", "x", "echo", ":::", "a"}, "--limit");
    refused({"--timeout", "0", "echo", ":::", "a"}, "--timeout");
    refused({"--fail-fast", "--keep-going", "echo", ":::", "a"}, "--keep-going");
    refused({"--resume", "echo", ":::", "a"}, "--resume needs --jsonl");
    refused({"--jsonl", "-", "echo", ":::", "a"}, "name a file");
    refused({"--jsonl", "/no/such/folder/log", "echo", ":::", "a"}, "can't be written");
    refused({"-u", "-k", "echo", ":::", "a"}, "exclude each other");
    refused({"-0", "echo", ":::", "a"}, "-0");
    refused({"-f", path("none"), "echo"}, "can't be read");
    refused({"-f", folder_.string(), "echo"}, "is a directory");
    refused({"-f", write("l", "a\n"), "echo", ":::", "b"}, "not both");
    refused({"-f", path("l"), "--jsonl", path("l"), "echo"}, "is the input");
    refused({"echo 'x", ":::", "b"}, "never closed");
    refused({"", ":::", "b"}, "template is empty");
    refused({"", "x", ":::", "b"}, "can't be empty");
    refused({"echo {}", ":::", "a", ":::+", "b", "c"}, "there are 2 of them beside 1");
    refused({"echo {}", ":::+", "a"}, "begin with :::");
    refused({"echo {}", "::::"}, "no file behind");
    refused({"echo {}", ":::", "a", "::::", path("none")}, "can't be read");
    refused({"echo {2}", ":::", "a"}, "the template has {2}, and an input has one part");
    refused({"echo {3}", ":::", "a", ":::", "b"}, "an input has 2 parts");
    refused({"-n", "2", "echo x{} | cat", ":::", "a"}, "put white space around it");
    refused({"-n", "2", "--csv", "echo", ":::", "a"}, "excludes --colsep");
    refused({"-n", "0", "echo", ":::", "a"}, "-n");
    refused({"-X", "-f", path("l")}, "give a template");
    refused({"--header", ":", "echo {x}", ":::", "x", "a"}, "--header");
    refused({"--header", "x", "--csv", "echo {x}", ":::", "x", "a"}, "write ':'");
    refused({"--csv", "--header", ":", "echo", ":::"}, "no first line");
    refused({"--colsep", "a(", "echo", ":::", "a"}, "no regular expression");
}

TEST_F(muster_run, quiet_does_not_hide_why_nothing_ran) {
    const auto d = run({"-q", "no-such-command-here {}", ":::", "a", "b"});
    EXPECT_EQ(d.status, 1);
    EXPECT_EQ(std::ranges::count(d.err, '\n'), 1) << d.err;
    expect_words(d.err, {"no-such-command-here", "there is no such command in PATH"});
    EXPECT_EQ(run({"-q", "false", ":::", "a"}).err, "");
}

TEST_F(muster_run, of_a_repeated_option_the_last_counts) {
    EXPECT_EQ(run({"-q", "-j2", "-j1", "--timeout", "1ms", "--timeout", "10s", "echo", ":::", "a"}).out, "a\n");
}

TEST_F(muster_run, the_limit_is_the_processors_that_it_may_use) {
    if (std::system("taskset -V > /dev/null 2>&1") != 0)
        GTEST_SKIP() << "there is no taskset here";
    const auto d = run({"-q", "-u", "sh", "-c",
        "seq 4 | taskset -c 0 " MUSTER_PROGRAM " run -q -k 'echo {%}; sleep 0.05'", ":::", "x"});
    EXPECT_EQ(d.out, "1\n1\n1\n1\n");
}

TEST_F(muster_run, a_template_without_inputs_at_a_terminal_says_what_is_missing) {
    int main_end = -1;
    int terminal = -1;
    if (::openpty(&main_end, &terminal, nullptr, nullptr, nullptr) != 0)
        GTEST_SKIP() << "no pseudo-terminals on this machine";
    setting s;
    s.input_file = ::ttyname(terminal);
    refused({"echo {}"}, "there are no inputs for the template", s);
    refused({}, "there is nothing to run", s);
    ::close(main_end);
    ::close(terminal);
}

} // namespace
