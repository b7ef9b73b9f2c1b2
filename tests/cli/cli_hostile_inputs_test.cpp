// SPDX-License-Identifier: MIT
// Hostile inputs of `muster run`: a table of texts that a shell, a terminal, a file system or a program would take for
// something else, and a table of templates. Each text is put into each template, and comes out of the command byte by
// byte as it went in, whatever it is; or its line fails. None of them is ever executed: they all would make the file
// "evil".
#include "support/cli_program.hpp"

#include <algorithm>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace {

using cli::program;
using cli::setting;
namespace fs = std::filesystem;

const std::vector<std::string>& hostile_texts() {
    static const std::vector<std::string> all = {
        // ---- what a shell executes ----
        "$(touch evil)",
        "`touch evil`",
        ";touch evil",
        ";touch evil;",
        "|touch evil",
        "||touch evil",
        "&touch evil",
        "&&touch evil",
        "& touch evil &",
        "\ntouch evil\n",
        "a\ntouch evil\nb",
        "\r\ntouch evil\r\n",
        ">evil",
        ">>evil",
        "2>evil",
        ">|evil",
        "<>evil",
        "&>evil",
        "<(touch evil)",
        ">(touch evil)",
        "(touch evil)",
        "{ touch evil;}",
        "() { :;}; touch evil",
        "f() { touch evil;};f",
        "!touch evil",
        "time touch evil",
        "eval touch evil",
        "exec touch evil",
        ". ./evil",
        "${x:=$(touch evil)}",
        "${x:-`touch evil`}",
        "$((a[$(touch evil)]))",
        "$[$(touch evil)]",
        "a[$(touch evil)]",
        "x=$(touch evil)",
        "if true;then touch evil;fi",
        "EOF\ntouch evil\n",
        "E\ntouch evil\nE",
        "*);touch evil;;",
        "esac;touch evil",
        "done;touch evil",
        // ---- the ends of quotes ----
        "'",
        "\"",
        "''",
        "\"\"",
        "';touch evil;'",
        "\";touch evil;\"",
        "'\"'\"';touch evil;'\"'\"'",
        "\\';touch evil;\\'",
        "\\\";touch evil;\\\"",
        "'$(touch evil)'",
        "\"$(touch evil)\"",
        "$'\\x27;touch evil;'",
        "$\"x\";touch evil",
        "'\n';touch evil;'",
        "\\",
        "\\\\",
        "\\\n",
        "a\\",
        "\\'",
        "\\\"",
        "'\\''",
        "`",
        "``",
        "$(",
        "${",
        "$((",
        ")",
        "}",
        "))",
        "\")\";touch evil",
        "')';touch evil",
        // ---- what a shell replaces ----
        "$HOME",
        "${HOME}",
        "$$",
        "$?",
        "$0",
        "$1",
        "${1}",
        "$@",
        "\"$@\"",
        "$*",
        "$#",
        "$-",
        "$!",
        "$IFS",
        "${IFS}x",
        "~",
        "~root",
        "~/evil",
        "*",
        "?",
        "[a-z]*",
        "/*",
        "./*",
        "{a,b}",
        "{1..3}",
        "!!",
        "!$",
        "^a^b",
        "$((1+1))",
        "${HOME#/}",
        "${!x}",
        "$'\\n'",
        "%1",
        "%%",
        // ---- comments, options, assignments ----
        "#",
        "# touch evil",
        "a#b",
        "-n",
        "-e",
        "-c",
        "-c touch evil",
        "--",
        "-",
        "--help",
        "--version",
        "-rf /",
        "-exec touch evil ;",
        "=",
        "=x",
        "PATH=.",
        "LD_PRELOAD=evil.so",
        "IFS=",
        "BASH_ENV=evil",
        "ENV=evil",
        // ---- what printf, echo and sed know ----
        "%s%n",
        "%d",
        "%",
        "%1000000d",
        "\\n",
        "\\0",
        "\\x00",
        "\\c",
        "\\e[2J",
        "&",
        "/&/",
        "s/x/y/e",
        // ---- placeholders, separators and list signs of the command itself ----
        "{}",
        "{.}",
        "{/}",
        "{//}",
        "{/.}",
        "{#}",
        "{%}",
        "{1}",
        "{2}",
        "{{}}",
        "{{1}}",
        "{-1}",
        "{0}",
        "{99999}",
        "{",
        ":::",
        "::::",
        ":::+",
        "WORD",
        "a\tb",
        "\t",
        "a,b",
        "\"a,b\"",
        "a;b",
        // ---- paths ----
        "/",
        "//",
        ".",
        "..",
        "../../evil",
        "a/../../evil",
        "/evil",
        "a/b/c.d.e",
        "a.b/c",
        ".hidden",
        "...",
        "a/",
        "/.",
        "/..",
        "x.",
        ".x.y",
        "CON",
        "a\\b",
        "/proc/self/fd/1",
        "/dev/full",
        "evil/.",
        "a//b",
        // ---- blanks ----
        " ",
        "  ",
        " a",
        "a ",
        "a b",
        " a  b ",
        "\v",
        "\f",
        "\r",
        "a\r",
        "\u00a0",
        "\u2028",
        "\u3000",
        "\u200b",
        // ---- what steers a terminal, and what is no text ----
        "\x1b[2J",
        "\x1b]0;evil\x07",
        "\x1b[6n",
        "\x9b[2J",
        "\u009b2J",
        "\x01",
        "\x07",
        "\x08\x08",
        "\x0e",
        "\x7f",
        "\u202e",
        "\u2066",
        "\ufeff",
        "\xff",
        "\xff\xfe",
        "\xc0\xaf",
        "\xc0\x80",
        "\xed\xa0\x80",
        "\xf4\x90\x80\x80",
        "\xe2\x82",
        "\x80",
        "a\xff"
        "b",
        "\xc3",
        "Grüße",
        "Ελλάδα",
        "日本",
        "🎻",
        "e\u0301",
        // ---- very long ----
        std::string(4096, 'x'),
        std::string(4096, '/'),
        std::string(10'000, '\''),
        std::string(10'000, '$'),
        std::string(100'000, 'x'),
        std::string(50'000, '\\'),
        std::string(2'000, '(') + "touch evil",
    };
    return all;
}

/// *Returns* the texts as an input whose lines end with NULs.
std::string with_nuls(const std::vector<std::string>& texts) {
    std::string all;
    for (const auto& t : texts)
        all += t + '\0';
    return all;
}

class hostile_inputs : public cli::muster_command {
protected:
    hostile_inputs() : before_(fs::current_path()) {
        ::setenv("LC_ALL", "C", 1); // printf and sed take bytes as they are
        fs::create_directory(folder_ / "here");
        fs::current_path(folder_ / "here");
    }
    ~hostile_inputs() override {
        fs::current_path(before_);
        ::unsetenv("LC_ALL");
    }
    struct done {
        int status = 0;
        std::string out;
        std::string err;
    };
    /// Runs the command with these texts as its input, in an empty folder in which nothing must have been made then.
    [[nodiscard]] done run(std::vector<std::string> words, const std::vector<std::string>& texts) const {
        setting s;
        s.input_file = write("input", with_nuls(texts));
        words.insert(words.begin(), {"run", "-q", "-k", "-j2", "-0"});
        program p(words, s);
        done d;
        d.status = p.wait();
        d.out = std::move(p.out);
        d.err = std::move(p.err);
        EXPECT_TRUE(fs::is_empty(folder_ / "here")) << words.back() << " made " << fs::directory_iterator(".")->path();
        return d;
    }
    /// *Returns* what comes out of each text with a template that prints it between < and >NUL.
    [[nodiscard]] std::vector<std::string> values_of(std::vector<std::string> words) const {
        const auto d = run(std::move(words), hostile_texts());
        EXPECT_EQ(d.err, "");
        std::vector<std::string> all;
        std::istringstream in(d.out);
        for (std::string one; std::getline(in, one, '\0');)
            all.push_back(one);
        return all;
    }
    /// Each text has so many values, one behind the other.
    static void expect_each(const std::string& name, const std::vector<std::string>& values, std::size_t each,
        const std::function<std::string(const std::string&)>& expected) {
        const auto& texts = hostile_texts();
        ASSERT_EQ(values.size(), each * texts.size()) << name;
        for (std::size_t i = 0; i != values.size(); ++i)
            EXPECT_EQ(values[i], expected(texts[i / each]))
                << "place " << i % each << " of " << name << " with " << ::testing::PrintToString(texts[i / each]);
    }

    fs::path before_;
};

std::string in_brackets(const std::string& text) { return '<' + text + '>'; }

/// Places in which a text can stand in a line for a shell, in which WORD is the placeholder. Each prints <, the text, >
/// and a NUL.
const std::vector<std::string> places_in_scripts = {
    R"(printf '<%s>\0' WORD)",
    R"(printf '<%s>\0' "WORD")",
    R"(printf '<%s>\0' 'WORD')",
    R"(printf '<%s>\0' """WORD"'')",
    R"x(printf '<%s>\0' "$(printf '%sx' WORD)" | sed -z 's/x>$/>/')x",
    R"x(printf '<%s>\0' "$(printf '%sx' "WORD")" | sed -z 's/x>$/>/')x",
    R"(x=WORD; printf '<%s>\0' "$x")",
    R"(x='WORD' y="WORD"; test "$x" = "$y" && printf '<%s>\0' "$x")",
    R"(for i in WORD; do printf '<%s>\0' "$i"; done)",
    R"(f() { printf '<%s>\0' "$1"; }; f WORD)",
    R"(case WORD in *) printf '<%s>\0' WORD;; esac)",
    R"x((printf '<%s>\0' 'WORD'))x",
    R"({ printf '<%s>\0' "WORD"; } | cat)",
    "true # WORD and 'WORD'\nprintf '<%s>\\0' WORD",
};

std::string with_word(std::string script, std::string_view placeholder) {
    for (std::size_t at = 0; (at = script.find("WORD", at)) != std::string::npos; at += placeholder.size())
        script.replace(at, 4, placeholder);
    return script;
}

TEST_F(hostile_inputs, come_out_of_every_template_as_they_went_in_and_are_never_executed) {
    std::string script;
    for (const auto& place : places_in_scripts)
        script += place + '\n';
    std::size_t rows = 0;
    const auto check = [&](std::vector<std::string> words, std::size_t each) {
        const auto name = words.front() + " ... " + words.back();
        expect_each(name, values_of(std::move(words)), each, in_brackets);
        rows += each * hostile_texts().size();
    };
    check({"printf", R"(<%s>\0)"}, 1);
    check({"printf", R"(%s%s%s\0<%s>\0)", "<", "{}", ">", "{1}"}, 2);
    check({"-I", "WORD", "printf", R"(%s\0)", "<WORD>"}, 1);
    check({R"(printf '<%s>\0' {})"}, 1);
    check({R"(:; printf '<%s>\0')"}, 1);
    check({with_word(script, "{}")}, places_in_scripts.size());
    check({"--shell", "bash -u", with_word(script, "{1}")}, places_in_scripts.size());
    check({"-I", "WORD", script}, places_in_scripts.size());
    EXPECT_GE(rows, 11'000u);
}

TEST_F(hostile_inputs, have_the_same_parts_with_a_shell_and_without_one) {
    const std::string places[] = {"{.}", "{/}", "{//}", "{/.}", "{1.}", "{1/}"};
    std::vector<std::string> words{"printf", R"(%s\0%s\0%s\0%s\0%s\0%s\0)"};
    words.insert(words.end(), std::begin(places), std::end(places));
    const auto without = values_of(words);
    for (const std::string around : {"", "\"", "'"}) {
        std::string script = R"(:; printf '%s\0')";
        for (const auto& place : places)
            script += ' ' + (around + place) + around;
        EXPECT_EQ(values_of({script}), without) << script;
    }
    ASSERT_EQ(without.size(), std::size(places) * hostile_texts().size());
    for (std::size_t i = 0; i != without.size(); ++i) {
        const auto& text = hostile_texts()[i / std::size(places)];
        EXPECT_TRUE(without[i] == "." || text.find(without[i]) != std::string::npos)
            << places[i % std::size(places)] << " of " << ::testing::PrintToString(text) << " is " << without[i];
    }
    // Numbers do not come from the input.
    const auto numbers = values_of({"printf", R"(%s\0)", "{#}"});
    ASSERT_EQ(numbers.size(), hostile_texts().size());
    EXPECT_EQ(numbers.back(), std::to_string(hostile_texts().size()));
}

TEST_F(hostile_inputs, stay_apart_where_one_command_gets_several) {
    for (const std::vector<std::string>& how :
        {std::vector<std::string>{"-n", "7"}, {"-X"}, {"-n", "7", "--shell", "bash"}}) {
        for (const auto* form : {R"(printf '<%s>\0')", R"(:; printf '<%s>\0' {})"}) {
            auto words = how;
            words.emplace_back(form);
            expect_each(form, values_of(words), 1, in_brackets);
        }
    }
}

TEST_F(hostile_inputs, steer_no_terminal_as_tags_and_do_not_multiply) {
    const auto d = run({"--tag", "printf 'one\ntwo\n' && printf x"}, hostile_texts());
    EXPECT_EQ(d.status, 0) << d.err;
    EXPECT_EQ(std::ranges::count(d.out, '\n'), static_cast<std::ptrdiff_t>(2 * hostile_texts().size()));
    for (const char* bad : {"\x1b", "\x9b[", "\u009b", "\u202e", "\x07", "\r"})
        EXPECT_EQ(d.out.find(bad), std::string::npos) << ::testing::PrintToString(bad);
    std::size_t longest = 0;
    std::istringstream in(d.out);
    for (std::string line; std::getline(in, line);)
        longest = std::max(longest, line.size());
    EXPECT_LT(longest, 2100u);
}

TEST_F(hostile_inputs, are_nothing_but_bytes_on_standard_input) {
    const auto d = run({"--pipe", "--block", "10K", "cat"}, hostile_texts());
    EXPECT_EQ(d.status, 0) << d.err;
    EXPECT_EQ(d.out, with_nuls(hostile_texts()));
}

TEST_F(hostile_inputs, are_printed_by_a_dry_run_so_that_a_shell_reads_them_back) {
    for (const std::vector<std::string>& form : {std::vector<std::string>{"printf", R"(<%s>\0)", "{}"},
             {R"(:; printf '<%s>\0' {})"}, {R"(:; printf '<%s>\0' "{}")"}, {R"(:; printf '<%s>\0' '{}')"}}) {
        auto words = form;
        words.insert(words.begin(), "--dry-run");
        const auto shown = run(words, hostile_texts());
        EXPECT_EQ(shown.status, 0) << shown.err;
        const auto script = write("script", shown.out);
        program p({"run", "-q", "sh", "{}", ":::", script});
        EXPECT_EQ(p.wait(), 0) << p.err;
        std::string expected;
        for (const auto& t : hostile_texts())
            expected += in_brackets(t) + '\0';
        EXPECT_EQ(p.out, expected) << form.back();
        EXPECT_TRUE(fs::is_empty(folder_ / "here"));
    }
}

TEST_F(hostile_inputs, name_no_file_outside_of_the_folder_for_results) {
    const auto results = path("results");
    const auto d = run({"--results", results, "true"}, hostile_texts());
    EXPECT_EQ(d.status, 0) << d.err;
    std::size_t files = 0;
    for (const auto& entry : fs::recursive_directory_iterator(results)) {
        EXPECT_TRUE(fs::is_regular_file(entry.symlink_status()));
        EXPECT_EQ(entry.path().parent_path(), results);
        const auto name = entry.path().filename().string();
        EXPECT_EQ(name.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"),
            std::string::npos)
            << name;
        ++files;
    }
    EXPECT_EQ(files, 2 * hostile_texts().size());
    // Besides the input and the script nothing is beside the two folders.
    for (const auto& entry : fs::directory_iterator(folder_))
        EXPECT_TRUE(entry.path().filename() == "results" || entry.path().filename() == "here" ||
                    entry.path().filename() == "input")
            << entry.path();
}

TEST_F(hostile_inputs, are_json_in_the_log_and_are_not_run_again) {
    const auto log = path("log");
    const auto d = run({"--jsonl", log, "true {}"}, hostile_texts());
    EXPECT_EQ(d.status, 0) << d.err;
    const auto entries = lines_of(read(log));
    ASSERT_EQ(entries.size(), hostile_texts().size());
    std::set<std::string> keys;
    for (const auto& e : entries)
        keys.insert(e.at("key").get<std::string>());
    EXPECT_EQ(keys.size(), hostile_texts().size());
    EXPECT_EQ(run({"--jsonl", log, "--resume", "true {}"}, hostile_texts()).status, 0);
    EXPECT_EQ(lines_of(read(log)).size(), hostile_texts().size());
}

TEST_F(hostile_inputs, with_a_nul_cost_their_own_line) {
    setting s;
    std::string lines;
    for (const auto& t : hostile_texts())
        if (t.find('\n') == std::string::npos)
            lines += t + std::string("\0x\n", 3);
    s.input_file = write("input", lines);
    program p({"run", "-q", "-k", "printf '<%s>' {}", "--jsonl", path("log")}, s);
    EXPECT_EQ(p.wait(), 1) << p.err;
    EXPECT_EQ(p.out, "");
    for (const auto& e : lines_of(read(path("log"))))
        EXPECT_EQ(e.at("outcome"), "error") << e;
    EXPECT_TRUE(fs::is_empty(folder_ / "here"));
}

} // namespace
