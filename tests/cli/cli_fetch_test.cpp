// SPDX-License-Identifier: MIT
// Runs the built program `muster` as a person does, against the faulty server, and looks at what it says and leaves.
#include "support/cli_program.hpp"

#include <algorithm>
#include <map>
#include <thread>

namespace {

using namespace cli;

// ---- what it does ----

TEST_F(muster_command, fetch_of_good_urls_succeeds_and_prints_the_ledger) {
    program p({"fetch", url("/ok"), url("/bytes/1000"), url("/redirect/2")});
    EXPECT_EQ(p.wait(), 0) << p.err;
    const auto c = ledger_of(p.out);
    EXPECT_EQ(c.submitted, 3u);
    EXPECT_EQ(c.succeeded, 3u);
    EXPECT_EQ(p.err, "");
    EXPECT_NE(p.out.find("1006 bytes received"), std::string::npos) << p.out;
}

TEST_F(muster_command, fetch_counts_each_failure_by_its_type) {
    program p(
        {"fetch", "--timeout", "300ms", "--jsonl", path("log"), url("/ok"), url("/status/404"), url("/status/503"),
            url("/reset"), url("/truncated/100"), url("/garbage"), url("/never"), "nonsense", "ftp://127.0.0.1/x",
            "http://127.0.0.1:" + std::to_string(faulty_server::unused_port()) + "/", "http://no-such-host.invalid/"});
    EXPECT_EQ(p.wait(), 1);
    const auto c = ledger_of(p.out);
    EXPECT_EQ(c.submitted, 11u);
    EXPECT_EQ(c.succeeded, 1u);
    EXPECT_EQ(c.failed, 10u);
    const auto log = lines_of(read(path("log")));
    expect_same(log, c);
    std::vector<std::string> types(11);
    for (const auto& line : log) {
        const auto index = line.at("index").get<std::size_t>();
        types.at(index) = line.value("error_type", "");
        EXPECT_EQ(line.at("line").get<std::size_t>(), index + 1);
        EXPECT_EQ(line.at("attempts"), 1);
        EXPECT_GE(line.at("seconds").get<double>(), 0.0);
        EXPECT_EQ(line.contains("error"), line.at("outcome") == "error");
    }
    EXPECT_EQ(
        types, (std::vector<std::string>{"", "status_error", "status_error", "reset_error", "truncated_error",
                   "protocol_error", "timeout_error", "url_error", "url_error", "connect_error", "resolve_error"}));
    for (const auto* words : {"failures by kind", "status 404", "status 503", "bad URL", "slowest:"})
        EXPECT_NE(p.out.find(words), std::string::npos) << words << '\n' << p.out;
}

TEST_F(muster_command, fetch_tries_again_what_may_be_better_the_next_time) {
    program p({"fetch", "--retries", "2", "--jsonl", "-", url("/flaky/a/1"), url("/flaky/b/2"), url("/flaky/c/3"),
        url("/status/404"), url("/garbage"), url("/reset")});
    EXPECT_EQ(p.wait(), 1);
    std::map<std::size_t, int> attempts;
    for (const auto& line : lines_of(p.out))
        attempts[line.at("index").get<std::size_t>()] = line.at("attempts").get<int>();
    EXPECT_EQ(attempts, (std::map<std::size_t, int>{{0, 2}, {1, 3}, {2, 3}, {3, 1}, {4, 1}, {5, 3}}));
    // The log took standard output, so the ledger is on the other one.
    const auto c = ledger_of(p.err);
    EXPECT_EQ(c.succeeded, 2u);
    EXPECT_NE(p.err.find("7 retries"), std::string::npos) << p.err;
}

TEST_F(muster_command, fetch_reads_a_file_and_passes_over_blank_lines_and_comments) {
    const auto file = write("urls", "\xEF\xBB\xBF" + url("/ok") + "\r\n\n  # a comment\n\t" + url("/ok?2") +
                                        "  \n   \n" + "#" + url("/status/500") + "\nnonsense\n" + url("/ok?last"));
    program p({"fetch", "-f", file, "--jsonl", path("log")});
    EXPECT_EQ(p.wait(), 1);
    const auto c = ledger_of(p.out);
    EXPECT_EQ(c.submitted, 4u);
    EXPECT_EQ(c.succeeded, 3u);
    EXPECT_EQ(c.failed, 1u);
    EXPECT_NE(p.out.find("2 blank lines, 2 comments"), std::string::npos) << p.out;
    const auto log = lines_of(read(path("log")));
    expect_same(log, c);
    for (const auto& line : log)
        EXPECT_EQ(line.at("line"), (std::array{1, 4, 7, 8}).at(line.at("index").get<std::size_t>()));
    EXPECT_EQ(server_.stats().requests, 3u);
}

TEST_F(muster_command, fetch_reads_standard_input_while_it_comes) {
    setting s;
    s.input_file.clear();
    program p({"fetch", "--jsonl", path("log"), "-"}, s);
    p.write_input(url("/ok?1") + '\n');
    // The first is fetched before the input ends.
    for (int i = 0; i != 400 && server_.stats().requests == 0; ++i)
        std::this_thread::sleep_for(10ms);
    EXPECT_EQ(server_.stats().requests, 1u);
    p.write_input(url("/ok?2").substr(0, 10));
    std::this_thread::sleep_for(50ms);
    p.write_input(url("/ok?2").substr(10) + "\n# no\n" + url("/ok?3"));
    p.end_input();
    EXPECT_EQ(p.wait(), 0) << p.err;
    const auto c = ledger_of(p.out);
    EXPECT_EQ(c.succeeded, 3u);
    expect_same(lines_of(read(path("log"))), c);
}

TEST_F(muster_command, fetch_of_many_lines_puts_each_in_one_count) {
    std::string text;
    const std::vector<std::string> kinds{"/ok", "/status/500", "/reset", "/bytes/100", "/close-early"};
    for (int i = 0; i != 3000; ++i)
        text += url(kinds[static_cast<std::size_t>(i) % kinds.size()] + '?' + std::to_string(i)) + '\n';
    program p({"fetch", "--limit", "100", "-f", write("urls", text), "--jsonl", path("log")});
    EXPECT_EQ(p.wait(), 1) << p.err;
    const auto c = ledger_of(p.out);
    EXPECT_EQ(c.submitted, 3000u);
    EXPECT_EQ(c.succeeded, 1200u);
    EXPECT_EQ(c.failed, 1800u);
    expect_same(lines_of(read(path("log"))), c);
}

TEST_F(muster_command, fetch_runs_no_more_than_the_limit_at_once) {
    std::string text;
    for (int i = 0; i != 40; ++i)
        text += url("/slow/20") + '\n';
    program p({"fetch", "--limit", "4", "-f", write("urls", text)});
    EXPECT_EQ(p.wait(), 0);
    EXPECT_LE(server_.stats().peak_connections, 4u);
    EXPECT_EQ(server_.stats().requests, 40u);
}

TEST_F(muster_command, fetch_keeps_to_the_rate_retries_included) {
    std::vector<std::string> arguments{"fetch", "--rate", "10/s"};
    for (int i = 0; i != 21; ++i)
        arguments.push_back(url("/ok"));
    const auto began = std::chrono::steady_clock::now();
    program p(arguments);
    EXPECT_EQ(p.wait(), 0);
    EXPECT_GE(std::chrono::steady_clock::now() - began, 2s);
}

// ---- stopping early ----

TEST_F(muster_command, fail_fast_leaves_the_rest_not_started_or_cancelled) {
    std::string text = url("/status/500") + '\n';
    for (int i = 0; i != 500; ++i)
        text += url("/slow/200") + '\n';
    program p({"fetch", "--fail-fast", "--limit", "8", "-f", write("urls", text), "--jsonl", path("log")});
    EXPECT_EQ(p.wait(), 1);
    const auto c = ledger_of(p.out);
    EXPECT_EQ(c.submitted, 501u);
    EXPECT_EQ(c.failed, 1u);
    EXPECT_GE(c.not_started, 400u);
    const auto log = lines_of(read(path("log")));
    expect_same(log, c);
    for (const auto& line : log)
        EXPECT_EQ(line.value("reason", ""),
            line.at("outcome") == "error" || line.at("outcome") == "ok" ? "" : "stopped after failures");
}

TEST_F(muster_command, max_failures_stops_after_that_many) {
    std::string text;
    for (int i = 0; i != 200; ++i)
        text += url("/status/500") + '\n';
    program p({"fetch", "--max-failures", "5", "--limit", "1", "-f", write("urls", text)});
    EXPECT_EQ(p.wait(), 1);
    const auto c = ledger_of(p.out);
    EXPECT_EQ(c.submitted, 200u);
    EXPECT_EQ(c.failed, 5u);
    EXPECT_EQ(c.not_started, 195u);
}

TEST_F(muster_command, the_deadline_cancels_what_runs_and_keeps_what_was_done) {
    std::string text = url("/ok") + '\n';
    for (int i = 0; i != 100; ++i)
        text += url("/never") + '\n';
    program p({"fetch", "--deadline", "400ms", "--limit", "10", "-f", write("urls", text), "--jsonl", path("log")});
    EXPECT_EQ(p.wait(20s), 1);
    const auto c = ledger_of(p.out);
    EXPECT_EQ(c.submitted, 101u);
    EXPECT_EQ(c.succeeded, 1u);
    EXPECT_EQ(c.cancelled, 10u);
    EXPECT_EQ(c.not_started, 90u);
    const auto log = lines_of(read(path("log")));
    expect_same(log, c);
    for (const auto& line : log)
        EXPECT_EQ(line.value("reason", ""), line.at("outcome") == "ok" ? "" : "deadline");
}

TEST_F(muster_command, sigint_cancels_and_still_prints_the_ledger) {
    std::string text;
    for (int i = 0; i != 100; ++i)
        text += url(i < 20 ? "/ok" : "/never") + '\n';
    program p({"fetch", "--limit", "10", "-f", write("urls", text), "-o", path("out"), "--jsonl", path("log")});
    for (int i = 0; i != 1000 && server_.stats().by_route["/never"] < 10; ++i)
        std::this_thread::sleep_for(10ms);
    p.signal(SIGINT);
    EXPECT_EQ(p.wait(20s), 130) << p.err;
    const auto c = ledger_of(p.out);
    EXPECT_EQ(c.submitted, 100u);
    EXPECT_EQ(c.succeeded, 20u);
    EXPECT_EQ(c.cancelled, 10u);
    EXPECT_EQ(c.not_started, 70u);
    expect_same(lines_of(read(path("log"))), c);
    for (const auto& entry : fs::directory_iterator(path("out")))
        EXPECT_NE(entry.path().extension(), ".part");
}

TEST_F(muster_command, sigint_at_any_time_leaves_counts_that_add_up) {
    std::string text;
    for (int i = 0; i != 400; ++i)
        text += url(i % 3 == 0 ? "/flaky/" + std::to_string(i) + "/1" : "/slow/10") + '\n';
    const auto file = write("urls", text);
    for (int delay = 20; delay <= 200; delay += 20) {
        program p({"fetch", "--limit", "20", "--retries", "3", "-f", file, "--jsonl", path("log")});
        std::this_thread::sleep_for(std::chrono::milliseconds(delay));
        p.signal(SIGINT);
        const int status = p.wait(20s);
        // It may have ended before, or not yet have begun to listen.
        if (status == 130 && !p.out.empty()) {
            const auto c = ledger_of(p.out);
            EXPECT_EQ(c.submitted, 400u);
            expect_same(lines_of(read(path("log"))), c);
        }
    }
}

TEST_F(muster_command, sigint_ends_a_wait_for_an_input_without_end) {
    setting s;
    s.input_file.clear();
    program p({"fetch", "--jsonl", path("log"), "-"}, s);
    p.write_input(url("/ok") + '\n');
    for (int i = 0; i != 400 && server_.stats().requests == 0; ++i)
        std::this_thread::sleep_for(10ms);
    std::this_thread::sleep_for(50ms);
    p.signal(SIGINT);
    EXPECT_EQ(p.wait(20s), 130);
    const auto c = ledger_of(p.out);
    EXPECT_EQ(c.submitted, 1u);
    EXPECT_EQ(c.succeeded, 1u);
    EXPECT_NE(p.out.find("not read to its end"), std::string::npos) << p.out;
}

TEST_F(muster_command, a_pipe_is_not_read_further_once_it_has_stopped) {
    setting s;
    s.input_file.clear();
    program p({"fetch", "--fail-fast", "--jsonl", path("log"), "-"}, s);
    p.write_input(url("/status/500") + '\n');
    // It ends while its input does not.
    EXPECT_EQ(p.wait(20s), 1);
    const auto c = ledger_of(p.out);
    EXPECT_EQ(c.submitted, 1u);
    EXPECT_NE(p.out.find("not read to its end"), std::string::npos) << p.out;
    expect_same(lines_of(read(path("log"))), c);
}

// ---- outputs ----

TEST_F(muster_command, bodies_become_files_with_safe_names) {
    program p({"fetch", "-o", path("new/folder"), url("/bytes/5"), url("/bytes/0"), url("/status/404"),
        url("/truncated/1000"), url("/ok?a=../../etc/passwd&b=%2F")});
    EXPECT_EQ(p.wait(), 1) << p.err;
    std::map<std::string, std::string> files;
    for (const auto& entry : fs::directory_iterator(path("new/folder")))
        files[entry.path().filename().string()] = read(entry.path());
    ASSERT_EQ(files.size(), 3u);
    auto at = files.begin();
    EXPECT_TRUE(at->first.starts_with("000000-127.0.0.1_") && at->first.ends_with("_bytes_5")) << at->first;
    EXPECT_EQ(at->second, "abcde");
    EXPECT_EQ((++at)->second, "");
    EXPECT_TRUE((++at)->first.starts_with("000004-") && at->first.find("..") != std::string::npos) << at->first;
    EXPECT_EQ(at->first.find('/'), std::string::npos);
    EXPECT_EQ(at->second, "ok\n");
}

TEST_F(muster_command, a_full_disk_is_the_failure_of_that_body_alone) {
    setting s;
    s.file_size = 10'000;
    program p({"fetch", "-o", path("out"), url("/bytes/100"), url("/bytes/1000000"), url("/bytes/200")}, s);
    EXPECT_EQ(p.wait(), 1) << p.err;
    const auto c = ledger_of(p.out);
    EXPECT_EQ(c.succeeded, 2u);
    EXPECT_EQ(c.failed, 1u);
    EXPECT_NE(p.out.find("file not written"), std::string::npos) << p.out;
    EXPECT_NE(p.out.find(path("out")), std::string::npos) << p.out;
    std::size_t files = 0;
    for ([[maybe_unused]] const auto& entry : fs::directory_iterator(path("out")))
        ++files;
    EXPECT_EQ(files, 2u);
}

TEST_F(muster_command, what_is_planted_at_a_bodys_name_is_neither_followed_nor_written_to) {
    fs::create_directories(path("out"));
    const auto victim = write("victim", "precious");
    const auto name = [&](int i) {
        return "out/00000" + std::to_string(i) + "-127.0.0.1_" + std::to_string(server_.port()) + "_ok";
    };
    fs::create_symlink(victim, path(name(0) + ".part"));
    fs::create_hard_link(victim, path(name(1) + ".part"));
    ASSERT_EQ(::mkfifo(path(name(2) + ".part").c_str(), 0600), 0);
    fs::create_symlink("/dev/full", path(name(3) + ".part"));
    fs::create_symlink(victim, path(name(4)));
    fs::create_directory_symlink(path("out"), path("link"));
    program p({"fetch", "-o", path("link"), url("/ok"), url("/ok"), url("/ok"), url("/ok"), url("/ok")});
    EXPECT_EQ(p.wait(), 0) << p.out << p.err;
    EXPECT_EQ(read(victim), "precious");
    for (int i = 0; i != 5; ++i) {
        EXPECT_TRUE(fs::is_regular_file(fs::symlink_status(path(name(i))))) << i;
        EXPECT_EQ(read(path(name(i))), "ok\n") << i;
    }
}

TEST_F(muster_command, two_inputs_of_one_run_never_write_one_file) {
    program p({"fetch", "-o", path("out"), "--name", "{#}{}", url("/ok?{}"), ":::", "1x", "b", "c", "d", "e", "f", "g",
        "h", "i", "j", "x"});
    EXPECT_EQ(p.wait(), 1) << p.out;
    const auto c = ledger_of(p.out);
    EXPECT_EQ(c.failed, 1u);
    EXPECT_NE(p.out.find("11x is the file of another input of this run already"), std::string::npos) << p.out;
}

TEST_F(muster_command, a_download_that_never_stalls_is_not_ended_by_a_time_limit) {
    program p({"fetch", "--stall-timeout", "400ms", url("/drip/100/12"), url("/never"), url("/slow/100")});
    EXPECT_EQ(p.wait(), 1);
    const auto c = ledger_of(p.out);
    EXPECT_EQ(c.succeeded, 2u);
    EXPECT_NE(p.out.find("fewer than 1 bytes came within 0.400 s (--stall-timeout)"), std::string::npos) << p.out;
    program q({"fetch", "--stall-timeout", "20/500ms", url("/drip/50/20")});
    EXPECT_EQ(q.wait(), 1);
    program r({"fetch", "--stall-timeout", "none", "--timeout", "200ms", url("/never")});
    EXPECT_EQ(r.wait(), 1);
    EXPECT_NE(r.out.find("time limit"), std::string::npos) << r.out;
}

TEST_F(muster_command, an_answer_that_stalls_at_its_head_is_ended_although_the_request_had_a_body_from_a_file) {
    std::ofstream(path("body")) << "hello";
    program p({"fetch", "-d", "@" + path("body"), "-o", path("out"), "--stall-timeout", "300ms", url("/drip/60000/5")});
    EXPECT_EQ(p.wait(), 1) << p.out;
    EXPECT_NE(p.out.find("--stall-timeout"), std::string::npos) << p.out;
}

TEST_F(muster_command, a_log_that_cannot_be_written_is_said_and_fails) {
    program p({"fetch", "--jsonl", "/dev/full", url("/ok"), url("/ok")});
    EXPECT_EQ(p.wait(), 1);
    EXPECT_EQ(ledger_of(p.out).succeeded, 2u);
    EXPECT_NE(p.err.find("/dev/full failed: No space left on device"), std::string::npos) << p.err;
}

TEST_F(muster_command, a_log_on_a_disk_that_fills_ends_with_a_whole_line) {
    setting s;
    s.file_size = 1000;
    std::vector<std::string> arguments{"fetch", "--jsonl", path("log")};
    for (int i = 0; i != 30; ++i)
        arguments.push_back(url("/ok"));
    program p(arguments, s);
    EXPECT_EQ(p.wait(), 1);
    EXPECT_EQ(ledger_of(p.out).succeeded, 30u);
    const auto text = read(path("log"));
    EXPECT_TRUE(!text.empty() && text.size() <= 1000 && text.back() == '\n') << text;
    EXPECT_FALSE(lines_of(text).empty());
}

TEST_F(muster_command, a_full_or_closed_standard_output_is_said_and_does_not_crash) {
    setting full;
    full.output_file = "/dev/full";
    program p({"fetch", url("/ok")}, full);
    EXPECT_EQ(p.wait(), 1);
    EXPECT_NE(p.err.find("No space left on device"), std::string::npos) << p.err;
    setting closed;
    closed.close_output = true;
    program q({"fetch", "-o", path("out"), url("/bytes/3")}, closed);
    EXPECT_EQ(q.wait(), 1);
    EXPECT_NE(q.err.find("can't be written to standard output"), std::string::npos) << q.err;
    for (const auto& entry : fs::directory_iterator(path("out")))
        EXPECT_EQ(read(entry.path()), "abc") << "what was for standard output is in a body";
    EXPECT_EQ(server_.stats().bad_requests, 0u) << "what was for standard output went to a server";
}

TEST_F(muster_command, quiet_prints_nothing) {
    program p({"fetch", "-q", url("/ok"), url("/status/500")});
    EXPECT_EQ(p.wait(), 1);
    EXPECT_EQ(p.out, "");
    EXPECT_EQ(p.err, "");
}

TEST_F(muster_command, progress_is_drawn_on_a_terminal_and_cleared_at_the_end) {
    if (!pseudo_terminals())
        GTEST_SKIP() << "no pseudo-terminals on this machine";
    setting s;
    s.terminal = true;
    std::vector<std::string> arguments{"fetch", "--limit", "10"};
    for (int i = 0; i != 60; ++i)
        arguments.push_back(url(i % 3 == 0 ? "/status/500" : "/slow/100"));
    const auto began = std::chrono::steady_clock::now();
    program p(arguments, s);
    EXPECT_EQ(p.wait(), 1);
    const auto took = std::chrono::steady_clock::now() - began;
    EXPECT_NE(p.err.find("/60  "), std::string::npos) << p.err;
    EXPECT_NE(p.err.find(" running  "), std::string::npos) << p.err;
    EXPECT_TRUE(p.err.ends_with("\r\x1b[K\x1b[A\x1b[K\x1b[A\x1b[K")) << p.err;
    // A drawing of the progress display has three lines, and so three carriage returns.
    const auto drawn = std::ranges::count(p.err, '\r') / 3;
    EXPECT_GE(drawn, 3);
    EXPECT_LE(drawn, took / 100ms + 3);
    EXPECT_EQ(ledger_of(p.out).submitted, 60u);
    arguments.insert(arguments.begin() + 1, "--no-progress");
    program q(arguments, s);
    EXPECT_EQ(q.wait(), 1);
    EXPECT_EQ(q.err, "");
}

TEST_F(muster_command, a_body_over_the_size_limit_is_a_failure) {
    program p({"fetch", "--max-size", "1K", url("/bytes/1024"), url("/chunked/1025"), url("/gzip-bomb/100")});
    EXPECT_EQ(p.wait(), 1);
    const auto c = ledger_of(p.out);
    EXPECT_EQ(c.succeeded, 1u);
    EXPECT_NE(p.out.find("2  answer too large"), std::string::npos) << p.out;
}

// ---- bad input ----

TEST_F(muster_command, bad_usage_is_refused_before_anything_is_fetched) {
    expect_refused({}, "muster");
    expect_refused({"fetch"}, "nothing to fetch");
    expect_refused({"fetch", "--no-such-option", url("/ok")}, "--no-such-option");
    expect_refused({"no-such-command"}, "no-such-command");
    expect_refused({"help", "no-such-command"}, "no-such-command");
    expect_refused({"fetch", "--limit", "0", url("/ok")}, "--limit");
    expect_refused({"fetch", "--limit", "-3", url("/ok")}, "--limit");
    expect_refused({"fetch", "--limit", "many", url("/ok")}, "--limit");
    expect_refused({"fetch", "--limit", "99999999999999999999", url("/ok")}, "--limit");
    expect_refused({"fetch", "--limit"}, "--limit");
    expect_refused({"fetch", "--timeout", "-1s", url("/ok")}, "longer than zero");
    expect_refused({"fetch", "--timeout=-1", url("/ok")}, "longer than zero");
    expect_refused({"fetch", "--timeout", "0", url("/ok")}, "longer than zero");
    expect_refused({"fetch", "--timeout", "soon", url("/ok")}, "no time");
    expect_refused({"fetch", "--timeout", "nan", url("/ok")}, "--timeout");
    expect_refused({"fetch", "--deadline", "3 days", url("/ok")}, "--deadline");
    expect_refused({"fetch", "--rate", "0", url("/ok")}, "--rate");
    expect_refused({"fetch", "--rate", "5/year", url("/ok")}, "--rate");
    expect_refused({"fetch", "--retries", "-1", url("/ok")}, "--retries");
    expect_refused({"fetch", "--max-failures", "0", url("/ok")}, "--max-failures");
    expect_refused({"fetch", "--fail-fast", "--keep-going", url("/ok")}, "--fail-fast");
    expect_refused({"fetch", "--max-size", "huge", url("/ok")}, "--max-size");
    expect_refused({"fetch", "-f", write("urls", url("/ok")), url("/ok")}, "not both");
    expect_refused({"fetch", url("/ok"), "-"}, "standard input");
}

TEST_F(muster_command, an_input_that_cannot_be_read_or_has_no_url_is_refused) {
    expect_refused({"fetch", "-f", path("missing")}, "No such file");
    expect_refused({"fetch", "-f", folder_.string()}, "directory");
    expect_refused({"fetch", "-f", write("empty", "")}, "no URL");
    expect_refused({"fetch", "-f", write("comments", "# nothing\n\n   \n#")}, "no URL");
    expect_refused({"fetch", "-"}, "no URL");
    setting s;
    s.input_file = write("empty2", "\n\n");
    expect_refused({"fetch", "-"}, "no URL", s);
}

TEST_F(muster_command, outputs_that_cannot_be_written_are_refused) {
    const auto file = write("a-file", "x");
    expect_refused({"fetch", "-o", file, url("/ok")}, "-o");
    expect_refused({"fetch", "-o", file + "/below", url("/ok")}, "-o");
    expect_refused({"fetch", "-o", "/proc/not-here", url("/ok")}, "-o");
    expect_refused({"fetch", "--jsonl", path("missing/log"), url("/ok")}, "--jsonl");
    expect_refused({"fetch", "--jsonl", folder_.string(), url("/ok")}, "--jsonl");
    const auto list = write("list", url("/ok"));
    expect_refused({"fetch", "-f", list, "--jsonl", path("./list")}, "is the input");
    EXPECT_EQ(read(list), url("/ok"));
}

TEST_F(muster_command, lines_that_are_no_urls_are_failures_of_their_own) {
    const std::string text =
        "nonsense\nhttp://\nftp://a/\nfile:///etc/passwd\nhttp://[::1\nhttp://a b/\nhttp://a:99999/\n" +
        std::string("http://nul\0in-it/\n", 18) + "http://\xff\xfe/\n-o\n" + std::string(3 << 20, 'x') + '\n' +
        url("/ok") + '\n' + "http://" + std::string(2000, 'a');
    program p({"fetch", "-f", write("urls", text), "--jsonl", path("log")});
    EXPECT_EQ(p.wait(), 1);
    const auto c = ledger_of(p.out);
    EXPECT_EQ(c.submitted, 13u);
    EXPECT_EQ(c.succeeded, 1u);
    EXPECT_EQ(c.failed, 12u);
    const auto log = lines_of(read(path("log")));
    expect_same(log, c);
    std::size_t url_errors = 0;
    for (const auto& line : log)
        url_errors += line.value("error_type", "") == "url_error" ? 1 : 0;
    EXPECT_GE(url_errors, 10u) << p.out;
}

TEST_F(muster_command, memory_does_not_grow_with_the_list) {
    constexpr std::size_t lines = 60'000;
    {
        // They fail at once. Held in memory they would be 60 MB.
        std::ofstream out(path("urls"));
        for (std::size_t i = 0; i != lines; ++i)
            out << "nonsense-" << i << std::string(1000, '-') << '\n';
    }
    program p({"fetch", "-f", path("urls")});
    EXPECT_EQ(p.wait(), 1);
    EXPECT_EQ(ledger_of(p.out).failed, lines);
    if (with_sanitizer)
        GTEST_SKIP() << "a sanitizer keeps memory that was freed";
    rusage used{};
    ::getrusage(RUSAGE_CHILDREN, &used);
    EXPECT_LT(used.ru_maxrss, 50'000) << "kilobytes";
}

// ---- help, and the demo ----

TEST_F(muster_command, help_and_version_are_printed_on_standard_output) {
    const std::vector<std::pair<std::vector<std::string>, std::string>> asked{{{"--help"}, "fetch"},
        {{"help"}, "fetch"}, {{"help", "fetch"}, "--max-failures"}, {{"fetch", "--help"}, "--max-failures"},
        {{"help", "demo"}, "--no-progress"}, {{"--version"}, "muster 0.1.0"}};
    for (const auto& [arguments, words] : asked) {
        program p(arguments);
        EXPECT_EQ(p.wait(), 0) << arguments[0];
        EXPECT_NE(p.out.find(words), std::string::npos) << p.out;
        EXPECT_EQ(p.err, "");
    }
}

TEST_F(muster_command, the_demo_adds_up) {
    program p({"demo"});
    const auto began = std::chrono::steady_clock::now();
    EXPECT_EQ(p.wait(), 0) << p.out << p.err;
    EXPECT_LT(std::chrono::steady_clock::now() - began, 30s);
    const auto ledger = p.out.find("200 submitted");
    ASSERT_NE(ledger, std::string::npos) << p.out;
    const auto c = ledger_of(p.out.substr(ledger));
    EXPECT_EQ(c.succeeded, 150u);
    EXPECT_EQ(c.failed, 50u);
}

TEST_F(muster_command, sigint_ends_the_demo_with_its_ledger) {
    program p({"demo"});
    std::this_thread::sleep_for(700ms);
    p.signal(SIGINT);
    EXPECT_EQ(p.wait(20s), 130);
    const auto ledger = p.out.find("200 submitted");
    ASSERT_NE(ledger, std::string::npos) << p.out;
    EXPECT_GT(ledger_of(p.out.substr(ledger)).not_started, 0u);
}

} // namespace
