// SPDX-License-Identifier: MIT
// Hostile folders: somebody else may write where files are made, and has planted something at a name that muster
// derives. Each kind of thing is planted at each such name. Whatever it is, nothing outside of the folder is written,
// cut, removed or waited for; the file is made beside or instead of it, or its line fails; and the other line succeeds.
#include "support/cli_program.hpp"

#include <functional>
#include <string>
#include <vector>

#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>

namespace {

using namespace cli;

enum class planted {
    link_to_file,
    link_to_nothing,
    link_to_folder,
    link_to_itself,
    link_to_output,
    link_to_full_device,
    link_to_pipe,
    hard_link,
    pipe,
    socket,
    read_only_file,
    large_file,
    empty_folder,
    full_folder
};

constexpr planted all_kinds[] = {planted::link_to_file, planted::link_to_nothing, planted::link_to_folder,
    planted::link_to_itself, planted::link_to_output, planted::link_to_full_device, planted::link_to_pipe,
    planted::hard_link, planted::pipe, planted::socket, planted::read_only_file, planted::large_file,
    planted::empty_folder, planted::full_folder};

bool is_folder(planted kind) { return kind == planted::empty_folder || kind == planted::full_folder; }

/// Where something is planted, and by which command it is met: a name is that of a line, with a text behind it.
struct place {
    const char* behind;          ///< the name of the line
    bool (*is_failure)(planted); ///< whether the line that meets it fails
    /// The words of a command with so many lines.
    std::vector<std::string> (*words)(const std::string& folder, const std::string& server, std::size_t lines);
    const char* made_behind; ///< the name of the line, in what it makes
};

bool folders_fail(planted kind) { return is_folder(kind); }
bool all_fail(planted) { return true; }
bool none_fails(planted) { return false; }

/// Lines are called 1, 2 and so on.
std::vector<std::string> with_lines(std::vector<std::string> words, std::size_t lines) {
    words.emplace_back(":::");
    for (std::size_t i = 1; i <= lines; ++i)
        words.push_back(std::to_string(i));
    return words;
}

std::vector<std::string> fetch_named(const std::string& folder, const std::string& server, std::size_t lines) {
    return with_lines({"fetch", "-o", folder, "--name", "{}", server + "/ok?{}"}, lines);
}
std::vector<std::string> fetch_continued(const std::string& folder, const std::string& server, std::size_t lines) {
    return with_lines({"fetch", "--continue", "-o", folder, "--name", "{}", server + "/ok?{}"}, lines);
}
std::vector<std::string> fetch_as_the_server_says(
    const std::string& folder, const std::string& server, std::size_t lines) {
    return with_lines({"fetch", "-O", "-o", folder, server + "/bytes/{}"}, lines);
}
std::vector<std::string> fetch_over(const std::string& folder, const std::string& server, std::size_t lines) {
    return with_lines({"fetch", "-O", "--overwrite", "-o", folder, server + "/bytes/{}"}, lines);
}
std::vector<std::string> run_with_results(const std::string& folder, const std::string&, std::size_t lines) {
    return with_lines({"run", "-j2", "--results", folder, "echo ok; true"}, lines);
}

/// *Returns* the name of a line in a file's name: `run --results` puts the number before the input.
std::string name_of_line(const place& where, std::size_t line) {
    const auto name = std::to_string(line);
    return where.words == run_with_results ? std::string(6 - name.size(), '0') + name + '-' + name : name;
}

class hostile_folders : public muster_command {
protected:
    void plant(planted kind, const std::string& at) {
        switch (kind) {
        case planted::link_to_file:
            fs::create_symlink(path("victim"), at);
            break;
        case planted::link_to_nothing:
            fs::create_symlink(path("elsewhere/made"), at);
            break;
        case planted::link_to_folder:
            fs::create_symlink(path("elsewhere"), at);
            break;
        case planted::link_to_itself:
            fs::create_symlink(at, at);
            break;
        case planted::link_to_output:
            fs::create_symlink("/proc/self/fd/1", at);
            break;
        case planted::link_to_full_device:
            fs::create_symlink("/dev/full", at);
            break;
        case planted::link_to_pipe:
            fs::create_symlink(path("pipe"), at);
            break;
        case planted::hard_link:
            fs::create_hard_link(path("victim"), at);
            break;
        case planted::pipe:
            ASSERT_EQ(::mkfifo(at.c_str(), 0600), 0);
            break;
        case planted::socket:
            plant_socket(at);
            break;
        case planted::read_only_file:
            std::ofstream(at) << "theirs";
            fs::permissions(at, fs::perms::none);
            break;
        case planted::large_file:
            std::ofstream(at) << std::string(100'000, 'x');
            break;
        case planted::empty_folder:
            fs::create_directory(at);
            break;
        case planted::full_folder:
            fs::create_directory(at);
            std::ofstream(at + "/theirs") << "theirs";
            break;
        }
    }
    /// A path for a socket is short: it is bound in a folder of its own and moved to where it is to be.
    void plant_socket(const std::string& at) {
        char folder[] = "/tmp/muster-XXXXXX";
        ASSERT_NE(::mkdtemp(folder), nullptr);
        const auto name = std::string(folder) + "/s";
        const int s = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        sockaddr_un here{};
        here.sun_family = AF_UNIX;
        name.copy(here.sun_path, sizeof here.sun_path - 1);
        ASSERT_EQ(::bind(s, reinterpret_cast<const sockaddr*>(&here), sizeof here), 0);
        ::close(s);
        fs::rename(name, at);
        fs::remove_all(folder);
    }
    void make_surroundings() {
        fs::create_directory(path("here"));
        fs::create_directory(path("elsewhere"));
        write("victim", "precious");
        fs::permissions(path("victim"), fs::perms::owner_read | fs::perms::owner_write);
        ASSERT_EQ(::mkfifo(path("pipe").c_str(), 0600), 0);
    }
    void expect_surroundings_untouched(const std::string& row) {
        EXPECT_EQ(read(path("victim")), "precious") << row;
        EXPECT_EQ(fs::status(path("victim")).permissions(), fs::perms::owner_read | fs::perms::owner_write) << row;
        EXPECT_TRUE(fs::is_empty(path("elsewhere"))) << row;
        EXPECT_TRUE(fs::is_fifo(path("pipe"))) << row;
    }
    void remove_surroundings() {
        for (const auto* each : {"here", "elsewhere", "victim", "pipe", "log", "log.old"})
            fs::remove_all(path(each));
    }
};

TEST_F(hostile_folders, have_nothing_followed_written_to_or_waited_for_at_any_name_that_is_derived) {
    const std::vector<place> places = {
        {"", folders_fail, fetch_named, ""},
        {".part", folders_fail, fetch_named, ""},
        {"", folders_fail, fetch_continued, ""},
        {".part", folders_fail, fetch_continued, ""},
        {".part.from", none_fails, fetch_continued, ""},
        {"", all_fail, fetch_as_the_server_says, ""},
        {"", folders_fail, fetch_over, ""},
        {".part", none_fails, fetch_over, ""}, // it has another name there
        {".out", folders_fail, run_with_results, ".out"},
        {".err", folders_fail, run_with_results, ".out"},
        {".out.part", folders_fail, run_with_results, ".out"},
        {".err.part", folders_fail, run_with_results, ".out"},
    };
    std::size_t rows = 0;
    for (const auto& where : places) {
        make_surroundings();
        std::size_t failures = 0;
        for (std::size_t i = 0; i != std::size(all_kinds); ++i) {
            plant(all_kinds[i], path("here/" + (name_of_line(where, i + 1) + where.behind)));
            failures += where.is_failure(all_kinds[i]) ? 1 : 0;
            ++rows;
        }
        const auto lines = std::size(all_kinds) + 1; // nothing is planted for the last
        const auto words = where.words(path("here"), "http://127.0.0.1:" + std::to_string(server_.port()), lines);
        const auto what = words.at(0) + ' ' + words.at(1) + ", planted at NAME" + where.behind;
        program p(words);
        EXPECT_EQ(p.wait(), failures == 0 ? 0 : 1) << what << ": " << p.out << p.err;
        const auto c = ledger_of(words.at(0) == "run" ? p.err : p.out);
        EXPECT_EQ(c.succeeded, lines - failures) << what << ": " << p.out << p.err;
        EXPECT_EQ(c.failed, failures) << what << ": " << p.out << p.err;
        expect_surroundings_untouched(what);
        for (std::size_t i = 0; i != lines; ++i) {
            if (i != std::size(all_kinds) && where.is_failure(all_kinds[i]))
                continue;
            const auto made = path("here/" + (name_of_line(where, i + 1) + where.made_behind));
            const auto row = what + ", kind " + std::to_string(i);
            EXPECT_TRUE(fs::is_regular_file(fs::symlink_status(made))) << row;
            EXPECT_EQ(fs::hard_link_count(made), 1u) << row;
            if (where.words == fetch_over || where.words == fetch_as_the_server_says)
                EXPECT_EQ(fs::file_size(made), i + 1) << row;
            else
                EXPECT_EQ(read(made), "ok\n") << row;
        }
        remove_surroundings();
    }
    EXPECT_GE(rows, 160u);
}

TEST_F(hostile_folders, have_nothing_followed_where_an_earlier_log_goes) {
    for (const auto kind : all_kinds) {
        make_surroundings();
        program first({"run", "--jsonl", path("log"), "true", ":::", "a"});
        EXPECT_EQ(first.wait(), 0) << first.err;
        const auto earlier = read(path("log"));
        plant(kind, path("log.old"));
        program p({"run", "--jsonl", path("log"), "true", ":::", "b"});
        const int status = p.wait(20s);
        const auto row = "log.old is kind " + std::to_string(static_cast<int>(kind));
        expect_surroundings_untouched(row);
        EXPECT_EQ(status, is_folder(kind) ? 2 : 0) << row << ": " << p.err;
        EXPECT_EQ(read(path(is_folder(kind) ? "log" : "log.old")), earlier) << row;
        remove_surroundings();
    }
}

TEST_F(hostile_folders, that_are_swapped_for_a_link_get_what_is_made_and_the_links_target_does_not) {
    make_surroundings();
    fs::create_directory(path("here/out"));
    program p({"fetch", "-o", path("here/out"), "--name", "{}", url("/slow/400?{}"), ":::", "a", "b"});
    // The folder is open once the first request has come.
    for (int i = 0; i != 2000 && server_.stats().connections == 0; ++i)
        std::this_thread::sleep_for(5ms);
    fs::rename(path("here"), path("moved"));
    fs::create_directory_symlink(path("elsewhere"), path("here"));
    fs::create_directory(path("elsewhere/out"));
    EXPECT_EQ(p.wait(), 0) << p.out << p.err;
    EXPECT_TRUE(fs::is_empty(path("elsewhere/out")));
    EXPECT_EQ(read(path("moved/out/a")), "ok\n");
    EXPECT_EQ(read(path("moved/out/b")), "ok\n");
}

TEST_F(hostile_folders, in_which_the_trial_file_is_planted_are_used_all_the_same) {
    // The name of the file by which -o and --results find out whether files can be made has the process's number in it.
    for (const std::vector<std::string>& words : {std::vector<std::string>{"fetch", "-o", path("here"), url("/ok")},
             {"run", "--results", path("here"), "true", ":::", "a"}}) {
        make_surroundings();
        // Numbers of processes go up.
        const pid_t last = ::fork();
        if (last == 0)
            ::_exit(0);
        ::waitpid(last, nullptr, 0);
        for (pid_t number = last; number != last + 300; ++number)
            fs::create_symlink(path("victim"), path("here/.muster-" + std::to_string(number) + ".part"));
        program p(words);
        EXPECT_EQ(p.wait(), 0) << p.out << p.err;
        expect_surroundings_untouched("trial");
        remove_surroundings();
    }
}

TEST_F(hostile_folders, a_file_of_cookies_that_is_a_pipe_or_a_device_is_refused_and_not_waited_for) {
    ASSERT_EQ(::mkfifo(path("pipe").c_str(), 0600), 0);
    fs::create_symlink(path("pipe"), path("link"));
    for (const std::string& file : {path("pipe"), path("link"), std::string("/dev/zero"), path("")})
        expect_refused({"fetch", "--cookie-jar", file, url("/ok")}, "--cookie-jar");
}

} // namespace
