// SPDX-License-Identifier: MIT
// URLs as persons write them, where redirects lead, how bodies end: the decisions that need no server.
#include "support/http_fixture.hpp"

#include "http/body_decoder.hpp"
#include "http/framing.hpp"
#include "http/redirect.hpp"
#include "http/url.hpp"

#include <cctype>

namespace {

TEST(http_url, a_url_goes_out_as_browsers_send_it) {
    EXPECT_EQ(http::wire_url("http://a.example/x?y=z#f"), "http://a.example/x?y=z#f");
    EXPECT_EQ(http::wire_url("http://a.example/\xC3\xA4 b?q=\xC3\xBC&r=1 2#\xC3\x9F"),
        "http://a.example/%C3%A4%20b?q=%C3%BC&r=1%202#%C3%9F");
    EXPECT_EQ(http::wire_url("http://a.example/100%25/%C3%A4"), "http://a.example/100%25/%C3%A4");
    EXPECT_THROW(static_cast<void>(http::wire_url("http://a.example/x\ny")), http::url_error);
}

#if MUSTER_HTTP_IDN2
TEST(http_url, an_international_host_needs_no_locale) {
    EXPECT_EQ(http::wire_url("http://u:p@B\xC3\xBC"
                             "cher.example:80/"),
        "http://u:p@xn--bcher-kva.example:80/");
    EXPECT_EQ(http::wire_url("http://stra\xC3\x9F"
                             "e.example/"),
        "http://xn--strae-oqa.example/");
    EXPECT_THROW(static_cast<void>(http::wire_url("http://a\xFF.example/")), http::url_error);
}
#endif

TEST(http_url, a_blank_in_a_path_reaches_the_server_encoded) {
    const faulty_server server;
    const auto body = [&]() -> muster::task<> {
        http::client client;
        auto reply = co_await client.get(server.url("/echo?a b=\xC3\xA4"));
        EXPECT_EQ(reply.body.rfind("GET /echo?a%20b=%C3%A4 HTTP/1.1", 0), 0u) << reply.body;
    };
    muster::run(body());
}

TEST(http_redirect, each_status_and_method_leads_where_browsers_go) {
    struct row {
        int status;
        const char* method;
        const char* next;
        bool sends_body;
    };
    for (const row& r : {row{301, "POST", "", false}, row{302, "POST", "", false}, row{303, "POST", "", false},
             row{303, "PUT", "", false}, row{303, "HEAD", "HEAD", true}, row{307, "POST", "POST", true},
             row{308, "POST", "POST", true}, row{301, "PUT", "PUT", true}, row{302, "DELETE", "DELETE", true}}) {
        const auto next = http::after_redirect({"http://a/x/y", r.method, true, false}, r.status, "z", "http://a/");
        EXPECT_EQ(next.method, r.next) << r.status << r.method;
        EXPECT_EQ(next.sends_body, r.sends_body) << r.status << r.method;
        EXPECT_EQ(next.url, "http://a/x/z");
        EXPECT_FALSE(next.is_elsewhere);
    }
    for (const std::string to : {"https://a/", "http://b/", "http://a:81/", "//b/"})
        EXPECT_TRUE(http::after_redirect({"http://a/", "", false, false}, 302, to, "").is_elsewhere) << to;
    EXPECT_FALSE(http::after_redirect({"http://a/", "", false, false}, 302, "http://A:80/x", "").is_elsewhere);
    EXPECT_THROW(static_cast<void>(http::after_redirect({"http://a/", "", false, false}, 302, "ftp://b/", "")),
        http::protocol_error);
}

TEST(http_framing, lengths_must_agree_and_the_status_decides_first) {
    const auto frame = [](bool is_head, int status, std::vector<std::pair<std::string, std::string>> fields) {
        http::header_list list;
        for (auto& [name, value] : fields)
            list.add(name, value);
        return http::frame_of(is_head, status, http::http_version::http1_1, list).kind;
    };
    using enum http::framing;
    EXPECT_EQ(frame(false, 200, {{"Content-Length", "5"}}), length);
    EXPECT_EQ(frame(true, 200, {{"Content-Length", "5"}}), none);
    EXPECT_EQ(frame(false, 204, {{"Content-Length", "5"}}), none);
    EXPECT_EQ(frame(false, 200, {{"Transfer-Encoding", "Chunked"}, {"Content-Length", "5"}}), chunks);
    EXPECT_THROW(frame(false, 200, {{"Transfer-Encoding", "gzip"}}), http::framing_error);
    EXPECT_EQ(frame(true, 200, {{"Transfer-Encoding", "gzip"}}), none);
    EXPECT_EQ(frame(false, 200, {}), until_close);
    EXPECT_THROW(frame(false, 200, {{"Content-Length", "5"}, {"content-length", "6"}}), http::framing_error);
    EXPECT_EQ(frame(false, 200, {{"Content-Length", "99999999999999999999999"}}), length);
}

std::string from_hex(std::string_view hex) {
    std::string bytes;
    for (std::size_t i = 0; i + 1 < hex.size(); i += 2)
        bytes += static_cast<char>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16));
    return bytes;
}

TEST(http_decoder, every_encoding_is_complete_at_its_last_byte_and_not_before_however_it_is_split) {
    const std::string text =
        "muster muster muster, each and every one of them; muster muster muster, and then some more of them.";
    std::vector<std::pair<std::string, std::string>> packed {
#if MUSTER_HTTP_BROTLI
        {"br", from_hex("1b620000047463a98e2e8662cce370dde04803e2b2b241261dd77d8fb14c63517c43dcd9dcc21a2ce6674205d8ac3d"
                        "1e1e2a0ad811f8d8a6f002")},
#endif
#if MUSTER_HTTP_ZSTD
            {"zstd", from_hex("28b52ffd246325020034036d7573746572202c206561636820616e64206576657279206f6e65206f66207468"
                              "656d3b2c7468656e20736f6d65206d6f722e050055d54375196436a764a7a31801f63d32bf")},
#endif
    };
    for (const auto& [name, bytes] : packed)
        for (std::size_t cut = 0; cut <= bytes.size(); ++cut) {
            http::body_decoder decoder;
            decoder.begin(name);
            std::string out;
            const auto into = [&](std::string_view piece) {
                out += piece;
                return true;
            };
            std::size_t work = 1 << 20;
            decoder.take(bytes.substr(0, cut), into, work);
            EXPECT_EQ(decoder.is_complete(), cut == bytes.size()) << name << ' ' << cut;
            if (cut != bytes.size())
                decoder.take(bytes.substr(cut), into, work);
            EXPECT_TRUE(decoder.is_complete()) << name << ' ' << cut;
            EXPECT_EQ(out, text) << name << ' ' << cut;
        }
    http::body_decoder unknown;
    EXPECT_THROW(unknown.begin("compress"), http::decoding_error);
    EXPECT_THROW(unknown.begin("gzip,gzip,gzip,gzip,gzip,gzip"), http::decoding_error);
}

TEST_F(http_client, a_retry_after_that_is_no_date_and_no_number_is_as_if_it_were_not_there) {
    const scripted_server server([](const asked& a) {
        const auto at = a.head.find("/?") + 2;
        return scripted_server::text(
            "503 Busy", "", "Retry-After: " + a.head.substr(at, a.head.find(' ', at) - at) + "\r\n");
    });
    const auto body = [&](http::client& client) -> muster::task<> {
        auto none = co_await client.get(server.url("/?soon"));
        EXPECT_EQ(none.retry_after, std::nullopt);
        auto some = co_await client.get(server.url("/?7"));
        EXPECT_EQ(some.retry_after, 7s);
    };
    run(body);
}

TEST_F(http_client, a_proxy_that_refuses_is_not_asked_again) {
    const scripted_server proxy([](const asked&) {
        return scripted_server::text("403 Forbidden", "no", "Retry-After: 9\r\n") +
               std::string(scripted_server::then_close);
    });
    const auto body = [&](http::client& client) -> muster::task<> {
        auto ended = co_await muster::as_outcome(client.get("https://muster.invalid/"));
        const auto* error = ended.error_as<http::proxy_error>();
        EXPECT_TRUE(error != nullptr && error->status() == 403 && error->retry_after() == 9s)
            << muster::to_string(ended);
    };
    auto options = http::client_options().proxy(proxy.url()).no_proxy("");
    options.retry(http::resend_policy(3).first_delay(1ms));
    run(body, options);
    EXPECT_EQ(proxy.requests(), 1u);
    EXPECT_THROW(options.proxy("ftp://proxy"), std::invalid_argument);
}

TEST_F(http_client, a_request_may_refuse_compression_and_a_retry_is_told) {
    const scripted_server server([](const asked& a) {
        return a.number == 0 ? scripted_server::text("503 Busy", "") : scripted_server::text("200 OK", a.head);
    });
    std::size_t told = 0;
    const auto body = [&](http::client& client) -> muster::task<> {
        auto ask = http::request(server.url()).compression(false);
        auto reply = co_await client.send(std::move(ask));
        EXPECT_EQ(reply.body.find("Accept-Encoding"), std::string::npos) << reply.body;
        auto next = co_await client.get(server.url());
        EXPECT_NE(next.body.find("Accept-Encoding"), std::string::npos) << next.body;
    };
    auto policy = http::resend_policy(1).first_delay(1ms);
    policy.on_retry([&](std::size_t attempt, std::chrono::nanoseconds, const std::exception_ptr& error) {
        told += attempt;
        EXPECT_EQ(error, nullptr);
    });
    run(body, http::client_options().retry(policy));
    EXPECT_EQ(told, 1u);
}

TEST_F(http_client, https_only_refuses_http_and_other_secrets_stay_at_home) {
    const scripted_server other([](const asked& a) { return scripted_server::text("200 OK", a.head); });
    const scripted_server first(
        [&](const asked&) { return scripted_server::text("302 Found", "", "Location: " + other.url() + "\r\n"); });
    const auto body = [&](http::client& client) -> muster::task<> {
        auto ask = http::request(first.url()).header("X-Api-Key", "k1").header("X-Mine", "k2");
        auto reply = co_await client.send(std::move(ask));
        EXPECT_EQ(reply.body.find("k1"), std::string::npos) << reply.body;
        EXPECT_NE(reply.body.find("k2"), std::string::npos) << reply.body;
    };
    run(body);
    const auto refused = [&](http::client& client) -> muster::task<> {
        auto ended = co_await muster::as_outcome(client.get(first.url()));
        EXPECT_TRUE(ended.failed_with<http::url_error>()) << muster::to_string(ended);
    };
    run(refused, http::client_options().https_only());
}

} // namespace
