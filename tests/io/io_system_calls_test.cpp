// SPDX-License-Identifier: MIT
// How many system calls an operation makes. The calls that the library and libuv make are counted by functions of this
// program, which take the place of those of the C library; each thread has a count of its own. The other side of each
// connection calls the system directly and is not counted.
#include <muster/event.hpp>
#include <muster/io.hpp>
#include <muster/loop_handle.hpp>
#include <muster/run.hpp>
#include <muster/sleep.hpp>
#include <muster/task_handle.hpp>
#include <muster/timeout.hpp>

#include <gtest/gtest.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <memory>
#include <semaphore>
#include <span>
#include <thread>
#include <utility>
#include <vector>

#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define COUNTS_SYSTEM_CALLS 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define COUNTS_SYSTEM_CALLS 0
#endif
#endif
#ifndef COUNTS_SYSTEM_CALLS
#define COUNTS_SYSTEM_CALLS 1
#endif

namespace {

struct counts {
    int waits = 0;   ///< for events
    int changes = 0; ///< of what is polled, and of the loop's alarm
    int reads = 0;
    int writes = 0;

    [[nodiscard]] int all() const noexcept { return waits + changes + reads + writes; }
    counts operator-(const counts& before) const noexcept {
        return {waits - before.waits, changes - before.changes, reads - before.reads, writes - before.writes};
    }
};

constinit thread_local counts made{};

} // namespace

#if COUNTS_SYSTEM_CALLS
// A sanitizer's runtime has such functions of its own.
extern "C" {
int epoll_wait(int epoll, epoll_event* events, int most, int time) {
    ++made.waits;
    return static_cast<int>(::syscall(SYS_epoll_pwait, epoll, events, most, time, nullptr, std::size_t{8}));
}
int epoll_pwait(int epoll, epoll_event* events, int most, int time, const sigset_t* mask) {
    ++made.waits;
    return static_cast<int>(::syscall(SYS_epoll_pwait, epoll, events, most, time, mask, std::size_t{8}));
}
int epoll_ctl(int epoll, int what, int fd, epoll_event* event) noexcept {
    ++made.changes;
    return static_cast<int>(::syscall(SYS_epoll_ctl, epoll, what, fd, event));
}
int timerfd_settime(int fd, int flags, const itimerspec* to, itimerspec* before) noexcept {
    ++made.changes;
    return static_cast<int>(::syscall(SYS_timerfd_settime, fd, flags, to, before));
}
ssize_t recv(int fd, void* into, std::size_t size, int flags) {
    ++made.reads;
    return ::syscall(SYS_recvfrom, fd, into, size, flags, nullptr, nullptr);
}
ssize_t read(int fd, void* into, std::size_t size) {
    ++made.reads;
    return ::syscall(SYS_read, fd, into, size);
}
ssize_t send(int fd, const void* from, std::size_t size, int flags) {
    ++made.writes;
    return ::syscall(SYS_sendto, fd, from, size, flags, nullptr, 0);
}
ssize_t write(int fd, const void* from, std::size_t size) {
    ++made.writes;
    return ::syscall(SYS_write, fd, from, size);
}
} // extern "C"
#endif

namespace {

using namespace std::chrono_literals;
using muster::task;
namespace io = muster::io;

constexpr std::size_t message_bytes = 64;
using message = std::array<std::byte, message_bytes>;

class io_system_calls : public testing::Test {
protected:
    void SetUp() override {
        if (!COUNTS_SYSTEM_CALLS)
            GTEST_SKIP() << "a sanitizer has put its own functions in the place of the C library's";
    }
};

/// A connection; its far end is used with the functions below.
struct connection {
    connection() {
        std::array<int, 2> ends{-1, -1};
        EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
        near_end = std::make_unique<io::stream>(io::stream::adopt(ends[0]));
        far_end = ends[1];
    }
    ~connection() { ::close(far_end); }
    connection(const connection&) = delete;
    connection& operator=(const connection&) = delete;

    void ask() const {
        const message text{};
        EXPECT_EQ(::syscall(SYS_write, far_end, text.data(), text.size()), std::ssize(text));
    }
    void hear() const {
        message text{};
        EXPECT_EQ(::syscall(SYS_read, far_end, text.data(), text.size()), std::ssize(text));
    }

    std::unique_ptr<io::stream> near_end;
    int far_end = -1;
};

task<> answer_once(io::stream& s) {
    std::array<std::byte, 4096> buffer;
    const std::size_t count = co_await s.read_some(buffer);
    EXPECT_EQ(count, message_bytes);
    co_await s.write(std::span(buffer).first(count));
}

task<> answer_within_a_limit(io::stream& s) { co_await muster::wait_for(answer_once(s), 10s); }

/// The stream waits before it is asked, so that its descriptor is polled from then on.
task<> answer_after_a_wait(connection& c, task<> (*answer)(io::stream&)) {
    auto server = muster::create_task(answer(*c.near_end));
    co_await muster::yield();
    co_await muster::yield();
    c.ask();
    co_await server;
    c.hear();
}

task<counts> echo_for_one(
    connection& c, int requests, task<> (*answer)(io::stream&), std::binary_semaphore& client_may_ask) {
    // Whether the first read waits depends on the moment at which the client asks; a later read always waits first.
    c.ask();
    co_await answer(*c.near_end);
    c.hear();
    co_await answer_after_a_wait(c, answer);
    const counts before = made;
    client_may_ask.release();
    for (int i = 0; i != requests; ++i)
        co_await answer(*c.near_end);
    co_return made - before;
}

TEST_F(io_system_calls, an_echo_costs_a_wait_a_read_and_a_write) {
    for (const auto answer : {&answer_once, &answer_within_a_limit}) {
        constexpr int requests = 100;
        connection c;
        std::binary_semaphore may_ask(0);
        std::thread client([&] {
            may_ask.acquire();
            for (int i = 0; i != requests; ++i) {
                c.ask();
                c.hear();
            }
        });
        const counts found = muster::run(echo_for_one(c, requests, answer, may_ask));
        client.join();
        EXPECT_EQ(found.waits, requests);
        EXPECT_EQ(found.reads, requests);
        EXPECT_EQ(found.writes, requests);
        EXPECT_EQ(found.changes, 0) << "a time limit that did not strike set the loop's alarm again";
    }
}

task<> echo_until(io::stream& s, std::size_t& answered, std::size_t n, muster::event& all, std::size_t rounds) {
    for (std::size_t i = 0; i != rounds; ++i) {
        co_await answer_once(s);
        if (++answered % n == 0)
            all.set();
    }
}

task<counts> echo_for_many(std::vector<std::unique_ptr<connection>>& many, std::size_t rounds) {
    std::size_t answered = 0;
    muster::event all;
    std::vector<muster::task_handle<void>> servers;
    for (auto& c : many)
        servers.push_back(muster::create_task(echo_until(*c->near_end, answered, many.size(), all, rounds)));
    // In the first round the answers are there before they are waited for; in the second all are added to what is
    // polled.
    counts before;
    for (std::size_t i = 0; i != rounds; ++i) {
        if (i == 2)
            before = made;
        for (auto& c : many)
            c->ask();
        co_await all.wait();
        all.clear();
        for (auto& c : many)
            c->hear();
    }
    const counts found = made - before;
    for (auto& server : servers)
        co_await server;
    co_return found;
}

TEST_F(io_system_calls, a_hundred_connections_that_are_ready_at_once_share_a_wait) {
    constexpr std::size_t connections = 100;
    constexpr std::size_t rounds = 12;
    std::vector<std::unique_ptr<connection>> many(connections);
    for (auto& c : many)
        c = std::make_unique<connection>();
    const counts found = muster::run(echo_for_many(many, rounds));
    EXPECT_EQ(found.reads, (rounds - 2) * connections);
    EXPECT_EQ(found.writes, (rounds - 2) * connections);
    EXPECT_EQ(found.changes, 0);
    EXPECT_LE(found.waits, (rounds - 2) * 5); // 2.05 calls a request
}

task<counts> post_to_a_busy_loop(int letters) {
    const auto handle = muster::loop_handle::current();
    counts found;
    int called = 0;
    // The step does not end before all letters are there, so the loop is awake all the time.
    std::thread poster([&] {
        for (int i = 0; i != letters; ++i)
            handle.post([&called] { ++called; });
        found = made;
    });
    poster.join();
    while (called != letters)
        co_await muster::yield();
    co_return found;
}

TEST_F(io_system_calls, a_loop_that_is_awake_is_not_woken_by_a_letter) {
    EXPECT_EQ(muster::run(post_to_a_busy_loop(1000)).all(), 0);
}

task<counts> sleep_often(int times) {
    co_await muster::sleep_for(1ms);
    const counts before = made;
    for (int i = 0; i != times; ++i)
        co_await muster::sleep_for(1ms);
    co_return made - before;
}

TEST_F(io_system_calls, a_sleep_costs_an_alarm_and_a_wait) {
    constexpr int times = 20;
    const counts found = muster::run(sleep_often(times));
    // On a loaded machine the time may be over before the loop has set its alarm.
    EXPECT_LE(found.changes, times);
    EXPECT_LE(found.waits, times);
    EXPECT_EQ(found.reads, 0);
    EXPECT_EQ(found.writes, 0);
}

} // namespace
