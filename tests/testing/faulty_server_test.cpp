// SPDX-License-Identifier: MIT
#include <muster/testing/faulty_server.hpp>

#include <muster/config.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/own_resources.hpp"

namespace {

using muster::testing::faulty_server;
using muster::testing::faulty_server_options;
using muster::testing::on_accept;
using clock_type = std::chrono::steady_clock;
using namespace std::chrono_literals;
using namespace std::string_literals;

/// The bytes that were read until the stream ended: error is 0 for a clean end, ETIMEDOUT where nothing came any more.
struct received {
    std::string bytes;
    int error = 0;
};

/// A blocking socket that tells exactly what it met. It sends without SIGPIPE and never waits longer than five seconds.
class raw_client {
public:
    explicit raw_client(const faulty_server& server) : raw_client(server.port(), AF_INET) {}

    raw_client(std::uint16_t port, int family) : fd_(::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        if (fd_ < 0)
            throw std::system_error(errno, std::generic_category(), "socket");
        connect_error_ = connect_to(port, family) == 0 ? 0 : errno;
    }
    raw_client(raw_client&& other) noexcept : fd_(std::exchange(other.fd_, -1)), connect_error_(other.connect_error_) {}
    raw_client& operator=(raw_client&&) = delete;
    ~raw_client() { close(); }

    [[nodiscard]] int connect_error() const { return connect_error_; }

    void close() {
        if (fd_ >= 0)
            ::close(std::exchange(fd_, -1));
    }
    void end_writing() { ::shutdown(fd_, SHUT_WR); }

    /// Returns false where the server would take no more. The error is told once: a later read may see a clean end.
    bool send(std::string_view bytes) {
        while (!bytes.empty()) {
            const auto sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
            if (sent < 0)
                return false;
            bytes.remove_prefix(static_cast<std::size_t>(sent));
        }
        return true;
    }
    void get(std::string_view path, std::string_view fields = {}) {
        send("GET "s.append(path).append(" HTTP/1.1\r\nHost: test\r\n").append(fields).append("\r\n"));
    }

    /// True where something can be read (an end or an error too) within the time.
    [[nodiscard]] bool readable(std::chrono::milliseconds patience) const {
        pollfd entry{fd_, POLLIN, 0};
        return ::poll(&entry, 1, static_cast<int>(patience.count())) == 1;
    }

    /// Reads once: 0 at the end, -1 with errno at an error.
    ssize_t read_once(std::string& into, std::size_t most) {
        if (!readable(5s)) {
            errno = ETIMEDOUT;
            return -1;
        }
        std::array<char, 65536> buffer;
        const auto got = ::recv(fd_, buffer.data(), std::min(most, buffer.size()), 0);
        if (got > 0)
            into.append(buffer.data(), static_cast<std::size_t>(got));
        return got;
    }

    received until_end() {
        received all;
        all.error = connect_error_; // a reset right after the accept may be met by connect already
        while (all.error == 0) {
            const auto got = read_once(all.bytes, 65536);
            if (got == 0)
                return all;
            if (got < 0)
                all.error = errno;
        }
        return all;
    }

    std::string exactly(std::size_t count) {
        std::string bytes;
        while (bytes.size() < count)
            if (read_once(bytes, count - bytes.size()) <= 0)
                throw std::runtime_error("the stream ended after: " + bytes);
        return bytes;
    }

    /// Reads up to and with the text.
    std::string through(std::string_view text) {
        std::string bytes;
        while (!bytes.ends_with(text))
            if (read_once(bytes, 1) <= 0)
                throw std::runtime_error("the stream ended after: " + bytes);
        return bytes;
    }

private:
    [[nodiscard]] int connect_to(std::uint16_t port, int family) const {
        if (family == AF_INET6) {
            sockaddr_in6 address{};
            address.sin6_family = AF_INET6;
            address.sin6_addr = in6addr_loopback;
            address.sin6_port = htons(port);
            return ::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address);
        }
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        address.sin_port = htons(port);
        return ::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address);
    }

    int fd_;
    int connect_error_ = 0;
};

struct response {
    int status = 0;
    std::string head;
    std::string body;

    [[nodiscard]] std::string field(std::string_view name) const {
        const auto at = head.find("\r\n"s.append(name).append(": "));
        if (at == std::string::npos)
            return "(none)";
        const auto from = at + name.size() + 4;
        return head.substr(from, head.find("\r\n", from) - from);
    }
};

/// Reads an answer whose body is framed well.
response read_response(raw_client& client, bool to_head = false) {
    response answer;
    answer.head = client.through("\r\n\r\n");
    answer.status = std::stoi(answer.head.substr(9, 3));
    if (to_head)
        return answer;
    if (answer.field("Transfer-Encoding") == "chunked") {
        for (;;) {
            const auto size = std::stoul(client.through("\r\n"), nullptr, 16);
            answer.body += client.exactly(size);
            EXPECT_EQ(client.exactly(2), "\r\n");
            if (size == 0)
                return answer;
        }
    }
    if (const auto length = answer.field("Content-Length"); length != "(none)")
        answer.body = client.exactly(std::stoul(length));
    return answer;
}

response get(raw_client& client, std::string_view path) {
    client.get(path);
    return read_response(client);
}

response get(const faulty_server& server, std::string_view path) {
    raw_client client(server);
    return get(client, path);
}

received fault(const faulty_server& server, std::string_view path) {
    raw_client client(server);
    client.get(path);
    return client.until_end();
}

std::string alphabet(std::size_t count) {
    std::string letters;
    for (std::size_t i = 0; i != count; ++i)
        letters.push_back(static_cast<char>('a' + static_cast<int>(i % 26)));
    return letters;
}

template <class Condition>
bool comes_true(Condition condition) {
    const auto until = clock_type::now() + 5s;
    while (!condition()) {
        if (clock_type::now() > until)
            return false;
        std::this_thread::sleep_for(200us);
    }
    return true;
}

/// The server learns of a close a moment after the client did it, and of a request a moment after it was sent.
bool sees_open_connections(const faulty_server& server, std::size_t count) {
    return comes_true([&] { return server.stats().open_connections == count; });
}
bool sees_requests(const faulty_server& server, std::uint64_t count) {
    return comes_true([&] { return server.stats().requests == count; });
}

using own_resources::open_descriptors;

/// The masks of blocked signals of the servers' threads there are.
std::vector<std::uint64_t> server_threads() {
    std::vector<std::uint64_t> masks;
    std::error_code ended; // of a thread that goes while it is looked at
    for (const auto& task : std::filesystem::directory_iterator("/proc/self/task", ended)) {
        std::string name;
        std::ifstream(task.path() / "comm") >> name;
        if (name != "faulty_server")
            continue;
        std::ifstream status(task.path() / "status");
        for (std::string line; std::getline(status, line);)
            if (line.starts_with("SigBlk:"))
                masks.push_back(std::stoull(line.substr(7), nullptr, 16));
    }
    return masks;
}
/// A thread names itself once it runs, and the system takes a moment to forget one that was joined.
bool has_server_threads(std::size_t count) {
    return comes_true([&] { return server_threads().size() == count; });
}

// ------------------------------------------------------------------------------------------------ good answers

TEST(faulty_server, answers_ok_with_a_small_body) {
    const faulty_server server;
    const auto answer = get(server, "/ok");
    EXPECT_EQ(answer.status, 200);
    EXPECT_EQ(answer.body, "ok\n");
    EXPECT_TRUE(answer.head.starts_with("HTTP/1.1 200 OK\r\n"));
    EXPECT_EQ(get(server, "/ok?a=1&b=/2").status, 200);
}

TEST(faulty_server, makes_urls_of_its_own_address) {
    const faulty_server server;
    const auto address = "http://127.0.0.1:" + std::to_string(server.port());
    EXPECT_EQ(server.url("/ok"), address + "/ok");
    EXPECT_EQ(server.url("ok"), address + "/ok");
    EXPECT_EQ(server.url(""), address + "/");
}

TEST(faulty_server, sends_as_many_bytes_as_asked_for) {
    const faulty_server server;
    for (const std::size_t count : {0U, 1U, 26U, 16380U, 16381U, 1'000'000U}) {
        const auto answer = get(server, "/bytes/" + std::to_string(count));
        EXPECT_EQ(answer.field("Content-Length"), std::to_string(count));
        EXPECT_TRUE(answer.body == alphabet(count)) << count;
    }
}

TEST(faulty_server, sends_the_same_bytes_in_chunks) {
    const faulty_server server;
    for (const std::size_t count : {0U, 1U, 16380U, 16381U, 100'000U}) {
        const auto answer = get(server, "/chunked/" + std::to_string(count));
        EXPECT_EQ(answer.field("Transfer-Encoding"), "chunked");
        EXPECT_EQ(answer.field("Content-Length"), "(none)");
        EXPECT_TRUE(answer.body == alphabet(count)) << count;
    }
}

TEST(faulty_server, ends_an_unframed_body_by_a_close_for_http_1_0) {
    const faulty_server server;
    raw_client client(server);
    client.send("GET /chunked/30 HTTP/1.0\r\n\r\n");
    const auto all = client.until_end();
    EXPECT_EQ(all.error, 0);
    EXPECT_EQ(all.bytes.find("Transfer-Encoding"), std::string::npos);
    EXPECT_TRUE(all.bytes.ends_with("\r\n\r\n" + alphabet(30)));
}

TEST(faulty_server, answers_with_the_status_of_the_path) {
    const faulty_server server;
    raw_client client(server);
    for (const int status : {200, 204, 301, 304, 404, 418, 429, 500, 503, 599}) {
        const auto answer = get(client, "/status/" + std::to_string(status));
        EXPECT_EQ(answer.status, status);
        EXPECT_EQ(answer.body.empty(), status == 204 || status == 304);
    }
    EXPECT_EQ(server.stats().connections, 1U);
}

TEST(faulty_server, has_no_answer_for_unknown_paths) {
    const faulty_server server;
    for (const auto* path : {"/", "/nothing", "/ok/", "/ok/1", "/bytes", "/bytes/1/2", "//ok", "*", "ok"})
        EXPECT_EQ(get(server, path).status, 404) << path;
    EXPECT_EQ(server.stats().by_route.at("unknown"), 9U);
}

TEST(faulty_server, refuses_numbers_that_are_none) {
    const faulty_server server;
    raw_client client(server);
    for (const auto* path :
        {"/bytes/", "/bytes/x", "/bytes/-1", "/bytes/1x", "/bytes/99999999999999999999", "/slow/3600001", "/drip/x/1",
            "/drip/1/x", "/status/199", "/status/600", "/flaky/key/x", "/redirect/x", "/truncated/0", "/gzip-bomb/0"})
        EXPECT_EQ(get(client, path).status, 400) << path;
    EXPECT_EQ(server.stats().connections, 1U);
}

TEST(faulty_server, fails_a_flaky_key_as_often_as_asked_and_keys_apart) {
    const faulty_server server;
    raw_client client(server);
    const auto refused = get(client, "/flaky/a/2");
    EXPECT_EQ(refused.status, 503);
    EXPECT_EQ(refused.field("Retry-After"), "0");
    EXPECT_EQ(get(client, "/flaky/b/1").status, 503);
    EXPECT_EQ(get(client, "/flaky/a/2").status, 503);
    EXPECT_EQ(get(client, "/flaky/a/2").status, 200);
    EXPECT_EQ(get(client, "/flaky/a/2").status, 200);
    EXPECT_EQ(get(client, "/flaky/b/1").status, 200);
    EXPECT_EQ(get(client, "/flaky/c/0").status, 200);
}

TEST(faulty_server, redirects_as_often_as_asked) {
    const faulty_server server;
    raw_client client(server);
    std::string path = "/redirect/3";
    int redirects = 0;
    auto answer = get(client, path);
    for (; answer.status == 302; answer = get(client, path)) {
        path = answer.field("Location");
        ++redirects;
    }
    EXPECT_EQ(redirects, 3);
    EXPECT_EQ(path, "/redirect/0");
    EXPECT_EQ(answer.status, 200);
}

TEST(faulty_server, redirects_to_itself_for_ever) {
    const faulty_server server;
    const auto answer = get(server, "/redirect-loop");
    EXPECT_EQ(answer.status, 302);
    EXPECT_EQ(answer.field("Location"), "/redirect-loop");
}

TEST(faulty_server, echoes_the_request_as_it_read_it) {
    const faulty_server server;
    raw_client client(server);
    client.send("PUT /echo?x=1 HTTP/1.1\r\nHost: test\r\nX-One:   1  \r\nContent-Length: 5\r\n\r\nhello");
    EXPECT_EQ(read_response(client).body,
        "PUT /echo?x=1 HTTP/1.1\r\nHost: test\r\nX-One: 1\r\nContent-Length: 5\r\n\r\nhello");
}

TEST(faulty_server, echoes_a_chunked_body_that_arrives_byte_by_byte) {
    const faulty_server server;
    raw_client client(server);
    const auto request =
        "POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n"s;
    for (const char byte : request)
        client.send(std::string(1, byte));
    EXPECT_EQ(read_response(client).body, "POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nabc0123456789");
    EXPECT_EQ(get(client, "/ok").status, 200);
}

TEST(faulty_server, tells_a_client_that_asks_first_to_go_on) {
    const faulty_server server;
    raw_client client(server);
    client.send("POST /echo HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    EXPECT_EQ(client.through("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
    client.send("hi");
    const auto answer = read_response(client);
    EXPECT_EQ(answer.status, 200);
    EXPECT_TRUE(answer.body.ends_with("\r\n\r\nhi"));
}

TEST(faulty_server, returns_the_fields_of_the_request) {
    const faulty_server server;
    raw_client client(server);
    client.get("/headers", "Accept: */*\r\n");
    EXPECT_EQ(read_response(client).body, "Host: test\r\nAccept: */*\r\n");
}

// ------------------------------------------------------------------------------------------------ the protocol

TEST(faulty_server, keeps_a_connection_for_many_requests) {
    const faulty_server server;
    raw_client client(server);
    for (int i = 0; i != 50; ++i)
        EXPECT_EQ(get(client, "/ok").body, "ok\n");
    EXPECT_EQ(server.stats().connections, 1U);
    EXPECT_EQ(server.stats().requests, 50U);
}

TEST(faulty_server, answers_pipelined_requests_in_their_order) {
    const faulty_server server;
    raw_client client(server);
    std::string all;
    for (int i = 0; i != 100; ++i)
        all += "GET /bytes/" + std::to_string(i * 100) + " HTTP/1.1\r\n\r\nGET /slow/0 HTTP/1.1\r\n\r\n";
    client.send(all);
    for (std::size_t i = 0; i != 100; ++i) {
        EXPECT_EQ(read_response(client).body.size(), i * 100);
        EXPECT_EQ(read_response(client).body, "ok\n");
    }
}

TEST(faulty_server, lets_a_slow_answer_hold_back_the_pipelined_ones_behind_it) {
    const faulty_server server;
    raw_client client(server);
    client.send("GET /slow/30 HTTP/1.1\r\n\r\nGET /status/418 HTTP/1.1\r\n\r\n");
    EXPECT_EQ(read_response(client).status, 200);
    EXPECT_EQ(read_response(client).status, 418);
}

TEST(faulty_server, sends_to_head_what_get_would_have_without_the_body) {
    const faulty_server server;
    raw_client client(server);
    for (const auto* path :
        {"/ok", "/bytes/1000", "/chunked/1000", "/drip/1000/10", "/status/404", "/gzip-bomb/1", "/slow/1"}) {
        client.send("HEAD "s + path + " HTTP/1.1\r\n\r\n");
        const auto answer = read_response(client, true);
        EXPECT_EQ(answer.status, path == "/status/404"s ? 404 : 200) << path;
        EXPECT_NE(answer.field("Content-Length"), "0") << path;
    }
    EXPECT_EQ(get(client, "/ok").body, "ok\n"); // no body was left in between
    EXPECT_EQ(server.stats().connections, 1U);
}

TEST(faulty_server, closes_where_the_client_asks_for_it) {
    const faulty_server server;
    raw_client client(server);
    client.get("/ok", "Connection: close\r\n");
    const auto all = client.until_end();
    EXPECT_EQ(all.error, 0);
    EXPECT_NE(all.bytes.find("Connection: close\r\n"), std::string::npos);
    EXPECT_TRUE(all.bytes.ends_with("\r\n\r\nok\n"));
}

TEST(faulty_server, keeps_an_http_1_0_connection_only_if_asked) {
    const faulty_server server;
    raw_client client(server);
    client.send("GET /ok HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    EXPECT_EQ(read_response(client).field("Connection"), "keep-alive");
    client.send("GET /ok HTTP/1.0\r\n\r\n");
    EXPECT_TRUE(client.until_end().bytes.ends_with("ok\n"));
}

TEST(faulty_server, answers_a_client_that_has_ended_its_side) {
    const faulty_server server;
    raw_client client(server);
    client.send("GET /bytes/100000 HTTP/1.1\r\n\r\nGET /ok HTTP/1.1\r\n\r\nGET /o");
    client.end_writing();
    const auto all = client.until_end();
    EXPECT_EQ(all.error, 0);
    EXPECT_TRUE(all.bytes.ends_with("\r\n\r\nok\n"));
    EXPECT_EQ(server.stats().requests, 2U);
}

TEST(faulty_server, refuses_what_is_not_http_and_closes) {
    const faulty_server server;
    const std::pair<const char*, int> cases[] = {{"hello\r\n\r\n", 400}, {"GET  HTTP/1.1\r\n\r\n", 400},
        {"GET /ok HTTP/2.0\r\n\r\n", 505}, {"GET /ok SPDY\r\n\r\n", 400}, {"GET /ok HTTP/1.1\r\nno colon\r\n\r\n", 400},
        {"GET /ok HTTP/1.1\r\nContent-Length: x\r\n\r\n", 400},
        {"GET /ok HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400},
        {"GET /ok HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
        {"GET /ok HTTP/1.1\r\nTransfer-Encoding: br\r\n\r\n", 501},
        {"POST /ok HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400},
        {"POST /ok HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n", 400}};
    for (const auto& [text, status] : cases) {
        raw_client client(server);
        client.send(text);
        const auto all = client.until_end();
        EXPECT_EQ(all.error, 0) << text;
        EXPECT_TRUE(all.bytes.starts_with("HTTP/1.1 " + std::to_string(status))) << text << all.bytes;
    }
    EXPECT_EQ(server.stats().bad_requests, std::size(cases));
    EXPECT_EQ(server.stats().requests, 0U);
}

TEST(faulty_server, refuses_requests_beyond_its_limit_and_takes_those_at_it) {
    faulty_server_options options;
    options.max_request_bytes = 2000;
    const faulty_server server(options);
    const auto status_of = [&](const std::string& request) {
        raw_client client(server);
        client.send(request);
        return read_response(client).status;
    };
    const auto with_body = [](std::size_t all) {
        const auto head = "POST /echo HTTP/1.1\r\nContent-Length: 1900\r\n\r\n"s;
        return head + std::string(all - head.size(), 'x');
    };
    EXPECT_EQ(status_of("GET /ok HTTP/1.1\r\nX: " + std::string(1972, 'x') + "\r\n\r\n"), 200);
    EXPECT_EQ(status_of("GET /ok HTTP/1.1\r\nX: " + std::string(1980, 'x') + "\r\n\r\n"), 431);
    EXPECT_EQ(status_of("GET /ok HTTP/1.1\r\nX: " + std::string(5000, 'x')), 431);
    EXPECT_EQ(status_of(with_body(1945)), 200);
    EXPECT_EQ(status_of("POST /echo HTTP/1.1\r\nContent-Length: 1999\r\n\r\n"), 413);
    const auto chunked = "POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"s;
    EXPECT_EQ(status_of(chunked + "7c9\r\n" + std::string(1993, 'x') + "\r\n0\r\n\r\n"), 200);
    EXPECT_EQ(status_of(chunked + "7ca\r\n"), 413);
    EXPECT_EQ(status_of(chunked + "400\r\n" + std::string(1024, 'x') + "\r\n400\r\n"), 413);
    EXPECT_EQ(status_of(chunked + std::string(1500, '0')), 400);
}

TEST(faulty_server, reads_on_where_a_request_fills_the_limit_without_an_end) {
    faulty_server_options options;
    options.max_request_bytes = 2000;
    const faulty_server server(options);
    raw_client client(server);
    client.send("GET /ok HTTP/1.1\r\nX: " + std::string(1979, 'x'));
    EXPECT_FALSE(client.readable(20ms));
    client.send("x");
    EXPECT_EQ(read_response(client).status, 431);
}

// ------------------------------------------------------------------------------------------------ slowness

TEST(faulty_server, answers_no_sooner_than_the_delay) {
    const faulty_server server;
    const auto before = clock_type::now();
    EXPECT_EQ(get(server, "/slow/40").body, "ok\n");
    EXPECT_GE(clock_type::now() - before, 40ms);
}

TEST(faulty_server, serves_others_while_an_answer_waits) {
    const faulty_server server;
    raw_client slow(server);
    slow.get("/slow/60000");
    EXPECT_EQ(get(server, "/ok").status, 200);
    EXPECT_FALSE(slow.readable(0ms));
}

TEST(faulty_server, drips_one_byte_at_a_time) {
    const faulty_server server;
    raw_client client(server);
    const auto before = clock_type::now();
    client.get("/drip/10/4");
    const auto head = client.through("\r\n\r\n");
    EXPECT_NE(head.find("Content-Length: 4\r\n"), std::string::npos);
    for (int i = 1; i <= 4; ++i) {
        std::string bytes;
        EXPECT_EQ(client.read_once(bytes, 1), 1);
        EXPECT_EQ(bytes, alphabet(4).substr(static_cast<std::size_t>(i - 1), 1));
        EXPECT_GE(clock_type::now() - before, i * 10ms);
    }
    EXPECT_EQ(get(client, "/drip/0/100").body, alphabet(100));
    EXPECT_EQ(get(client, "/drip/1000/0").body, "");
}

TEST(faulty_server, drops_a_client_that_leaves_while_its_answer_waits) {
    const faulty_server server;
    std::uint64_t asked = 0;
    for (const auto* path : {"/slow/60000", "/drip/60000/2", "/never"}) {
        raw_client client(server);
        client.get(path);
        EXPECT_TRUE(sees_requests(server, ++asked));
        EXPECT_EQ(server.stats().open_connections, 1U);
        client.close();
        EXPECT_TRUE(sees_open_connections(server, 0)) << path;
    }
}

TEST(faulty_server, never_answers_and_reads_on) {
    const faulty_server server;
    raw_client client(server);
    client.get("/never");
    EXPECT_TRUE(client.send(std::string(4'000'000, 'x'))); // would block if it were not read
    EXPECT_FALSE(client.readable(30ms));
    EXPECT_EQ(server.stats().by_route.at("/never"), 1U);
}

// ------------------------------------------------------------------------------------------------ broken answers

TEST(faulty_server, resets_without_a_byte) {
    const faulty_server server;
    const auto all = fault(server, "/reset");
    EXPECT_EQ(all.error, ECONNRESET);
    EXPECT_EQ(all.bytes, "");
}

TEST(faulty_server, resets_after_the_headers) {
    const faulty_server server;
    for (int i = 0; i != 20; ++i) {
        const auto all = fault(server, "/reset-after-headers");
        EXPECT_EQ(all.error, ECONNRESET);
        EXPECT_NE(all.bytes.find("Content-Length: 1000\r\n"), std::string::npos);
        EXPECT_TRUE(all.bytes.ends_with("\r\n\r\na"));
    }
}

TEST(faulty_server, closes_early_without_a_byte) {
    const faulty_server server;
    const auto all = fault(server, "/close-early");
    EXPECT_EQ(all.error, 0);
    EXPECT_EQ(all.bytes, "");
}

TEST(faulty_server, truncates_a_body_by_a_clean_close) {
    const faulty_server server;
    for (const std::size_t count : {1U, 7U, 1'000'000U}) {
        const auto all = fault(server, "/truncated/" + std::to_string(count));
        EXPECT_EQ(all.error, 0);
        EXPECT_NE(all.bytes.find("\r\nContent-Length: " + std::to_string(count) + "\r\n"), std::string::npos);
        EXPECT_EQ(all.bytes.find("Connection: close"), std::string::npos);
        EXPECT_TRUE(all.bytes.ends_with("\r\n\r\n" + alphabet(count / 2)));
    }
}

TEST(faulty_server, closes_cleanly_although_the_client_still_writes) {
    const faulty_server server;
    raw_client client(server);
    // More than the server reads ahead: at a plain close some of it would be unread, and the close a reset.
    EXPECT_TRUE(client.send("GET /truncated/100000 HTTP/1.1\r\n\r\n" + std::string(4'000'000, 'x')));
    const auto all = client.until_end();
    EXPECT_EQ(all.error, 0);
    EXPECT_TRUE(all.bytes.ends_with(alphabet(50'000)));
}

TEST(faulty_server, sends_garbage) {
    const faulty_server server;
    const auto all = fault(server, "/garbage");
    EXPECT_EQ(all.error, 0);
    EXPECT_GT(all.bytes.size(), 10U);
    EXPECT_EQ(all.bytes.find("HTTP/"), std::string::npos);
    EXPECT_TRUE(all.bytes.ends_with("\0\xff\xfe\r\n"s));
}

TEST(faulty_server, sends_headers_without_an_end) {
    const faulty_server server;
    raw_client client(server);
    client.get("/endless-headers");
    const auto bytes = client.exactly(3'000'000);
    EXPECT_TRUE(bytes.starts_with("HTTP/1.1 200 OK\r\nX-Endless: x"));
    EXPECT_EQ(bytes.find("\r\n\r\n"), std::string::npos);
    client.close();
    EXPECT_TRUE(sees_open_connections(server, 0));
}

TEST(faulty_server, sends_a_chunk_whose_size_is_no_number) {
    const faulty_server server;
    const auto all = fault(server, "/bad-chunk");
    EXPECT_EQ(all.error, 0);
    EXPECT_TRUE(all.bytes.ends_with("\r\n\r\n5\r\nhello\r\nzz\r\nhello\r\n"));
    EXPECT_NE(all.bytes.find("Transfer-Encoding: chunked\r\n"), std::string::npos);
}

/// Inflates a gzip file of one deflate block with trees of its own, by RFC 1951 and 1952, and checks its frame. Slow
/// and plain.
class gunzip {
public:
    explicit gunzip(std::string_view file) : file_(file) {}

    std::string all() {
        if (!file_.starts_with("\x1f\x8b\x08\0"s))
            throw std::runtime_error("no gzip header");
        bit_ = 80;
        if (number(1) != 1 || number(2) != 2)
            throw std::runtime_error("not one block with trees of its own");
        read_trees();
        for (;;) {
            const auto symbol = decode(literals_);
            if (symbol == 256)
                break;
            if (symbol < 256)
                out_.push_back(static_cast<char>(symbol));
            else if (symbol == 285 && decode(distances_) == 0)
                out_.append(258, out_.back());
            else
                throw std::runtime_error("a symbol that is not expected");
        }
        bit_ = (bit_ + 7) / 8 * 8;
        const auto crc = number(32);
        const auto size = number(32);
        if (bit_ != file_.size() * 8 || size != (out_.size() & 0xffff'ffffU) || crc != crc_of(out_))
            throw std::runtime_error("the trailer is wrong");
        return std::move(out_);
    }

private:
    struct tree {
        std::vector<unsigned> lengths;
    };

    unsigned bit() {
        if (bit_ / 8 >= file_.size())
            throw std::runtime_error("the file is too short");
        const auto value = (static_cast<unsigned char>(file_[bit_ / 8]) >> (bit_ % 8)) & 1U;
        ++bit_;
        return value;
    }
    std::uint32_t number(unsigned bits) {
        std::uint32_t value = 0;
        for (unsigned i = 0; i != bits; ++i)
            value |= bit() << i;
        return value;
    }
    /// Canonical codes, read a bit at a time: at each length the codes are consecutive, in the order of their symbols.
    unsigned decode(const tree& codes) {
        unsigned code = 0;
        unsigned first = 0;
        for (unsigned length = 1; length != 16; ++length) {
            code |= bit();
            unsigned count = 0;
            for (unsigned symbol = 0; symbol != codes.lengths.size(); ++symbol)
                if (codes.lengths[symbol] == length && first + count++ == code)
                    return symbol;
            first = (first + count) * 2;
            code *= 2;
        }
        throw std::runtime_error("no such code");
    }
    void read_trees() {
        const auto literals = number(5) + 257;
        const auto distances = number(5) + 1;
        const auto meta = number(4) + 4;
        constexpr std::array<unsigned, 19> order{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15};
        tree lengths{std::vector<unsigned>(19)};
        for (unsigned i = 0; i != meta; ++i)
            lengths.lengths[order[i]] = number(3);
        std::vector<unsigned> all;
        while (all.size() < literals + distances) {
            const auto symbol = decode(lengths);
            if (symbol < 16)
                all.push_back(symbol);
            else if (symbol == 18)
                all.resize(all.size() + number(7) + 11);
            else
                throw std::runtime_error("a length that is not expected");
        }
        if (all.size() != literals + distances)
            throw std::runtime_error("the lengths overrun");
        literals_.lengths.assign(all.begin(), all.begin() + literals);
        distances_.lengths.assign(all.begin() + literals, all.end());
    }
    static std::uint32_t crc_of(std::string_view bytes) {
        std::uint32_t crc = 0xffff'ffffU;
        for (const char byte : bytes) {
            crc ^= static_cast<unsigned char>(byte);
            for (int i = 0; i != 8; ++i)
                crc = (crc & 1U) != 0 ? (crc >> 1) ^ 0xedb8'8320U : crc >> 1;
        }
        return ~crc;
    }

    std::string_view file_;
    std::size_t bit_ = 0;
    tree literals_;
    tree distances_;
    std::string out_;
};

TEST(faulty_server, sends_a_gzip_file_that_inflates_a_thousandfold) {
    const faulty_server server;
    for (const std::size_t megabytes : {1U, 3U}) {
        const auto answer = get(server, "/gzip-bomb/" + std::to_string(megabytes));
        EXPECT_EQ(answer.field("Content-Encoding"), "gzip");
        EXPECT_LT(answer.body.size(), megabytes * 1200);
        const auto inflated = gunzip(answer.body).all();
        EXPECT_EQ(inflated.size(), megabytes << 20);
        EXPECT_EQ(inflated.find_first_not_of('\0'), std::string::npos);
    }
}

TEST(faulty_server, streams_bodies_of_a_terabyte_without_holding_them) {
    const faulty_server server;
    for (const auto* path :
        {"/bytes/1099511627776", "/chunked/1099511627776", "/gzip-bomb/1048576", "/truncated/1099511627776"}) {
        raw_client client(server);
        client.get(path);
        EXPECT_EQ(client.exactly(500'000).size(), 500'000U);
    }
    EXPECT_TRUE(sees_open_connections(server, 0));
}

// ------------------------------------------------------------------------------------------------ before a request

TEST(faulty_server, can_close_each_connection_at_once) {
    faulty_server_options options;
    options.accepting = on_accept::close;
    const faulty_server server(options);
    raw_client client(server);
    const auto all = client.until_end();
    EXPECT_EQ(all.error, 0);
    EXPECT_EQ(all.bytes, "");
    EXPECT_EQ(server.stats().connections, 1U);
}

TEST(faulty_server, can_reset_each_connection_at_once) {
    faulty_server_options options;
    options.accepting = on_accept::reset;
    const faulty_server server(options);
    raw_client client(server);
    EXPECT_EQ(client.until_end().error, ECONNRESET);
}

TEST(faulty_server, can_ignore_each_connection) {
    faulty_server_options options;
    options.accepting = on_accept::ignore;
    const faulty_server server(options);
    raw_client client(server);
    client.get("/ok");
    EXPECT_FALSE(client.readable(30ms));
    EXPECT_TRUE(sees_open_connections(server, 1));
    EXPECT_EQ(server.stats().requests, 0U);
    client.close();
    EXPECT_TRUE(sees_open_connections(server, 0));
}

TEST(faulty_server, resets_connections_beyond_its_limit_and_takes_new_ones_when_others_leave) {
    faulty_server_options options;
    options.max_connections = 2;
    const faulty_server server(options);
    raw_client first(server);
    raw_client second(server);
    EXPECT_EQ(get(first, "/ok").status, 200);
    EXPECT_EQ(get(second, "/ok").status, 200);
    raw_client third(server);
    EXPECT_EQ(third.until_end().error, ECONNRESET);
    EXPECT_EQ(server.stats().refused, 1U);
    first.close();
    EXPECT_TRUE(sees_open_connections(server, 1));
    EXPECT_EQ(get(server, "/ok").status, 200);
    EXPECT_EQ(server.stats().peak_connections, 2U);
}

TEST(faulty_server, never_counts_both_connections_of_a_client_that_closes_one_before_it_makes_the_next) {
    const faulty_server server;
    std::vector<std::thread> clients;
    for (int i = 0; i != 4; ++i)
        clients.emplace_back([&] {
            for (int n = 0; n != 300; ++n) {
                raw_client one(server);
                EXPECT_EQ(get(one, "/ok").status, 200);
                one.close();
            }
        });
    for (auto& c : clients)
        c.join();
    EXPECT_LE(server.stats().peak_connections, 4U);
}

TEST(faulty_server, finds_a_port_that_refuses) {
    std::set<std::uint16_t> ports;
    for (int i = 0; i != 20; ++i) {
        const auto port = faulty_server::unused_port();
        raw_client client(port, AF_INET);
        EXPECT_EQ(client.connect_error(), ECONNREFUSED);
        ports.insert(port);
    }
    EXPECT_GT(ports.size(), 1U);
}

TEST(faulty_server, comes_up_on_a_port_that_was_unused) {
    faulty_server_options options;
    options.port = faulty_server::unused_port();
    const faulty_server server(options);
    EXPECT_EQ(server.port(), options.port);
    EXPECT_EQ(get(server, "/ok").status, 200);
}

TEST(faulty_server, listens_on_ipv6_alone_where_asked) {
    faulty_server_options options;
    options.ipv6 = true;
    std::unique_ptr<faulty_server> server;
    try {
        server = std::make_unique<faulty_server>(options);
    } catch (const std::system_error& failure) {
        EXPECT_TRUE(failure.code() == std::errc::address_family_not_supported ||
                    failure.code() == std::errc::address_not_available);
        GTEST_SKIP() << "no IPv6 here: " << failure.what();
    }
    EXPECT_EQ(server->url("/ok"), "http://[::1]:" + std::to_string(server->port()) + "/ok");
    raw_client client(server->port(), AF_INET6);
    EXPECT_EQ(get(client, "/ok").status, 200);
    raw_client other(server->port(), AF_INET);
    EXPECT_EQ(other.connect_error(), ECONNREFUSED);
}

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
