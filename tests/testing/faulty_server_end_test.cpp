// SPDX-License-Identifier: MIT
// The errors of faulty_server, its end, its figures, and its scripts.
#include <muster/testing/faulty_server.hpp>

#include <muster/config.hpp>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include <pthread.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/raw_client.hpp"

namespace {

using namespace raw;

// ------------------------------------------------------------------------------------------------ errors and the end

TEST(faulty_server, says_that_its_port_is_in_use) {
    const faulty_server server;
    faulty_server_options options;
    options.port = server.port();
    try {
        const faulty_server second(options);
        FAIL() << "two servers on one port";
    } catch (const std::system_error& failure) {
        EXPECT_EQ(failure.code(), std::errc::address_in_use);
        EXPECT_NE(std::string(failure.what()).find("cannot bind to 127.0.0.1:" + std::to_string(server.port())),
            std::string::npos)
            << failure.what();
    }
}

TEST(faulty_server, refuses_options_out_of_range) {
    const auto rejected = [](const faulty_server_options& options, const std::string& name) {
        try {
            const faulty_server server(options);
        } catch (const std::system_error& failure) {
            return failure.code() == std::errc::invalid_argument &&
                   std::string(failure.what()).find(name) != std::string::npos;
        }
        return false;
    };
    faulty_server_options options;
    options.max_connections = 0;
    EXPECT_TRUE(rejected(options, "max_connections"));
    options = {};
    options.max_request_bytes = 0;
    EXPECT_TRUE(rejected(options, "max_request_bytes"));
    options = {};
    options.backlog = 0;
    EXPECT_TRUE(rejected(options, "backlog"));
}

/// Lowers the limit of descriptors for a scope.
class descriptor_limit {
public:
    explicit descriptor_limit(rlim_t count) {
        ::getrlimit(RLIMIT_NOFILE, &before_);
        auto lowered = before_;
        lowered.rlim_cur = count;
        ::setrlimit(RLIMIT_NOFILE, &lowered);
    }
    ~descriptor_limit() { ::setrlimit(RLIMIT_NOFILE, &before_); }
    descriptor_limit(const descriptor_limit&) = delete;
    descriptor_limit& operator=(const descriptor_limit&) = delete;

private:
    rlimit before_{};
};

TEST(faulty_server, reports_that_no_descriptor_is_left_and_leaks_none) {
    if (muster::detail::with_address_sanitizer)
        GTEST_SKIP() << "the sanitizer opens descriptors of its own to check addresses";
    const auto before = open_descriptors();
    for (rlim_t spare = 0; spare != 3; ++spare) {
        const int lowest = ::dup(STDIN_FILENO);
        ::close(lowest);
        const descriptor_limit limit(static_cast<rlim_t>(lowest) + spare);
        EXPECT_THROW(faulty_server{}, std::system_error) << spare;
    }
    EXPECT_EQ(open_descriptors(), before);
}

TEST(faulty_server, waits_for_a_descriptor_and_then_serves_who_waited) {
    const faulty_server server;
    raw_client busy(server);
    EXPECT_EQ(get(busy, "/ok").status, 200);
    const int descriptor = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int lowest = ::dup(descriptor);
    ::close(lowest);
    ::close(descriptor);
    std::unique_ptr<raw_client> waiting;
    {
        // One descriptor is left, and the client's own end takes it.
        const descriptor_limit limit(static_cast<rlim_t>(lowest));
        waiting = std::make_unique<raw_client>(server);
        EXPECT_EQ(waiting->connect_error(), 0);
        waiting->get("/ok");
        EXPECT_FALSE(waiting->readable(30ms));
        EXPECT_EQ(get(busy, "/ok").status, 200); // the others go on
        EXPECT_EQ(server.stats().connections, 1U);
    }
    EXPECT_EQ(read_response(*waiting).status, 200);
}

TEST(faulty_server, ends_at_once_with_hundreds_of_connections_in_every_state_and_leaks_nothing) {
    const auto descriptors = open_descriptors();
    EXPECT_TRUE(has_server_threads(0));
    {
        faulty_server server;
        std::vector<raw_client> clients;
        constexpr const char* paths[] = {
            "/never", "/slow/60000", "/drip/10/1000000", "/endless-headers", "/ok", "/bytes/100000000"};
        for (int i = 0; i != 300; ++i)
            clients.emplace_back(server).get(paths[i % 6]);
        raw_client(server).send("GET /half");
        EXPECT_TRUE(sees_requests(server, 300));
        EXPECT_TRUE(has_server_threads(1));
        const auto before = clock_type::now();
        server.stop();
        EXPECT_LT(clock_type::now() - before, 1s);
        EXPECT_TRUE(has_server_threads(0));
        EXPECT_EQ(server.stats().open_connections, 0U);
        EXPECT_GE(server.stats().peak_connections, 300U);
        EXPECT_EQ(open_descriptors(), descriptors + 300 + 2); // of the server, epoll's and the event's are left
        raw_client late(server);
        EXPECT_EQ(late.connect_error(), ECONNREFUSED);
        for (auto& client : clients)
            EXPECT_NE(client.until_end().error, ETIMEDOUT);
        server.stop();
    }
    EXPECT_EQ(open_descriptors(), descriptors);
}

TEST(faulty_server, stops_once_when_stopped_by_many) {
    faulty_server server;
    std::vector<std::thread> stoppers;
    for (int i = 0; i != 4; ++i)
        stoppers.emplace_back([&] { server.stop(); });
    for (auto& stopper : stoppers)
        stopper.join();
    raw_client late(server);
    EXPECT_EQ(late.connect_error(), ECONNREFUSED);
}

TEST(faulty_server, leaves_no_descriptor_behind_after_any_fault) {
    const faulty_server server;
    const auto descriptors = open_descriptors();
    for (const auto* path :
        {"/reset", "/reset-after-headers", "/truncated/10", "/garbage", "/close-early", "/bad-chunk"})
        EXPECT_NE(fault(server, path).error, ETIMEDOUT) << path;
    EXPECT_TRUE(sees_open_connections(server, 0));
    EXPECT_EQ(open_descriptors(), descriptors);
}

std::atomic<int> broken_pipes{0};

TEST(faulty_server, never_raises_a_broken_pipe_signal) {
    broken_pipes = 0;
    struct sigaction counting {};
    struct sigaction before {};
    counting.sa_handler = [](int) { ++broken_pipes; };
    ASSERT_EQ(::sigaction(SIGPIPE, &counting, &before), 0);
    {
        const faulty_server server;
        for (int i = 0; i != 20; ++i) {
            raw_client client(server);
            client.get(i % 2 == 0 ? "/bytes/100000000" : "/endless-headers");
            client.exactly(1000);
        }
        EXPECT_TRUE(sees_open_connections(server, 0));
    }
    EXPECT_EQ(broken_pipes, 0);
    ::sigaction(SIGPIPE, &before, nullptr);
}

TEST(faulty_server, leaves_signals_to_the_threads_of_the_program) {
    ASSERT_TRUE(has_server_threads(0));
    sigset_t before;
    sigset_t after;
    ::pthread_sigmask(SIG_SETMASK, nullptr, &before);
    const faulty_server server;
    ::pthread_sigmask(SIG_SETMASK, nullptr, &after);
    for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGPIPE, SIGCHLD, SIGUSR1})
        EXPECT_EQ(::sigismember(&before, signal), ::sigismember(&after, signal)) << signal;
    ASSERT_TRUE(has_server_threads(1));
    const auto blocked = server_threads().front();
    for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGPIPE, SIGCHLD, SIGUSR1})
        EXPECT_NE(blocked & (std::uint64_t{1} << (signal - 1)), 0U) << signal;
}

// ------------------------------------------------------------------------------------------------ the figures

TEST(faulty_server, counts_what_it_saw) {
    const faulty_server server;
    {
        raw_client first(server);
        raw_client second(server);
        (void)get(first, "/ok");
        (void)get(first, "/bytes/1");
        (void)get(first, "/bytes/2");
        (void)get(second, "/nothing");
        EXPECT_EQ(server.stats().open_connections, 2U);
    }
    EXPECT_EQ(fault(server, "/reset").error, ECONNRESET);
    EXPECT_TRUE(sees_open_connections(server, 0));
    const auto seen = server.stats();
    EXPECT_EQ(seen.connections, 3U);
    EXPECT_EQ(seen.requests, 5U);
    EXPECT_EQ(seen.bad_requests, 0U);
    EXPECT_EQ(seen.refused, 0U);
    EXPECT_EQ(seen.peak_connections, 2U);
    const std::map<std::string, std::uint64_t, std::less<>> routes{
        {"/ok", 1}, {"/bytes", 2}, {"/reset", 1}, {"unknown", 1}};
    EXPECT_EQ(seen.by_route, routes);
}

TEST(faulty_server, serves_many_clients_at_once_while_its_figures_are_read) {
    const faulty_server server;
    std::atomic<bool> done{false};
    std::atomic<int> good{0};
    std::thread reader([&] {
        while (!done) {
            const auto seen = server.stats();
            EXPECT_GE(seen.peak_connections, seen.open_connections);
        }
    });
    std::vector<std::thread> clients;
    for (int i = 0; i != 8; ++i)
        clients.emplace_back([&, i] {
            raw_client kept(server);
            for (int j = 0; j != 25; ++j) {
                good += get(kept, "/chunked/5000").body.size() == 5000;
                good += get(server, "/flaky/" + std::to_string(i * 100 + j) + "/1").status == 503;
                good += fault(server, "/reset").error == ECONNRESET;
            }
        });
    for (auto& client : clients)
        client.join();
    done = true;
    reader.join();
    EXPECT_EQ(good, 8 * 25 * 3);
    EXPECT_EQ(server.stats().requests, 8U * 25U * 3U);
    EXPECT_EQ(server.stats().connections, 8U + 8U * 25U * 2U);
}

// ---- scripts ----

TEST(faulty_server_scripts, an_answer_goes_out_in_its_pieces_and_ends_as_it_says) {
    using muster::testing::faulty_answer;
    using muster::testing::faulty_request;
    std::vector<faulty_request> seen;
    faulty_server server({.script = [&](const faulty_request& asked) -> std::optional<faulty_answer> {
        seen.push_back(asked);
        if (asked.has(" /split "))
            return faulty_answer("one ").then(20ms, "two ").then(0ms, "three\n");
        if (asked.has(" /close "))
            return faulty_answer("half", faulty_answer::ending::close);
        if (asked.has(" /reset "))
            return faulty_answer("half", faulty_answer::ending::reset).then(5ms, "");
        return std::nullopt;
    }});
    raw_client kept(server);
    kept.get("/split", "X-A: b\r\n");
    std::string bytes;
    while (bytes.find('\n') == std::string::npos && kept.read_once(bytes, 100) > 0) {}
    EXPECT_EQ(bytes, "one two three\n");
    kept.send("POST /ok HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nhello");
    bytes.clear();
    while (!bytes.ends_with("ok\n") && kept.read_once(bytes, 1000) > 0) {}
    EXPECT_TRUE(bytes.starts_with("HTTP/1.1 200 OK\r\n")) << bytes;
    kept.get("/close");
    const auto closed = kept.until_end();
    EXPECT_EQ(closed.bytes, "half");
    EXPECT_EQ(closed.error, 0);
    raw_client other(server);
    other.get("/reset");
    const auto reset = other.until_end();
    EXPECT_EQ(reset.bytes, "half");
    EXPECT_EQ(reset.error, ECONNRESET);
    server.stop();
    ASSERT_EQ(seen.size(), 4u);
    EXPECT_EQ(seen[0].head, "GET /split HTTP/1.1\r\nHost: test\r\nX-A: b\r\n\r\n");
    EXPECT_EQ(seen[1].body, "hello");
    EXPECT_EQ(seen[3].number, 3u);
    EXPECT_EQ(server.stats().by_route.at("scripted"), 3u);
}

TEST(faulty_server_scripts, what_nobody_asked_for_goes_out_on_the_connections_that_wait_for_a_request) {
    faulty_server server;
    EXPECT_EQ(server.send_unasked("nobody is there"), 0u);
    raw_client idle(server);
    raw_client busy(server);
    std::string bytes;
    idle.get("/ok");
    while (!bytes.ends_with("ok\n") && idle.read_once(bytes, 1000) > 0) {}
    busy.get("/never");
    while (server.stats().requests != 2)
        std::this_thread::sleep_for(1ms);
    EXPECT_EQ(server.send_unasked("late"), 1u);
    bytes.clear();
    while (bytes.size() < 4 && idle.read_once(bytes, 1000) > 0) {}
    EXPECT_EQ(bytes, "late");
    idle.get("/close-early"); // the connection serves as before
    EXPECT_EQ(idle.until_end().bytes, "");
    server.stop();
    EXPECT_EQ(server.send_unasked("too late"), 0u);
}

TEST(faulty_server_scripts, a_script_that_would_wait_for_its_own_server_gets_an_error) {
    faulty_server* itself = nullptr;
    std::atomic<int> error{0};
    faulty_server server({.script = [&](const auto&) -> std::optional<muster::testing::faulty_answer> {
        try {
            itself->send_unasked("x");
        } catch (const std::system_error& e) {
            error = e.code().value();
        }
        return std::nullopt;
    }});
    itself = &server;
    raw_client client(server);
    client.get("/close-early");
    client.until_end();
    EXPECT_EQ(error, EDEADLK);
}

} // namespace
