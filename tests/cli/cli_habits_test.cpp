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
    expect_advice("run", "--workdir=/tmp", "write --wd DIR");
    expect_advice("fetch", "-L", "redirects are followed in any case");
    expect_advice("fetch", "--max-time=5", "write --timeout TIME");
    expect_advice("fetch", "-I", "write -X HEAD");
    expect_advice("fetch", "--no-clobber", "write --skip-existing");
}

} // namespace
