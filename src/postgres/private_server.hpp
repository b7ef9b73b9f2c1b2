// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A PostgreSQL of the program's own, for trying and for tests: in a folder of its own under the system's one for
/// temporary files, reached by a Unix socket in it, gone with the object. Private to muster and its command.
///
///     private_server server;
///     co_await postgres::init(server.address());

#include <string>
#include <vector>

#include <sys/types.h>

namespace muster::postgres {

/// Each function blocks. Immovable.
class private_server {
public:
    /// *Returns* why there can't be one on this machine: PostgreSQL's server is not installed, say. Empty if there can.
    [[nodiscard]] static std::string why_not();

    /// Makes the folder and the database, and starts the server. As root it runs as the user postgres, because it
    /// refuses to run as root. The folder is for that user only, so that the socket needs no password. It writes
    /// nothing through to the disk, unless `settings` has "fsync=on": these are settings of the server. The words of
    /// `in_front` stand in front of each of its programs. *Errors*: std::runtime_error, with the server's own words.
    explicit private_server(std::vector<std::string> settings = {}, std::vector<std::string> in_front = {});
    /// Ends the server and removes its folder.
    ~private_server();
    private_server(const private_server&) = delete;
    private_server& operator=(const private_server&) = delete;

    /// *Returns* the address, as the options of executors and workers take it, of a superuser or of another role.
    [[nodiscard]] std::string address(const std::string& role = "postgres") const;
    [[nodiscard]] const std::string& folder() const noexcept { return folder_; }
    [[nodiscard]] pid_t process() const noexcept { return process_; }

    /// Starts the server after a kill(). *Errors*: as the constructor.
    void start();
    /// SIGKILL to the server, which is waited for.
    void kill() noexcept;

private:
    void run(std::vector<std::string> words) const;
    [[nodiscard]] pid_t spawn(std::vector<std::string> words) const;
    [[nodiscard]] std::string last_words() const;
    void stop(int signal) noexcept;
    void remove_folder() noexcept;

    std::vector<std::string> settings_;
    std::vector<std::string> in_front_;
    std::string programs_; ///< the folder of initdb and postgres
    std::string folder_;
    pid_t process_ = -1;
};

} // namespace muster::postgres
