// SPDX-License-Identifier: MIT
#include <muster/io/unix_socket.hpp>

#include "support/io_play.hpp"

#include <muster/io/pipe.hpp>
#include <muster/run.hpp>
#include <muster/sleep.hpp>
#include <muster/task_handle.hpp>

#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <string>

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

namespace {

using namespace std::chrono_literals;
using namespace io_test;
using muster::task;
using muster::io::connect_unix;
using muster::io::listen_unix;
using muster::io::unix_listen_options;

TEST(io_unix_socket, connects_by_a_path_and_removes_it) {
    const descriptor_audit audit;
    const own_directory directory;
    const auto path = directory.file("x.sock");
    auto talk = [&]() -> task<> {
        auto door = listen_unix(path);
        EXPECT_TRUE(std::filesystem::exists(path));
        EXPECT_EQ(door.local_address().text(), path);
        EXPECT_EQ(door.port(), 0);
        auto peer = co_await connect_unix(path);
        auto guest = co_await door.accept();
        EXPECT_EQ(guest.peer_address().text(), "unnamed");
        co_await guest.write("welcome");
        const auto text = co_await read_text(peer);
        EXPECT_EQ(text, "welcome");
        door.close();
        EXPECT_FALSE(std::filesystem::exists(path));
    };
    muster::run(talk());
}

TEST(io_unix_socket, leaves_alone_what_is_not_its_own) {
    const descriptor_audit audit;
    const own_directory directory;
    const auto path = directory.file("x.sock");
    {
        auto door = listen_unix(path);
        EXPECT_THROW(static_cast<void>(listen_unix(path)), std::system_error);
        EXPECT_THROW(static_cast<void>(listen_unix(path, unix_listen_options().replace_stale())), std::system_error)
            << "somebody listens";
        std::filesystem::remove(path);
        std::ofstream(path) << "a file";
    }
    EXPECT_TRUE(std::filesystem::exists(path));
    EXPECT_THROW(static_cast<void>(listen_unix(path, unix_listen_options().replace_stale())), std::system_error)
        << "it is no socket";
}

TEST(io_unix_socket, replaces_a_stale_one) {
    const descriptor_audit audit;
    const own_directory directory;
    const auto path = directory.file("x.sock");
    const auto kept = directory.file("kept.sock");
    {
        auto door = listen_unix(path);
        std::filesystem::create_hard_link(path, kept);
    }
    std::filesystem::rename(kept, path); // as a server that was killed leaves it
    EXPECT_THROW(static_cast<void>(listen_unix(path)), std::system_error);
    auto door = listen_unix(path, unix_listen_options().replace_stale());
    EXPECT_TRUE(door.is_open());
}

TEST(io_unix_socket, says_why_a_path_will_not_do) {
    const descriptor_audit audit;
    const own_directory directory;
    auto talk = [&]() -> task<> {
        const auto absent = co_await code_of(connect_unix(directory.file("absent")));
        EXPECT_EQ(absent, std::errc::no_such_file_or_directory);
        const auto length = co_await code_of(connect_unix(std::string(200, 'x')));
        EXPECT_EQ(length, std::errc::filename_too_long);
        const auto empty = co_await code_of(connect_unix(""));
        EXPECT_EQ(empty, std::errc::invalid_argument);
    };
    muster::run(talk());
}

TEST(io_unix_socket, an_abstract_name_needs_no_file) {
    const descriptor_audit audit;
    auto talk = [&]() -> task<> {
        const std::string name = "@muster-test-" + std::to_string(::getpid());
        auto door = listen_unix(name);
        EXPECT_FALSE(std::filesystem::exists(name));
        EXPECT_EQ(door.local_address().text(), name);
        auto peer = co_await connect_unix(name);
        auto guest = co_await door.accept();
        EXPECT_EQ(peer.peer_address().text(), name);
        const auto taken = [&] { static_cast<void>(listen_unix(name, unix_listen_options().replace_stale())); };
        EXPECT_THROW(taken(), std::system_error);
        EXPECT_THROW(static_cast<void>(listen_unix(name, unix_listen_options().mode(0600))), std::invalid_argument);
        door.close();
        const auto gone = co_await code_of(connect_unix(name));
        EXPECT_EQ(gone, std::errc::connection_refused);
    };
    muster::run(talk());
}

TEST(io_unix_socket, its_file_has_the_mode_that_was_asked_for_whatever_the_umask) {
    const descriptor_audit audit;
    const own_directory directory;
    const auto mode_of = [](const std::string& path) {
        struct stat found {};
        EXPECT_EQ(::lstat(path.c_str(), &found), 0);
        return found.st_mode & 0777;
    };
    const auto before = ::umask(0);
    auto open_to_all = listen_unix(directory.file("all.sock"));
    EXPECT_EQ(mode_of(directory.file("all.sock")), 0777U);
    auto own = listen_unix(directory.file("own.sock"), unix_listen_options().mode(0600));
    EXPECT_EQ(mode_of(directory.file("own.sock")), 0600U);
    ::umask(0077);
    auto group = listen_unix(directory.file("group.sock"), unix_listen_options().mode(0660));
    EXPECT_EQ(mode_of(directory.file("group.sock")), 0660U);
    ::umask(before);
    EXPECT_THROW(unix_listen_options().mode(01777), std::invalid_argument);
}

TEST(io_unix_socket, says_which_process_is_at_the_other_end) {
    const descriptor_audit audit;
    auto pair = connected();
    const auto peer = muster::io::credentials_of_peer(pair.left);
    EXPECT_EQ(peer.pid, ::getpid());
    EXPECT_EQ(peer.uid, ::getuid());
    EXPECT_EQ(peer.gid, ::getgid());
    auto ends = muster::io::make_pipe();
    EXPECT_THROW(static_cast<void>(muster::io::credentials_of_peer(ends.reader)), std::system_error);
    pair.left.close();
    EXPECT_THROW(static_cast<void>(muster::io::credentials_of_peer(pair.left)), std::system_error);
}

TEST(io_unix_socket, connect_waits_while_too_many_wait) {
    const descriptor_audit audit;
    const own_directory directory;
    const auto path = directory.file("x.sock");
    sockaddr_un name{};
    name.sun_family = AF_UNIX;
    path.copy(name.sun_path, sizeof name.sun_path - 1);
    const int door = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    EXPECT_EQ(::bind(door, reinterpret_cast<const sockaddr*>(&name), sizeof name), 0);
    EXPECT_EQ(::listen(door, 0), 0);
    auto talk = [&]() -> task<> {
        auto first = co_await connect_unix(path);
        auto second = muster::create_task(connect_unix(path));
        auto third = muster::create_task(connect_unix(path));
        co_await muster::sleep_for(10ms);
        EXPECT_FALSE(second.done() && third.done());
        const int guest = ::accept(door, nullptr, nullptr);
        ::close(guest);
        third.cancel();
        co_await ended(third);
        auto peer = co_await std::move(second);
        EXPECT_TRUE(peer.is_open());
    };
    muster::run(talk());
    ::close(door);
}

} // namespace
