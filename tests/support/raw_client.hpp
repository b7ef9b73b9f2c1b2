// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A client of HTTP/1.1 that does nothing by itself, for the tests of faulty_server: it sends what it is told to and
/// says exactly what it met.
///
///     raw_client client(server);
///     client.get("/reset");
///     EXPECT_EQ(client.until_end().error, ECONNRESET);

#include <muster/testing/faulty_server.hpp>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/own_resources.hpp"

namespace raw {

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
inline response read_response(raw_client& client, bool to_head = false) {
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

inline response get(raw_client& client, std::string_view path) {
    client.get(path);
    return read_response(client);
}

inline response get(const faulty_server& server, std::string_view path) {
    raw_client client(server);
    return get(client, path);
}

inline received fault(const faulty_server& server, std::string_view path) {
    raw_client client(server);
    client.get(path);
    return client.until_end();
}

inline std::string alphabet(std::size_t count) {
    std::string letters;
    for (std::size_t i = 0; i != count; ++i)
        letters.push_back(static_cast<char>('a' + static_cast<int>(i % 26)));
    return letters;
}

template <class Condition>
inline bool comes_true(Condition condition) {
    const auto until = clock_type::now() + 5s;
    while (!condition()) {
        if (clock_type::now() > until)
            return false;
        std::this_thread::sleep_for(200us);
    }
    return true;
}

/// The server learns of a close a moment after the client did it, and of a request a moment after it was sent.
inline bool sees_open_connections(const faulty_server& server, std::size_t count) {
    return comes_true([&] { return server.stats().open_connections == count; });
}
inline bool sees_requests(const faulty_server& server, std::uint64_t count) {
    return comes_true([&] { return server.stats().requests == count; });
}

using own_resources::open_descriptors;

/// The masks of blocked signals of the servers' threads there are.
inline std::vector<std::uint64_t> server_threads() {
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
inline bool has_server_threads(std::size_t count) {
    return comes_true([&] { return server_threads().size() == count; });
}

} // namespace raw
