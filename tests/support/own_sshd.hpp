// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// An sshd for tests, and an ssh that reaches it without asking anything.
///
///     const own_sshd server(folder);
///     if (!server.answers()) GTEST_SKIP() << own_sshd::none;

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

/// An sshd on a port of the loopback, with keys of its own, as long as it lives.
class own_sshd {
public:
    static constexpr const char* none = "there is no sshd here that could be started";

    /// Its files, and a program `ssh`, are put into the folder.
    explicit own_sshd(const std::string& folder) : folder_(folder) {
        if (::access("/usr/sbin/sshd", X_OK) != 0 || std::system("command -v ssh ssh-keygen > /dev/null") != 0)
            return;
        for (const std::string key : {"host", "user"}) {
            if (std::system(("ssh-keygen -q -t ed25519 -N '' -f " + folder + '/' + key).c_str()) != 0)
                return;
        }
        port_ = 20000 + static_cast<int>(::getpid() % 20000);
        std::error_code no_matter;
        std::filesystem::create_directories("/run/sshd", no_matter);
        std::ofstream(folder + "/sshd_config") << "Port " << port_ << "\nListenAddress 127.0.0.1\nHostKey " << folder
                                               << "/host\nAuthorizedKeysFile " << folder
                                               << "/user.pub\nStrictModes no\nUsePAM no\nPidFile none\n"
                                                  "PasswordAuthentication no\nPermitRootLogin yes\nMaxStartups 100\n";
        std::ofstream(folder + "/ssh") << "#!/bin/sh\nexec " << ssh() << " -F none -i " << folder
                                       << "/user -o StrictHostKeyChecking=no -o UserKnownHostsFile=" << folder
                                       << "/known -o LogLevel=ERROR \"$@\"\n";
        std::filesystem::permissions(folder + "/ssh", std::filesystem::perms::owner_all);
        pid_ = ::fork();
        if (pid_ == 0) {
            const int log = ::open((folder + "/sshd.log").c_str(), O_WRONLY | O_CREAT, 0600);
            ::dup2(log, 1);
            ::dup2(log, 2);
            ::execl("/usr/sbin/sshd", "/usr/sbin/sshd", "-D", "-e", "-f", (folder + "/sshd_config").c_str(), nullptr);
            ::_exit(127);
        }
        const auto knock =
            folder + "/ssh -T -o BatchMode=yes -p " + std::to_string(port_) + " 127.0.0.1 true > /dev/null 2>&1";
        for (int i = 0; i != 100 && !answers_; ++i) {
            answers_ = std::system(knock.c_str()) == 0;
            if (!answers_)
                std::this_thread::sleep_for(std::chrono::milliseconds(100));
        }
    }
    ~own_sshd() {
        if (pid_ > 0) {
            ::kill(pid_, SIGTERM);
            ::waitpid(pid_, nullptr, 0);
        }
    }
    own_sshd(const own_sshd&) = delete;
    own_sshd& operator=(const own_sshd&) = delete;
    [[nodiscard]] bool answers() const noexcept { return answers_; }
    [[nodiscard]] std::string host(const std::string& name) const { return name + ':' + std::to_string(port_); }
    /// The words of a launcher, as far as the host's.
    [[nodiscard]] std::vector<std::string> launcher() const {
        return {folder_ + "/ssh", "-p", std::to_string(port_), "127.0.0.1"};
    }
    /// The processes of its sessions.
    [[nodiscard]] std::vector<pid_t> sessions() const {
        std::vector<pid_t> all;
        for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
            const int pid = std::atoi(entry.path().filename().c_str());
            if (pid == 0)
                continue;
            std::ifstream file(entry.path() / "stat");
            std::string stat;
            std::getline(file, stat);
            const auto end = stat.rfind(')');
            if (end != std::string::npos && std::atoi(stat.c_str() + std::min(end + 4, stat.size())) == pid_)
                all.push_back(pid);
        }
        return all;
    }

private:
    static std::string ssh() { return "/usr/bin/ssh"; }
    std::string folder_;
    int port_ = 0;
    pid_t pid_ = -1;
    bool answers_ = false;
};
