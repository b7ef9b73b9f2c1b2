// SPDX-License-Identifier: MIT
// 10,000 connections at once to one echo server, both ends in this process.
#include <muster/io.hpp>

#include "io/support.hpp"

#include <muster/event.hpp>
#include <muster/run.hpp>
#include <muster/task_group.hpp>
#include <muster/task_handle.hpp>

#include <gtest/gtest.h>

#include <array>
#include <cstddef>
#include <string>

#include <sys/resource.h>

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

TEST(IoEcho, ServesTenThousandConnectionsAtOnce) {
    if (!raise_descriptor_limit(2 * connections + 200))
        GTEST_SKIP() << "this needs 20,200 open descriptors: ulimit -Hn allows fewer";
    const io_test::descriptor_audit audit;
    meeting m;
    std::size_t most = 0;
    auto talk = [&]() -> task<> {
        auto door = co_await muster::io::listen("127.0.0.1", 0);
        const auto where = door.local_address();
        auto serving = muster::create_task(muster::io::serve(door, echo));
        auto visitors = [&](muster::task_group& group) -> task<> {
            for (std::size_t i = 0; i != connections; ++i) {
                group.create_task(visit(m, where, i));
                // As many at a time as may wait to be accepted.
                if (i % 100 == 99)
                    co_await muster::yield();
            }
            co_await m.all.wait();
            most = io_test::open_descriptors();
        };
        co_await muster::with_task_group(visitors);
        door.close();
        co_await serving;
    };
    muster::run(talk());
    EXPECT_EQ(m.present, connections);
    EXPECT_EQ(m.right, connections);
    EXPECT_GE(most, 2 * connections);
}

} // namespace
