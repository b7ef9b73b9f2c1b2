// SPDX-License-Identifier: MIT
// The faults of faulty_server: answers that are broken, and connections that end before a request.
#include <muster/testing/faulty_server.hpp>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include <sys/socket.h>
#include <unistd.h>

#include "support/raw_client.hpp"

namespace {

using namespace raw;

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

} // namespace
