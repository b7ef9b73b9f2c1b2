// SPDX-License-Identifier: MIT
// The command is two programs, muster and muster-fetch: the second is found however the first is called, what only the
// second needs is not loaded by the first, and a missing part is said.
#include "support/cli_program.hpp"

#include <cstdio>

namespace {

using namespace cli;

class parts : public muster_command {
protected:
    /// *Returns* both outputs of a command for sh, and sets its exit status.
    std::string output_of(const std::string& command) {
        std::string text;
        auto* pipe = ::popen(("exec 2>&1; cd " + folder_.string() + "; " + command).c_str(), "re");
        char piece[4096];
        for (std::size_t count = 0; (count = std::fread(piece, 1, sizeof piece, pipe)) != 0;)
            text.append(piece, count);
        const int ended = ::pclose(pipe);
        status_ = WIFEXITED(ended) ? WEXITSTATUS(ended) : -1;
        return text;
    }
    void expect_help_of_fetch(const std::string& text) const {
        EXPECT_EQ(status_, 0) << text;
        EXPECT_NE(text.find("Usage: muster fetch"), std::string::npos) << text;
    }

    const fs::path muster_ = MUSTER_PROGRAM;
    int status_ = -1;
};

TEST_F(parts, fetch_is_found_through_links_and_through_path) {
    fs::create_symlink(muster_, folder_ / "linked");
    fs::create_symlink("linked", folder_ / "muster");
    expect_help_of_fetch(output_of("./linked fetch --help"));
    expect_help_of_fetch(output_of("PATH=.:$PATH muster fetch --help"));
    expect_help_of_fetch(output_of("PATH=" + muster_.parent_path().string() + ":$PATH muster fetch --help"));
    expect_help_of_fetch(output_of("./linked help fetch"));
}

TEST_F(parts, fetch_is_found_where_an_installation_has_it) {
    fs::create_directories(folder_ / "usr/bin");
    fs::create_directories(folder_ / "usr/libexec/muster");
    fs::copy_file(muster_, folder_ / "usr/bin/muster");
    fs::copy_file(muster_.parent_path() / "muster-fetch", folder_ / "usr/libexec/muster/muster-fetch");
    fs::create_symlink(folder_ / "usr/bin/muster", folder_ / "muster");
    const auto text = output_of("./muster fetch --help");
    // An installation may have other folders than these.
    if (text.find("usr/libexec/muster/muster-fetch") == std::string::npos && status_ == 2)
        GTEST_SKIP() << text;
    expect_help_of_fetch(text);
}

TEST_F(parts, a_missing_part_is_said_and_run_does_not_need_it) {
    fs::copy_file(muster_, folder_ / "muster");
    const auto text = output_of("./muster fetch http://127.0.0.1:9/");
    EXPECT_EQ(status_, 2) << text;
    EXPECT_NE(text.find("a part of muster is missing: muster-fetch is neither"), std::string::npos) << text;
    EXPECT_EQ(output_of("./muster run -q 'echo {}' ::: a"), "a\n");
    EXPECT_EQ(status_, 0);
}

TEST_F(parts, run_loads_nothing_that_only_fetch_needs) {
    const auto loaded = output_of("LD_TRACE_LOADED_OBJECTS=1 " + muster_.string());
    EXPECT_NE(loaded.find("libuv"), std::string::npos) << loaded;
    for (const auto* name : {"libcurl", "libssl", "libcrypto", "libnghttp2", "libidn2", "libzstd", "libbrotli"})
        EXPECT_EQ(loaded.find(name), std::string::npos) << loaded;
}

TEST_F(parts, the_part_itself_says_how_to_call_it) {
    const auto text = output_of(muster_.string() + "-fetch http://127.0.0.1:9/");
    EXPECT_EQ(status_, 2);
    EXPECT_NE(text.find("call it as muster fetch"), std::string::npos) << text;
}

TEST_F(parts, each_command_has_its_help) {
    for (const auto* name : {"run", "fetch", "demo"}) {
        const auto text = output_of(muster_.string() + " help " + name);
        EXPECT_EQ(status_, 0);
        EXPECT_NE(text.find(std::string("Usage: muster ") + name), std::string::npos) << text;
        EXPECT_EQ(text, output_of(muster_.string() + ' ' + name + " --help"));
        std::istringstream lines(text);
        for (std::string line; std::getline(lines, line);)
            EXPECT_LE(line.size(), 80u) << line;
    }
}

} // namespace
