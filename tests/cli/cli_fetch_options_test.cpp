// SPDX-License-Identifier: MIT
// What muster fetch sends, to where, how it goes on after an earlier run, and what its options may not be.
#include "support/cli_program.hpp"

namespace {

using namespace cli;

/// The bodies of a run with -o, in the order of the input.
std::vector<std::string> bodies_in(const fs::path& folder) {
    std::set<fs::path> files;
    for (const auto& entry : fs::directory_iterator(folder))
        files.insert(entry.path());
    std::vector<std::string> all;
    for (const auto& file : files) {
        std::ifstream in(file, std::ios::binary);
        all.emplace_back(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
    }
    return all;
}

TEST_F(muster_command, fetch_sends_the_method_headers_and_data_that_it_is_told_to) {
    const auto file = write("data", "from a file");
    program p({"fetch", "-o", path("out"), "-X", "PUT", "-H", "A: b", "--header", "C:d e", "-d", "text", "-u", "me:pw",
        "-A", "tester/1", url("/echo")});
    EXPECT_EQ(p.wait(), 0) << p.err;
    auto body = bodies_in(path("out")).at(0);
    EXPECT_EQ(body.rfind("PUT /echo HTTP/1.1\r\n", 0), 0u) << body;
    for (const auto* line : {"A: b\r\n", "C: d e\r\n", "Authorization: Basic bWU6cHc=\r\n", "User-Agent: tester/1\r\n",
             "Accept-Encoding: "})
        EXPECT_NE(body.find(line), std::string::npos) << line << body;
    EXPECT_TRUE(body.ends_with("\r\n\r\ntext")) << body;
    for (const auto& words : {std::vector<std::string>{"-d", "@" + file}, {"--data-file", file}}) {
        std::vector<std::string> all{"fetch", "-o", path("file"), "--no-compressed", url("/echo")};
        all.insert(all.end(), words.begin(), words.end());
        program q(all);
        EXPECT_EQ(q.wait(), 0) << q.err;
        body = bodies_in(path("file")).at(0);
        EXPECT_EQ(body.rfind("POST /echo HTTP/1.1\r\n", 0), 0u) << body;
        EXPECT_EQ(body.find("Accept-Encoding: "), std::string::npos) << body;
        EXPECT_TRUE(body.ends_with("\r\n\r\nfrom a file")) << body;
    }
    setting s;
    s.input_file = file;
    program r({"fetch", "-o", path("in"), "--data", "@-", url("/echo")}, s);
    EXPECT_EQ(r.wait(), 0) << r.err;
    EXPECT_TRUE(bodies_in(path("in")).at(0).ends_with("\r\n\r\nfrom a file"));
}

TEST_F(muster_command, fetch_puts_inputs_into_a_template) {
    program p({"fetch", "-o", path("out"), url("/echo?{}&n={#}&{x}"), ":::", "a b/c", "--limit", ""});
    EXPECT_EQ(p.wait(), 0) << p.err;
    EXPECT_EQ(ledger_of(p.out).submitted, 3u);
    auto bodies = bodies_in(path("out"));
    EXPECT_EQ(bodies.at(0).rfind("GET /echo?a%20b%2Fc&n=1&{x} ", 0), 0u) << bodies.at(0);
    EXPECT_EQ(bodies.at(1).rfind("GET /echo?--limit&n=2&{x} ", 0), 0u) << bodies.at(1);
    EXPECT_EQ(bodies.at(2).rfind("GET /echo?&n=3&{x} ", 0), 0u) << bodies.at(2);
    const auto inputs = write("inputs", "#one\nx/y\n");
    program q({"fetch", "-o", path("raw"), "--no-encode", "--name", "{#}-{}.txt", "--jsonl", path("log"),
        url("/echo?{}"), "-f", inputs});
    EXPECT_EQ(q.wait(), 0) << q.err;
    EXPECT_TRUE(fs::exists(path("raw/2-x_y.txt")));
    EXPECT_EQ(read(path("raw/2-x_y.txt")).rfind("GET /echo?x/y ", 0), 0u);
    for (const auto& line : lines_of(read(path("log"))))
        EXPECT_EQ(line.at("url"), url("/echo?" + line.at("input").get<std::string>()));
}

TEST_F(muster_command, fetch_goes_on_where_an_earlier_run_has_ended) {
    const auto urls = write("urls", url("/ok?1") + '\n' + url("/flaky/a/1") + '\n' + url("/ok?3") + '\n');
    const auto log = path("log");
    program first({"fetch", "--jsonl", log, "-f", urls});
    EXPECT_EQ(first.wait(), 1);
    // It was cut off in the middle of a line.
    std::ofstream(log, std::ios::app) << R"({"index":2,"lin)";
    program second({"fetch", "--jsonl", log, "--resume", "-f", urls});
    EXPECT_EQ(second.wait(), 0) << second.err;
    EXPECT_NE(second.err.find("the last line of " + log + " was cut off"), std::string::npos) << second.err;
    EXPECT_EQ(ledger_of(second.out).submitted, 1u);
    EXPECT_EQ(lines_of(read(log)).size(), 4u);
    program third({"fetch", "--jsonl", log, "--resume", "-f", urls});
    EXPECT_EQ(third.wait(), 0) << third.err;
    EXPECT_EQ(ledger_of(third.out).submitted, 0u);
    const auto by_route = server_.stats().by_route;
    EXPECT_EQ(by_route.at("/ok"), 2u);
    EXPECT_EQ(by_route.at("/flaky"), 2u);
    // Without a log there is nothing to go on from.
    program fresh({"fetch", "--jsonl", path("new"), "--resume", url("/ok")});
    EXPECT_EQ(fresh.wait(), 0) << fresh.err;
}

TEST_F(muster_command, fetch_does_not_go_on_with_the_log_of_another_list) {
    const auto log = path("log");
    program first({"fetch", "-q", "--jsonl", log, url("/ok?1"), url("/ok?2")});
    EXPECT_EQ(first.wait(), 0) << first.err;
    const auto before = read(log);
    expect_refused({"fetch", "--jsonl", log, "--resume", url("/ok?4"), url("/ok?3")}, "log of another list");
    expect_refused(
        {"fetch", "--jsonl", log, "--resume", "-X", "PUT", url("/ok?1"), url("/ok?2")}, "log of another list");
    EXPECT_EQ(read(log), before);
    // A list that has changed is another matter: what is new is asked for, and what is gone is said.
    program changed({"fetch", "--jsonl", log, "--resume", url("/ok?3"), url("/ok?2")});
    EXPECT_EQ(changed.wait(), 0) << changed.err;
    EXPECT_EQ(ledger_of(changed.out).submitted, 1u);
    EXPECT_NE(changed.err.find("1 entry of " + log + " is not in the list any more"), std::string::npos) << changed.err;
    expect_refused({"fetch", "--jsonl", write("no-log", "hello\n"), "--resume", url("/ok")}, "no entry of a log");
    expect_refused({"fetch", "--resume", url("/ok")}, "--resume needs --jsonl");
    expect_refused({"fetch", "--resume", "--jsonl", "-", url("/ok")}, "--resume needs --jsonl");
    EXPECT_EQ(server_.stats().requests, 3u);
}

TEST_F(muster_command, fetch_reads_options_from_a_file_and_the_command_line_has_the_last_word) {
    const auto config = write("config", "# ours\nmethod = \"DELETE\"\nheader = [\"A: 1\", \"B: two\"]\nquiet = true\n"
                                        "user-agent = \"from-file\"\n");
    program p({"fetch", "-A", "from-line", "-H", "C: 3", "--config", config, "-o", path("out"), url("/echo")});
    EXPECT_EQ(p.wait(), 0) << p.err;
    EXPECT_EQ(p.out, "");
    const auto body = bodies_in(path("out")).at(0);
    EXPECT_EQ(body.rfind("DELETE /echo", 0), 0u) << body;
    for (const auto* line : {"A: 1\r\n", "B: two\r\n", "C: 3\r\n", "User-Agent: from-line\r\n"})
        EXPECT_NE(body.find(line), std::string::npos) << line << body;
    expect_refused({"fetch", "--config", path("none"), url("/ok")}, "can't be read");
    expect_refused({"fetch", "--config", write("bad", "limitt = 3\n"), url("/ok")}, "did you mean limit?");
    expect_refused({"fetch", "--config", write("flag", "quiet = 7\n"), url("/ok")}, "is true or false");
    expect_refused({"fetch", "--config", write("number", "limit = \"many\"\n"), url("/ok")}, "'many' will not do");
}

TEST_F(muster_command, fetch_repeats_only_what_is_safe_to_repeat) {
    const auto attempts_of = [&](std::vector<std::string> words) {
        words.insert(words.begin(), {"fetch", "--retries", "2", "--jsonl", "-", "-q"});
        program p(words);
        EXPECT_EQ(p.wait(), 1) << p.err;
        return lines_of(p.out).at(0).at("attempts").get<int>();
    };
    EXPECT_EQ(attempts_of({url("/status/503")}), 3);
    EXPECT_EQ(attempts_of({"-d", "x", url("/status/503")}), 1);
    EXPECT_EQ(attempts_of({"-d", "x", "-X", "PUT", url("/status/503")}), 3);
    EXPECT_EQ(attempts_of({"-d", "x", "-H", "Idempotency-Key: 1", url("/reset")}), 3);
    EXPECT_EQ(attempts_of({"-d", "x", url("/reset")}), 1);
    EXPECT_EQ(attempts_of({"-d", "x", "http://127.0.0.1:" + std::to_string(faulty_server::unused_port()) + "/"}), 3);
}

TEST_F(muster_command, fetch_refuses_options_that_can_not_be) {
    expect_refused({"fetch", "-H", "no colon", url("/ok")}, "is no header");
    expect_refused({"fetch", "-H", "A B: x", url("/ok")}, "is no name of a header");
    expect_refused({"fetch", "-X", "GET IT", url("/ok")}, "is no method");
    expect_refused({"fetch", "--user", "me", url("/ok")}, "NAME:PASSWORD");
    expect_refused({"fetch", "--http", "9", url("/ok")}, "1.0, 1.1 or 2");
    expect_refused({"fetch", "--data-file", path("none"), url("/ok")}, "the body can't be read");
    expect_refused({"fetch", "-d", "x", "--data-file", path("none"), url("/ok")}, "not both");
    expect_refused({"fetch", "--cacert", path("none"), url("/ok")}, "--cacert");
    expect_refused({"fetch", "--key", path("none"), url("/ok")}, "--key needs --cert");
    expect_refused({"fetch", "--name", "{#}", url("/ok")}, "give that, too");
    expect_refused({"fetch", "-o", path("out"), "--name", "../{#}", url("/ok")}, "no slash");
    expect_refused({"fetch", url("/ok"), ":::", "a"}, "has no place for the inputs");
    expect_refused({"fetch", url("/{}"), url("/{}"), ":::", "a"}, "there must be one URL");
    expect_refused({"fetch", url("/{}"), "-f", "-", ":::", "a"}, "not both");
    expect_refused({"fetch", "--data", "@-", "-"}, "can't be both");
    EXPECT_EQ(server_.stats().requests, 0u);
}

TEST_F(muster_command, resume_fetches_again_what_is_not_where_it_is_to_be) {
    const std::vector<std::string> begin{"fetch", "--jsonl", path("log"), "--resume"};
    const auto fetch = [&](std::vector<std::string> more) {
        more.insert(more.begin(), begin.begin(), begin.end());
        more.push_back(url("/ok?1"));
        more.push_back(url("/ok?2"));
        program p(more);
        EXPECT_EQ(p.wait(), 0) << p.err;
        return ledger_of(p.out).submitted;
    };
    EXPECT_EQ(fetch({"-o", path("one")}), 2u);
    EXPECT_EQ(fetch({"-o", path("one")}), 0u);
    EXPECT_EQ(fetch({"-o", path("two")}), 2u);
    EXPECT_EQ(fetch({"-o", path("two"), "--name", "{#}.html"}), 2u);
    fs::remove(path("two/2.html"));
    EXPECT_EQ(fetch({"-o", path("two"), "--name", "{#}.html"}), 1u);
    EXPECT_EQ(read(path("two/2.html")), "ok\n");
    expect_refused({"fetch", "--jsonl", path("log"), "--resume", "-H", "A: b", url("/ok?1"), url("/ok?2")},
        "another list or another template");
    expect_refused({"fetch", "--jsonl", path("log"), "--resume", "-u", "a:b", url("/ok?1"), url("/ok?2")},
        "another list or another template");
}

} // namespace
