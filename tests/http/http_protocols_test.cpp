// SPDX-License-Identifier: MIT
// HTTP/2 and TLS against nginx: nothing that was not processed is lost, nothing that was cut off is a success.
#include "support/http2_server.hpp"
#include "support/http_fixture.hpp"
#include "support/nginx_server.hpp"

#include <muster/map.hpp>
#include <muster/outcomes.hpp>

#include <algorithm>
#include <array>
#include <functional>
#include <numeric>
#include <utility>

#include <sys/socket.h>

namespace {

using nginx_test::nginx_server;

class http_protocols : public http_client {
protected:
    static http::client_options trusting(const nginx_server& nginx) {
        return http::client_options().tls(http::tls_options().ca_file(nginx.authority()));
    }
    static bool is_possible() { return nginx_server::is_installed() && nginx_test::certificates::can_be_made(); }
};

/// Stands between a client and a TLS server, and loses the last record of the server's: its close_notify.
class cutting_relay {
public:
    explicit cutting_relay(std::uint16_t to) : to_(to), here_([this](int client) { serve(client); }) {}

    [[nodiscard]] std::string url(std::string_view path) const {
        return "https://127.0.0.1:" + std::to_string(here_.port()) + std::string(path);
    }

private:
    void serve(int client) const {
        const int server = loopback::connected_to(to_);
        std::thread up([&] {
            char bytes[4096];
            for (ssize_t count = 0; (count = ::recv(client, bytes, sizeof bytes, 0)) > 0;)
                scripted_server::say(server, std::string_view(bytes, static_cast<std::size_t>(count)));
            ::shutdown(server, SHUT_WR);
        });
        std::string records;
        char bytes[65536];
        for (ssize_t count = 0; (count = ::recv(server, bytes, sizeof bytes, 0)) > 0;) {
            records.append(bytes, static_cast<std::size_t>(count));
            // An alert, encrypted or not, is the last and the smallest: all larger records go on at once.
            for (std::size_t size = 0; records.size() >= 5 && records.size() >= (size = size_of(records));) {
                if (size > 40 || (records[0] != '\x15' && records[0] != '\x17'))
                    scripted_server::say(client, std::string_view(records).substr(0, size));
                records.erase(0, size);
            }
        }
        ::shutdown(client, SHUT_RDWR);
        up.join();
        ::close(server);
    }
    static std::size_t size_of(const std::string& record) {
        return 5 + static_cast<std::size_t>(static_cast<unsigned char>(record[3])) * 256 +
               static_cast<unsigned char>(record[4]);
    }

    std::uint16_t to_;
    loopback_listener here_;
};

TEST_F(http_protocols, requests_that_an_http2_server_did_not_process_are_sent_again_whatever_their_method) {
    if (!is_possible())
        GTEST_SKIP() << nginx_server::how_to_get_it;
    nginx_server nginx(1, true);
    const auto body = [&](http::client& client) -> muster::task<> {
        std::vector<int> numbers(40);
        const auto post = [&](int) -> muster::task<int> {
            auto ask = http::request(nginx.http2_url("/logged")).body("order");
            auto reply = co_await client.send(std::move(ask));
            EXPECT_EQ(reply.version, http::http_version::http2);
            co_return reply.status;
        };
        auto mapping = muster::map(numbers, post).limit(40);
        auto all = co_await std::move(mapping).settle();
        EXPECT_EQ(all.succeeded(), 40u);
        for (const auto& failure : all.failures())
            ADD_FAILURE() << failure.what();
    };
    run(body, trusting(nginx).version(http::http_version::http2));
    const std::string log = nginx.end_and_read_log(40);
    EXPECT_EQ(std::count(log.begin(), log.end(), '\n'), 40);
}

TEST_F(http_protocols, an_answer_that_comes_before_the_body_was_sent_is_the_answer) {
    if (!is_possible())
        GTEST_SKIP() << nginx_server::how_to_get_it;
    const nginx_server nginx(1, true);
    const auto body = [&](http::client& client) -> muster::task<> {
        for (const std::size_t size : {std::size_t{70'000}, std::size_t{3'000'000}}) {
            for (const bool from_source : {false, true}) {
                // More than nginx lets through is refused (413), while the body is on its way.
                for (const auto* path : {"/logged", "/gone/x", "/small"}) {
                    for (const auto& url : {nginx.http2_url(path), nginx.url(path)}) {
                        auto ask = http::request(url).method("POST").timeout(10s);
                        if (from_source) {
                            auto left = std::make_shared<std::size_t>(size / 10'000);
                            ask.body_from([left]() -> muster::task<std::optional<std::string>> {
                                if (*left == 0)
                                    co_return std::nullopt;
                                --*left;
                                co_return std::optional<std::string>(std::string(10'000, 'x'));
                            });
                        } else {
                            ask.body(std::string(size, 'x'));
                        }
                        auto ended = co_await muster::as_outcome(client.send(std::move(ask)));
                        EXPECT_TRUE(ended.succeeded()) << url << ' ' << size << ' ' << muster::to_string(ended);
                    }
                }
            }
        }
    };
    run(body, trusting(nginx).version(http::http_version::http2));
}

TEST_F(http_protocols, an_http2_answer_that_ends_before_the_upload_does_is_the_answer) {
    struct early {
        const char* name;
        std::function<std::string(std::uint32_t)> frames;
        int status;
    };
    const std::string later(h2::later);
    const std::string length = h2::field("content-length", "2");
    const std::vector<early> all{
        {"with a length", [&](std::uint32_t s) { return h2::headers(s, "200", 0, length) + h2::data(s, "ok", 1); },
            200},
        {"without a body", [](std::uint32_t s) { return h2::headers(s, "204", h2::end_stream); }, 204},
        {"and is reset without an error",
            [&](std::uint32_t s) {
                return h2::headers(s, "413", 0) + h2::data(s, "no", 1) + later + h2::reset(s, h2::error::none);
            },
            413},
        {"by its headers and is reset without an error",
            [&](std::uint32_t s) {
                return h2::headers(s, "413", h2::end_stream) + later + h2::reset(s, h2::error::none);
            },
            413},
    };
    for (const auto& one : all) {
        const http2_server server([&](std::uint32_t s, std::size_t) { return one.frames(s); });
        const auto body = [&](http::client& client) -> muster::task<> {
            auto ask = http::request(server.url()).body(std::string(200'000, 'x')).timeout(2s);
            auto ended = co_await muster::as_outcome(client.send(std::move(ask)));
            EXPECT_TRUE(ended.succeeded()) << one.name << ": " << muster::to_string(ended);
            if (ended.succeeded()) {
                EXPECT_EQ(ended.value().status, one.status) << one.name;
            }
        };
        run(body, http::client_options().version(http::http_version::http2_only));
    }
}

TEST_F(http_protocols, an_http2_body_that_breaks_off_is_truncated_and_a_stream_without_an_answer_is_reset) {
    struct broken {
        const char* name;
        std::function<std::string(std::uint32_t)> frames;
        const char* type;
    };
    const std::string ten = h2::field("content-length", "10");
    const std::string later(h2::later);
    const std::string close(h2::then_close);
    const std::vector<broken> all{
        {"closed in a body", [&](std::uint32_t s) { return h2::headers(s, "200", 0) + h2::data(s, "ok", 0) + close; },
            "truncated_error"},
        {"closed in a body with a length",
            [&](std::uint32_t s) { return h2::headers(s, "200", 0, ten) + h2::data(s, "ok", 0) + close; },
            "truncated_error"},
        {"reset in a body",
            [&](std::uint32_t s) {
                return h2::headers(s, "200", 0) + h2::data(s, "ok", 0) + later + h2::reset(s, h2::error::internal);
            },
            "truncated_error"},
        {"cancelled in a body",
            [&](std::uint32_t s) {
                return h2::headers(s, "200", 0) + h2::data(s, "ok", 0) + later + h2::reset(s, h2::error::cancel);
            },
            "truncated_error"},
        {"reset before an answer", [](std::uint32_t s) { return h2::reset(s, h2::error::internal); }, "reset_error"},
        {"closed before an answer", [&](std::uint32_t) { return close; }, "reset_error"},
        {"a body that is shorter than announced",
            [&](std::uint32_t s) { return h2::headers(s, "200", 0, ten) + h2::data(s, "ok", 1); }, "protocol_error"},
    };
    for (const auto& one : all) {
        const http2_server server([&](std::uint32_t s, std::size_t) { return one.frames(s); });
        const auto body = [&](http::client& client) -> muster::task<> {
            auto ended = co_await muster::as_outcome(client.get(server.url()));
            EXPECT_TRUE(ended.failed()) << one.name;
            const auto type = ended.failed() ? muster::type_name(ended.error()) : std::string();
            EXPECT_EQ(type.substr(type.rfind(':') + 1), one.type) << one.name << ": " << muster::to_string(ended);
        };
        run(body, http::client_options().version(http::http_version::http2_only).timeout(2s));
    }
}

TEST_F(http_protocols, a_stream_that_is_dropped_leaves_its_connection_to_the_next_request) {
    const http2_server server([&](std::uint32_t s, std::size_t number) {
        return h2::headers(s, "200", 0) + (number % 2 == 0 ? "" : h2::data(s, "ok", h2::end_stream));
    });
    const auto body = [&](http::client& client) -> muster::task<> {
        for (int i = 0; i != 3; ++i) {
            {
                auto stream = co_await client.open(http::request(server.url()));
                EXPECT_EQ(stream.status(), 200);
            }
            auto reply = co_await client.get(server.url());
            EXPECT_EQ(reply.body, "ok");
        }
    };
    run(body, http::client_options().version(http::http_version::http2_only).timeout(2s));
    EXPECT_EQ(server.requests(), 6u);
}

TEST_F(http_protocols, a_stream_that_was_refused_is_sent_again_and_one_that_was_reset_is_not) {
    for (const bool by_goaway : {false, true}) {
        const http2_server server([&](std::uint32_t s, std::size_t number) {
            if (number == 1)
                return by_goaway ? h2::go_away(0, h2::error::none) : h2::reset(s, h2::error::refused);
            if (number == 4)
                return h2::reset(s, h2::error::internal);
            return h2::headers(s, "204", h2::end_stream);
        });
        const auto body = [&](http::client& client) -> muster::task<> {
            for (int i = 0; i != 3; ++i) {
                auto ask = http::request(server.url()).body("order").timeout(2s);
                auto ended = co_await muster::as_outcome(client.send(std::move(ask)));
                EXPECT_TRUE(ended.succeeded()) << muster::to_string(ended);
            }
            auto ask = http::request(server.url()).body("order").timeout(2s);
            auto ended = co_await muster::as_outcome(client.send(std::move(ask)));
            EXPECT_TRUE(ended.failed_with<http::reset_error>()) << muster::to_string(ended);
        };
        run(body, http::client_options().version(http::http_version::http2_only));
        EXPECT_EQ(server.requests(), 5u);
    }
}

TEST_F(http_protocols, a_post_that_is_refused_more_often_than_libcurl_tries_is_sent_until_it_is_taken) {
    for (const bool by_goaway : {false, true}) {
        const http2_server server([&](std::uint32_t s, std::size_t number) {
            if (number < 20)
                return by_goaway ? h2::go_away(0, h2::error::none) : h2::reset(s, h2::error::refused);
            return h2::headers(s, "204", h2::end_stream);
        });
        const auto body = [&](http::client& client) -> muster::task<> {
            auto ended = co_await muster::as_outcome(client.send(http::request(server.url()).body("order")));
            EXPECT_TRUE(ended.succeeded()) << muster::to_string(ended);
        };
        run(body, http::client_options().version(http::http_version::http2_only));
        EXPECT_EQ(server.requests(), 21u);
    }
}

TEST_F(http_protocols, a_body_that_only_the_end_of_tls_ends_is_truncated_without_a_close_notify) {
    if (!is_possible())
        GTEST_SKIP() << nginx_server::how_to_get_it;
    const scripted_server endless([](const asked&) {
        return "HTTP/1.0 200 OK\r\n\r\n" + std::string(1000, 'x') + std::string(scripted_server::then_close);
    });
    const nginx_server nginx(static_cast<std::uint16_t>(std::stoi(endless.port())), true);
    const auto good = nginx.tls_url(nginx_server::tls::good, "/gateway/x");
    const cutting_relay relay(static_cast<std::uint16_t>(std::stoi(good.substr(good.rfind(':') + 1))));
    auto old = trusting(nginx).version(http::http_version::http1_0);
    const auto body = [&](http::client& client) -> muster::task<> {
        auto whole = co_await client.get(good);
        EXPECT_EQ(whole.body.size(), 1000u);
        auto cut = co_await muster::as_outcome(client.get(relay.url("/gateway/x")));
        EXPECT_TRUE(cut.failed_with<http::truncated_error>()) << muster::to_string(cut);
    };
    run(body, old);
    const auto lenient = [&](http::client& client) -> muster::task<> {
        auto cut = co_await client.get(relay.url("/gateway/x"));
        EXPECT_EQ(cut.body.size(), 1000u);
    };
    old.tls(http::tls_options().ca_file(nginx.authority()).allow_missing_close_notify());
    run(lenient, old);
}

TEST_F(http_protocols, each_post_is_processed_once_however_often_the_server_ends_its_connections) {
    if (!nginx_server::is_installed())
        GTEST_SKIP() << nginx_server::how_to_get_it;
    for (const std::size_t by_connection : {1U, 2U, 3U, 10U, 100U, 1000U}) {
        nginx_server nginx(1, false, by_connection);
        constexpr int requests = 600;
        std::vector<int> numbers(requests);
        std::iota(numbers.begin(), numbers.end(), 1000);
        const auto body = [&](http::client& client) -> muster::task<> {
            const auto post = [&](int number) -> muster::task<int> {
                auto ask = http::request(nginx.url("/logged?order=" + std::to_string(number))).body("order");
                auto reply = co_await client.send(std::move(ask));
                co_return reply.status;
            };
            auto mapping = muster::map(numbers, post).limit(24);
            auto all = co_await std::move(mapping).settle();
            EXPECT_EQ(all.succeeded(), numbers.size()) << by_connection;
            for (const auto& failure : all.failures())
                ADD_FAILURE() << by_connection << ": " << failure.what();
        };
        run(body, http::client_options().connections_per_host(8));
        const std::string log = nginx.end_and_read_log(requests);
        EXPECT_EQ(std::count(log.begin(), log.end(), '\n'), requests) << by_connection;
        for (const int number : numbers) {
            const auto line = "order=" + std::to_string(number) + ' ';
            const auto first = log.find(line);
            EXPECT_NE(first, std::string::npos) << line;
            EXPECT_EQ(log.find(line, first + 1), std::string::npos) << line;
        }
    }
}

} // namespace
