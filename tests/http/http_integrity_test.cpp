// SPDX-License-Identifier: MIT
// No body is cut short, no answer is mixed up: what libcurl is lenient about and muster::http is not. Each test is
// named after what was lost.
#include "support/deflated.hpp"
#include "support/http_fixture.hpp"

#include <muster/sleep.hpp>

#include <optional>
#include <utility>

namespace {

class http_integrity : public http_client {};

/// One gzip member.
std::string gzip(std::string_view bytes) { return deflated(bytes, 31); }

std::string noise(std::size_t size) {
    std::string all;
    std::uint32_t x = 1;
    for (std::size_t i = 0; i != size; ++i)
        all += static_cast<char>('a' + ((x = x * 1664525 + 1013904223) >> 24) % 26);
    return all;
}

/// Gives these pieces, then ends.
http::body_source gives(std::vector<std::string> pieces) {
    auto next = std::make_shared<std::size_t>(0);
    return [pieces = std::move(pieces), next]() -> muster::task<std::optional<std::string>> {
        if (*next == pieces.size())
            co_return std::nullopt;
        auto piece = pieces[(*next)++];
        co_return std::optional<std::string>(std::move(piece));
    };
}

// ---- answers that nobody asked for ----

TEST_F(http_integrity, an_answer_that_nobody_asked_for_is_not_given_to_the_next_request) {
    for (const std::string unasked : {"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n", "x"}) {
        const scripted_server server([&](const asked& a) { return scripted_server::text("200 OK", a.body); });
        const auto body = [&](http::client& client) -> muster::task<> {
            auto first = co_await client.get(server.url());
            EXPECT_EQ(first.status, 200);
            server.say_on_all(unasked);
            auto ask = http::request(server.url()).body("mine");
            auto second = co_await client.send(std::move(ask));
            EXPECT_EQ(second.status, 200);
            EXPECT_EQ(second.body, "mine");
        };
        run(body);
        EXPECT_EQ(server.requests(), 2u);
        EXPECT_EQ(server.connections(), 2u);
    }
}

TEST_F(http_integrity, what_follows_an_answer_without_a_body_is_not_the_next_answer) {
    const std::string follows = "HTTP/1.1 500 Not Yours\r\nContent-Length: 0\r\n\r\n";
    for (const std::string head : {"HTTP/1.1 204 No Content\r\n\r\n", "HTTP/1.1 304 Not Modified\r\n\r\n",
             "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
             "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"}) {
        const scripted_server server([&](const asked& a) {
            return a.has(" /second ") ? scripted_server::text("200 OK", "yours") : head + follows;
        });
        const auto body = [&](http::client& client) -> muster::task<> {
            auto first = co_await client.get(server.url());
            EXPECT_LT(first.status, 400) << head;
            auto second = co_await client.get(server.url("/second"));
            EXPECT_EQ(second.body, "yours") << head;
        };
        run(body);
    }
}

TEST_F(http_integrity, a_connection_with_nothing_unasked_on_it_is_used_again) {
    const scripted_server server([](const asked& a) {
        if (a.has(" /chunks "))
            return std::string("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n");
        if (a.has(" /none "))
            return std::string("HTTP/1.1 204 No Content\r\n\r\n");
        return scripted_server::text("200 OK", "ok");
    });
    const auto body = [&](http::client& client) -> muster::task<> {
        for (const auto* path : {"/", "/chunks", "/none", "/", "/none", "/chunks", "/"}) {
            auto reply = co_await client.get(server.url(path));
            EXPECT_LT(reply.status, 300);
        }
    };
    run(body);
    EXPECT_EQ(server.connections(), 1u);
}

// ---- the length of a body ----

TEST_F(http_integrity, a_content_length_that_is_no_single_number_is_a_protocol_error) {
    for (const std::string fields : {"Content-Length: 5\r\nContent-Length: 10\r\n", "Content-Length: 5, 10\r\n",
             "Content-Length: 5abc\r\n", "Content-Length: +5\r\n", "Content-Length: 0x5\r\n", "Content-Length: -5\r\n",
             "Content-Length: 5 5\r\n", "Content-Length: \r\n", "Content-Length: 5,\r\n"}) {
        const scripted_server server([&](const asked&) { return "HTTP/1.1 200 OK\r\n" + fields + "\r\nhellohello"; });
        expect_error<http::protocol_error>(server.url());
    }
}

TEST_F(http_integrity, a_content_length_that_is_said_twice_is_one) {
    for (const std::string fields : {"Content-Length: 5\r\nContent-Length: 5\r\n", "Content-Length: 5, 5\r\n"}) {
        const scripted_server server([&](const asked&) { return "HTTP/1.1 200 OK\r\n" + fields + "\r\nhello"; });
        const auto body = [&](http::client& client) -> muster::task<> {
            auto reply = co_await client.get(server.url());
            EXPECT_EQ(reply.body, "hello");
        };
        run(body);
    }
}

TEST_F(http_integrity, a_caller_can_not_announce_another_body_than_is_sent) {
    const auto body = [&](http::client& client) -> muster::task<> {
        std::vector<http::request> bad;
        bad.push_back(http::request(url("/echo")).body("12345").header("Content-Length", "4"));
        bad.push_back(http::request(url("/echo")).body("12345").header("content-length", "6"));
        bad.push_back(http::request(url("/echo")).header("Content-Length", "1"));
        bad.push_back(http::request(url("/echo")).body("12345").header("Transfer-Encoding", "chunked"));
        bad.push_back(http::request(url("/echo")).header("Transfer-Encoding", "chunked"));
        bad.push_back(http::request(url("/echo")).body_from(gives({"1"})).header("Content-Length", "1"));
        for (auto& ask : bad) {
            auto sending = client.send(std::move(ask));
            auto ended = co_await muster::as_outcome(std::move(sending));
            EXPECT_TRUE(ended.failed_with<std::invalid_argument>()) << muster::to_string(ended);
        }
        auto right = http::request(url("/echo")).body("12345").header("Content-Length", "5");
        auto reply = co_await client.send(std::move(right));
        EXPECT_NE(reply.body.find("Content-Length: 5\r\n"), std::string::npos) << reply.body;
    };
    run(body);
}

// ---- redirects ----

TEST_F(http_integrity, a_put_keeps_its_body_where_a_redirect_leads) {
    const scripted_server server([](const asked& a) {
        if (const auto at = a.head.find(" /from/"); at != std::string::npos)
            return scripted_server::text(a.head.substr(at + 7, 3) + " Moved", "", "Location: /target\r\n");
        return scripted_server::text("200 OK", a.head.substr(0, a.head.find(' ')) + ' ' + a.body);
    });
    const auto body = [&](http::client& client) -> muster::task<> {
        for (const std::string method : {"PUT", "PATCH", "DELETE"})
            for (const std::string status : {"301", "302", "307", "308"}) {
                auto ask = http::request(server.url("/from/" + status)).method(method).body("all of it");
                auto reply = co_await client.send(std::move(ask));
                EXPECT_EQ(reply.body, method + " all of it") << status;
            }
    };
    run(body);
}

TEST_F(http_integrity, a_post_that_becomes_a_get_describes_no_body) {
    const scripted_server server([](const asked& a) {
        return a.has(" /target ") ? scripted_server::text("200 OK", a.head)
                                  : scripted_server::text("302 Found", "", "Location: /target\r\n");
    });
    const auto body = [&](http::client& client) -> muster::task<> {
        auto ask = http::request(server.url("/from")).body("{}").header("Content-Type", "application/json");
        ask.header("X-Trace", "7");
        auto reply = co_await client.send(std::move(ask));
        EXPECT_EQ(reply.body.rfind("GET /target", 0), 0u) << reply.body;
        EXPECT_EQ(reply.body.find("Content-"), std::string::npos) << reply.body;
        EXPECT_NE(reply.body.find("X-Trace: 7"), std::string::npos) << reply.body;
    };
    run(body);
}

TEST_F(http_integrity, statuses_that_are_no_redirects_are_answers_whatever_their_location) {
    for (const std::string status : {"300 Multiple Choices", "304 Not Modified", "305 Use Proxy", "201 Created"}) {
        const scripted_server server([&](const asked& a) {
            return a.has(" /from ") ? "HTTP/1.1 " + status + "\r\nLocation: /target\r\nContent-Length: 0\r\n\r\n"
                                    : scripted_server::text("200 OK", "followed");
        });
        const auto body = [&](http::client& client) -> muster::task<> {
            auto reply = co_await client.get(server.url("/from"));
            EXPECT_EQ(std::to_string(reply.status), status.substr(0, 3));
        };
        run(body);
    }
}

TEST_F(http_integrity, the_body_of_a_redirect_counts_for_no_limit_and_is_not_waited_for) {
    const scripted_server server([](const asked& a) {
        if (a.has(" /target "))
            return scripted_server::text("200 OK", "small");
        // It announces more than it sends.
        return "HTTP/1.1 302 Found\r\nLocation: /target\r\nContent-Length: 100000000\r\n\r\n" +
               std::string(100'000, 'x');
    });
    const auto body = [&](http::client& client) -> muster::task<> {
        auto reply = co_await client.get(server.url("/from"));
        EXPECT_EQ(reply.body, "small");
        EXPECT_EQ(reply.timing.redirects, 1u);
    };
    run(body, http::client_options().body_limit(1000));
}

TEST_F(http_integrity, secrets_do_not_come_back_with_the_third_redirect) {
    std::string second;
    std::string first_url;
    const scripted_server other(
        [&](const asked&) { return scripted_server::text("302 Found", "", "Location: " + first_url + "\r\n"); });
    const scripted_server first([&](const asked& a) {
        if (a.has(" /from "))
            return scripted_server::text("302 Found", "", "Location: " + other.url("/other") + "\r\n");
        return scripted_server::text("200 OK", a.head);
    });
    first_url = first.url("/again");
    const auto body = [&](http::client& client) -> muster::task<> {
        auto ask = http::request(first.url("/from")).header("Authorization", "one").header("Cookie", "two=2");
        auto reply = co_await client.send(std::move(ask));
        EXPECT_EQ(reply.status, 200);
        EXPECT_EQ(reply.body.find("Authorization"), std::string::npos) << reply.body;
        EXPECT_EQ(reply.body.find("Cookie"), std::string::npos) << reply.body;
    };
    run(body);
}

TEST_F(http_integrity, the_name_of_the_first_server_does_not_go_where_a_redirect_leads) {
    const scripted_server other([](const asked& a) { return scripted_server::text("200 OK", a.head); });
    const scripted_server first([&](const asked& a) {
        if (a.has(" /away "))
            return scripted_server::text("302 Found", "", "Location: " + other.url("/other") + "\r\n");
        if (a.has(" /here "))
            return scripted_server::text("302 Found", "", "Location: /again\r\n");
        return scripted_server::text("200 OK", a.head);
    });
    const auto body = [&](http::client& client) -> muster::task<> {
        auto stays = http::request(first.url("/here")).header("Host", "one.example");
        auto here = co_await client.send(std::move(stays));
        EXPECT_NE(here.body.find("Host: one.example\r\n"), std::string::npos) << here.body;
        auto leaves = http::request(first.url("/away")).header("host", "one.example");
        auto away = co_await client.send(std::move(leaves));
        EXPECT_NE(away.body.find("Host: 127.0.0.1:" + other.port() + "\r\n"), std::string::npos) << away.body;
        EXPECT_EQ(away.body.find("one.example"), std::string::npos) << away.body;
    };
    run(body);
}

TEST_F(http_integrity, a_redirect_may_lead_to_a_host_with_letters_of_any_script) {
    const scripted_server other([](const asked& a) { return scripted_server::text("200 OK", a.head); });
    for (const std::string host : {"b\xc3\xbc"
                                   "cher.example",
             "b%C3%BCcher.example",
             "B\xc3\x9c"
             "CHER.example"}) {
        const scripted_server first([&](const asked&) {
            return scripted_server::text(
                "302 Found", "", "Location: http://" + host + ":" + other.port() + "/\xc3\xbc x\r\n");
        });
        const auto body = [&](http::client& client) -> muster::task<> {
            auto reply = co_await client.get(first.url());
            EXPECT_NE(reply.body.find("%20x HTTP"), std::string::npos) << reply.body;
            EXPECT_NE(reply.body.find("Host: xn--bcher-kva.example:"), std::string::npos) << reply.body;
        };
        run(body, http::client_options().resolve("xn--bcher-kva.example", {"127.0.0.1"}));
    }
}

// ---- headers and trailers ----

TEST_F(http_integrity, a_folded_header_is_joined) {
    const scripted_server server([](const asked&) {
        return std::string("HTTP/1.1 200 OK\r\nX-Long: one\r\n  two\r\n\tthree\r\nContent-Length: 2\r\n\r\nok");
    });
    const auto body = [&](http::client& client) -> muster::task<> {
        auto reply = co_await client.get(server.url());
        const auto* value = reply.headers.find("X-Long");
        EXPECT_TRUE(value != nullptr && *value == "one two three");
        EXPECT_EQ(reply.headers.size(), 2u);
    };
    run(body);
}

TEST_F(http_integrity, a_trailer_is_no_header) {
    const scripted_server server([](const asked&) {
        return std::string("HTTP/1.1 200 OK\r\nX-Sum: early\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n"
                           "X-Sum: late\r\nX-More: yes\r\n\r\n");
    });
    const auto body = [&](http::client& client) -> muster::task<> {
        auto reply = co_await client.get(server.url());
        EXPECT_EQ(reply.headers.find_all("X-Sum"), std::vector<std::string>{"early"});
        EXPECT_EQ(reply.trailers.find_all("X-Sum"), std::vector<std::string>{"late"});
        EXPECT_EQ(reply.trailers.size(), 2u);
        auto stream = co_await client.open(http::request(server.url()));
        auto all = co_await stream.read_all();
        EXPECT_EQ(all, "ok");
        EXPECT_EQ(stream.trailers().find_all("X-Sum"), std::vector<std::string>{"late"});
    };
    run(body);
}

// ---- packed bodies ----

TEST_F(http_integrity, a_packed_body_that_is_cut_anywhere_is_never_a_value) {
    const std::string packed = gzip(noise(400));
    std::size_t cut = 0;
    bool in_chunks = false;
    const scripted_server server([&](const asked&) {
        const std::string part = packed.substr(0, cut);
        std::string head = "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nConnection: close\r\n";
        if (!in_chunks)
            return head + "\r\n" + part + std::string(scripted_server::then_close);
        char size[16];
        std::snprintf(size, sizeof size, "%zx\r\n", part.size());
        return head + "Transfer-Encoding: chunked\r\n\r\n" + size + part + "\r\n0\r\n\r\n";
    });
    const auto body = [&](http::client& client) -> muster::task<> {
        for (const bool chunked : {false, true})
            for (cut = chunked ? 1 : 0; cut != packed.size(); cut += cut < 30 || cut + 12 > packed.size() ? 1 : 7) {
                in_chunks = chunked;
                auto ended = co_await muster::as_outcome(client.get(server.url()));
                EXPECT_TRUE(ended.failed_with<http::truncated_error>()) << cut << ' ' << muster::to_string(ended);
            }
        cut = packed.size();
        auto whole = co_await client.get(server.url());
        EXPECT_EQ(whole.body, noise(400));
    };
    run(body);
}

TEST_F(http_integrity, a_packed_body_in_members_is_unpacked_and_rubbish_behind_it_is_refused_by_name) {
    std::string sent = gzip("one ") + gzip("two ") + gzip("three") + std::string(10, '\0');
    const scripted_server server(
        [&](const asked&) { return scripted_server::text("200 OK", sent, "Content-Encoding: gzip\r\n"); });
    const auto body = [&](http::client& client) -> muster::task<> {
        auto reply = co_await client.get(server.url());
        EXPECT_EQ(reply.body, "one two three");
        sent = gzip("one") + "rubbish";
        auto ended = co_await muster::as_outcome(client.get(server.url()));
        const auto* error = ended.error_as<http::protocol_error>();
        EXPECT_TRUE(error != nullptr && error->problem() == "there are bytes after the end of the gzip body")
            << muster::to_string(ended);
        sent = "no gzip at all";
        auto broken = co_await muster::as_outcome(client.get(server.url()));
        EXPECT_TRUE(broken.failed_with<http::protocol_error>()) << muster::to_string(broken);
    };
    run(body);
}

// ---- HEAD, Expect ----

TEST_F(http_integrity, a_head_request_has_no_body_to_wait_for_nor_to_limit) {
    const scripted_server server([](const asked&) {
        return std::string("HTTP/1.1 200 OK\r\nContent-Length: 100000000000\r\nContent-Encoding: gzip\r\n\r\n");
    });
    const auto body = [&](http::client& client) -> muster::task<> {
        auto ask = http::request(server.url()).method("HEAD");
        auto reply = co_await client.send(std::move(ask));
        EXPECT_EQ(reply.status, 200);
        auto with_body = http::request(server.url()).method("HEAD").body("odd, but allowed");
        auto second = co_await client.send(std::move(with_body));
        EXPECT_EQ(second.status, 200);
    };
    run(body, http::client_options().timeout(10s));
}

TEST_F(http_integrity, a_small_upload_does_not_wait_for_an_answer_that_does_not_come) {
    const scripted_server server([](const asked& a) { return scripted_server::text("200 OK", a.head); });
    const auto body = [&](http::client& client) -> muster::task<> {
        auto ask = http::request(server.url()).method("PUT").body_from(gives({"0123456789"}), 10);
        auto reply = co_await client.send(std::move(ask));
        EXPECT_EQ(reply.body.find("Expect"), std::string::npos) << reply.body;
    };
    run(body);
}

TEST_F(http_integrity, a_server_that_refuses_to_be_asked_is_asked_once_more_without) {
    const scripted_server server([](const asked& a) {
        return a.has("Expect: 100-continue") ? scripted_server::text("417 Expectation Failed", "")
                                             : scripted_server::text("200 OK", a.body);
    });
    const auto body = [&](http::client& client) -> muster::task<> {
        auto ask = http::request(server.url()).method("PUT").body("hello").expect_continue(50ms);
        auto reply = co_await client.send(std::move(ask));
        EXPECT_EQ(reply.status, 200);
        EXPECT_EQ(reply.body, "hello");
    };
    run(body);
    EXPECT_EQ(server.requests(), 2u);
}

} // namespace
