// SPDX-License-Identifier: MIT
// Passwords and control sequences: what the command prints, logs, names and shows of itself to others holds neither,
// whatever inputs, commands and servers are like.
#include "support/cli_program.hpp"

#include <algorithm>

namespace {

using namespace cli;

/// *Returns* whether a terminal would obey any part of the text. Line feeds are not looked at.
bool steers_a_terminal(const std::string& text) {
    for (std::size_t i = 0; i != text.size(); ++i) {
        const auto c = static_cast<unsigned char>(text[i]);
        const auto next = static_cast<unsigned char>(i + 1 < text.size() ? text[i + 1] : 0);
        if ((c < 0x20 && c != '\n') || c == 0x7f || (c == 0xc2 && next < 0xa0))
            return true;
        if (c >= 0x80 && c < 0xc0 && (i == 0 || static_cast<unsigned char>(text[i - 1]) < 0x80))
            return true;
    }
    return text.find("\u202e") != std::string::npos || text.find("\u2066") != std::string::npos;
}

const std::string hostile = "\x1b[2J\x9b" + std::string("31m\u009b\u202e\u2066\x07\x7f");

/// *Returns* the arguments of a process as ps shows them, one a line.
std::string arguments_of(pid_t process) {
    std::ifstream in("/proc/" + std::to_string(process) + "/cmdline", std::ios::binary);
    std::stringstream text;
    text << in.rdbuf();
    auto words = text.str();
    std::ranges::replace(words, '\0', '\n');
    return words;
}

class security : public muster_command {
protected:
    /// Every text that a run leaves: what it printed, its files and their names.
    [[nodiscard]] std::string traces(const program& p) const {
        auto all = p.out + p.err;
        for (const auto& entry : fs::recursive_directory_iterator(folder_))
            if (entry.is_regular_file() && entry.path().filename() != "input")
                all += entry.path().string() + '\n' + read(entry.path());
        return all;
    }
    [[nodiscard]] std::string with_user(const std::string& path, const std::string& slashes) const {
        const auto whole = url(path);
        return "http:" + slashes + "al:sesame@" + whole.substr(whole.find("//") + 2);
    }
};

TEST_F(security, fetch_leaves_no_password_of_a_url_anywhere) {
    const auto host = url("/").substr(7);
    std::string input;
    for (const std::string& line : {with_user("/ok", "//"), with_user("/ok", "/"), with_user("/ok", "///"),
             with_user("/status/404", "/"), std::string("http://al:sesame@127.0.0.1:1/"),
             std::string("http:/al:sesame@127.0.0.1:1/"), std::string("al:sesame@127.0.0.1:1/"),
             std::string("http:al:sesame@h/"), std::string("http://al:se/sesame@h/"),
             std::string("http://al:se sesame@h/"), std::string("ftp://al:sesame@h/"),
             std::string("http://al:sesame@h:no/"), "http://" + host + "?to=http://al:sesame@h/"})
        input += line + '\n';
    program p({"fetch", "-f", write("input", input), "-o", path("out"), "--jsonl", path("log")});
    EXPECT_EQ(p.wait(), 1) << p.err;
    EXPECT_EQ(traces(p).find("sesame"), std::string::npos) << traces(p);
    EXPECT_EQ(lines_of(read(path("log"))).size(), 13u);
}

TEST_F(security, no_message_about_wrong_usage_has_a_password) {
    const std::vector<std::vector<std::string>> rows = {
        {"http://al:sesame@h/"},
        {"fetch", "http://al:sesame@h/", ":::", "a"},
        {"fetch", "http:/al:sesame@h/", ":::", "a"},
        {"fetch", "al:sesame@h/", ":::", "a"},
        {"fetch", "-H", "Authorization Bearer sesame", "http://h/"},
        {"fetch", "-x", "nothing://al:sesame@h", "http://h/"},
        {"fetch", "-f", "http://al:sesame@h/"},
    };
    for (const auto& words : rows) {
        program p(words);
        EXPECT_EQ(p.wait(), 2) << p.err;
        EXPECT_EQ((p.out + p.err).find("sesame"), std::string::npos) << p.err;
    }
}

TEST_F(security, a_proxy_that_is_none_is_named_without_its_password) {
    for (const auto* proxy :
        {"http://al:sesame@h:no", "al:sesame@h:no", "http:/al:sesame@h:no", "http://al:se same@h"}) {
        ::unsetenv("no_proxy");
        program p({"fetch", "-x", proxy, "http://127.0.0.1:1/"});
        EXPECT_EQ(p.wait(), 1) << p.err;
        EXPECT_EQ((p.out + p.err).find("sesame"), std::string::npos) << p.out << p.err;
        EXPECT_EQ((p.out + p.err).find(" same@"), std::string::npos) << p.out << p.err;
    }
}

TEST_F(security, fetch_blanks_the_secrets_among_its_own_arguments) {
    const std::vector<std::vector<std::string>> rows = {{"-u", "al:sesame"}, {"-ual:sesame"}, {"-kqu", "al:sesame"},
        {"-sOu", "al:sesame"}, {"-qual:sesame"}, {"--user", "al:sesame"}, {"--user=al:sesame"},
        {"-H", "Authorization: sesame"}, {"-Hauthorization:sesame"}, {"--header", "Cookie: a=sesame"},
        {"--header=Proxy-Authorization: sesame"}, {"-x", "http://al:sesame@127.0.0.1:1"},
        {"--proxy=al:sesame@127.0.0.1:1", "--noproxy", "127.0.0.1"}};
    for (auto words : rows) {
        words.insert(words.begin(), {"fetch", "-A", "kept", "-H", "X-Kept: sesam"});
        words.push_back(url("/never"));
        program p(words);
        // Until the new process has become the command, it shows the arguments of this test program. The command's
        // arguments are blanked before the first request is sent, but not at once.
        const auto until = std::chrono::steady_clock::now() + 20s;
        std::string shown = arguments_of(p.pid());
        while ((shown.find("X-Kept") == std::string::npos || shown.find("sesame") != std::string::npos) &&
               std::chrono::steady_clock::now() < until) {
            std::this_thread::sleep_for(2ms);
            shown = arguments_of(p.pid());
        }
        EXPECT_EQ(shown.find("sesame"), std::string::npos) << shown;
        EXPECT_NE(shown.find("X-Kept: sesam\n"), std::string::npos) << shown;
        EXPECT_NE(shown.find(url("/never")), std::string::npos) << shown;
        p.signal(SIGKILL);
        EXPECT_EQ(p.wait(), 128 + SIGKILL);
    }
}

TEST_F(security, nothing_that_fetch_prints_steers_a_terminal) {
    const std::string input = url("/status/404") + "?" + hostile + "\n" + "http://" + hostile + "/\n" + hostile + "\n" +
                              "http://127.0.0.1:1/" + hostile + "\nhttp://Grüße.invalid:1x/\n";
    program p({"fetch", "-f", write("input", input), "--jsonl", "-"});
    EXPECT_EQ(p.wait(), 1) << p.err;
    EXPECT_FALSE(steers_a_terminal(p.err)) << p.err;
    EXPECT_NE(p.err.find("Grüße"), std::string::npos) << p.err;
}

TEST_F(security, nothing_that_run_says_steers_a_terminal_and_output_passes_untouched) {
    const auto script = write("script", "printf '%s' \"$1\"\nprintf 'first\\n%s' \"$1\" >&2\nexit 3\n");
    program p({"run", "sh", script, "{}", ":::", hostile, "Ελλάδα"});
    EXPECT_EQ(p.wait(), 1) << p.err;
    EXPECT_NE(p.out.find(hostile), std::string::npos) << p.out;
    // What the commands themselves wrote to standard error comes first.
    const auto ledger = p.err.substr(p.err.find(" submitted = "));
    EXPECT_FALSE(steers_a_terminal(ledger)) << ledger;
    EXPECT_NE(ledger.find("Ελλάδα"), std::string::npos) << ledger;
}

TEST_F(security, a_time_that_rounds_to_nothing_is_refused_as_zero_is) {
    for (const auto* time : {"0", "0.0000000001", "0.0000001ms", "0000.000000000000001195917177446697024"})
        expect_refused({"fetch", "--timeout", time, "http://h/"}, "the time must be longer than zero");
}

TEST_F(security, no_message_about_wrong_usage_steers_a_terminal_or_forges_a_line) {
    const auto forged = hostile + "\nmuster: all is well";
    const std::vector<std::vector<std::string>> rows = {{forged}, {"--" + forged}, {"fetch", "--" + forged},
        {"fetch", "-f", forged}, {"fetch", "-j", forged, "http://h/"}, {"fetch", "--config", forged, "http://h/"},
        {"fetch", "-H", forged, "http://h/"}, {"fetch", "--cacert", forged, "http://h/"}, {"run", "-f", forged, "true"},
        {"run", "--halt", forged, "true"}, {"run", "--jsonl", path(forged + "/x"), "true", ":::", "a"},
        {"run", "--results", write("plain", "") + "/" + forged, "true", ":::", "a"}, {"help", forged}};
    for (const auto& words : rows) {
        program p(words);
        EXPECT_EQ(p.wait(), 2) << p.err;
        EXPECT_FALSE(steers_a_terminal(p.err)) << p.err;
        EXPECT_EQ(p.err.find("\nmuster: all is well"), std::string::npos) << p.err;
    }
}

TEST_F(security, a_line_without_an_end_is_printed_in_pieces_with_one_tag_and_does_not_fill_the_memory) {
    constexpr std::size_t size = 40'000'000;
    for (const std::string option : {"--tag", "--line-buffer"}) {
        program p({"run", "-q", option, "head -c 40000000 /dev/zero | tr '\\0' {}", ":::", "x"});
        EXPECT_EQ(p.wait(), 0) << p.err;
        const std::string begins = option == "--tag" ? "x\t" : "";
        EXPECT_EQ(p.out.size(), begins.size() + size) << option;
        EXPECT_TRUE(p.out.starts_with(begins + "xxx")) << option;
        EXPECT_EQ(std::ranges::count(p.out, 'x'), static_cast<std::ptrdiff_t>(size + (begins.empty() ? 0 : 1)));
        EXPECT_TRUE(with_sanitizer || p.peak_kilobytes() < 60'000) << p.peak_kilobytes();
    }
}

} // namespace
