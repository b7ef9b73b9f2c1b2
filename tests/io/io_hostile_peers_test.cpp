// SPDX-License-Identifier: MIT
// Hostile peers of a server: each row of the table is one way in which a client misbehaves, the way in which the server
// reads, and how that one connection must end. However it does, a good client that comes meanwhile is served, and the
// program has as many descriptors as before.
#include <muster/io/serve.hpp>

#include "support/io_play.hpp"

#include <muster/io/error.hpp>
#include <muster/io/reader.hpp>
#include <muster/io/tcp.hpp>
#include <muster/io/unix_socket.hpp>
#include <muster/sleep.hpp>
#include <muster/task_handle.hpp>
#include <muster/timeout.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace {

using namespace std::chrono_literals;
using namespace io_test;
using muster::task;
using muster::io::reader;
using muster::io::stream;

/// How the server treats a connection.
enum class server { lines, ten_bytes, up_to_a_mark, all, sends };

enum class ends { well, limit, incomplete, timeout, error, any };

constexpr std::size_t longest = 1000;

/// *Returns* so many letters, and the mark.
std::string long_line(std::size_t letters) {
    std::string line(letters, 'x');
    line += "\r\n\r\n";
    return line;
}
constexpr std::size_t largest = 100'000;
/// Each read and each write has a time limit, which is long where it must not be reached.
using limit = std::chrono::milliseconds;
constexpr limit short_patience = 250ms;
constexpr limit long_patience = 30s;

task<> read_lines(stream peer, limit patience) {
    reader in(peer);
    for (;;) {
        auto reading = muster::wait_for(in.read_line(longest), patience);
        auto line = co_await std::move(reading);
        if (!line)
            co_return;
        std::string answer = *line == "ping" ? "pong\n" : "";
        if (*line == "much")
            answer.assign(std::size_t{64} << 10, 'x');
        if (answer.empty())
            continue;
        auto answering = muster::wait_for(peer.write(std::move(answer)), patience);
        co_await std::move(answering);
    }
}

task<> treat(stream peer, server how, limit patience) {
    if (how == server::lines) {
        auto reading = read_lines(std::move(peer), patience);
        co_await std::move(reading);
        co_return;
    }
    if (how == server::sends) {
        auto sending = muster::wait_for(peer.write(std::string(std::size_t{64} << 20, 'x')), patience);
        co_await std::move(sending);
        co_return;
    }
    reader in(peer);
    auto text = how == server::ten_bytes ? in.read_exactly(10)
                : how == server::all     ? in.read_all(largest)
                                         : in.read_until("\r\n\r\n", longest);
    auto reading = muster::wait_for(std::move(text), patience);
    static_cast<void>(co_await std::move(reading));
}

ends end_of(const muster::outcome<void>& o) {
    if (o.succeeded())
        return ends::well;
    if (o.failed_with<muster::io::limit_error>())
        return ends::limit;
    if (o.failed_with<muster::io::incomplete_read_error>())
        return ends::incomplete;
    if (o.failed_with<muster::timeout_error>())
        return ends::timeout;
    return o.failed_with<std::system_error>() ? ends::error : ends::any;
}

// ---- what peers do, on a thread of their own; they stay connected until they are released ----

/// A connected socket of the peer's.
class peer_socket {
public:
    peer_socket(int number, const std::atomic<bool>& released) : number_(number), released_(released) {}
    ~peer_socket() { close(); }
    peer_socket(const peer_socket&) = delete;
    peer_socket& operator=(const peer_socket&) = delete;

    [[nodiscard]] int number() const noexcept { return number_; }
    /// *Returns* whether all of it was sent.
    bool say(std::string_view text, int flags = 0) const {
        while (!text.empty()) {
            const auto count = ::send(number_, text.data(), text.size(), MSG_NOSIGNAL | flags);
            if (count <= 0)
                return false;
            text.remove_prefix(static_cast<std::size_t>(count));
        }
        return true;
    }
    /// Sends it again and again until the server has had enough.
    void flood(const std::string& text) const {
        while (!released_ && say(text)) {}
    }
    void drip(char byte, std::chrono::milliseconds pause) const {
        while (!released_ && say(std::string(1, byte)))
            std::this_thread::sleep_for(pause);
    }
    void byte_by_byte(std::string_view text) const {
        const int on = 1;
        ::setsockopt(number_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        for (const char c : text)
            say(std::string(1, c));
    }
    void half_close() const { ::shutdown(number_, SHUT_WR); }
    void close() {
        if (number_ >= 0)
            ::close(std::exchange(number_, -1));
    }
    void reset() {
        const linger at_once{1, 0};
        ::setsockopt(number_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
        close();
    }
    /// Sends a byte with many descriptors, which nobody asked for.
    void send_descriptors() const {
        constexpr int count = 200;
        char byte = 'x';
        iovec text{&byte, 1};
        alignas(cmsghdr) char room[CMSG_SPACE(count * sizeof(int))] = {};
        msghdr message{};
        message.msg_iov = &text;
        message.msg_iovlen = 1;
        message.msg_control = room;
        message.msg_controllen = sizeof room;
        cmsghdr* const head = CMSG_FIRSTHDR(&message);
        head->cmsg_level = SOL_SOCKET;
        head->cmsg_type = SCM_RIGHTS;
        head->cmsg_len = CMSG_LEN(count * sizeof(int));
        for (int i = 0; i != count; ++i)
            std::copy_n(reinterpret_cast<const char*>(&number_), sizeof number_,
                reinterpret_cast<char*>(CMSG_DATA(head)) + static_cast<std::size_t>(i) * sizeof number_);
        static_cast<void>(::sendmsg(number_, &message, MSG_NOSIGNAL));
    }
    void read_slowly() const {
        char byte = 0;
        while (!released_ && ::recv(number_, &byte, 1, 0) == 1)
            std::this_thread::sleep_for(1ms);
    }

private:
    int number_;
    const std::atomic<bool>& released_;
};

struct row {
    const char* name;
    server how;
    std::function<void(peer_socket&)> does;
    ends end;
};

const std::vector<row> rows{
    // ---- lines ----
    {"closes at once", server::lines, [](auto& p) { p.close(); }, ends::well},
    {"resets at once", server::lines, [](auto& p) { p.reset(); }, ends::any},
    {"says nothing", server::lines, [](auto&) {}, ends::timeout},
    {"says a byte and nothing more", server::lines, [](auto& p) { p.say("x"); }, ends::timeout},
    {"drips without a line feed", server::lines, [](auto& p) { p.drip('x', 20ms); }, ends::timeout},
    {"has a line of the limit", server::lines,
        [](auto& p) {
            p.say(std::string(longest, 'x') + '\n');
            p.close();
        },
        ends::well},
    {"has a line one longer than the limit", server::lines,
        [](auto& p) { p.say(std::string(longest + 1, 'x') + '\n'); }, ends::limit},
    {"has a line without an end", server::lines, [](auto& p) { p.flood(std::string(65536, 'x')); }, ends::limit},
    {"has a line of NULs without an end", server::lines, [](auto& p) { p.flood(std::string(65536, '\0')); },
        ends::limit},
    {"floods with empty lines", server::lines,
        [](auto& p) {
            p.say(std::string(500'000, '\n'));
            p.close();
        },
        ends::well},
    {"floods with lines that want answers, and reads none", server::lines,
        [](auto& p) {
            std::string many;
            for (int i = 0; i != 10'000; ++i)
                many += "much\n";
            p.flood(many);
        },
        ends::timeout},
    {"ends lines as another system does", server::lines,
        [](auto& p) {
            p.say("ping\r\n\r\r\n\n\r");
            p.close();
        },
        ends::well},
    {"does not end its last line", server::lines,
        [](auto& p) {
            p.say("ping\nping");
            p.close();
        },
        ends::any},
    {"closes its half and stays", server::lines,
        [](auto& p) {
            p.say("x\n");
            p.half_close();
        },
        ends::well},
    {"sends bytes out of band", server::lines,
        [](auto& p) {
            p.say("x\n");
            p.say("!", MSG_OOB);
            p.say("y\n");
            p.close();
        },
        ends::well},
    {"sends byte by byte", server::lines,
        [](auto& p) {
            p.byte_by_byte("ping\nping\nping\n");
            p.half_close();
        },
        ends::well},
    {"resets within a line", server::lines,
        [](auto& p) {
            p.say("pi");
            std::this_thread::sleep_for(20ms);
            p.reset();
        },
        ends::error},
    {"leaves the answer unread", server::lines,
        [](auto& p) {
            p.say("ping\nping\n");
            std::this_thread::sleep_for(50ms);
            p.close();
        },
        ends::any},
    {"sends what is no text", server::lines,
        [](auto& p) {
            p.say("\xff\xfe\x9b[2J\x1b[2J\n\xc0\x80\n");
            p.close();
        },
        ends::well},
    {"speaks TLS", server::lines, [](auto& p) { p.say(std::string_view("\x16\x03\x01\x02\x00\x01\x00\x01\xfc", 9)); },
        ends::timeout},
    // ---- a number of bytes ----
    {"ends before the bytes that it owes", server::ten_bytes,
        [](auto& p) {
            p.say("12345");
            p.close();
        },
        ends::incomplete},
    {"owes bytes for ever", server::ten_bytes, [](auto& p) { p.say("12345"); }, ends::timeout},
    {"drips the bytes that it owes", server::ten_bytes, [](auto& p) { p.drip('1', 100ms); }, ends::timeout},
    {"sends more than it owes", server::ten_bytes, [](auto& p) { p.flood(std::string(65536, '1')); }, ends::well},
    {"resets before the bytes that it owes", server::ten_bytes,
        [](auto& p) {
            p.say("12345");
            std::this_thread::sleep_for(20ms);
            p.reset();
        },
        ends::error},
    // ---- a mark ----
    {"never sends the mark", server::up_to_a_mark, [](auto& p) { p.flood(std::string(100, '\r')); }, ends::limit},
    {"nearly sends the mark, again and again", server::up_to_a_mark, [](auto& p) { p.flood("\r\n\r"); }, ends::limit},
    {"sends the mark byte by byte", server::up_to_a_mark, [](auto& p) { p.byte_by_byte("x\r\r\n\r\r\n\r\n"); },
        ends::well},
    {"ends within the mark", server::up_to_a_mark,
        [](auto& p) {
            p.say("x\r\n\r");
            p.close();
        },
        ends::incomplete},
    {"sends the mark at the limit", server::up_to_a_mark, [](auto& p) { p.say(long_line(longest - 4)); }, ends::well},
    {"sends the mark one behind the limit", server::up_to_a_mark, [](auto& p) { p.say(long_line(longest - 3)); },
        ends::limit},
    // ---- all that comes ----
    {"sends without an end", server::all, [](auto& p) { p.flood(std::string(65536, 'x')); }, ends::limit},
    {"sends one more than may be", server::all, [](auto& p) { p.say(std::string(largest + 1, 'x')); }, ends::limit},
    {"sends as much as may be", server::all,
        [](auto& p) {
            p.say(std::string(largest, 'x'));
            p.close();
        },
        ends::well},
    {"does not end", server::all, [](auto& p) { p.say("x"); }, ends::timeout},
    // ---- a peer that is sent much ----
    {"reads nothing", server::sends, [](auto&) {}, ends::timeout},
    {"reads a byte now and then", server::sends, [](auto& p) { p.read_slowly(); }, ends::timeout},
    {"goes away while it is sent to", server::sends,
        [](auto& p) {
            std::this_thread::sleep_for(20ms);
            p.close();
        },
        ends::error},
    {"sends while it is sent to, and reads nothing", server::sends, [](auto& p) { p.flood(std::string(65536, 'x')); },
        ends::timeout},
};

/// Rows of Unix sockets alone.
const std::vector<row> unix_rows{
    {"sends descriptors that nobody asked for", server::lines,
        [](auto& p) {
            for (int i = 0; i != 5; ++i)
                p.send_descriptors();
            p.say("\n");
            p.half_close();
        },
        ends::well},
    {"sends nothing but descriptors, and goes away", server::ten_bytes,
        [](auto& p) {
            p.send_descriptors();
            p.close();
        },
        ends::incomplete},
    {"shuts down both halves", server::lines, [](auto& p) { ::shutdown(p.number(), SHUT_RDWR); }, ends::well},
    {"goes away with its answers unread", server::lines,
        [](auto& p) {
            for (int i = 0; i != 100; ++i)
                p.say("ping\n");
            p.close();
        },
        ends::any},
};

int connected_to(std::uint16_t port) {
    const int s = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in there{};
    there.sin_family = AF_INET;
    there.sin_port = htons(port);
    there.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::connect(s, reinterpret_cast<const sockaddr*>(&there), sizeof there), 0);
    return s;
}

int connected_to(const std::string& path) {
    const int s = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un there{};
    there.sun_family = AF_UNIX;
    path.copy(there.sun_path, sizeof there.sun_path - 1);
    EXPECT_EQ(::connect(s, reinterpret_cast<const sockaddr*>(&there), sizeof there), 0);
    return s;
}

/// The first connection is the hostile one.
task<> serve_row(const row& what, muster::io::listener& door, const std::function<int()>& come,
    const std::function<task<stream>()>& come_well) {
    std::optional<ends> ended;
    int number = 0;
    auto handler = [&](stream peer) -> task<> {
        const bool is_hostile = number++ == 0;
        auto treating = treat(std::move(peer), is_hostile ? what.how : server::lines,
            is_hostile && what.end == ends::timeout ? short_patience : long_patience);
        auto o = co_await muster::as_outcome(std::move(treating));
        if (is_hostile)
            ended = end_of(o);
    };
    auto serving = muster::create_task(muster::io::serve(door, handler));
    std::atomic<bool> released{false};
    const int socket = come();
    while (number == 0)
        co_await muster::sleep_for(1ms);
    std::thread hostile([&] {
        peer_socket p(socket, released);
        what.does(p);
        while (!released)
            std::this_thread::sleep_for(1ms);
    });
    std::string answer;
    {
        auto good = co_await come_well();
        co_await good.write("ping\n");
        reader in(good);
        auto line = co_await in.read_line();
        answer = line.value_or("");
    }
    EXPECT_EQ(answer, "pong") << what.name;
    for (int i = 0; i != 20'000 && !ended; ++i)
        co_await muster::sleep_for(1ms);
    released = true;
    hostile.join();
    EXPECT_TRUE(ended.has_value()) << what.name;
    EXPECT_TRUE(what.end == ends::any || ended == what.end)
        << what.name << " ends as " << static_cast<int>(ended.value_or(ends::any));
    door.close();
    co_await serving;
}

TEST(io_hostile_peers, however_one_behaves_its_connection_ends_as_it_must_and_others_are_served) {
    const descriptor_audit audit;
    EXPECT_GE(rows.size(), 16u);
    for (const auto& r : rows) {
        auto talk = [&]() -> task<> {
            auto door = co_await muster::io::listen("127.0.0.1", 0);
            const auto port = door.port();
            const std::function<int()> come = [port] { return connected_to(port); };
            const std::function<task<stream>()> come_well = [port] { return muster::io::connect("127.0.0.1", port); };
            auto serving = serve_row(r, door, come, come_well);
            co_await std::move(serving);
        };
        muster::run(talk());
    }
}

TEST(io_hostile_peers, however_one_of_a_unix_socket_behaves_its_connection_ends_and_others_are_served) {
    const descriptor_audit audit;
    const auto path = "/tmp/muster-peers-" + std::to_string(::getpid());
    auto all = unix_rows;
    for (const auto& r : rows)
        if (std::string_view(r.name).find("reset") == std::string_view::npos &&
            std::string_view(r.name).find("out of band") == std::string_view::npos)
            all.push_back(r);
    for (const auto& r : all) {
        auto talk = [&]() -> task<> {
            auto door = muster::io::listen_unix(path);
            const std::function<int()> come = [&path] { return connected_to(path); };
            const std::function<task<stream>()> come_well = [&path] { return muster::io::connect_unix(path); };
            auto serving = serve_row(r, door, come, come_well);
            co_await std::move(serving);
        };
        muster::run(talk());
    }
}

TEST(io_hostile_peers, that_come_and_go_by_the_hundred_leave_nothing_and_hold_up_nobody) {
    const descriptor_audit audit;
    auto talk = []() -> task<> {
        auto door = co_await muster::io::listen("127.0.0.1", 0);
        int served = 0;
        auto handler = [&](stream peer) -> task<> {
            ++served;
            auto reading = read_lines(std::move(peer), long_patience);
            static_cast<void>(co_await muster::as_outcome(std::move(reading)));
        };
        auto serving = muster::create_task(muster::io::serve(door, handler));
        std::atomic<bool> released{false};
        std::thread hostile([&, port = door.port()] {
            for (int i = 0; i != 300; ++i) {
                peer_socket p(connected_to(port), released);
                if (i % 3 == 0)
                    p.reset();
                else if (i % 3 == 1)
                    p.say("\n\n\n");
            }
            released = true;
        });
        auto good = co_await muster::io::connect("127.0.0.1", door.port());
        co_await good.write("ping\n");
        reader in(good);
        auto line = co_await in.read_line();
        EXPECT_EQ(line, "pong");
        while (!released)
            co_await muster::sleep_for(1ms);
        hostile.join();
        good.close();
        door.close();
        co_await serving;
        EXPECT_GE(served, 1);
    };
    muster::run(talk());
}

} // namespace
