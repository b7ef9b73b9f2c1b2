// SPDX-License-Identifier: MIT
// Faults of muster::http that were found, each named after what it lost or did twice.
#include "support/http_fixture.hpp"

#include <muster/outcomes.hpp>

#include <optional>
#include <utility>

namespace {

class http_regression : public http_client {};

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

TEST_F(http_regression, a_post_whose_kept_connection_breaks_is_not_carried_out_twice) {
    std::atomic<int> posts{0};
    const scripted_server server([&](const asked& a) {
        if (!a.has("POST"))
            return scripted_server::text("200 OK", "");
        ++posts;
        return std::string(); // carried out, and the connection closed
    });
    const auto body = [&](http::client& client) -> muster::task<> {
        auto warm = co_await client.get(server.url());
        EXPECT_EQ(warm.status, 200);
        auto ask = http::request(server.url()).method("POST").body("once");
        auto ended = co_await muster::as_outcome(client.send(std::move(ask)));
        EXPECT_TRUE(ended.failed_with<http::reset_error>()) << muster::to_string(ended);
    };
    run(body);
    EXPECT_EQ(posts, 1);
}

TEST_F(http_regression, a_source_gives_no_byte_more_and_none_less_than_it_announced) {
    const auto body = [&](http::client& client) -> muster::task<> {
        auto longer = http::request(url("/echo")).body_from(gives({"abcDELETE /target HTTP/1.1"}), 3);
        auto first = co_await muster::as_outcome(client.send(std::move(longer)));
        EXPECT_TRUE(first.failed_with<http::body_error>()) << muster::to_string(first);
        auto shorter = http::request(url("/echo")).body_from(gives({"abc"}), 10);
        auto second = co_await muster::as_outcome(client.send(std::move(shorter)));
        EXPECT_TRUE(second.failed_with<http::body_error>()) << muster::to_string(second);
    };
    run(body);
}

TEST_F(http_regression, a_303_makes_a_get_of_any_method) {
    const scripted_server server([](const asked& a) {
        if (a.has(" /target "))
            return scripted_server::text("200 OK", a.head.substr(0, a.head.find(' ')));
        return scripted_server::text("303 See Other", "", "Location: /target\r\n");
    });
    const auto body = [&](http::client& client) -> muster::task<> {
        for (const auto* method : {"DELETE", "PATCH", "POST"}) {
            auto ask = http::request(server.url("/from")).method(method);
            auto reply = co_await client.send(std::move(ask));
            EXPECT_EQ(reply.body, "GET") << method;
        }
        auto pulled = http::request(server.url("/from")).body_from(gives({"abc"}));
        auto reply = co_await client.send(std::move(pulled));
        EXPECT_EQ(reply.body, "GET");
    };
    run(body);
}

TEST_F(http_regression, an_error_answer_beside_a_sink_keeps_to_the_limit_too) {
    const scripted_server server(
        [](const asked&) { return scripted_server::text("500 Internal Server Error", std::string(100'000, 'x')); });
    const auto body = [&](http::client& client) -> muster::task<> {
        std::string sunk;
        auto ask = http::request(server.url()).body_to([&](std::string_view piece) { sunk += piece; });
        auto ended = co_await muster::as_outcome(client.send(std::move(ask)));
        EXPECT_TRUE(ended.failed_with<http::too_large_error>()) << muster::to_string(ended);
        EXPECT_EQ(sunk, "");
    };
    http::client_options options;
    options.body_limit(1000);
    run(body, options);
}

TEST_F(http_regression, a_password_in_a_url_is_in_no_message) {
    const auto body = [&](http::client& client) -> muster::task<> {
        auto ended = co_await muster::as_outcome(client.get("http://user:secret@127.0.0.1:1/a@b"));
        const auto* error = ended.error_as<http::connect_error>();
        EXPECT_NE(error, nullptr);
        if (error != nullptr) {
            const std::string text = error->what();
            EXPECT_EQ(text.find("secret"), std::string::npos) << text;
            EXPECT_EQ(text.rfind("http://127.0.0.1:1/a@b: ", 0), 0u) << text;
            EXPECT_NE(error->url().find("secret"), std::string::npos);
        }
    };
    run(body);
}

} // namespace
