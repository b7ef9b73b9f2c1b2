// SPDX-License-Identifier: MIT
// Files that the user names: none is read and written by one run, none holds the command up, and a dry run leaves all
// as they are.
#include "support/cli_program.hpp"
#include "support/versioned_server.hpp"

namespace {

using namespace cli;

class named_files : public muster_command {};

TEST_F(named_files, the_inputs_are_not_lost_where_those_that_failed_would_go) {
    const std::string inputs = "1\n2\n3\n";
    const auto list = write("list", inputs);
    fs::create_symlink("list", path("link"));
    fs::create_hard_link(list, path("other"));
    for (const auto& name : {list, path("link"), path("other")}) {
        expect_refused({"run", "-f", list, "--failed", name, "false"}, "is the input: name another file");
        setting s;
        s.input_file = list;
        expect_refused({"run", "--failed", name, "false"}, "is the input: name another file", s);
        expect_refused({"run", "-f", list, "--jsonl", name, "false"}, "is the input: name another file");
        expect_refused({"run", "--failed", name, "false", "::::", list, ":::", "a"}, "is the input: name another file");
        EXPECT_EQ(read(list), inputs);
    }
    const auto urls = write("urls", url("/status/404") + '\n');
    for (const auto* option : {"--failed", "--jsonl", "--cookie-jar"}) {
        expect_refused({"fetch", "-f", urls, option, urls}, "is the input: name another file");
        setting s;
        s.input_file = urls;
        expect_refused({"fetch", "-", option, urls}, "is the input: name another file", s);
        EXPECT_EQ(read(urls), url("/status/404") + '\n');
    }
}

TEST_F(named_files, what_commands_read_and_what_is_sent_is_not_cut_off_first) {
    const auto text = write("text", "kept");
    expect_refused({"run", "--stdin-from", text, "--failed", text, "cat", ":::", "a"}, "is what --stdin-from names");
    expect_refused({"fetch", "--data-file", text, "--failed", text, url("/ok")}, "is what --data-file names");
    EXPECT_EQ(read(text), "kept");
}

TEST_F(named_files, that_have_no_end_are_not_read_for_ever) {
    for (const auto* option : {"-H", "-u"})
        expect_refused({"fetch", option, "@/dev/zero", url("/ok")}, "is longer than 1 MiB, and may have no end");
    expect_refused({"fetch", "--config", "/dev/zero", url("/ok")}, "is longer than 1 MiB, and may have no end");
}

TEST_F(named_files, two_things_are_not_written_into_one_file) {
    expect_refused({"run", "--jsonl", path("x"), "--failed", path("x"), "false", ":::", "a"}, "can't have one file");
    expect_refused({"fetch", "--cookie-jar", path("x"), "--failed", path("x"), url("/ok")}, "can't have one file");
    EXPECT_FALSE(fs::exists(path("x")));
    // A device is no file, and takes both.
    program p({"run", "-q", "--jsonl", "/dev/null", "--failed", "/dev/null", "true", ":::", "a"});
    EXPECT_EQ(p.wait(), 0) << p.err;
}

TEST_F(named_files, the_list_of_failed_inputs_may_be_a_pipe_that_nobody_has_to_read) {
    ASSERT_EQ(::mkfifo(path("pipe").c_str(), 0600), 0);
    std::string text;
    std::jthread reader([&] { text = read(path("pipe")); });
    program p({"run", "-q", "-j1", "--failed", path("pipe"), "false", ":::", "a", "b"});
    EXPECT_EQ(p.wait(), 1) << p.err;
    reader.join();
    EXPECT_EQ(text, "a\nb\n");
    expect_refused({"run", "--failed", path("pipe"), "false", ":::", "a"}, "nobody reads this pipe");
}

TEST_F(named_files, a_limit_is_read_from_a_file_that_can_be_read_again) {
    ASSERT_EQ(::mkfifo(path("pipe").c_str(), 0600), 0);
    for (const auto& name : {path("pipe"), std::string("/dev/zero"), path(".")})
        expect_refused({"run", "-j", name, "true", ":::", "a"}, "is no file on disk");
    write("limit", "1\n");
    // What takes the place of the file while it runs does not hold up what runs.
    program p({"run", "-j", path("limit"),
        "echo x > " + path("began") + "; while ! test -e " + path("go") + "; do sleep 0.01; done; echo {}", ":::", "a",
        "b"});
    for (int i = 0; i != 1000 && !fs::exists(path("began")); ++i)
        std::this_thread::sleep_for(10ms);
    fs::rename(path("pipe"), path("limit"));
    for (int i = 0; i != 1000 && p.err.find("it stays at 1") == std::string::npos; ++i)
        p.read_error_for(10ms);
    EXPECT_NE(p.err.find("it stays at 1"), std::string::npos) << p.err;
    write("go", "");
    EXPECT_EQ(p.wait(), 0) << p.err;
    EXPECT_EQ(p.out, "a\nb\n");
}

TEST_F(named_files, a_dry_run_leaves_what_an_earlier_run_has_written) {
    const auto failed = write("failed", "a\n");
    program p({"run", "--dry-run", "--failed", failed, "--results", path("results"), "false", ":::", "a"});
    EXPECT_EQ(p.wait(), 0) << p.err;
    EXPECT_EQ(p.out, "false a\n");
    EXPECT_EQ(read(failed), "a\n");
    EXPECT_FALSE(fs::exists(path("results")));
}

TEST_F(named_files, a_folder_is_no_file_of_options_and_each_message_names_its_option) {
    expect_refused({"fetch", "--config", path("."), url("/ok")}, "can't be read: Is a directory");
    program p({"fetch", "-q", "--config", write("none", ""), url("/ok")});
    EXPECT_EQ(p.wait(), 0) << p.err;
    expect_refused({"run", "--results", write("file", ""), "true", ":::", "a"}, "--results: files can't be made in");
    expect_refused({"fetch", "-A", "a\nb", url("/ok")}, "--user-agent: there is a line break");
    expect_refused({"fetch", "-H", "range: bytes=0-9", "-o", path("out"), url("/ok")}, "-o - prints a part");
}

// ---- names of bodies ----

TEST_F(named_files, a_body_is_not_removed_as_the_part_of_another_one) {
    const auto server_says = [](const char* name) {
        return scripted_server::text(
            "200 OK", "whole", std::string("Content-Disposition: attachment; filename=") + name + "\r\n");
    };
    const scripted_server server([&](const asked& a) {
        return a.has("/named") ? server_says("x.part") : scripted_server::text("200 OK", "whole");
    });
    const auto list = write(
        "list", server.url("/1") + "\tx.part\n" + server.url("/2") + "\tx\n" + server.url("/3") + "\tx.part.from\n");
    program p({"fetch", "-j1", "--continue", "-f", list, "-o", path("out")});
    EXPECT_EQ(p.wait(), 1);
    EXPECT_NE(p.out.find("3 submitted = 1 succeeded + 2 failed"), std::string::npos) << p.out;
    EXPECT_NE(p.out.find("of a body that is not complete"), std::string::npos) << p.out;
    EXPECT_EQ(read(path("out/x")), "whole");
    program q(
        {"fetch", "-q", "-o", path("named"), "-O", server.url("/named"), server.url("/a.part"), server.url("/a")});
    EXPECT_EQ(q.wait(), 0) << q.err;
    for (const auto* name : {"x.part_", "a.part_", "a"})
        EXPECT_EQ(read(path("named") + '/' + name), "whole") << name;
    // Without names of their own as well: the second run's part would have the name of the first one's body.
    for (const auto* name : {"/b.part", "/b"}) {
        program r({"fetch", "-q", "-o", path("derived"), server.url(name)});
        EXPECT_EQ(r.wait(), 0) << r.err;
    }
    EXPECT_EQ(std::distance(fs::directory_iterator(path("derived")), fs::directory_iterator()), 2);
}

TEST_F(named_files, a_part_that_nobody_asked_for_is_no_body_on_standard_output) {
    const scripted_server server([](const asked&) {
        return scripted_server::text("206 Partial Content", "01234", "Content-Range: bytes 0-4/10\r\n");
    });
    for (const std::vector<std::string>& more :
        {std::vector<std::string>{"-o", "-"}, {"-o", "-", "--limit-rate", "1M"}, {}}) {
        auto arguments = more;
        arguments.insert(arguments.begin(), {"fetch", server.url()});
        program p(arguments);
        EXPECT_EQ(p.wait(), 1) << p.out << p.err;
        EXPECT_NE((p.out + p.err).find("garbage answer"), std::string::npos) << p.out << p.err;
        EXPECT_EQ(p.out.find("01234"), std::string::npos);
    }
    program p({"fetch", "-q", "-o", "-", "-H", "range: bytes=0-4", server.url()});
    EXPECT_EQ(p.wait(), 0) << p.err;
    EXPECT_EQ(p.out, "01234");
}

// ---- records ----

class records : public muster_command {
protected:
    /// *Returns* what it prints for a text of CSV, or of columns that are cut at an expression.
    std::string said(const std::string& text, std::vector<std::string> arguments, int status = 0) {
        setting s;
        s.input_file = write("text", text);
        arguments.insert(arguments.begin(), {"run", "-k"});
        program p(std::move(arguments), s);
        EXPECT_EQ(p.wait(), status) << p.err;
        err = p.err;
        return p.out;
    }
    std::string err;
};

TEST_F(records, a_quote_within_a_column_swallows_no_further_line) {
    const std::vector<std::string> show = {"--csv", "echo '[{1}]' '[{2}]'"};
    EXPECT_EQ(said("5\" disk,b\nfoo,c\nbar,d\n", show), "[5\" disk] [b]\n[foo] [c]\n[bar] [d]\n");
    EXPECT_EQ(said("\"\"x\",b\nfoo,c\n", show), "[x\"] [b]\n[foo] [c]\n");
    EXPECT_EQ(said("a,5\"\nfoo,\"c\n d\"\n", show), "[a] [5\"]\n[foo] [c\n d]\n");
    EXPECT_EQ(said("\"a\"\"\n\",b\nfoo,c\n", show), "[a\"\n] [b]\n[foo] [c]\n");
    EXPECT_EQ(said("\"\n\n\",\"\"\nfoo,c\n", show), "[\n\n] []\n[foo] [c]\n");
}

TEST_F(records, an_open_quote_costs_its_record_and_is_read_once_however_many_lines_follow) {
    // A few more lines than a record may have bytes for.
    std::string text = "\"\n";
    for (int i = 0; i != 524'350; ++i)
        text += "a\n";
    EXPECT_EQ(said(text + "b\"\nlast,c\n", {"--csv", "case {1} in last) echo x;; esac"}, 1), "x\n");
    EXPECT_NE(err.find("a quote of CSV is opened and never closed"), std::string::npos) << err;
}

TEST_F(records, a_nul_in_a_line_does_not_end_its_columns_early) {
    using namespace std::string_literals;
    for (const auto* separator : {",", ", *"}) {
        EXPECT_EQ(
            said("a, b\0evil\nc, d\n"s, {"-C", separator, "echo", "{1}", "{2}"}, 1).find("a b\n"), std::string::npos);
        EXPECT_NE(err.find("1 failed"), std::string::npos) << err;
    }
    EXPECT_EQ(said("aXaXb\n", {"-C", "^a", "echo '[{1}]' '[{2}]'"}), "[] [XaXb]\n");
}

} // namespace
