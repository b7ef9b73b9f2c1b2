// SPDX-License-Identifier: MIT
// Each way in which a request can fail has its type.
#include "support/http_fixture.hpp"

#include <cerrno>
#include <stdexcept>

namespace {

/// Speaks plain text to whoever connects, once, whatever is said to it.
class plain_speaker {
public:
    [[nodiscard]] std::string port() const { return std::to_string(here_.port()); }

private:
    static void speak(int peer) {
        loopback::say(peer, "220 hello, hello\r\n");
        for (std::string said; loopback::more(peer, said);) {}
    }
    loopback_listener here_{&speak};
};

// ---- errors, each of its type ----

TEST_F(http_client, a_malformed_url_is_refused_before_any_io) {
    for (const std::string bad : {"", " ", "http://", "http:///", "nonsense", "://x", "http://[::1", "http://a b/",
             "http://a:99999/", "http://a:x/", "http://a\n/", "localhost:80/x"})
        expect_error<http::url_error>(bad);
    expect_error<http::url_error>(url("/ok") + std::string("\0tail", 5));
    expect_error<http::url_error>("http://" + std::string(9'000'000, 'a') + "/");
    EXPECT_EQ(server_.stats().connections, 0u);
}

TEST_F(http_client, another_scheme_is_refused_before_any_io) {
    for (const std::string bad : {"ftp://127.0.0.1/x", "file:///etc/passwd", "gopher://127.0.0.1/", "FILE:///x",
             "mailto:a@b.c", "javascript:alert(1)", "dict://127.0.0.1/", "scp://127.0.0.1/x"})
        expect_error<http::url_error>(bad);
}

TEST_F(http_client, a_user_with_a_nul_in_a_url_is_a_url_error_and_no_fault_of_the_server) {
    expect_error<http::url_error>("http://a%00b@127.0.0.1:1/");
}

TEST_F(http_client, a_url_error_is_an_invalid_argument) {
    const auto body = [](http::client& client) -> muster::task<> {
        auto asked = client.get("nonsense");
        auto ended = co_await muster::as_outcome(std::move(asked));
        EXPECT_TRUE(ended.failed_with<std::invalid_argument>());
    };
    run(body);
}

TEST_F(http_client, a_name_without_address_is_a_resolve_error) {
    expect_error<http::resolve_error>("http://no-such-host.invalid/");
}

TEST_F(http_client, a_refused_connection_is_a_connect_error_with_its_code) {
    const auto port = std::to_string(faulty_server::unused_port());
    expect_error<http::connect_error>("http://127.0.0.1:" + port + "/",
        [](const http::connect_error& e) { EXPECT_EQ(e.code(), std::errc::connection_refused) << e.what(); });
}

TEST_F(http_client, tls_with_a_server_that_speaks_none_is_a_tls_error) {
    const plain_speaker server;
    expect_error<http::tls_error>("https://127.0.0.1:" + server.port() + "/ok");
}

TEST_F(http_client, a_server_that_never_answers_is_a_timeout_error) {
    const auto began = std::chrono::steady_clock::now();
    expect_error<http::timeout_error>(url("/never"), nullptr, http::client_options().timeout(80ms));
    const auto took = std::chrono::steady_clock::now() - began;
    EXPECT_GE(took, 80ms);
    EXPECT_LT(took, 2s);
}

TEST_F(http_client, a_time_out_is_a_muster_timeout_error_and_each_request_may_have_its_own) {
    const auto body = [&](http::client& client) -> muster::task<> {
        auto ask = http::request(url("/drip/20/1000")).timeout(90ms);
        auto asked = client.send(std::move(ask));
        auto ended = co_await muster::as_outcome(std::move(asked));
        EXPECT_TRUE(ended.failed_with<muster::timeout_error>()) << muster::to_string(ended);
        EXPECT_TRUE(ended.failed_with<std::runtime_error>());
    };
    run(body, http::client_options().timeout(1h));
}

TEST_F(http_client, a_connection_that_is_never_accepted_ends_with_the_connect_timeout) {
    // A listening socket whose queue is full answers no further connection.
    faulty_server_options chosen;
    chosen.accepting = on_accept::ignore;
    const faulty_server silent(chosen);
    expect_error<http::timeout_error>("https://127.0.0.1:" + std::to_string(silent.port()) + "/", nullptr,
        http::client_options().connect_timeout(80ms));
}

TEST_F(http_client, a_reset_before_the_answer_is_a_reset_error) {
    expect_error<http::reset_error>(url("/reset"),
        [](const http::reset_error& e) { EXPECT_EQ(e.code(), std::errc::connection_reset) << e.what(); });
}

TEST_F(http_client, a_reset_after_the_headers_is_a_truncated_error) {
    expect_error<http::truncated_error>(url("/reset-after-headers"));
}

TEST_F(http_client, a_close_without_an_answer_is_a_reset_error) {
    expect_error<http::reset_error>(url("/close-early"));
}

TEST_F(http_client, a_truncated_body_is_a_truncated_error) {
    expect_error<http::truncated_error>(url("/truncated/1000"));
}

TEST_F(http_client, garbage_is_a_protocol_error) { expect_error<http::protocol_error>(url("/garbage")); }

TEST_F(http_client, a_bad_chunk_is_a_protocol_error) { expect_error<http::protocol_error>(url("/bad-chunk")); }

TEST_F(http_client, redirects_without_an_end_are_a_protocol_error) {
    expect_error<http::protocol_error>(url("/redirect-loop"));
    EXPECT_EQ(server_.stats().requests, 21u);
}

TEST_F(http_client, endless_headers_are_a_too_large_error) {
    expect_error<http::too_large_error>(
        url("/endless-headers"), [](const http::too_large_error& e) { EXPECT_EQ(e.limit(), 10'000u); },
        http::client_options().header_limit(10'000));
}

TEST_F(http_client, a_body_over_the_limit_is_a_too_large_error_announced_or_not) {
    const auto limit = http::client_options().body_limit(1000);
    expect_error<http::too_large_error>(
        url("/bytes/1001"), [](const http::too_large_error& e) { EXPECT_EQ(e.limit(), 1000u); }, limit);
    expect_error<http::too_large_error>(url("/chunked/1001"), nullptr, limit);
    const auto body = [&](http::client& client) -> muster::task<> {
        auto exact = co_await client.get(url("/bytes/1000"));
        EXPECT_EQ(exact.body.size(), 1000u);
        auto unlimited = http::request(url("/chunked/5000")).body_limit(http::no_limit);
        auto reply = co_await client.send(std::move(unlimited));
        EXPECT_EQ(reply.body.size(), 5000u);
    };
    run(body, limit);
}

TEST_F(http_client, a_gzip_bomb_meets_the_limit_of_its_unpacked_size) {
    expect_error<http::too_large_error>(
        url("/gzip-bomb/64"), nullptr, http::client_options().body_limit(std::uint64_t{1} << 20));
}

TEST_F(http_client, errors_are_copied_without_a_throw) {
    static_assert(std::is_nothrow_copy_constructible_v<http::status_error>);
    static_assert(std::is_nothrow_copy_constructible_v<http::timeout_error>);
    static_assert(std::is_nothrow_copy_constructible_v<http::url_error>);
    const http::status_error original("http://a/", "503 Service Unavailable", 503, 7s);
    const http::status_error copy(original);
    EXPECT_STREQ(copy.what(), "http://a/: 503 Service Unavailable");
    EXPECT_EQ(copy.retry_after(), 7s);
}

} // namespace
