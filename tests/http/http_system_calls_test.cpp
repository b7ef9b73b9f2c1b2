// SPDX-License-Identifier: MIT
// How often a request changes what the kernel watches. The function that libuv calls for it is counted here, by one of
// this program in its place; each thread has a count of its own, so the server's calls do not count.
#include <muster/http.hpp>

#include <muster/outcome.hpp>
#include <muster/run.hpp>
#include <muster/task_handle.hpp>
#include <muster/testing/faulty_server.hpp>
#include <muster/timeout.hpp>

#include "support/short_supply.hpp"

#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <system_error>
#include <utility>

#include <gtest/gtest.h>

#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace http = muster::http;

namespace {
constinit thread_local int changes = 0;
} // namespace

#if MUSTER_TEST_CAN_REFUSE_THREADS // not where a sanitizer has a function of its own in this place
extern "C" int epoll_ctl(int epoll, int what, int fd, epoll_event* event) noexcept {
    ++changes;
    return static_cast<int>(::syscall(SYS_epoll_ctl, epoll, what, fd, event));
}
#endif

namespace {

muster::task<int> get_until_the_end(http::client& client, std::string url) {
    auto answer = co_await client.get(url);
    co_return answer.status;
}

TEST(http_system_calls, requests_on_a_kept_connection_do_not_change_what_the_kernel_watches) {
#if !MUSTER_TEST_CAN_REFUSE_THREADS
    GTEST_SKIP() << "a sanitizer has a function of its own in the place of epoll_ctl";
#endif
    const muster::testing::faulty_server server;
    muster::run([](std::string url, std::string never) -> muster::task<> {
        http::client client;
        // A request that is not answered keeps the client busy between the others.
        auto other = muster::create_task(get_until_the_end(client, never));
        auto first = co_await client.get(url);
        EXPECT_EQ(first.status, 200);
        const int before = changes;
        EXPECT_GT(before, 0); // the connections were added
        for (int i = 0; i != 20; ++i) {
            auto next = co_await client.get(url);
            EXPECT_EQ(next.status, 200);
        }
        // Those of the connection that the other request opens, and of the first that is kept.
        EXPECT_LE(changes - before, 6);
        other.cancel();
    }(server.url("/ok"), server.url("/never")));
    EXPECT_EQ(server.stats().connections, 2U);
}

/// A port that takes a few connections by itself and no more: who connects then, waits.
class full_port {
public:
    full_port() : listening_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        sockaddr_in here{};
        here.sin_family = AF_INET;
        here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof here;
        if (::bind(listening_, reinterpret_cast<const sockaddr*>(&here), size) != 0 || ::listen(listening_, 0) != 0 ||
            ::getsockname(listening_, reinterpret_cast<sockaddr*>(&here), &size) != 0)
            throw std::system_error(errno, std::generic_category(), "full_port");
        port_ = ntohs(here.sin_port);
        for (int& fd : waiting_) {
            fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
            static_cast<void>(::connect(fd, reinterpret_cast<const sockaddr*>(&here), sizeof here));
        }
    }
    ~full_port() {
        for (const int fd : waiting_)
            ::close(fd);
        ::close(listening_);
    }
    full_port(const full_port&) = delete;
    full_port& operator=(const full_port&) = delete;
    [[nodiscard]] std::string url() const { return "http://127.0.0.1:" + std::to_string(port_) + '/'; }

private:
    int listening_;
    std::uint16_t port_ = 0;
    std::array<int, 4> waiting_{};
};

TEST(http_system_calls, a_socket_whose_connection_was_given_up_while_it_was_made_is_polled_no_more) {
    using muster::testing::faulty_answer;
    const muster::testing::faulty_server server;
    const muster::testing::faulty_server closing({.script = [](const auto&) {
        return std::optional(faulty_answer(
            "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", faulty_answer::ending::close));
    }});
    const full_port full;
    muster::run([](std::string url, std::string never, std::string full_url) -> muster::task<> {
        http::client client;
        http::client another;
        auto other = muster::create_task(get_until_the_end(client, never));
        for (int i = 0; i != 10; ++i) {
            auto waiting = muster::wait_for(get_until_the_end(client, full_url), std::chrono::milliseconds(20));
            auto ended = co_await muster::as_outcome(muster::task<int>(std::move(waiting)));
            EXPECT_TRUE(ended.failed_with<muster::timeout_error>()) << muster::to_string(ended);
            // The number of its socket is that of the next one, which is another client's.
            auto answer = co_await another.get(url);
            EXPECT_EQ(answer.status, 200);
        }
        other.cancel();
    }(closing.url("/"), server.url("/never"), full.url()));
}

} // namespace
