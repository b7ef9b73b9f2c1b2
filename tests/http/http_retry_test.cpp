// SPDX-License-Identifier: MIT
// When a request is sent again, and when it must not be.
#include "support/http_fixture.hpp"

#include <muster/gather.hpp>
#include <muster/sleep.hpp>
#include <muster/task_handle.hpp>

#include <ctime>
#include <optional>
#include <stdexcept>
#include <utility>

namespace {

class http_retries : public http_client {};

http::resend_policy quick(std::size_t times) {
    http::resend_policy policy(times);
    policy.first_delay(1ms);
    return policy;
}

std::string http_date(std::chrono::seconds from_now) {
    const auto when = std::time(nullptr) + from_now.count();
    std::tm parts{};
    ::gmtime_r(&when, &parts);
    char text[64];
    return {text, std::strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &parts)};
}

TEST_F(http_retries, the_pauses_grow_and_are_random_in_part) {
    http::resend_policy policy(5);
    policy.first_delay(100ms).longest_delay(1s).factor(3).jitter(0);
    EXPECT_EQ(policy.pause_after(1, {}, 0), 100ms);
    EXPECT_EQ(policy.pause_after(2, {}, 0), 300ms);
    EXPECT_EQ(policy.pause_after(3, {}, 0), 900ms);
    EXPECT_EQ(policy.pause_after(4, {}, 0), 1s);
    EXPECT_EQ(policy.pause_after(100, {}, 0), 1s);
    policy.jitter(0.5);
    EXPECT_EQ(policy.pause_after(1, {}, 0), 100ms);
    EXPECT_LE(policy.pause_after(1, {}, ~std::uint64_t{0}), 51ms);
    EXPECT_GE(policy.pause_after(1, {}, ~std::uint64_t{0}), 50ms);
    // A server may ask for more, up to a limit; then there is no other attempt.
    EXPECT_EQ(policy.pause_after(1, 7s, 0), 7s);
    EXPECT_EQ(policy.pause_after(1, 0s, 0), 100ms);
    EXPECT_EQ(policy.pause_after(1, 121s, 0), std::nullopt);
    policy.longest_retry_after(5s);
    EXPECT_EQ(policy.pause_after(1, 6s, 0), std::nullopt);
}

TEST_F(http_retries, a_policy_refuses_what_makes_no_sense) {
    EXPECT_THROW(http::resend_policy(1).first_delay(-1ms), std::invalid_argument);
    EXPECT_THROW(http::resend_policy(1).longest_delay(-1ms), std::invalid_argument);
    EXPECT_THROW(http::resend_policy(1).factor(0.5), std::invalid_argument);
    EXPECT_THROW(http::resend_policy(1).jitter(2), std::invalid_argument);
}

TEST_F(http_retries, a_get_is_repeated_until_it_succeeds) {
    const auto body = [&](http::client& client) -> muster::task<> {
        auto reply = co_await client.get(url("/flaky/a/2"));
        EXPECT_EQ(reply.status, 200);
        EXPECT_EQ(reply.attempts, 3u);
        reply = co_await client.get(url("/flaky/b/9"));
        EXPECT_EQ(reply.status, 503);
        EXPECT_EQ(reply.attempts, 4u);
        reply = co_await client.get(url("/status/404"));
        EXPECT_EQ(reply.attempts, 1u);
        reply = co_await client.get(url("/status/500"));
        EXPECT_EQ(reply.attempts, 1u);
        auto never = http::request(url("/flaky/c/1")).retry(http::resend_policy(0));
        reply = co_await client.send(std::move(never));
        EXPECT_EQ(reply.status, 503);
        auto stream = co_await client.open(http::request(url("/flaky/d/2")));
        EXPECT_EQ(stream.status(), 200);
        EXPECT_EQ(stream.head().attempts, 3u);
        auto text = co_await stream.read_all();
        EXPECT_EQ(text, "ok\n");
    };
    run(body, http::client_options().retry(quick(3)));
}

TEST_F(http_retries, other_statuses_may_be_chosen) {
    const auto body = [&](http::client& client) -> muster::task<> {
        auto ask = http::request(url("/status/418")).retry(quick(2).statuses({418}));
        auto reply = co_await client.send(std::move(ask));
        EXPECT_EQ(reply.attempts, 3u);
    };
    run(body);
}

TEST_F(http_retries, broken_connections_and_time_outs_are_repeated_and_the_last_failure_is_thrown) {
    const auto body = [&](http::client& client) -> muster::task<> {
        for (const auto* path : {"/reset", "/close-early", "/never"}) {
            auto ask = http::request(url(path)).timeout(60ms);
            auto asked = client.send(std::move(ask));
            auto ended = co_await muster::as_outcome(std::move(asked));
            EXPECT_TRUE(ended.failed_with<http::error>()) << muster::to_string(ended);
        }
        auto ask = client.get(url("/garbage"));
        auto ended = co_await muster::as_outcome(std::move(ask));
        EXPECT_TRUE(ended.failed_with<http::protocol_error>());
    };
    run(body, http::client_options().retry(quick(2)));
    const auto by_route = server_.stats().by_route;
    EXPECT_EQ(by_route.at("/reset"), 3u);
    EXPECT_EQ(by_route.at("/close-early"), 3u);
    EXPECT_EQ(by_route.at("/never"), 3u);
    EXPECT_EQ(by_route.at("/garbage"), 1u);
}

TEST_F(http_retries, a_post_is_repeated_only_where_that_is_safe) {
    const scripted_server server([](const asked&) { return scripted_server::text("503 Service Unavailable", ""); });
    const auto body = [&](http::client& client) -> muster::task<> {
        auto plain = http::request(server.url()).body("x");
        auto reply = co_await client.send(std::move(plain));
        EXPECT_EQ(reply.attempts, 1u);
        auto patch = http::request(server.url()).method("PATCH").body("x");
        reply = co_await client.send(std::move(patch));
        EXPECT_EQ(reply.attempts, 1u);
        auto put = http::request(server.url()).method("PUT").body("x");
        reply = co_await client.send(std::move(put));
        EXPECT_EQ(reply.attempts, 3u);
        auto keyed = http::request(server.url()).body("x").header("idempotency-key", "7");
        reply = co_await client.send(std::move(keyed));
        EXPECT_EQ(reply.attempts, 3u);
        auto marked = http::request(server.url()).body("x").idempotent();
        reply = co_await client.send(std::move(marked));
        EXPECT_EQ(reply.attempts, 3u);
    };
    run(body, http::client_options().retry(quick(2)));
    EXPECT_EQ(server.requests(), 11u);
}

TEST_F(http_retries, a_post_of_which_nothing_was_sent_is_repeated) {
    // Somebody listens from the second attempt on.
    const auto port = faulty_server::unused_port();
    std::unique_ptr<faulty_server> late;
    const auto body = [&](http::client& client) -> muster::task<> {
        auto ask = http::request("http://127.0.0.1:" + std::to_string(port) + "/echo").body("x");
        ask.retry(http::resend_policy(50).first_delay(20ms).longest_delay(20ms));
        auto sending = muster::create_task(client.send(std::move(ask)));
        co_await muster::sleep_for(30ms);
        faulty_server_options chosen;
        chosen.port = port;
        late = std::make_unique<faulty_server>(chosen);
        auto reply = co_await std::move(sending);
        EXPECT_EQ(reply.status, 200);
        EXPECT_GT(reply.attempts, 1u);
    };
    run(body);
    late.reset();
}

TEST_F(http_retries, a_body_that_is_pulled_is_never_repeated_once_something_was_pulled) {
    const scripted_server server([](const asked&) { return scripted_server::text("503 Service Unavailable", ""); });
    const auto body = [&](http::client& client) -> muster::task<> {
        std::size_t pulled = 0;
        const auto source = [&]() -> muster::task<std::optional<std::string>> {
            co_return ++pulled == 1 ? std::optional<std::string>("x") : std::nullopt;
        };
        auto put = http::request(server.url()).method("PUT").body_from(http::body_source(source));
        auto reply = co_await client.send(std::move(put));
        EXPECT_EQ(reply.status, 503);
        EXPECT_EQ(reply.attempts, 1u);
        EXPECT_EQ(pulled, 2u);
    };
    run(body, http::client_options().retry(quick(2)));
    EXPECT_EQ(server.requests(), 1u);
}

TEST_F(http_retries, a_sink_is_given_nothing_twice) {
    const auto body = [&](http::client& client) -> muster::task<> {
        std::string got;
        auto ask = http::request(url("/reset-after-headers"));
        ask.body_to([&](std::string_view piece) { got += piece; });
        auto asked = client.send(std::move(ask));
        auto ended = co_await muster::as_outcome(std::move(asked));
        EXPECT_TRUE(ended.failed_with<http::reset_error>()) << muster::to_string(ended);
        EXPECT_LE(got.size(), 1u);
    };
    run(body, http::client_options().retry(quick(2)));
}

TEST_F(http_retries, retry_after_is_kept_to_in_both_of_its_forms) {
    std::atomic<int> form{0};
    const scripted_server server([&](const asked& a) {
        if (a.number % 2 == 1)
            return scripted_server::text("200 OK", "");
        const std::string when = form == 0 ? "1" : form == 1 ? http_date(2s) : http_date(-100s);
        return scripted_server::text("429 Too Many Requests", "", "Retry-After: " + when + "\r\n");
    });
    const auto body = [&](http::client& client) -> muster::task<> {
        for (; form != 3; ++form) {
            const auto began = std::chrono::steady_clock::now();
            auto reply = co_await client.get(server.url());
            const auto took = std::chrono::steady_clock::now() - began;
            EXPECT_EQ(reply.status, 200);
            EXPECT_EQ(reply.attempts, 2u);
            // A date has whole seconds: of two of them more than one is left.
            EXPECT_TRUE(form == 2 || took >= 900ms) << form;
        }
    };
    run(body, http::client_options().retry(quick(1)));
}

TEST_F(http_retries, a_server_that_asks_for_too_long_has_given_its_last_answer) {
    const scripted_server server([](const asked& a) {
        const std::string when = a.has("/date") ? http_date(1h) : "3600";
        return scripted_server::text("503 Service Unavailable", "", "Retry-After: " + when + "\r\n");
    });
    const auto body = [&](http::client& client) -> muster::task<> {
        for (const auto* path : {"/seconds", "/date"}) {
            auto reply = co_await client.get(server.url(path));
            EXPECT_EQ(reply.status, 503);
            EXPECT_EQ(reply.attempts, 1u);
            EXPECT_TRUE(reply.retry_after && *reply.retry_after > 3500s && *reply.retry_after <= 3600s);
        }
    };
    run(body, http::client_options().retry(quick(5)));
}

TEST_F(http_retries, a_pause_is_cancelled_at_once) {
    const auto body = [&](http::client& client) -> muster::task<> {
        auto asked = muster::create_task(client.get(url("/flaky/e/9")));
        co_await muster::sleep_for(40ms);
        asked.cancel();
        std::vector<muster::task_handle<http::response>> one{asked};
        auto ended = co_await muster::settle(one);
        EXPECT_EQ(ended.cancelled(), 1u);
    };
    http::resend_policy slow(9);
    slow.first_delay(1h).longest_delay(1h);
    run(body, http::client_options().retry(slow));
}

TEST_F(http_retries, idempotent_methods_are_those_of_the_standard) {
    for (const auto* method : {"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})
        EXPECT_TRUE(http::is_idempotent(method)) << method;
    for (const auto* method : {"POST", "PATCH", "CONNECT", "get", "BREW"})
        EXPECT_FALSE(http::is_idempotent(method)) << method;
    EXPECT_TRUE(http::request("http://a/").is_idempotent());
    EXPECT_FALSE(http::request("http://a/").body("").is_idempotent());
}

TEST_F(http_retries, errors_that_the_program_names_are_worth_another_attempt_too) {
    std::atomic<std::size_t> asked_for = 0;
    const scripted_server server([&](const asked&) {
        return asked_for++ == 0 ? "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"
                                : scripted_server::text("200 OK", "ok");
    });
    const auto body = [&](http::client& client) -> muster::task<> {
        auto policy = http::resend_policy(1).first_delay(1ms);
        auto plain = http::request(server.url()).retry(policy);
        auto ended = co_await muster::as_outcome(client.send(std::move(plain)));
        EXPECT_TRUE(ended.failed_with<http::protocol_error>()) << muster::to_string(ended);
        asked_for = 0;
        policy.when([](const std::exception_ptr& e) { return muster::is_a<http::protocol_error>(e); });
        auto again = http::request(server.url()).retry(policy);
        auto reply = co_await client.send(std::move(again));
        EXPECT_EQ(reply.attempts, 2u);
        asked_for = 0;
        auto post = http::request(server.url()).retry(policy).body("order"); // it may have been processed
        auto once = co_await muster::as_outcome(client.send(std::move(post)));
        EXPECT_TRUE(once.failed_with<http::protocol_error>()) << muster::to_string(once);
        EXPECT_EQ(asked_for, 1u);
    };
    run(body);
}

} // namespace
