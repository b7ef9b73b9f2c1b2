// SPDX-License-Identifier: MIT
// Attacks on the loop: a few bytes that become many. Whatever the encodings, the framing and the version of HTTP are,
// the work of one turn is bounded in bytes, other requests go on, and all of the body comes.
#include "support/deflated.hpp"
#include "support/http2_server.hpp"
#include "support/http_fixture.hpp"

#include <muster/gather.hpp>
#include <muster/sleep.hpp>
#include <muster/task_handle.hpp>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace {

class http_attacks : public http_client {};

constexpr std::size_t unpacked_size = std::size_t{8} << 20;
/// As much is done in a turn as shared_by_transfers says, and what the layers have begun.
constexpr std::size_t most_in_a_turn = (std::size_t{1} << 20) + 6 * (std::size_t{16} << 10);

struct bomb {
    const char* encodings;
    std::string packed;
};

/// Built once: packing takes longer than unpacking.
const std::vector<bomb>& bombs() {
    static const std::vector<bomb> all = [] {
        const std::string zeros(unpacked_size, '\0');
        const auto once = deflated(zeros, 31);
        const auto bare = deflated(zeros, -15);
        const auto half = deflated(std::string(unpacked_size / 2, '\0'), 31);
        return std::vector<bomb>{{"gzip", once}, {"gzip, gzip", deflated(once, 31)}, {"deflate", bare},
            {"deflate, gzip, deflate", deflated(deflated(bare, 31), 15)}, {"gzip", half + half}};
    }();
    return all;
}

/// Counts a body of zero bytes.
class counted_zeros {
public:
    void take(std::string_view piece) {
        static const std::string zeros(std::size_t{64} << 10, '\0');
        for (auto left = piece; !left.empty(); left.remove_prefix(std::min(left.size(), zeros.size())))
            are_zero_ = are_zero_ && std::memcmp(left.data(), zeros.data(), std::min(left.size(), zeros.size())) == 0;
        size_ += piece.size();
    }
    [[nodiscard]] std::size_t size() const noexcept { return size_; }
    [[nodiscard]] bool are_zero() const noexcept { return are_zero_; }

private:
    std::size_t size_ = 0;
    bool are_zero_ = true;
};

/// *Returns* the most bytes that come between two turns, until the task is done.
muster::task<std::size_t> most_between_turns(const counted_zeros& count, const bool& done) {
    std::size_t most = 0;
    while (!done) {
        const auto before = count.size();
        co_await muster::yield();
        most = std::max(most, count.size() - before);
    }
    co_return most;
}

/// Gets a bomb, and something else meanwhile.
muster::task<> get_bomb(http::client& client, std::string url, std::string good, std::string name) {
    counted_zeros count;
    bool done = false;
    auto watching = muster::create_task(most_between_turns(count, done));
    auto ask = http::request(std::move(url)).body_limit(http::no_limit).body_to([&](std::string_view piece) {
        count.take(piece);
    });
    auto getting = muster::create_task(client.send(std::move(ask)));
    auto other = co_await muster::as_outcome(client.get(std::move(good)));
    EXPECT_TRUE(other.succeeded()) << name << ": " << muster::to_string(other);
    const auto reply = co_await getting;
    done = true;
    EXPECT_EQ(reply.status, 200) << name;
    const auto most = co_await watching;
    EXPECT_EQ(count.size(), unpacked_size) << name;
    EXPECT_TRUE(count.are_zero()) << name;
    EXPECT_LE(most, most_in_a_turn) << name;
}

std::string in_chunks(std::string_view bytes, std::size_t size) {
    std::string all;
    char head[24];
    for (; !bytes.empty(); bytes.remove_prefix(std::min(size, bytes.size()))) {
        const auto piece = bytes.substr(0, size);
        std::snprintf(head, sizeof head, "%zx\r\n", piece.size());
        all.append(head).append(piece).append("\r\n");
    }
    return all + "0\r\n\r\n";
}

TEST_F(http_attacks, a_bomb_is_unpacked_little_by_little_in_every_framing_while_others_go_on) {
    for (const auto& b : bombs()) {
        const auto head = "HTTP/1.1 200 OK\r\nContent-Encoding: " + std::string(b.encodings) + "\r\n";
        const std::pair<const char*, std::string> framings[] = {
            {"a length", head + "Content-Length: " + std::to_string(b.packed.size()) + "\r\n\r\n" + b.packed},
            {"chunks", head + "Transfer-Encoding: chunked\r\n\r\n" + in_chunks(b.packed, 1000)},
            {"no end", head + "Connection: close\r\n\r\n" + b.packed + std::string(scripted_server::then_close)}};
        for (const auto& [framing, answer] : framings) {
            const scripted_server server(
                [&](const asked& a) { return a.has(" /good ") ? scripted_server::text("200 OK", "ok") : answer; });
            const auto body = [&](http::client& client) -> muster::task<> {
                auto getting =
                    get_bomb(client, server.url(), server.url("/good"), b.encodings + std::string(" with ") + framing);
                co_await std::move(getting);
            };
            run(body, http::client_options().timeout(60s));
        }
    }
}

TEST_F(http_attacks, a_bomb_over_http2_is_unpacked_little_by_little_while_others_go_on) {
    for (const auto& b : bombs()) {
        const http2_server server([&](std::uint32_t s, std::size_t) {
            auto all = h2::headers(s, "200", 0, h2::field("content-encoding", b.encodings));
            for (auto left = std::string_view(b.packed); !left.empty();) {
                const auto piece = left.substr(0, 8000);
                left.remove_prefix(piece.size());
                all += h2::data(s, std::string(piece), left.empty() ? h2::end_stream : 0);
            }
            return all;
        });
        const auto body = [&](http::client& client) -> muster::task<> {
            // The other request is another bomb: both have their turns.
            auto getting = get_bomb(client, server.url(), server.url(), b.encodings + std::string(" over HTTP/2"));
            co_await std::move(getting);
        };
        run(body, http::client_options().version(http::http_version::http2_only).timeout(60s));
    }
}

TEST_F(http_attacks, many_bombs_at_once_share_the_work_of_a_turn) {
    const auto& b = bombs().at(1);
    const auto answer = "HTTP/1.1 200 OK\r\nContent-Encoding: " + std::string(b.encodings) +
                        "\r\nContent-Length: " + std::to_string(b.packed.size()) + "\r\n\r\n" + b.packed;
    const scripted_server server([&](const asked&) { return answer; });
    const auto body = [&](http::client& client) -> muster::task<> {
        counted_zeros count;
        bool done = false;
        auto watching = muster::create_task(most_between_turns(count, done));
        std::vector<muster::task<http::response>> all;
        for (int i = 0; i != 8; ++i) {
            auto ask = http::request(server.url()).body_limit(http::no_limit).body_to([&](std::string_view piece) {
                count.take(piece);
            });
            all.push_back(client.send(std::move(ask)));
        }
        auto getting = muster::gather(std::move(all));
        const auto replies = co_await std::move(getting);
        done = true;
        const auto most = co_await watching;
        EXPECT_EQ(replies.size(), 8u);
        EXPECT_EQ(count.size(), 8 * unpacked_size);
        EXPECT_LE(most, most_in_a_turn);
    };
    run(body, http::client_options().timeout(120s));
}

TEST_F(http_attacks, a_bomb_that_is_read_as_a_stream_waits_for_its_reader) {
    const auto& b = bombs().at(1);
    const auto answer = "HTTP/1.1 200 OK\r\nContent-Encoding: " + std::string(b.encodings) +
                        "\r\nContent-Length: " + std::to_string(b.packed.size()) + "\r\n\r\n" + b.packed;
    const scripted_server server([&](const asked&) { return answer; });
    const auto body = [&](http::client& client) -> muster::task<> {
        auto ask = http::request(server.url()).body_limit(http::no_limit);
        auto stream = co_await client.open(std::move(ask));
        std::size_t size = 0;
        for (;;) {
            // Whatever comes while nobody reads is bounded, too.
            for (int i = 0; i != 5; ++i)
                co_await muster::yield();
            auto piece = co_await stream.read();
            if (!piece)
                break;
            size += piece->size();
            EXPECT_LE(piece->size(), most_in_a_turn + (std::size_t{64} << 10));
        }
        EXPECT_EQ(size, unpacked_size);
    };
    run(body, http::client_options().timeout(60s));
}

TEST_F(http_attacks, a_bomb_that_is_cut_off_or_too_large_ends_as_it_must_between_two_turns) {
    const auto& b = bombs().at(0);
    const auto head = "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n";
    const scripted_server server([&](const asked& a) {
        if (a.has(" /cut "))
            return head + std::string("Connection: close\r\n\r\n") + b.packed.substr(0, b.packed.size() - 4) +
                   std::string(scripted_server::then_close);
        if (a.has(" /more "))
            return head + ("Content-Length: " + std::to_string(b.packed.size() + 4)) + "\r\n\r\n" + b.packed + "more";
        return head + ("Content-Length: " + std::to_string(b.packed.size())) + "\r\n\r\n" + b.packed;
    });
    const auto body = [&](http::client& client) -> muster::task<> {
        const std::pair<const char*, const char*> rows[] = {
            {"/cut", "truncated_error"}, {"/more", "protocol_error"}, {"/large", "too_large_error"}};
        for (const auto& [path, ends_as] : rows) {
            auto ask = http::request(server.url(path));
            ask.body_limit(std::string_view(path) == "/large" ? unpacked_size - 1 : http::no_limit);
            auto ended = co_await muster::as_outcome(client.send(std::move(ask)));
            EXPECT_EQ(type_of(ended), ends_as) << path << ": " << muster::to_string(ended);
        }
        auto ask = http::request(server.url("/whole")).body_limit(http::no_limit);
        auto whole = co_await client.send(std::move(ask));
        EXPECT_EQ(whole.body.size(), unpacked_size);
    };
    run(body, http::client_options().timeout(60s));
}

TEST_F(http_attacks, a_body_that_unpacks_to_nothing_meets_the_limit_all_the_same) {
    // Blocks of nothing within a member of gzip, and zeros behind one: neither has an end of its own.
    std::string blocks("\x1f\x8b\x08\0\0\0\0\0\0\xff", 10);
    for (int i = 0; i != 100'000; ++i)
        blocks += std::string("\0\0\0\xff\xff", 5);
    for (const auto& endless : {blocks, deflated("x", 31) + std::string(500'000, '\0')}) {
        const scripted_server server(
            [&](const asked&) { return "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + endless; });
        const auto body = [&](http::client& client) -> muster::task<> {
            auto ask = http::request(server.url()).body_limit(100'000);
            auto ended = co_await muster::as_outcome(client.send(std::move(ask)));
            EXPECT_EQ(type_of(ended), "too_large_error") << muster::to_string(ended);
        };
        run(body, http::client_options().timeout(20s));
    }
}

TEST_F(http_attacks, a_body_that_comes_byte_by_byte_is_taken_a_few_thousand_pieces_at_a_time) {
    constexpr std::size_t pieces = 40'000;
    std::string chunks;
    for (std::size_t i = 0; i != pieces; ++i)
        chunks += std::string("1\r\n\0\r\n", 6);
    const auto answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + "0\r\n\r\n";
    const scripted_server server([&](const asked&) { return answer; });
    const auto body = [&](http::client& client) -> muster::task<> {
        counted_zeros count;
        bool done = false;
        auto watching = muster::create_task(most_between_turns(count, done));
        auto ask = http::request(server.url()).body_to([&](std::string_view piece) { count.take(piece); });
        const auto reply = co_await client.send(std::move(ask));
        done = true;
        const auto most = co_await watching;
        EXPECT_EQ(reply.body_size, pieces);
        EXPECT_EQ(count.size(), pieces);
        EXPECT_LE(most, 8192u);
    };
    run(body, http::client_options().timeout(60s));
}

TEST_F(http_attacks, a_few_thousand_headers_are_too_many) {
    std::string headers;
    for (int i = 0; i != 9000; ++i)
        headers += "X: y\r\n";
    const scripted_server server(
        [&](const asked&) { return "HTTP/1.1 200 OK\r\n" + headers + "Content-Length: 2\r\n\r\nok"; });
    expect_error<http::too_large_error>(server.url());
}

} // namespace
