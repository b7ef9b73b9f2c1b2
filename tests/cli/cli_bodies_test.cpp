// SPDX-License-Identifier: MIT
// Where the bodies of muster fetch go, by which names, and how they are continued and checked.
#include "support/cli_program.hpp"
#include "support/versioned_server.hpp"

#include <algorithm>

namespace {

using namespace cli;

class muster_bodies : public muster_command {
protected:
    muster_bodies() { fs::create_directory(path("here")); }

    /// The names in a folder of the test's, with blanks between.
    [[nodiscard]] std::string names_in(const std::string& name) const {
        std::set<std::string> all;
        for (const auto& entry : fs::directory_iterator(path(name)))
            all.insert(entry.path().filename().string());
        std::string text;
        for (const auto& n : all)
            text += (text.empty() ? "" : " ") + n;
        return text;
    }
    /// Runs muster fetch; *Returns* what it says on standard output, or with status 2 its complaint.
    static std::string fetch(std::vector<std::string> arguments, int status = 0, const setting& s = {}) {
        arguments.insert(arguments.begin(), "fetch");
        program p(std::move(arguments), s);
        EXPECT_EQ(p.wait(), status) << p.out << p.err;
        return status == 2 ? p.err : p.out + p.err;
    }
    static bool contains(const std::string& text, const std::string& part) {
        return text.find(part) != std::string::npos;
    }
};

const std::string whole = "abcdefghijklmnopqrstuvwxyz0123456789";

// ---- standard output ----

TEST_F(muster_bodies, bodies_come_whole_and_in_the_order_of_the_input) {
    program p({"fetch", "-o", "-", "--keep-order", "--jsonl", path("log"), url("/slow/150"), url("/bytes/100000"),
        url("/truncated/1000"), url("/status/404"), url("/bytes/3")});
    EXPECT_EQ(p.wait(), 1);
    EXPECT_EQ(p.out.size(), 3u + 100'000u + 3u);
    EXPECT_TRUE(p.out.starts_with("ok\nabc")) << p.out.substr(0, 20);
    EXPECT_TRUE(p.out.ends_with("abc"));
    const auto c = ledger_of(p.err);
    EXPECT_EQ(c.succeeded, 3u);
    EXPECT_EQ(c.failed, 2u);
    expect_same(lines_of(read(path("log"))), c);
    EXPECT_FALSE(contains(p.err, "not kept"));
}

TEST_F(muster_bodies, without_the_order_the_first_that_comes_is_the_first) {
    program p({"fetch", "-q", "-o", "-", url("/slow/500"), url("/bytes/3")});
    EXPECT_EQ(p.wait(), 0);
    EXPECT_EQ(p.out, "abcok\n");
    EXPECT_EQ(p.err, "");
}

TEST_F(muster_bodies, a_reader_of_bodies_that_goes_away_is_a_failure) {
    program p({"fetch", "-o", "-", url("/bytes/3000000"), url("/slow/300")});
    p.stop_reading_output();
    EXPECT_EQ(p.wait(), 1);
    EXPECT_TRUE(contains(p.err, "writing to standard output failed")) << p.err;
}

TEST_F(muster_bodies, bodies_that_go_nowhere_are_not_lost_without_a_word) {
    EXPECT_TRUE(contains(fetch({url("/ok")}), "bodies were not kept: -o DIR, -O or -o -"));
    EXPECT_FALSE(contains(fetch({"-o", path("out"), url("/ok")}), "not kept"));
    EXPECT_FALSE(contains(fetch({"-X", "HEAD", url("/ok")}), "not kept"));
    EXPECT_FALSE(contains(fetch({url("/status/404")}, 1), "not kept"));
}

// ---- names ----

TEST_F(muster_bodies, a_server_names_its_bodies_but_not_their_folder) {
    const std::vector<std::pair<std::string, std::string>> names = {
        {"attachment; filename=plain.txt", "plain.txt"},
        {R"(attachment; filename="with blank.txt"; x=y)", "with blank.txt"},
        {R"(inline; filename="a\"b.txt")", "a\"b.txt"},
        {R"(attachment; filename="a;b.txt")", "a;b.txt"},
        {"attachment; filename=\"x.txt\"; filename*=UTF-8''%e2%82%ac%20rates.txt", "\xe2\x82\xac rates.txt"},
        {"attachment; FileName*=utf-8'en'up%2F..%2F..%2Fetc%2Fpasswd", "passwd"},
        {R"(attachment; filename="../../../etc/cron.d/evil")", "evil"},
        {R"(attachment; filename="..\\..\\win.ini")", "win.ini"},
        {R"(attachment; filename="/etc/shadow")", "shadow"},
        {R"(attachment; filename="...bashrc")", "bashrc"},
        {"attachment; filename*=UTF-8''a%00%0a%1b%5bb.txt", "a[b.txt"},
        {"attachment; filename*=UTF-8''%e2%80%aegpj.exe", "gpj.exe"},
        {"attachment; filename*=UTF-8''%c0%af%ff.txt", "___.txt"},
        {R"(attachment; filename="")", "body-14.bin"},
        {R"(attachment; filename="..")", "body-15.bin"},
        {R"(attachment; filename="/")", "body-16.bin"},
        {"attachment", "body-17.bin"},
        {"attachment; filename*=latin1''x.txt", "body-18.bin"},
        {"attachment; filename=" + std::string(400, 'n') + ".tar", std::string(196, 'n') + ".tar"},
        {"attachment; filename*=UTF-8''%e2%80%8b", "body-20.bin"},
        {"attachment; filename*=UTF-8''in%e2%80%8bvisi%c2%adble%ef%bb%bf.txt", "invisible.txt"},
        {"attachment; filename=" + std::string(195, 'p') + ".part" + std::string(100, 'q'),
            std::string(195, 'p') + ".part_"},
    };
    const scripted_server server([&](const asked& a) {
        const auto number = std::stoul(a.head.substr(a.head.find("body-") + 5));
        return scripted_server::text("200 OK", "x", "Content-Disposition: " + names.at(number - 1).first + "\r\n");
    });
    std::vector<std::string> arguments{"-q", "-O", "-o", path("out"), "--jsonl", path("log")};
    std::set<std::string> expected;
    for (std::size_t i = 1; i <= names.size(); ++i) {
        arguments.push_back(server.url("/a/body-" + std::to_string(i) + ".bin?x=/y"));
        expected.insert(names.at(i - 1).second);
    }
    EXPECT_EQ(fetch(arguments), "");
    std::set<std::string> found;
    for (const auto& entry : fs::recursive_directory_iterator(path("out")))
        found.insert(entry.path().filename().string());
    EXPECT_EQ(found, expected);
    for (const auto& line : lines_of(read(path("log"))))
        EXPECT_EQ(line.at("file"), names.at(line.at("index").get<std::size_t>()).second);
}

TEST_F(muster_bodies, a_server_replaces_no_file_unless_it_may) {
    write("here/ok", "mine");
    const auto said = fetch({"-O", "-o", path("here"), url("/ok")}, 1);
    EXPECT_TRUE(contains(said, "file not written") && contains(said, "File exists")) << said;
    EXPECT_EQ(read(path("here/ok")), "mine");
    EXPECT_EQ(names_in("here"), "ok");
    EXPECT_EQ(fetch({"-q", "-O", "--overwrite", "-o", path("here"), url("/ok")}), "");
    EXPECT_EQ(read(path("here/ok")), "ok\n");
}

TEST_F(muster_bodies, two_bodies_of_one_run_never_get_one_name) {
    const auto said = fetch({"--limit", "1", "-O", "--overwrite", "-o", path("out"), url("/ok?1"), url("/ok?2")}, 1);
    EXPECT_TRUE(contains(said, "is the file of another input of this run already")) << said;
    const auto list = write("list", url("/bytes/1") + "\tone\n" + url("/bytes/2") + "\tone\n");
    EXPECT_EQ(ledger_of(fetch({"--limit", "1", "-o", path("named"), "-f", list}, 1)).failed, 1u);
    EXPECT_EQ(read(path("named/one")), "a");
    EXPECT_EQ(
        ledger_of(fetch({"--limit", "1", "-o", path("made"), "--name", "{#}{}", url("/bytes/{}"), ":::", "11", "1"}, 0))
            .succeeded,
        2u);
    const auto clash = fetch({"--limit", "1", "-o", path("clash"), "--name", "{#}{}", url("/bytes/1?{}"), ":::", "1x",
                                 "2", "3", "4", "5", "6", "7", "8", "9", "10", "x"},
        1);
    EXPECT_EQ(ledger_of(clash).failed, 1u) << clash;
}

TEST_F(muster_bodies, each_line_may_name_its_file) {
    const auto list = write("list", url("/bytes/1") + "\tone.txt\n" + url("/bytes/2") + "\n" + url("/bytes/3") +
                                        "\twith blank\n" + url("/bytes/4") + "\t../up\n" + url("/bytes/5") +
                                        "\t.hidden\n" + url("/bytes/6") + "\t" + std::string(246, 'n') + "\n" +
                                        url("/bytes/7") + "\ta\tsha256:00\n" + url("/bytes/8") + "\ta\t\tb\n");
    const auto said = fetch({"-o", path("out"), "-f", list}, 1);
    EXPECT_EQ(ledger_of(said).succeeded, 3u);
    for (const auto* words :
        {"no slash", "has 246 bytes, and may have 245", "64 hexadecimal digits", "URL, NAME and DIGEST"})
        EXPECT_TRUE(contains(said, words)) << words << said;
    EXPECT_EQ(read(path("out/one.txt")), "a");
    EXPECT_EQ(read(path("out/with blank")), "abc");
    std::size_t files = 0;
    for ([[maybe_unused]] const auto& entry : fs::directory_iterator(path("out")))
        ++files;
    EXPECT_EQ(files, 3u);
}

TEST_F(muster_bodies, the_input_alone_may_be_the_name) {
    EXPECT_EQ(fetch({"-q", "-o", path("out"), "--name", "{}.txt", url("/bytes/{}"), ":::", "1", "2"}), "");
    EXPECT_EQ(names_in("out"), "1.txt 2.txt");
    const auto said = fetch({"-o", path("dots"), "--name", "{}", url("/ok?{}"), ":::", "..", "a/../b"}, 1);
    EXPECT_TRUE(contains(said, "no dot at its beginning")) << said;
    EXPECT_EQ(names_in("dots"), "a_.._b");
}

TEST_F(muster_bodies, a_name_that_is_too_long_is_the_failure_of_that_line) {
    const auto said =
        fetch({"-o", path("out"), "--name", "{}", url("/ok?{}"), ":::", std::string(300, 'x'), "short"}, 1);
    EXPECT_EQ(ledger_of(said).succeeded, 1u);
    EXPECT_TRUE(contains(said, "has 300 bytes, and may have 245")) << said;
}

// ---- digests ----

TEST_F(muster_bodies, a_body_that_is_not_what_its_digest_says_is_not_kept) {
    // Of "ok" and a line feed.
    const std::string right = "sha256:dc51b8c96c2d745df3bd5590d990230a482fd247123599548e0632fdbf97fc22";
    const auto list = write("list", url("/ok") + "\tgood\t" + right + "\n" + url("/bytes/3") + "\tbad\t" + right +
                                        "\n" + url("/ok?2") + "\t\t" + right);
    for (const auto& where : {path("out"), std::string("-")}) {
        const auto said = fetch({"--limit", "1", "-o", where, "-f", list}, 1);
        EXPECT_TRUE(contains(said, "1  digest differs")) << said;
        EXPECT_TRUE(contains(said, "its sha256 is ")) << said;
        EXPECT_TRUE(contains(said, "3 submitted = 2 succeeded + 1 failed")) << said;
        EXPECT_FALSE(contains(said, "\nabc")) << said;
    }
    EXPECT_EQ(names_in("out").find("bad"), std::string::npos);
    EXPECT_EQ(read(path("out/good")), "ok\n");
}

// ---- what is there already ----

TEST_F(muster_bodies, a_body_that_was_cut_off_is_continued) {
    const scripted_server server([](const asked& a) {
        const auto answer = proper_answer(a, whole, "\"1\"");
        return a.number == 0 ? cut_off(answer, 10) : answer;
    });
    const std::vector<std::string> arguments{"--continue", "-o", path("out"), "--name", "{#}", server.url()};
    EXPECT_TRUE(contains(fetch(arguments, 1), "answer cut off"));
    EXPECT_EQ(names_in("out"), "1.part 1.part.from");
    fetch(arguments);
    EXPECT_EQ(server.requests(), 2u);
    EXPECT_EQ(names_in("out"), "1");
    EXPECT_EQ(read(path("out/1")), whole);
}

TEST_F(muster_bodies, a_part_whose_note_is_gone_or_garbage_is_got_anew_and_nothing_is_left_of_either) {
    const std::string good = "muster download 1\n";
    const scripted_server server([](const asked& a) { return proper_answer(a, whole, "\"1\""); });
    std::size_t requests = 0;
    for (const std::string& note : {std::string(), std::string("\n"), std::string("muster downl"), good,
             good + server.url() + "\n", good + "http://127.0.0.1:9/other\n\"1\"\n\n20\n", std::string(100'000, 'x')}) {
        fs::create_directory(path("out"));
        write("out/1.part", "something else");
        if (!note.empty())
            write("out/1.part.from", note);
        fetch({"--continue", "-o", path("out"), "--name", "{#}", server.url()});
        EXPECT_EQ(server.requests(), ++requests);
        EXPECT_EQ(names_in("out"), "1") << note.substr(0, 100);
        EXPECT_EQ(read(path("out/1")), whole) << note.substr(0, 100);
        fs::remove_all(path("out"));
    }
}

TEST_F(muster_bodies, retries_continue_too) {
    const scripted_server server([](const asked& a) {
        const auto answer = proper_answer(a, whole, "\"1\"");
        return a.number < 3 ? cut_off(answer, 10) : answer;
    });
    EXPECT_EQ(fetch({"-q", "--continue", "--retries", "5", "-o", path("out"), "--name", "{#}", server.url()}), "");
    EXPECT_EQ(read(path("out/1")), whole);
    EXPECT_EQ(server.requests(), 4u);
}

TEST_F(muster_bodies, an_interrupted_body_is_kept_only_to_be_continued) {
    for (const bool continues : {false, true}) {
        const scripted_server server([](const asked& a) {
            scripted_server::say(a.socket, proper_answer(a, whole, "\"1\"").substr(0, 80));
            std::string rest;
            char byte = 0;
            while (::recv(a.socket, &byte, 1, 0) > 0)
                rest += byte;
            return rest;
        });
        std::vector<std::string> arguments{"fetch", "-o", path("out"), "--name", "{#}", server.url()};
        if (continues)
            arguments.emplace_back("--continue");
        program p(arguments);
        for (int i = 0; i != 1000 && read(path("out/1.part")).empty(); ++i)
            std::this_thread::sleep_for(10ms);
        p.signal(SIGINT);
        EXPECT_EQ(p.wait(), 130);
        EXPECT_EQ(names_in("out"), continues ? "1.part 1.part.from" : "");
    }
}

TEST_F(muster_bodies, files_that_are_there_are_not_asked_for) {
    write("here/two", "mine");
    const auto list = write("list", url("/ok?1") + "\tone\n" + url("/ok?2") + "\ttwo\n");
    const auto said = fetch({"--skip-existing", "-o", path("here"), "-f", list});
    EXPECT_EQ(ledger_of(said).submitted, 1u);
    EXPECT_TRUE(contains(said, "files are there or they had succeeded before: 1")) << said;
    EXPECT_EQ(read(path("here/two")), "mine");
    EXPECT_EQ(ledger_of(fetch({"--skip-existing", "-o", path("here"), "-f", list})).submitted, 0u);
    EXPECT_EQ(server_.stats().requests, 1u);
    EXPECT_EQ(
        ledger_of(fetch({"--skip-existing", "-O", "-o", path("here"), url("/one?3"), url("/bytes/1")})).submitted, 1u);
}

TEST_F(muster_bodies, a_resumed_run_looks_for_the_files_that_servers_have_named) {
    const scripted_server server([](const asked& a) {
        const bool fails = a.number == 1;
        return scripted_server::text(
            fails ? "500 No" : "200 OK", "x", fails ? "" : "Content-Disposition: attachment; filename=its-own\r\n");
    });
    const std::vector<std::string> arguments{"--limit", "1", "-O", "-o", path("out"), "--jsonl", path("log"),
        "--resume", server.url("/a"), server.url("/b")};
    EXPECT_EQ(ledger_of(fetch(arguments, 1)).succeeded, 1u);
    fs::remove(path("out/its-own"));
    EXPECT_EQ(ledger_of(fetch(arguments, 1)).submitted, 2u); // and the second has the name of the first
    EXPECT_EQ(ledger_of(fetch(arguments, 1)).submitted, 1u);
}

TEST_F(muster_bodies, a_resumed_run_asks_only_for_what_was_added_to_the_list) {
    const std::vector<std::string> begin{"-o", path("out"), "--jsonl", path("log"), "--resume"};
    const auto submitted = [&](const std::vector<std::string>& paths) {
        auto arguments = begin;
        for (const auto& p : paths)
            arguments.push_back(url(p));
        return ledger_of(fetch(arguments)).submitted;
    };
    EXPECT_EQ(submitted({"/ok?1", "/ok?2"}), 2u);
    EXPECT_EQ(submitted({"/ok?0", "/ok?1", "/ok?2"}), 1u);
    EXPECT_EQ(submitted({"/ok?2", "/ok?0", "/ok?1"}), 0u);
    for (const auto& entry : fs::directory_iterator(path("out"))) {
        if (entry.path().string().ends_with("ok_2"))
            fs::remove(entry.path());
    }
    EXPECT_EQ(submitted({"/ok?2", "/ok?0", "/ok?1"}), 1u);
}

TEST_F(muster_bodies, files_that_have_not_changed_stay) {
    const scripted_server server([](const asked& a) {
        if (a.has("If-Modified-Since: Thu, 26 Nov 2020 20:00:00 GMT\r\n"))
            return std::string("HTTP/1.1 304 Not Modified\r\n\r\n");
        return scripted_server::text("200 OK", "new", "Last-Modified: Thu, 26 Nov 2020 20:00:00 GMT\r\n");
    });
    const std::vector<std::string> arguments{
        "--if-modified", "-o", path("out"), "--name", "{#}", "--jsonl", path("log"), server.url()};
    fetch(arguments);
    EXPECT_EQ(lines_of(read(path("log"))).at(0).at("status"), 200);
    fetch(arguments);
    EXPECT_EQ(lines_of(read(path("log"))).at(0).at("status"), 304);
    EXPECT_EQ(read(path("out/1")), "new");
    EXPECT_EQ(names_in("out"), "1");
}

TEST_F(muster_bodies, options_about_bodies_that_can_not_be_are_refused) {
    expect_refused({"fetch", "-o", "-", "-O", url("/ok")}, "exclude each other");
    expect_refused({"fetch", "-o", "-", "--jsonl", "-", url("/ok")}, "can't have both");
    expect_refused({"fetch", "--keep-order", url("/ok")}, "-o -");
    expect_refused({"fetch", "--overwrite", "-o", path("out"), url("/ok")}, "--remote-name");
    expect_refused({"fetch", "-o", "-", "--continue", url("/ok")}, "bodies in files");
    expect_refused({"fetch", "-o", path("out"), "--name", "same", url("/ok")}, "names of their own");
    expect_refused({"fetch", "-O", "--name", "{}", "-o", path("out"), url("/ok")}, "exclude each other");
    expect_refused({"fetch", "-O", "--if-modified", url("/ok")}, "known before");
}

// ---- the manual ----

/// The shell blocks of docs/tool/fetch.md that need a server.
std::vector<std::string> documented_commands() {
    std::ifstream page(std::string(MUSTER_SOURCE) + "/docs/tool/fetch.md");
    std::vector<std::string> blocks;
    enum class place { text, noted, block } at = place::text;
    for (std::string line; std::getline(page, line);) {
        if (at == place::block && line == "```") {
            at = place::text;
        } else if (at == place::block) {
            blocks.back() += line + '\n';
        } else if (at == place::noted && line == "```sh") {
            blocks.emplace_back();
            at = place::block;
        } else {
            at = line.find("not run: tests/cli/cli_bodies_test.cpp") != std::string::npos ? place::noted : place::text;
        }
    }
    return blocks;
}

TEST_F(muster_bodies, every_command_of_the_manual_succeeds) {
    const std::string body = "ok\n";
    const scripted_server server([&](const asked& a) {
        const auto name = a.has("/report.pdf ") ? "Content-Disposition: attachment; filename=report-2026.pdf\r\n" : "";
        if (!a.head.starts_with("GET "))
            return scripted_server::text("201 Created", a.body, name);
        const auto first = first_of(a);
        return first ? part(body, *first, body.size(), "ETag: \"1\"\r\n")
                     : scripted_server::text("200 OK", body, "ETag: \"1\"\r\n" + std::string(name));
    });
    const auto with_server = [&](std::string text) {
        const std::string shown = "https://example.org";
        for (auto at = text.find(shown); at != std::string::npos; at = text.find(shown))
            text.replace(at, shown.size(), server.url(""));
        return text;
    };
    const auto blocks = documented_commands();
    EXPECT_GE(blocks.size(), 6u);
    for (const auto& block : blocks) {
        const auto here = path("block");
        fs::create_directory(here);
        write("block/urls.txt", with_server("https://example.org/a\nhttps://example.org/b\n"));
        write("block/ids.txt", "17\n18\n");
        write("block/list.tsv", with_server("https://example.org/a\ta.html\nhttps://example.org/b\tb.html\tsha256:"
                                            "dc51b8c96c2d745df3bd5590d990230a482fd247123599548e0632fdbf97fc22\n"));
        write("block/token.txt", "Authorization: Bearer 1\n");
        write("block/login.txt", "me:secret\n");
        write("block/netrc.txt", "machine 127.0.0.1 login me password secret\n");
        write("block/script", "set -e\n" + with_server(block));
        const auto command = "cd '" + here + "' && PATH='" + fs::path(MUSTER_PROGRAM).parent_path().string() +
                             "':\"$PATH\" sh ./script > said 2>&1";
        EXPECT_EQ(std::system(command.c_str()), 0) << block << read(path("block/said"));
        if (block.find("-O ") != std::string::npos && block.find("report.pdf") != std::string::npos) {
            EXPECT_EQ(read(path("block/report-2026.pdf")), body);
        }
        fs::remove_all(here);
    }
}

} // namespace
