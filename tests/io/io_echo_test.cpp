// SPDX-License-Identifier: MIT
// 10,000 connections at once to one echo server. The clients are a process of their own: each end needs a descriptor.
#include <muster/io.hpp>

#include "support/io_play.hpp"

#include <muster/event.hpp>
#include <muster/run.hpp>
#include <muster/task_group.hpp>
#include <muster/task_handle.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <span>
#include <string>

#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

using muster::task;
using muster::io::stream;

constexpr std::size_t connections = 10'000;

/// Raises the limit for open descriptors. *Returns* false if that is not allowed.
bool raise_descriptor_limit(rlim_t needed) {
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return false;
    if (limit.rlim_cur >= needed)
        return true;
    if (limit.rlim_max < needed)
        limit.rlim_max = needed; // the superuser may
    limit.rlim_cur = needed;
    return ::setrlimit(RLIMIT_NOFILE, &limit) == 0;
}

task<> echo(stream peer) {
    std::array<std::byte, 256> buffer;
    for (;;) {
        const std::size_t count = co_await peer.read_some(buffer);
        if (count == 0)
            break;
        co_await peer.write(std::span<const std::byte>(buffer.data(), count));
    }
}

struct meeting {
    std::size_t present = 0;
    std::size_t right = 0;
    muster::event all;
};

task<> visit(meeting& m, muster::io::address where, std::size_t number) {
    auto peer = co_await muster::io::connect(where);
    muster::io::reader in(peer);
    const std::string greeting = "visitor " + std::to_string(number);
    co_await peer.write(greeting + '\n');
    const auto first = co_await in.read_line();
    if (++m.present == connections)
        m.all.set();
    co_await m.all.wait();
    // All are connected now, and talk once more.
    co_await peer.write("bye\n");
    const auto second = co_await in.read_line();
    if (first == greeting && second == "bye")
        ++m.right;
}

/// The clients' side. *Returns* how many were answered rightly.
task<std::size_t> visit_all(muster::io::address where) {
    meeting m;
    auto visitors = [&](muster::task_group& group) -> task<> {
        for (std::size_t i = 0; i != connections; ++i) {
            group.create_task(visit(m, where, i));
            // Fewer at a time than may wait to be accepted.
            if (i % 100 == 99)
                co_await muster::yield();
        }
    };
    co_await muster::with_task_group(visitors);
    co_return m.right;
}

/// What the forked process does: it is told the port, and its exit status is the answer.
int be_the_clients(int fd) {
    std::uint16_t port = 0;
    if (::read(fd, &port, sizeof port) != sizeof port)
        return 2;
    auto main = [port]() -> task<std::size_t> {
        const auto found = co_await muster::io::resolve("127.0.0.1", std::to_string(port));
        const auto right = co_await visit_all(found.front());
        co_return right;
    };
    return muster::run(main()) == connections ? 0 : 1;
}

TEST(io_echo, serves_ten_thousand_connections_at_once) {
    if (!raise_descriptor_limit(connections + 200))
        GTEST_SKIP() << "this needs 10,200 open descriptors: ulimit -Hn allows fewer";
    std::array<int, 2> ends{};
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends.data()), 0);
    const pid_t child = ::fork();
    if (child == 0) {
        ::close(ends[0]);
        int status = 3;
        try {
            status = be_the_clients(ends[1]);
        } catch (const std::exception& e) {
            std::fprintf(stderr, "the clients: %s\n", e.what());
        }
        ::_exit(status);
    }
    ::close(ends[1]);
    ASSERT_GT(child, 0);
    std::size_t most = 0;
    {
        const io_test::descriptor_audit audit;
        auto talk = [&]() -> task<> {
            auto door = co_await muster::io::listen("127.0.0.1", 0);
            std::size_t now = 0;
            auto counted = [&](stream peer) -> task<> {
                most = std::max(most, ++now);
                co_await echo(std::move(peer));
                --now;
            };
            auto serving = muster::create_task(muster::io::serve(door, counted));
            auto clients = stream::adopt(::dup(ends[0]));
            const std::uint16_t port = door.port();
            co_await clients.write(std::as_bytes(std::span<const std::uint16_t>(&port, 1)));
            // They hang up when they have done.
            std::byte nothing{};
            static_cast<void>(co_await clients.read_some(std::span<std::byte>(&nothing, 1)));
            door.close();
            co_await serving;
        };
        muster::run(talk());
    }
    ::close(ends[0]);
    int status = 0;
    while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {}
    EXPECT_EQ(status, 0);
    EXPECT_EQ(most, connections);
}

} // namespace
