// SPDX-License-Identifier: MIT
// An echo server. With a port it serves until it gets SIGTERM: 13_echo_server 7777. Without arguments it serves 10,000
// connections at once, which a second process of this program makes, and then ends itself the same way.

#include <muster/io.hpp>
#include <muster/muster.hpp>
#include <muster/subprocess.hpp>

#include <fmt/core.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <sys/resource.h>

using namespace std::chrono_literals;
namespace io = muster::io;

constexpr std::size_t visitors = 10'000;

// [echo]
muster::task<> echo(io::stream peer) {
    std::array<std::byte, 1024> buffer;
    for (;;) {
        const std::size_t count = co_await peer.read_some(buffer);
        if (count == 0)
            co_return; // the other side has ended
        co_await peer.write(std::span<const std::byte>(buffer.data(), count));
    }
}
// [/echo]

// [serve]
muster::task<> serve_until_asked_to_stop(io::listener& door) {
    io::signal_watcher signals({SIGTERM});
    auto close_the_door = [&]() -> muster::task<> {
        co_await signals.next();
        door.close(); // no new connections; those that are open go on to their end
    };
    auto closing = muster::create_task(close_the_door());
    co_await io::serve(door, echo);
    co_await closing;
}
// [/serve]

// [visit]
struct visit_counts {
    std::size_t here = 0;
    std::size_t answered = 0;
    muster::event all_here;
};

muster::task<> visit(visit_counts& counts, io::address where, std::string greeting) {
    auto peer = co_await io::connect(where);
    io::reader in(peer);
    co_await peer.write(greeting + '\n');
    if (++counts.here == visitors)
        counts.all_here.set();
    co_await counts.all_here.wait();
    const auto line = co_await in.read_line(100); // at most 100 bytes
    if (line == greeting)
        ++counts.answered;
}
// [/visit]

muster::task<> visit_all(std::string port) {
    const auto found = co_await io::resolve("127.0.0.1", port);
    visit_counts counts;
    std::vector<std::size_t> numbers(visitors);
    for (std::size_t i = 0; i != visitors; ++i)
        numbers[i] = i;
    auto one = [&](std::size_t number) { return visit(counts, found.front(), "visitor " + std::to_string(number)); };
    auto all = muster::map(numbers, one);
    co_await std::move(all);
    fmt::print("{} connections at once, {} answered\n", counts.here, counts.answered);
}

muster::task<> demonstrate() {
    auto door = co_await io::listen("127.0.0.1", 0);
    auto serving = muster::create_task(serve_until_asked_to_stop(door));
    co_await muster::yield(); // from here on the server waits for the signal
    auto visiting = muster::run_command(muster::command("/proc/self/exe", "--visit", std::to_string(door.port())));
    const auto done = co_await std::move(visiting);
    fmt::print("the visitors say: {}", done.out);
    std::raise(SIGTERM);
    co_await serving;
    done.throw_if_failed();
    fmt::print("the server has ended in good order\n");
}

muster::task<> serve_on(std::uint16_t port) {
    auto door = co_await io::listen("", port);
    fmt::print("listening on {}\n", door.local_address().text());
    co_await serve_until_asked_to_stop(door);
}

void allow_many_descriptors() {
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur < visitors + 100) {
        limit.rlim_cur = limit.rlim_max; // as many as an unprivileged process may have
        ::setrlimit(RLIMIT_NOFILE, &limit);
    }
    if (limit.rlim_cur < visitors + 100)
        fmt::print(stderr, "{} descriptors are too few for this: see ulimit -Hn\n", limit.rlim_cur);
}

int main(int argc, char** argv) {
    allow_many_descriptors();
    if (argc == 3 && std::string_view(argv[1]) == "--visit")
        muster::run(visit_all(argv[2]));
    else if (argc == 2)
        muster::run(serve_on(static_cast<std::uint16_t>(std::atoi(argv[1]))));
    else
        muster::run(demonstrate());
}
