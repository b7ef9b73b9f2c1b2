// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The built program `muster`, run as a person runs it: its arguments and streams, what it says, how it ends; and a
/// fixture with a faulty server and a folder of its own that knows what a ledger and a log must look like.

#include <muster/testing/faulty_server.hpp>

#include <nlohmann/json.hpp>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

namespace cli {

namespace fs = std::filesystem;
using muster::testing::faulty_server;
using namespace std::chrono_literals;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool with_sanitizer = true;
#elif defined(__has_feature)
inline constexpr bool with_sanitizer = __has_feature(address_sanitizer) || __has_feature(thread_sanitizer);
#else
inline constexpr bool with_sanitizer = false;
#endif

struct setting {
    setting() {}
    std::string input_file = "/dev/null"; ///< standard input; empty: what write_input gets
    std::string output_file;              ///< standard output; empty: captured
    std::string error_file;               ///< standard error; empty: captured
    bool close_input = false;
    bool close_output = false;
    bool close_error = false;
    bool terminal = false; ///< standard error is one
    int columns = 60;
    bool no_network = false; ///< no interface is up; where that can't be had the exit status is 126
    bool c_locale = false;   ///< nothing in the environment says another one
    rlim_t file_size = RLIM_INFINITY;
    rlim_t descriptors = RLIM_INFINITY;
    std::vector<int> ignored; ///< signals
};

/// Whether this machine has pseudo-terminals; a container may have none.
inline bool pseudo_terminals() {
    int ends[2];
    if (::openpty(&ends[0], &ends[1], nullptr, nullptr, nullptr) != 0)
        return false;
    ::close(ends[0]);
    ::close(ends[1]);
    return true;
}

/// The program, running. What it prints is read until it closes its ends.
class program {
public:
    explicit program(std::vector<std::string> arguments, const setting& s = {}) {
        int in[2];
        int said[2];
        int complained[2];
        if (::pipe2(in, O_CLOEXEC) != 0 || ::pipe2(said, O_CLOEXEC) != 0 || ::pipe2(complained, O_CLOEXEC) != 0)
            throw std::system_error(errno, std::generic_category(), "pipe2");
        if (s.terminal) {
            ::close(complained[0]);
            ::close(complained[1]);
            const winsize size{24, static_cast<unsigned short>(s.columns), 0, 0};
            if (::openpty(&complained[0], &complained[1], nullptr, nullptr, &size) != 0)
                throw std::system_error(errno, std::generic_category(), "openpty");
            ::fcntl(complained[0], F_SETFD, FD_CLOEXEC);
            ::fcntl(complained[1], F_SETFD, FD_CLOEXEC);
        }
        std::string program_file = MUSTER_PROGRAM;
        std::vector<char*> words{program_file.data()};
        for (auto& a : arguments)
            words.push_back(a.data());
        words.push_back(nullptr);
        pid_ = ::fork();
        if (pid_ == 0) {
            // A shell has what it runs in the background ignore SIGINT and SIGQUIT, and nohup has it ignore SIGHUP.
            for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGQUIT})
                std::signal(number, SIG_DFL);
            for (const int number : s.ignored)
                std::signal(number, SIG_IGN);
            const int from = s.input_file.empty() ? in[0] : ::open(s.input_file.c_str(), O_RDONLY);
            ::dup2(from, 0);
            ::dup2(s.output_file.empty() ? said[1] : ::open(s.output_file.c_str(), O_WRONLY), 1);
            ::dup2(s.error_file.empty() ? complained[1] : ::open(s.error_file.c_str(), O_WRONLY), 2);
            if (s.close_input)
                ::close(0);
            if (s.close_output)
                ::close(1);
            if (s.close_error)
                ::close(2);
            if (s.file_size != RLIM_INFINITY) {
                const rlimit limit{s.file_size, s.file_size};
                ::setrlimit(RLIMIT_FSIZE, &limit);
            }
            if (s.descriptors != RLIM_INFINITY) {
                const rlimit limit{s.descriptors, s.descriptors};
                ::setrlimit(RLIMIT_NOFILE, &limit);
            }
            if (s.no_network && ::unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0)
                ::_exit(126);
            if (s.c_locale) {
                for (const char* name : {"LANG", "LC_ALL", "LC_CTYPE"})
                    ::unsetenv(name);
            }
            ::execv(words[0], words.data());
            ::_exit(127);
        }
        ::close(in[0]);
        ::close(said[1]);
        ::close(complained[1]);
        input_ = in[1];
        outputs_ = {said[0], complained[0]};
        if (!s.input_file.empty())
            end_input();
        ::fcntl(outputs_[0], F_SETFL, O_NONBLOCK);
        ::fcntl(outputs_[1], F_SETFL, O_NONBLOCK);
    }
    program(const program&) = delete;
    program& operator=(const program&) = delete;
    ~program() {
        if (pid_ > 0) {
            ::kill(pid_, SIGKILL);
            ::waitpid(pid_, nullptr, 0);
        }
        end_input();
        for (const int fd : outputs_)
            if (fd >= 0)
                ::close(fd);
    }

    void write_input(std::string_view text) {
        while (!text.empty()) {
            const auto count = ::write(input_, text.data(), text.size());
            if (count <= 0)
                throw std::system_error(errno, std::generic_category(), "writing to the program");
            text.remove_prefix(static_cast<std::size_t>(count));
        }
    }
    void end_input() {
        if (input_ >= 0)
            ::close(std::exchange(input_, -1));
    }
    void signal(int number) const {
        if (pid_ > 0)
            ::kill(pid_, number);
    }
    /// Goes away as the reader of standard output.
    void stop_reading_output() {
        if (outputs_[0] >= 0)
            ::close(std::exchange(outputs_[0], -1));
    }
    [[nodiscard]] std::size_t open_descriptors() const {
        std::error_code gone;
        std::size_t count = 0;
        for (fs::directory_iterator at("/proc/" + std::to_string(pid_) + "/fd", gone), end; !gone && at != end;
             at.increment(gone))
            ++count;
        return count;
    }
    [[nodiscard]] pid_t pid() const noexcept { return pid_; }
    /// The most memory that it had at a time, once wait() has returned.
    [[nodiscard]] long peak_kilobytes() const noexcept { return used_.ru_maxrss; }
    /// Reads what it prints for a while.
    void read_for(std::chrono::milliseconds time) {
        const auto until = std::chrono::steady_clock::now() + time;
        do
            read_some();
        while (std::chrono::steady_clock::now() < until);
    }
    /// Reads what it prints on standard error only.
    void read_error_for(std::chrono::milliseconds time) {
        pollfd watched{outputs_[1], POLLIN, 0};
        if (::poll(&watched, 1, static_cast<int>(time.count())) > 0)
            read(1, err);
    }
    /// Waits for its end without reading what it prints.
    [[nodiscard]] bool ends_unread(std::chrono::seconds patience = 20s) const {
        const auto until = std::chrono::steady_clock::now() + patience;
        siginfo_t about{};
        while (
            ::waitid(P_PID, static_cast<id_t>(pid_), &about, WEXITED | WNOHANG | WNOWAIT) == 0 && about.si_pid == 0) {
            if (std::chrono::steady_clock::now() > until)
                return false;
            std::this_thread::sleep_for(2ms);
        }
        return true;
    }
    /// True if a signal ended it, not its own main.
    [[nodiscard]] bool was_killed() const noexcept { return killed_; }

    /// *Returns* the exit status; 128 and more for a signal, as in a shell.
    int wait(std::chrono::seconds patience = 60s) {
        const auto until = std::chrono::steady_clock::now() + patience;
        while (outputs_[0] >= 0 || outputs_[1] >= 0) {
            read_some();
            if (std::chrono::steady_clock::now() > until)
                throw std::runtime_error("the program does not end; it said: " + out + err);
        }
        int status = 0;
        while (::wait4(pid_, &status, WNOHANG, &used_) == 0) {
            if (std::chrono::steady_clock::now() > until)
                throw std::runtime_error("the program closed its outputs and does not end");
            std::this_thread::sleep_for(2ms);
        }
        pid_ = -1;
        killed_ = WIFSIGNALED(status);
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }

    std::string out;
    std::string err;

private:
    void read_some() {
        std::array<pollfd, 2> watched{pollfd{outputs_[0], POLLIN, 0}, pollfd{outputs_[1], POLLIN, 0}};
        ::poll(watched.data(), 2, 20);
        read(0, out);
        read(1, err);
    }
    void read(std::size_t which, std::string& to) {
        std::array<char, 65536> piece;
        while (outputs_[which] >= 0) {
            const auto count = ::read(outputs_[which], piece.data(), piece.size());
            if (count > 0)
                to.append(piece.data(), static_cast<std::size_t>(count));
            else if (count < 0 && errno == EAGAIN)
                return;
            else
                ::close(std::exchange(outputs_[which], -1));
        }
    }

    pid_t pid_ = -1;
    int input_ = -1;
    bool killed_ = false;
    rusage used_{};
    std::array<int, 2> outputs_{-1, -1};
};

/// The first line of the ledger.
struct counted {
    std::size_t submitted = 0;
    std::size_t succeeded = 0;
    std::size_t failed = 0;
    std::size_t cancelled = 0;
    std::size_t not_started = 0;
};

inline counted ledger_of(const std::string& text) {
    counted c;
    const int fields =
        std::sscanf(text.c_str(), "%zu submitted = %zu succeeded + %zu failed + %zu cancelled + %zu not started",
            &c.submitted, &c.succeeded, &c.failed, &c.cancelled, &c.not_started);
    EXPECT_EQ(fields, 5) << text;
    EXPECT_EQ(c.submitted, c.succeeded + c.failed + c.cancelled + c.not_started);
    return c;
}

class muster_command : public ::testing::Test {
protected:
    muster_command() {
        ::setenv("no_proxy", "*", 1);
        std::string name = (fs::temp_directory_path() / "muster-cli-XXXXXX").string();
        if (::mkdtemp(name.data()) == nullptr)
            throw std::system_error(errno, std::generic_category(), "mkdtemp");
        folder_ = name;
    }
    ~muster_command() override { fs::remove_all(folder_); }

    [[nodiscard]] std::string path(const std::string& name) const { return (folder_ / name).string(); }
    [[nodiscard]] std::string url(std::string_view p) const { return server_.url(p); }

    std::string write(const std::string& name, const std::string& text) const {
        std::ofstream(path(name), std::ios::binary) << text;
        return path(name);
    }
    [[nodiscard]] static std::string read(const fs::path& file) {
        std::ifstream in(file, std::ios::binary);
        std::stringstream text;
        text << in.rdbuf();
        return text.str();
    }
    [[nodiscard]] static std::vector<nlohmann::json> lines_of(const std::string& text) {
        std::vector<nlohmann::json> all;
        std::istringstream in(text);
        for (std::string line; std::getline(in, line);)
            all.push_back(nlohmann::json::parse(line));
        return all;
    }

    /// The counts of the log are the ledger's, and every index comes once.
    static void expect_same(const std::vector<nlohmann::json>& log, const counted& c) {
        std::map<std::string, std::size_t> by_outcome;
        std::set<std::uint64_t> indexes;
        for (const auto& line : log) {
            ++by_outcome[line.at("outcome").get<std::string>()];
            EXPECT_TRUE(indexes.insert(line.at("index").get<std::uint64_t>()).second) << line;
        }
        EXPECT_EQ(log.size(), c.submitted);
        EXPECT_EQ(by_outcome["ok"], c.succeeded);
        EXPECT_EQ(by_outcome["error"], c.failed);
        EXPECT_EQ(by_outcome["cancelled"], c.cancelled);
        EXPECT_EQ(by_outcome["not_started"], c.not_started);
        EXPECT_TRUE(indexes.empty() || *indexes.rbegin() == indexes.size() - 1);
    }

    /// Exit status 2, a message with these words, and not a single request.
    void expect_refused(std::vector<std::string> arguments, const std::string& words, const setting& s = {}) {
        const auto before = server_.stats().connections;
        program p(std::move(arguments), s);
        EXPECT_EQ(p.wait(), 2) << p.out << p.err;
        EXPECT_NE(p.err.find(words), std::string::npos) << p.err;
        EXPECT_EQ(p.out, "");
        EXPECT_EQ(server_.stats().connections, before);
    }

    faulty_server server_;
    fs::path folder_;
};

} // namespace cli
