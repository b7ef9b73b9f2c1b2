// SPDX-License-Identifier: MIT
// This file starts a PostgreSQL and ends it. The server is a child of this process, and gets SIGINT, with which it
// shuts down, if the thread that started it dies first.
#include "postgres/private_server.hpp"

#include "vocabulary/printable.hpp"

#include <libpq-fe.h>

#include <pwd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <thread>

#include <fcntl.h>
#include <spawn.h>

namespace muster::postgres {

namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

constexpr const char* user_for_root = "postgres";
constexpr auto start_limit = 60s;

/// *Returns* the folder with the programs of the newest PostgreSQL server that is installed. Debian has one for each
/// version, and none of them in PATH. Empty if no server is installed.
std::string find_programs() {
    std::string best;
    int newest = 0;
    std::error_code ignored;
    for (const auto& entry : fs::directory_iterator("/usr/lib/postgresql", ignored)) {
        const int number = std::atoi(entry.path().filename().c_str());
        if (number > newest && fs::exists(entry.path() / "bin" / "initdb", ignored)) {
            newest = number;
            best = (entry.path() / "bin").string();
        }
    }
    if (!best.empty())
        return best;
    const char* const path = std::getenv("PATH");
    std::string_view rest = path != nullptr ? path : "";
    while (!rest.empty()) {
        const auto colon = rest.find(':');
        const fs::path folder(rest.substr(0, colon));
        if (fs::exists(folder / "initdb", ignored) && fs::exists(folder / "postgres", ignored))
            return folder.string();
        rest = colon == std::string_view::npos ? std::string_view() : rest.substr(colon + 1);
    }
    return {};
}

bool is_root() { return ::geteuid() == 0; }

} // namespace

std::string private_server::why_not() {
    if (find_programs().empty())
        return "there is no PostgreSQL server on this machine (Debian: postgresql)";
    if (is_root() && ::getpwnam(user_for_root) == nullptr)
        return "PostgreSQL does not run as root, and there is no user postgres for it to run as";
    return {};
}

private_server::private_server(std::vector<std::string> settings, std::vector<std::string> in_front)
    : settings_(std::move(settings)),
      in_front_(std::move(in_front)),
      programs_(find_programs()) {
    if (const auto problem = why_not(); !problem.empty())
        throw std::runtime_error(problem);
    auto name = (fs::temp_directory_path() / "muster-queue-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr)
        throw std::runtime_error(std::string("no folder for a server can be made: ") + std::strerror(errno));
    folder_ = name;
    try {
        if (is_root()) {
            const auto* const user = ::getpwnam(user_for_root);
            if (::chown(folder_.c_str(), user->pw_uid, user->pw_gid) != 0)
                throw std::runtime_error(
                    std::string("the folder of a server can't be given to its user: ") + std::strerror(errno));
        }
        run({programs_ + "/initdb", "-D", folder_ + "/data", "-U", "postgres", "--auth=trust", "--no-sync",
            "--encoding=UTF8", "--no-locale"});
        start();
    } catch (...) {
        remove_folder();
        throw;
    }
}

private_server::~private_server() {
    stop(SIGINT);
    remove_folder();
}

void private_server::remove_folder() noexcept {
    std::error_code ignored;
    fs::remove_all(folder_, ignored);
}

std::string private_server::address(const std::string& role) const {
    return "host=" + folder_ + " dbname=postgres user=" + role;
}

std::string private_server::last_words() const {
    std::ifstream log(folder_ + "/log");
    std::string text((std::istreambuf_iterator<char>(log)), std::istreambuf_iterator<char>());
    if (text.size() > 1000)
        text.erase(0, text.size() - 1000);
    return detail::printable_lines(text);
}

pid_t private_server::spawn(std::vector<std::string> words) const {
    std::vector<std::string> all{"setpriv", "--pdeathsig=INT"};
    if (is_root())
        all.insert(all.end(),
            {std::string("--reuid=") + user_for_root, std::string("--regid=") + user_for_root, "--clear-groups"});
    all.push_back("--");
    all.insert(all.end(), in_front_.begin(), in_front_.end());
    all.insert(all.end(), words.begin(), words.end());
    std::vector<char*> pointers;
    for (auto& w : all)
        pointers.push_back(w.data());
    pointers.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    ::posix_spawn_file_actions_addopen(
        &actions, 1, (folder_ + "/log").c_str(), O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW, 0600);
    ::posix_spawn_file_actions_adddup2(&actions, 1, 2);
    posix_spawnattr_t attributes;
    ::posix_spawnattr_init(&attributes);
    // A group of its own: a Ctrl-C at the terminal is for the program, which then ends the server.
    ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
    sigset_t none;
    sigemptyset(&none);
    ::posix_spawnattr_setsigmask(&attributes, &none);
    pid_t child = -1;
    const int failure = ::posix_spawnp(&child, "setpriv", &actions, &attributes, pointers.data(), environ);
    ::posix_spawnattr_destroy(&attributes);
    ::posix_spawn_file_actions_destroy(&actions);
    if (failure != 0)
        throw std::runtime_error(std::string("setpriv can't be started: ") + std::strerror(failure));
    return child;
}

void private_server::run(std::vector<std::string> words) const {
    const auto name = words.front();
    const auto child = spawn(std::move(words));
    int status = 0;
    while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {}
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        throw std::runtime_error(name + " has failed: " + last_words());
}

void private_server::start() {
    std::vector<std::string> words{programs_ + "/postgres", "-D", folder_ + "/data", "-c", "listen_addresses=", "-c",
        "unix_socket_directories=" + folder_, "-c", "unix_socket_permissions=0700", "-c", "fsync=off", "-c",
        "max_connections=200"};
    for (const auto& s : settings_)
        words.insert(words.end(), {"-c", s});
    const auto limit = std::chrono::steady_clock::now() + start_limit;
    while (std::chrono::steady_clock::now() < limit) {
        if (process_ < 0)
            process_ = spawn(words);
        if (::PQping(address().c_str()) == PQPING_OK)
            return;
        // Children that an earlier server has left keep a new one from starting: it ends, and is tried again.
        if (::waitpid(process_, nullptr, WNOHANG) == process_)
            process_ = -1;
        std::this_thread::sleep_for(20ms);
    }
    stop(SIGKILL);
    throw std::runtime_error("the server does not start: " + last_words());
}

void private_server::kill() noexcept { stop(SIGKILL); }

void private_server::stop(int signal) noexcept {
    if (process_ < 0)
        return;
    ::kill(process_, signal);
    while (::waitpid(process_, nullptr, 0) < 0 && errno == EINTR) {}
    process_ = -1;
}

} // namespace muster::postgres
