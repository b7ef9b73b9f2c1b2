// SPDX-License-Identifier: MIT
// Command lines as people write them who use GNU parallel, xargs, curl or wget every day.
#include "support/cli_program.hpp"

namespace {

using namespace cli;

class habits : public muster_command {
protected:
    /// *Returns* what it prints, which must succeed.
    std::string said(std::vector<std::string> arguments, const setting& s = {}) const {
        arguments.insert(arguments.begin(), {"run", "-q", "-k"});
        program p(std::move(arguments), s);
        EXPECT_EQ(p.wait(), 0) << p.err;
        return p.out;
    }
    static void expect_advice(const std::string& command, const std::string& option, const std::string& advice) {
        program p({command, option, "x"});
        EXPECT_EQ(p.wait(), 2);
        EXPECT_NE(p.err.find(advice), std::string::npos) << p.err;
        EXPECT_NE(p.err.find("See muster " + command + " --help"), std::string::npos) << p.err;
    }
};

TEST_F(habits, inputs_end_with_the_character_that_is_asked_for) {
    setting s;
    s.input_file = write("list", "a,b c,,d\ne");
    EXPECT_EQ(said({"-d", ",", "printf", "[%s]"}, s), "[a][b c][d\ne]");
    s.input_file = write("list", "a\tb");
    EXPECT_EQ(said({"--delimiter", "\\t", "printf", "[%s]"}, s), "[a][b]");
    expect_refused({"run", "-d", "ab", "echo"}, "give one character");
    expect_refused({"run", "-0", "-d", ",", "echo"}, "-0 and -d exclude each other");
    expect_refused({"run", "-d", ",", "echo", ":::", "a"}, "have no lines");
}

TEST_F(habits, failed_inputs_are_given_back_with_their_delimiter) {
    setting s;
    s.input_file = write("list", "a,b\nb,c,");
    program p({"run", "-q", "-d", ",", "--failed", path("failed"), "case {} in b*) exit 1;; esac"}, s);
    EXPECT_EQ(p.wait(), 1) << p.err;
    EXPECT_EQ(read(path("failed")), "b\nb,");
}

TEST_F(habits, lists_stand_side_by_side_with_link) {
    EXPECT_EQ(said({"--link", "echo {1}{2}{3}", ":::", "a", "b", ":::", "1", "2", ":::", "x", "y"}), "a1x\nb2y\n");
    expect_refused({"run", "--link", "echo", ":::", "a"}, "give at least two");
}

TEST_F(habits, the_limit_has_the_names_and_forms_of_others) {
    for (const auto* option : {"-P2", "-j+1", "-j-99", "--jobs=2", "--max-procs=2", "-j50%"})
        EXPECT_EQ(said({option, "echo", ":::", "a"}), "a\n") << option;
    expect_refused({"run", "-j+x", "echo", ":::", "a"}, "'x' will not do");
}

TEST_F(habits, a_value_that_is_empty_is_pointed_out_and_the_next_word_is_not_taken_for_it) {
    // As a variable that is not set leaves it.
    const std::vector<std::vector<std::string>> values{
        {"--jsonl", ""}, {"-j", ""}, {"-qj", ""}, {"--jsonl="}, {"--failed="}, {"--results", ""}};
    for (const auto& words : values) {
        auto arguments = words;
        arguments.insert(arguments.begin(), "run");
        arguments.insert(arguments.end(), {path("not-made"), ":::", "a"});
        expect_refused(arguments, "the value is empty");
        EXPECT_FALSE(fs::exists(path("not-made")));
    }
    expect_refused({"fetch", url("/ok"), "-o", ""}, "-o: the value is empty");
    expect_refused({"fetch", url("/ok"), "-x", ""}, "-x: the value is empty");
    expect_refused(
        {"fetch", "--config", write("config", "user-agent = \"\"\n"), url("/ok")}, "--user-agent: the value");
    // Words of the command are its own, and no data are data.
    EXPECT_EQ(said({"printf", "%s,", "--jsonl=", "--limit", "", "{}", ":::", "a"}), "--jsonl=,--limit,,a,");
    program p({"fetch", "-q", "-d", "", "-A", "", url("/ok")});
    EXPECT_EQ(p.wait(), 0) << p.err;
}

TEST_F(habits, a_second_list_is_not_dropped_in_silence) {
    expect_refused({"run", "-f", write("one", "a\n"), "-f", write("two", "b\n"), "echo"}, "-f is given 2 times");
}

TEST_F(habits, expressions_of_perl_are_refused_and_not_passed_on) {
    expect_refused({"run", "echo {= s/a/b/ =}", ":::", "a"}, "{= s/a/b/ =}: there are no expressions of Perl here");
    EXPECT_EQ(said({"-I", "X", "echo '{= =}' X", ":::", "a"}), "{= =} a\n");
    EXPECT_EQ(said({"echo '{=' {}", ":::", "a"}), "{= a\n");
}

TEST_F(habits, options_of_others_are_refused_with_what_to_write_instead) {
    expect_advice("run", "-r", "without inputs nothing runs in any case");
    expect_advice("run", "--no-run-if-empty", "without inputs nothing runs in any case");
    expect_advice("run", "-L1", "write -n N");
    expect_advice("run", "-S", "write --on HOSTS");
    expect_advice("run", "--process-slot-var=SLOT", "{%} is the place");
    expect_advice("run", "-E", "end the list there");
    expect_advice("fetch", "-L", "redirects are followed in any case");
    expect_advice("fetch", "-sSL", "failures are in the ledger in any case");
    expect_advice("fetch", "-4", "the addresses that the system prefers");
    expect_advice("fetch", "--speed-limit=5", "write --stall-timeout SIZE/TIME");
    expect_advice("fetch", "--range=0-9", "it gets whole bodies");
    expect_advice("fetch", "-I", "write -X HEAD");
    expect_advice("fetch", "--no-clobber", "write --skip-existing");
}

TEST_F(habits, names_that_others_give_an_option_are_taken_as_well) {
    setting s;
    s.input_file = write("list", "a\nb\n");
    EXPECT_EQ(said({"--arg-file", s.input_file, "--max-replace-args=2", "echo"}), "a b\n");
    EXPECT_EQ(said({"--spreadstdin", "cat"}, s), "a\nb\n");
    EXPECT_EQ(said({"--workdir", "/", "pwd; : {}", ":::", "a"}), "/\n");
    EXPECT_EQ(said({"--xapply", "--dryrun", "echo {1} {2}", ":::", "a", ":::", "b"}), "echo a b\n");
    program p({"run", "-q", "--lb", "echo", ":::", "a"});
    EXPECT_EQ(p.wait(), 0) << p.err;
    for (const auto& [halt, counts] : {std::pair("--halt=1", "1 failed + 0 cancelled + 3 not started"),
             std::pair("--halt-on-error=2", "1 failed + 0 cancelled + 3 not started"),
             std::pair("--halt=50%", "3 failed + 0 cancelled + 1 not started")}) {
        program stopped({"run", "-j1", halt, "false", ":::", "a", "b", "c", "d"});
        EXPECT_EQ(stopped.wait(), 1) << stopped.err;
        EXPECT_NE(stopped.err.find(counts), std::string::npos) << stopped.err;
    }
}

TEST_F(habits, the_version_is_printed_by_each_command) {
    for (const auto* command : {"run", "fetch", "demo", "hosts"}) {
        for (const auto* option : {"--version", "-V"}) {
            program p({command, option});
            EXPECT_EQ(p.wait(), 0) << p.err;
            EXPECT_TRUE(p.out.starts_with("muster ")) << p.out;
        }
    }
}

TEST_F(habits, a_beginning_that_several_options_share_names_them_all) {
    expect_refused({"run", "--keep", "echo", ":::", "a"}, "did you mean --keep-going or --keep-order?");
}

TEST_F(habits, inputs_without_their_mark_are_pointed_out_when_nothing_ran) {
    setting s;
    s.input_file = write("empty", "");
    for (const std::vector<std::string>& words : {std::vector<std::string>{"gzip", s.input_file}, {"echo {}", "a"}}) {
        auto arguments = words;
        arguments.insert(arguments.begin(), "run");
        program p(arguments, s);
        EXPECT_EQ(p.wait(), 0) << p.err;
        EXPECT_NE(p.err.find(words.back() + " stands behind the template without :::"), std::string::npos) << p.err;
    }
    program p({"run", "gzip", "{}"}, s);
    EXPECT_EQ(p.wait(), 0) << p.err;
    EXPECT_EQ(p.err.find("without :::"), std::string::npos) << p.err;
}

TEST_F(habits, a_url_behind_an_option_that_takes_a_file_is_not_taken_for_one) {
    const std::string url = "http://127.0.0.1:9/a";
    expect_refused({"fetch", "-f", url}, "a status of 400 or more is a failure in any case");
    expect_refused({"fetch", "-fsSL", url}, "a status of 400 or more is a failure in any case");
    expect_refused({"fetch", "-c", url}, "wget's -c is --continue");
    expect_refused({"fetch", "-o", url, url}, "-o DIR is a folder for the bodies");
    expect_refused({"fetch", "-qO-", url}, "-o - is for standard output");
    EXPECT_FALSE(std::filesystem::exists("http:"));
}

TEST_F(habits, the_name_of_a_file_behind_o_does_not_become_a_folder) {
    const std::string url = "http://127.0.0.1:9/a";
    const auto file = path("page.html");
    expect_refused({"fetch", "-o", file, url}, "-o is for a folder, and " + file + " looks like the name of a file");
    expect_refused({"fetch", "-o", file, url, "-o", path("b.html"), url}, "-o is one folder for all bodies");
    EXPECT_FALSE(std::filesystem::exists(file));
    // A folder can be called so as well.
    program p({"fetch", "-q", "-o", file + "/", url});
    EXPECT_EQ(p.wait(), 1) << p.err;
    EXPECT_TRUE(std::filesystem::is_directory(file));
    program again({"fetch", "-q", "-o", file, url});
    EXPECT_EQ(again.wait(), 1) << again.err;
}

TEST_F(habits, a_series_of_curl_is_pointed_out_and_sent_as_it_is) {
    for (const std::string series : {"[1-9]", "{a,b}", "[a-z]"}) {
        program p({"fetch", "http://127.0.0.1:9/" + series});
        EXPECT_EQ(p.wait(), 1) << p.err;
        EXPECT_NE(p.err.find(series + " is a part of the URL as it is written"), std::string::npos) << p.err;
    }
    program p({"fetch", R"(http://127.0.0.1:9/?a[]=1&b={"a":1,"b":2})"});
    EXPECT_EQ(p.wait(), 1) << p.err;
    EXPECT_EQ(p.err.find("as it is written"), std::string::npos) << p.err;
}

} // namespace
