// SPDX-License-Identifier: MIT
// faulty_server as a good server: its answers, its protocol, its slowness.
#include <muster/testing/faulty_server.hpp>

#include <chrono>
#include <cstdint>
#include <string>
#include <utility>

#include <gtest/gtest.h>

#include "support/raw_client.hpp"

namespace {

using namespace raw;

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

} // namespace
