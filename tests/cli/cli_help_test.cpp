// SPDX-License-Identifier: MIT
// What muster says about itself: help, manual pages and completion agree, and mistakes get an answer that helps.
#include "support/cli_program.hpp"

#include <regex>
#include <set>
#include <string>
#include <vector>

namespace {

using cli::program;
using cli::setting;

class muster_help : public ::testing::Test {
protected:
    static std::string said(std::vector<std::string> arguments, int status = 0) {
        program p(std::move(arguments));
        EXPECT_EQ(p.wait(), status) << p.err;
        EXPECT_EQ(status == 0 ? p.err : p.out, "");
        return status == 0 ? p.out : p.err;
    }
    /// "--limit" and "-j" of the lines that describe options.
    static std::set<std::string> options_in(const std::string& help) {
        std::set<std::string> all;
        std::istringstream in(help);
        static const std::regex line("^  (-[^ ]*).*");
        static const std::regex each("--?[A-Za-z0-9-]+");
        for (std::string l; std::getline(in, l);) {
            std::smatch match;
            if (!std::regex_match(l, match, line))
                continue;
            const std::string words = match[1];
            for (std::sregex_iterator at(words.begin(), words.end(), each), end; at != end; ++at)
                all.insert(at->str());
        }
        return all;
    }
    static std::string source(const std::string& file) {
        std::ifstream in(std::string(MUSTER_SOURCE) + "/" + file);
        std::stringstream text;
        text << in.rdbuf();
        return text.str();
    }
    static bool contains(const std::string& text, const std::string& part) {
        return text.find(part) != std::string::npos;
    }
    /// What bash offers for the last of the words.
    static std::set<std::string> completions(const std::vector<std::string>& words) {
        std::string list;
        for (const auto& w : words)
            list += " '" + w + "'";
        const std::string script = "source '" + std::string(MUSTER_SOURCE) +
                                   "/completions/muster.bash'; COMP_WORDS=('" + MUSTER_PROGRAM + "'" + list +
                                   "); COMP_CWORD=" + std::to_string(words.size()) +
                                   "; _muster; printf '%s\\n' \"${COMPREPLY[@]}\"";
        return said_by({"bash", "-c", script});
    }
    /// The lines that a command prints.
    static std::set<std::string> said_by(const std::vector<std::string>& words) {
        std::string command = "exec";
        for (const auto& w : words)
            command += " '" + std::regex_replace(w, std::regex("'"), "'\\''") + "'";
        FILE* from = ::popen(command.c_str(), "r");
        std::string text;
        for (char piece[256]; std::fgets(piece, sizeof piece, from) != nullptr;)
            text += piece;
        ::pclose(from);
        std::set<std::string> all;
        std::istringstream in(text);
        for (std::string l; std::getline(in, l);)
            if (!l.empty())
                all.insert(l);
        return all;
    }
};

TEST_F(muster_help, help_is_the_same_however_it_is_asked_for) {
    EXPECT_EQ(said({"--help"}), said({"help"}));
    EXPECT_EQ(said({"-h"}), said({"help"}));
    for (const std::string command : {"run", "fetch", "hosts", "agent", "demo"})
        EXPECT_EQ(said({command, "--help"}), said({"help", command}));
    for (const auto* command : {"run", "fetch", "hosts", "agent", "queue", "worker", "demo", "help"})
        EXPECT_TRUE(contains(said({"--help"}), command)) << command;
    EXPECT_TRUE(said({"--version"}).starts_with("muster "));
}

TEST_F(muster_help, without_arguments_the_help_is_an_error) { EXPECT_EQ(said({}, 2), said({"--help"})); }

TEST_F(muster_help, the_help_of_run_says_how_to_use_it_and_what_the_placeholders_are) {
    const auto text = said({"run", "--help"});
    for (const auto* words : {"muster run [OPTIONS] TEMPLATE ::: INPUT...", "{.}", "{//}", "{/.}", "{#}", "{%}",
             "Exit status", "--resume", "Ctrl-C"})
        EXPECT_TRUE(contains(text, words)) << words;
}

TEST_F(muster_help, help_is_within_80_columns_and_has_no_words_of_the_parser) {
    for (const std::string command : {"run", "fetch"}) {
        const auto text = said({command, "--help"});
        std::istringstream in(text);
        for (std::string line; command == "run" && std::getline(in, line);)
            EXPECT_LE(line.size(), 80u) << line;
        for (const auto* words : {"Excludes:", " TEXT", "{false}", "[OPTION]"})
            EXPECT_FALSE(contains(text, words)) << words;
    }
    const auto text = said({"run", "--help"});
    EXPECT_LT(text.find("Common options:"), text.find("  -j,-P,--limit,--jobs,--max-procs N"));
    EXPECT_LT(text.find("  -j,-P,--limit,--jobs,--max-procs N"), text.find("When to stop:"));
    EXPECT_FALSE(contains(text, "Other options:"));
    EXPECT_TRUE(contains(text, "Options stand before the template."));
}

TEST_F(muster_help, every_option_is_in_the_manual) {
    for (const std::string command : {"run", "fetch"}) {
        auto manual = source("docs/man/muster-" + command + ".1");
        ASSERT_NE(manual, "");
        manual = std::regex_replace(manual, std::regex("\\\\-"), "-");
        std::set<std::string> in_manual;
        static const std::regex each("--?[A-Za-z0-9][A-Za-z0-9-]*");
        std::istringstream in(manual);
        std::string previous;
        for (std::string l; std::getline(in, l); previous = l) {
            if (previous != ".TP")
                continue;
            for (std::sregex_iterator at(l.begin(), l.end(), each), end; at != end; ++at)
                in_manual.insert(at->str());
        }
        EXPECT_EQ(options_in(said({command, "--help"})), in_manual) << command;
    }
    EXPECT_TRUE(contains(source("docs/man/muster.1"), "muster\\-run"));
}

TEST_F(muster_help, a_mistake_gets_a_suggestion) {
    const std::vector<std::pair<std::vector<std::string>, std::string>> mistakes = {
        {{"rnu"}, "there is no command 'rnu': did you mean run?"},
        {{"fecth", "http://x/"}, "did you mean fetch?"},
        {{"help", "dmeo"}, "did you mean demo?"},
        {{"fetch", "--retrise=3", "http://x/"}, "did you mean --retries?"},
        {{"fetch", "--max-fail", "3", "http://x/"}, "did you mean --max-failures?"},
        {{"run", "--keep-oder", "echo", ":::", "a"}, "did you mean --keep-order?"},
        {{"run", "--dry-rnu", "echo", ":::", "a"}, "did you mean --dry-run?"},
        {{"run", "--zzzzzz", "echo", ":::", "a"}, "there is no option '--zzzzzz'\nSee muster run --help"},
        {{"run", "-z", "echo", ":::", "a"}, "there is no option '-z'\nSee muster run --help"},
        {{"fetch", "-4", "http://x/"}, "there is no option '-4'"},
        {{"--verison"}, "did you mean --version?"},
        {{"zzzzzz"}, "there is no command 'zzzzzz'\nSee muster --help"},
    };
    for (const auto& [arguments, words] : mistakes) {
        const auto text = said(arguments, 2);
        EXPECT_TRUE(contains(text, words)) << text;
    }
}

TEST_F(muster_help, bash_completes_commands_options_and_files) {
    if (std::system("bash -c 'exit 0' > /dev/null 2>&1") != 0)
        GTEST_SKIP() << "there is no bash here";
    EXPECT_EQ(completions({"r"}), (std::set<std::string>{"run"}));
    EXPECT_EQ(completions({"help", ""}),
        (std::set<std::string>{"run", "fetch", "hosts", "agent", "queue", "worker", "demo"}));
    EXPECT_EQ(completions({"run", "--retri"}), (std::set<std::string>{"--retries"}));
    for (const std::string command : {"run", "fetch", "hosts"})
        EXPECT_EQ(completions({command, "-"}), options_in(said({command, "--help"}))) << command;
    EXPECT_TRUE(completions({"run", "--limit", ""}).empty());
    const auto files = completions({"run", "-f", std::string(MUSTER_SOURCE) + "/CMakeL"});
    EXPECT_EQ(files, (std::set<std::string>{std::string(MUSTER_SOURCE) + "/CMakeLists.txt"}));
    EXPECT_EQ(completions({"run", "echo", ":::", std::string(MUSTER_SOURCE) + "/CMakeL"}), files);
    EXPECT_TRUE(completions({"run", "bas"}).contains("bash"));
}

TEST_F(muster_help, zsh_completes_options_and_inputs) {
    if (std::system("zsh -c 'exit 0' > /dev/null 2>&1") != 0)
        GTEST_SKIP() << "there is no zsh here";
    // The shell's own functions are there only while somebody types.
    const std::string begin = "compadd() { print -rl -- ${(P)2} }; _files() { print files }; words=(" MUSTER_PROGRAM
                              " ''); CURRENT=2; source '" MUSTER_SOURCE "/completions/_muster'; ";
    EXPECT_EQ(said_by({"zsh", "-fc", begin}), (std::set<std::string>{"run", "fetch", "hosts", "agent", "queue",
                                                  "worker", "demo", "help", "--help", "--version"}));
    auto options = said_by({"zsh", "-fc", begin + "words+=(run --retr); words[2]=(); CURRENT=3; _muster"});
    for (const auto& option : options_in(said({"run", "--help"})))
        EXPECT_TRUE(options.contains(option)) << option;
    EXPECT_TRUE(said_by({"zsh", "-fc", begin + "words=(x run echo ::: a); CURRENT=5; _muster"}).contains("files"));
}

TEST_F(muster_help, fish_completes_commands_and_options) {
    if (std::system("fish -c 'exit 0' > /dev/null 2>&1") != 0)
        GTEST_SKIP() << "there is no fish here";
    const std::string begin = "source '" MUSTER_SOURCE "/completions/muster.fish'; ";
    EXPECT_EQ(said_by({"fish", "--no-config", "-c", begin + "complete -C '" MUSTER_PROGRAM " run --retr'"}),
        (std::set<std::string>{"--retries", "--retry", "--retry-elsewhere"}));
}

} // namespace
