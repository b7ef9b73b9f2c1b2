// SPDX-License-Identifier: MIT
// What muster prints where standard error is a terminal: within its columns, and given up when the terminal takes
// nothing. And what it keeps in TMPDIR when a reader takes nothing yet.
#include "posix/owned_fd.hpp"
#include "support/cli_program.hpp"

#include <algorithm>
#include <clocale>
#include <cwchar>

namespace {

using namespace cli;

class on_terminal : public muster_command {
protected:
    void SetUp() override {
        if (!pseudo_terminals())
            GTEST_SKIP() << "no pseudo-terminals on this machine";
    }
    /// The lines that a terminal got, each as wide as it ever was: what is drawn over a line counts as a line.
    static std::vector<std::string> lines_on(const std::string& terminal) {
        std::vector<std::string> lines(1);
        for (std::size_t i = 0; i != terminal.size(); ++i) {
            if (terminal[i] == '\x1b')
                i = terminal.find_first_of("KA", i);
            else if (terminal[i] == '\r' || terminal[i] == '\n')
                lines.emplace_back();
            else
                lines.back() += terminal[i];
        }
        return lines;
    }
    static std::size_t columns_of(const std::string& text) {
        std::setlocale(LC_CTYPE, "C.UTF-8");
        std::vector<wchar_t> wide(text.size() + 1);
        const auto size = std::mbstowcs(wide.data(), text.c_str(), wide.size());
        EXPECT_NE(size, static_cast<std::size_t>(-1)) << text;
        return static_cast<std::size_t>(::wcswidth(wide.data(), size));
    }
    static std::string without_spaces(const std::string& terminal) {
        std::string all;
        for (const auto& line : lines_on(terminal))
            std::ranges::copy_if(line, std::back_inserter(all), [](char c) { return c != ' '; });
        return all;
    }
};

TEST_F(on_terminal, no_line_is_as_wide_as_the_terminal_and_nothing_of_the_ledger_is_lost) {
    const std::string long_word(90, 'x');
    const std::string wide_word = "\xe9\xa3\x9f\xe3\x81\xb9\xe7\x89\xa9\xe9\xa3\x9f\xe3\x81\xb9\xe7\x89\xa9 z";
    for (const int columns : {40, 80, 200}) {
        setting s;
        s.terminal = true;
        s.columns = columns;
        program p({"run", "-j2", "--bar", "echo no such fish: look elsewhere >&2; sleep 0.3; exit {#}",
                      ":::", long_word, wide_word},
            s);
        EXPECT_EQ(p.wait(), 1) << p.err;
        for (const auto& line : lines_on(p.err))
            EXPECT_LT(columns_of(line), static_cast<std::size_t>(columns)) << line;
        const auto all = without_spaces(p.err);
        for (const auto& part : {std::string("2submitted=0succeeded+2failed+0cancelled+0notstarted"),
                 "exitstatus1line1:" + long_word, std::string("exitstatus2line2:" + wide_word.substr(0, 18) + "z"),
                 std::string("nosuchfish:lookelsewhere"), std::string("slowest:")})
            EXPECT_NE(all.find(part), std::string::npos) << part << " in " << p.err;
    }
}

TEST_F(on_terminal, a_message_is_folded_between_its_words) {
    setting s;
    s.terminal = true;
    s.columns = 40;
    program p({"run", "--keep-oder", "echo", ":::", "a"}, s);
    EXPECT_EQ(p.wait(), 2);
    EXPECT_EQ(p.err,
        "muster: there is no option\r\n'--keep-oder': did you mean\r\n--keep-order?\r\nSee muster run --help\r\n");
}

TEST_F(on_terminal, one_interrupt_ends_it_though_the_terminal_takes_nothing) {
    // A terminal that has little room left is writable, and a longer text waits in it.
    for (const int milliseconds : {0, 5, 30, 80, 150, 300}) {
        setting s;
        s.terminal = true;
        program p({"run", "-j1", "--jsonl", path("log"), "--line-buffer",
                      "seq 20000 >&2; echo x >> " + path("written") + "; sleep 30 # {}", ":::", "a", "b"},
            s);
        for (int i = 0; i != 2000 && !std::filesystem::exists(path("written")); ++i)
            std::this_thread::sleep_for(5ms);
        std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
        p.signal(SIGINT);
        EXPECT_TRUE(p.ends_unread());
        EXPECT_EQ(p.wait(), 130);
        EXPECT_EQ(lines_of(read(path("log"))).size(), 2u);
        std::filesystem::remove(path("written"));
    }
}

TEST_F(on_terminal, one_interrupt_ends_it_though_both_outputs_are_one_full_pipe) {
    // A text of a page and a byte waits in a pipe that has room for a page.
    setting s;
    s.error_file = path("pipe");
    s.output_file = path("pipe");
    ASSERT_EQ(::mkfifo(s.error_file.c_str(), 0600), 0);
    const muster::detail::owned_fd reader(::open(s.error_file.c_str(), O_RDWR | O_CLOEXEC));
    for (const int size : {4096, 8192, 12288}) {
        ASSERT_GE(::fcntl(reader.get(), F_SETPIPE_SZ, size), size);
        program p({"run", "-j1", "--line-buffer", "--ledger", "always",
                      "printf x; printf 'y%.0s' $(seq 6000); echo x >> " + path("written") + "; sleep 30 # {}",
                      ":::", std::string(5000, 'a'), "b"},
            s);
        for (int i = 0; i != 2000 && !std::filesystem::exists(path("written")); ++i)
            std::this_thread::sleep_for(5ms);
        p.signal(SIGINT);
        EXPECT_TRUE(p.ends_unread());
        EXPECT_EQ(p.wait(), 130);
        std::filesystem::remove(path("written"));
    }
}

/// A file system of 16 MiB in a name space of the test's own, where TMPDIR is.
TEST(spool, leaves_a_tenth_of_a_small_file_system_free) {
    if (std::system("unshare -Urm mount -t tmpfs -o size=16M tmpfs /mnt 2> /dev/null") != 0)
        GTEST_SKIP() << "no file system can be mounted here";
    // What is printed until then is what memory and nine tenths of the file system hold.
    const std::string script = "mount -t tmpfs -o size=16M tmpfs /mnt && TMPDIR=/mnt " MUSTER_PROGRAM
                               " run -j1 'head -c {} /dev/zero' ::: 13M 15M 60M 2>&1 >/dev/null";
    FILE* from = ::popen(("unshare -Urm sh -c \"" + script + "\"").c_str(), "r");
    ASSERT_NE(from, nullptr);
    std::string said;
    for (char piece[256]; std::fgets(piece, sizeof piece, from) != nullptr;)
        said += piece;
    EXPECT_EQ(WEXITSTATUS(::pclose(from)), 1) << said;
    const auto c = ledger_of(said);
    EXPECT_EQ(c.succeeded, 1u) << said;
    EXPECT_EQ(c.failed, 2u) << said;
    EXPECT_NE(said.find("the output of commands can't be kept in a file in /mnt (set TMPDIR to a larger place)"),
        std::string::npos)
        << said;
}

} // namespace
