// SPDX-License-Identifier: MIT
#include "support/http_fixture.hpp"

#include <muster/event_loop.hpp>
#include <muster/gather.hpp>
#include <muster/map.hpp>
#include <muster/sleep.hpp>
#include <muster/task_handle.hpp>
#include <muster/timeout.hpp>

#include <csignal>
#include <stdexcept>
#include <utility>

#include <sys/resource.h>

namespace {

// ---- what comes back ----

TEST_F(http_client, get_gives_status_headers_body_and_times) {
    const auto body = [&](http::client& client) -> muster::task<> {
        auto reply = co_await client.get(url("/ok"));
        EXPECT_EQ(reply.status, 200);
        EXPECT_FALSE(reply.is_error());
        EXPECT_EQ(reply.body, "ok\n");
        EXPECT_EQ(reply.body_size, 3u);
        EXPECT_EQ(reply.url, url("/ok"));
        EXPECT_EQ(reply.effective_url, url("/ok"));
        const auto* length = reply.headers.find("content-LENGTH");
        EXPECT_TRUE(length != nullptr && *length == "3");
        EXPECT_EQ(reply.headers.find("no-such-header"), nullptr);
        EXPECT_GT(reply.timing.total, 0us);
        EXPECT_GE(reply.timing.total, reply.timing.first_byte);
        reply.throw_if_error();
    };
    run(body);
}

TEST_F(http_client, get_reads_bodies_of_any_size_and_framing) {
    const auto body = [&](http::client& client) -> muster::task<> {
        for (const std::string path : {"/bytes/0", "/bytes/1", "/bytes/1000000", "/chunked/1000000"}) {
            auto reply = co_await client.get(url(path));
            const auto size = std::stoul(path.substr(path.rfind('/') + 1));
            EXPECT_EQ(reply.body.size(), size) << path;
            bool right = true;
            for (std::size_t i = 0; i != reply.body.size(); ++i)
                right = right && reply.body[i] == static_cast<char>('a' + i % 26);
            EXPECT_TRUE(right) << path;
        }
    };
    run(body);
}

TEST_F(http_client, send_sends_method_headers_and_body) {
    const auto body = [&](http::client& client) -> muster::task<> {
        auto ask = http::request(url("/echo")).header("X-Colour", "green").header("X-Empty", "").body("the body");
        auto reply = co_await client.send(std::move(ask));
        EXPECT_EQ(reply.body.rfind("POST /echo HTTP/1.1\r\n", 0), 0u) << reply.body;
        EXPECT_NE(reply.body.find("X-Colour: green\r\n"), std::string::npos) << reply.body;
        EXPECT_NE(reply.body.find("X-Empty:"), std::string::npos) << reply.body;
        EXPECT_TRUE(reply.body.ends_with("\r\n\r\nthe body")) << reply.body;
        auto put = http::request(url("/echo")).method("PUT").body("");
        reply = co_await client.send(std::move(put));
        EXPECT_EQ(reply.body.rfind("PUT /echo HTTP/1.1\r\n", 0), 0u) << reply.body;
        auto erase = http::request(url("/echo")).method("DELETE");
        reply = co_await client.send(std::move(erase));
        EXPECT_EQ(reply.body.rfind("DELETE /echo HTTP/1.1\r\n", 0), 0u) << reply.body;
        auto head = http::request(url("/bytes/10")).method("HEAD");
        reply = co_await client.send(std::move(head));
        EXPECT_EQ(reply.status, 200);
        EXPECT_EQ(reply.body, "");
        // Nothing of the one before is left in the next.
        reply = co_await client.get(url("/echo"));
        EXPECT_EQ(reply.body.rfind("GET /echo HTTP/1.1\r\n", 0), 0u) << reply.body;
        EXPECT_EQ(reply.body.find("X-Colour"), std::string::npos) << reply.body;
    };
    run(body);
}

TEST_F(http_client, a_request_refuses_what_would_become_another_header) {
    EXPECT_THROW(http::request("http://a/").header("X", "a\r\nEvil: b"), std::invalid_argument);
    EXPECT_THROW(http::request("http://a/").header("X", std::string("a\0b", 3)), std::invalid_argument);
    EXPECT_THROW(http::request("http://a/").header("X Y", "a"), std::invalid_argument);
    EXPECT_THROW(http::request("http://a/").header("", "a"), std::invalid_argument);
    EXPECT_THROW(http::request("http://a/").method("GET / HTTP/1.1\r\n"), std::invalid_argument);
    EXPECT_THROW(http::request("http://a/").timeout(0s), std::invalid_argument);
    EXPECT_THROW(http::request("http://a/").timeout(-1s), std::invalid_argument);
    EXPECT_THROW(http::client_options().user_agent("a\nb"), std::invalid_argument);
    EXPECT_THROW(http::client_options().connections(0), std::invalid_argument);
    EXPECT_THROW(http::client_options().connections_per_host(0), std::invalid_argument);
    EXPECT_THROW(http::client_options().connect_timeout(0s), std::invalid_argument);
    EXPECT_THROW(http::client_options().timeout(-1s), std::invalid_argument);
}

TEST_F(http_client, the_user_agent_is_what_was_set) {
    const auto body = [&](http::client& client) -> muster::task<> {
        auto reply = co_await client.get(url("/headers"));
        EXPECT_NE(reply.body.find("User-Agent: tester/1\r\n"), std::string::npos) << reply.body;
    };
    run(body, http::client_options().user_agent("tester/1"));
}

TEST_F(http_client, redirects_are_followed_and_counted) {
    const auto body = [&](http::client& client) -> muster::task<> {
        auto reply = co_await client.get(url("/redirect/3"));
        EXPECT_EQ(reply.status, 200);
        EXPECT_EQ(reply.timing.redirects, 3u);
        EXPECT_EQ(reply.url, url("/redirect/3"));
        EXPECT_NE(reply.effective_url, reply.url);
        EXPECT_EQ(reply.body, "ok\n");
        EXPECT_EQ(reply.headers.find("Location"), nullptr) << "a header of a redirect is left";
    };
    run(body);
}

TEST_F(http_client, without_redirects_the_redirect_is_the_answer) {
    const auto body = [&](http::client& client) -> muster::task<> {
        auto reply = co_await client.get(url("/redirect/3"));
        EXPECT_EQ(reply.status / 100, 3);
        EXPECT_NE(reply.headers.find("Location"), nullptr);
    };
    run(body, http::client_options().redirects(0));
}

TEST_F(http_client, a_status_of_400_or_more_is_thrown_when_asked_for) {
    const auto body = [&](http::client& client) -> muster::task<> {
        for (const int status : {399, 400, 404, 429, 500, 503, 599}) {
            auto reply = co_await client.get(url("/status/" + std::to_string(status)));
            EXPECT_EQ(reply.status, status);
            bool thrown = false;
            try {
                reply.throw_if_error();
            } catch (const http::status_error& e) {
                thrown = true;
                EXPECT_EQ(e.status(), status);
                EXPECT_EQ(e.url(), reply.url);
                EXPECT_FALSE(e.retry_after().has_value());
            }
            EXPECT_EQ(thrown, status >= 400);
        }
        auto busy = co_await client.get(url("/flaky/status/1"));
        EXPECT_EQ(busy.status, 503);
        EXPECT_TRUE(busy.retry_after == std::optional(0s));
    };
    run(body);
}

TEST_F(http_client, connections_are_used_again) {
    const auto body = [&](http::client& client) -> muster::task<> {
        for (int i = 0; i != 20; ++i) {
            auto reply = co_await client.get(url("/ok"));
            EXPECT_EQ(reply.status, 200);
        }
    };
    run(body);
    EXPECT_EQ(server_.stats().connections, 1u);
    EXPECT_EQ(server_.stats().requests, 20u);
}

// ---- bodies that go elsewhere ----

TEST_F(http_client, a_sink_gets_the_body_piece_by_piece) {
    const auto body = [&](http::client& client) -> muster::task<> {
        std::string got;
        std::size_t pieces = 0;
        auto ask = http::request(url("/bytes/300000"));
        ask.body_to([&](std::string_view piece) {
            got += piece;
            ++pieces;
        });
        auto reply = co_await client.send(std::move(ask));
        EXPECT_EQ(got.size(), 300'000u);
        EXPECT_GT(pieces, 1u);
        EXPECT_EQ(reply.body, "");
        EXPECT_EQ(reply.body_size, 300'000u);
    };
    run(body);
}

TEST_F(http_client, a_sink_does_not_get_the_body_of_an_error) {
    const auto body = [&](http::client& client) -> muster::task<> {
        std::size_t pieces = 0;
        auto ask = http::request(url("/status/404"));
        ask.body_to([&](std::string_view) { ++pieces; });
        auto reply = co_await client.send(std::move(ask));
        EXPECT_EQ(reply.status, 404);
        EXPECT_EQ(pieces, 0u);
        EXPECT_EQ(reply.body_size, reply.body.size());
    };
    run(body);
}

TEST_F(http_client, what_a_sink_throws_is_thrown_as_itself) {
    const auto body = [&](http::client& client) -> muster::task<> {
        auto ask = http::request(url("/bytes/300000"));
        ask.body_to([](std::string_view) { throw std::system_error(ENOSPC, std::generic_category(), "disk"); });
        auto asked = client.send(std::move(ask));
        auto ended = co_await muster::as_outcome(std::move(asked));
        const auto* e = ended.error_as<std::system_error>();
        EXPECT_TRUE(e != nullptr && e->code() == std::errc::no_space_on_device) << muster::to_string(ended);
        auto next = co_await client.get(url("/ok"));
        EXPECT_EQ(next.status, 200);
    };
    run(body);
}

TEST_F(http_client, a_sink_may_cancel_the_request_that_calls_it) {
    const auto body = [&](http::client& client) -> muster::task<> {
        muster::task_handle<http::response> asked;
        std::size_t pieces = 0;
        auto ask = http::request(url("/bytes/3000000"));
        ask.body_to([&](std::string_view) {
            ++pieces;
            asked.cancel("enough");
        });
        asked = muster::create_task(client.send(std::move(ask)));
        std::vector<muster::task_handle<http::response>> one{asked};
        auto ended = co_await muster::settle(one);
        EXPECT_EQ(ended.cancelled(), 1u);
        EXPECT_EQ(pieces, 1u);
        auto next = co_await client.get(url("/ok"));
        EXPECT_EQ(next.status, 200);
    };
    run(body);
}

TEST_F(http_client, a_sink_may_destroy_the_client) {
    const auto body = [&]() -> muster::task<> {
        auto client = std::make_unique<http::client>();
        auto ask = http::request(url("/bytes/3000000"));
        ask.body_to([&](std::string_view) { client.reset(); });
        auto asked = client->send(std::move(ask));
        auto ended = co_await muster::as_outcome(std::move(asked));
        EXPECT_TRUE(ended.failed_with<http::transfer_error>()) << muster::to_string(ended);
    };
    muster::run(body(), muster::run_options().strict());
}

// ---- many, and their ends ----

TEST_F(http_client, two_hundred_requests_run_side_by_side) {
    const auto body = [&](http::client& client) -> muster::task<> {
        std::vector<std::string> urls;
        for (int i = 0; i != 200; ++i)
            urls.push_back(url("/slow/100"));
        const auto began = std::chrono::steady_clock::now();
        const auto get = [&](const std::string& u) { return client.get(u); };
        auto replies = co_await muster::map(urls, get);
        EXPECT_EQ(replies.size(), 200u);
        for (const auto& reply : replies)
            EXPECT_EQ(reply.body, "ok\n");
        // One after the other they would take 20 s.
        EXPECT_LT(std::chrono::steady_clock::now() - began, 10s);
    };
    run(body);
    EXPECT_GE(server_.stats().peak_connections, 100u);
}

TEST_F(http_client, every_fault_side_by_side_ends_in_its_own_outcome) {
    const auto body = [&](http::client& client) -> muster::task<> {
        const std::vector<std::string> paths{"/ok", "/reset", "/garbage", "/truncated/100", "/never", "/status/500",
            "/redirect-loop", "/close-early", "/bad-chunk", "/reset-after-headers"};
        std::vector<std::string> urls;
        for (int i = 0; i != 200; ++i)
            urls.push_back(url(paths[static_cast<std::size_t>(i) % paths.size()]));
        const auto get = [&](const std::string& u) -> muster::task<int> {
            auto ask = http::request(u).timeout(u.ends_with("/never") ? 300ms : 60s);
            auto reply = co_await client.send(std::move(ask));
            reply.throw_if_error();
            co_return reply.status;
        };
        auto all = co_await muster::map(urls, get).limit(50).settle();
        EXPECT_EQ(all.succeeded(), 20u);
        EXPECT_EQ(all.failed(), 180u);
        EXPECT_EQ(all.failures_of<http::reset_error>().size(), 80u);
        EXPECT_EQ(all.failures_of<http::protocol_error>().size(), 60u);
        EXPECT_EQ(all.failures_of<muster::timeout_error>().size(), 20u);
        EXPECT_EQ(all.failures_of<http::status_error>().size(), 20u);
        EXPECT_EQ(all.failures_of<http::error>().size(), 180u);
    };
    run(body);
}

TEST_F(http_client, connections_per_host_holds_further_requests_back) {
    const auto body = [&](http::client& client) -> muster::task<> {
        std::vector<std::string> urls(30, url("/slow/5"));
        const auto get = [&](const std::string& u) { return client.get(u); };
        auto replies = co_await muster::map(urls, get);
        EXPECT_EQ(replies.size(), 30u);
    };
    run(body, http::client_options().connections_per_host(3));
    EXPECT_LE(server_.stats().peak_connections, 3u);
}

TEST_F(http_client, a_cancelled_request_ends_at_once_and_the_client_goes_on) {
    const auto body = [&](http::client& client) -> muster::task<> {
        for (const auto* path : {"/never", "/drip/5/100000", "/slow/60000"}) {
            auto asked = muster::create_task(client.get(url(path)));
            co_await muster::sleep_for(40ms);
            EXPECT_FALSE(asked.done());
            const auto began = std::chrono::steady_clock::now();
            asked.cancel();
            std::vector<muster::task_handle<http::response>> one{asked};
            auto ended = co_await muster::settle(one);
            EXPECT_EQ(ended.cancelled(), 1u);
            EXPECT_LT(std::chrono::steady_clock::now() - began, 1s);
        }
        auto next = co_await client.get(url("/ok"));
        EXPECT_EQ(next.status, 200);
    };
    run(body);
}

TEST_F(http_client, a_request_is_cancelled_at_every_moment_of_its_life) {
    const auto body = [&](http::client& client) -> muster::task<> {
        std::size_t cancelled = 0;
        std::size_t succeeded = 0;
        for (int turns = 0; turns != 60; ++turns) {
            auto asked = muster::create_task(client.get(url(turns % 2 == 0 ? "/bytes/200000" : "/redirect/3")));
            for (int i = 0; i != turns / 2; ++i)
                co_await muster::sleep_for(100us);
            asked.cancel();
            std::vector<muster::task_handle<http::response>> one{asked};
            auto ended = co_await muster::settle(one);
            cancelled += ended.cancelled();
            succeeded += ended.succeeded();
            EXPECT_EQ(ended.failed(), 0u);
        }
        EXPECT_EQ(cancelled + succeeded, 60u);
        EXPECT_GT(cancelled, 0u);
        auto next = co_await client.get(url("/ok"));
        EXPECT_EQ(next.status, 200);
    };
    run(body);
}

TEST_F(http_client, a_request_whose_answer_is_there_and_that_is_cancelled_in_one_instant_is_cancelled) {
    const auto body = [&](http::client& client) -> muster::task<> {
        // The handle is cancelled by a task that runs in the same turn as the request's own step.
        auto first = muster::create_task(client.get(url("/ok")));
        std::vector<muster::task_handle<http::response>> one{first};
        auto ended = co_await muster::settle(one);
        EXPECT_EQ(ended.succeeded(), 1u);
        auto pending = muster::create_task(client.get(url("/ok")));
        pending.cancel("before its first step");
        std::vector<muster::task_handle<http::response>> other{pending};
        auto none = co_await muster::settle(other);
        EXPECT_EQ(none.cancelled(), 1u);
    };
    run(body);
    EXPECT_EQ(server_.stats().requests, 1u);
}

TEST_F(http_client, a_cancelled_look_up_is_not_waited_for) {
    const auto body = [](http::client& client) -> muster::task<> {
        auto asked = muster::create_task(client.get("http://name-that-is-looked-up.example.invalid/"));
        co_await muster::yield();
        co_await muster::yield();
        asked.cancel();
        const auto began = std::chrono::steady_clock::now();
        std::vector<muster::task_handle<http::response>> one{asked};
        auto ended = co_await muster::settle(one);
        EXPECT_EQ(ended.cancelled() + ended.failed(), 1u);
        EXPECT_LT(std::chrono::steady_clock::now() - began, 1s);
        EXPECT_EQ(ended.any_failed<http::resolve_error>(), ended.failed() != 0);
    };
    run(body);
}

TEST_F(http_client, a_scope_with_a_time_limit_ends_a_request) {
    const auto body = [&](http::client& client) -> muster::task<> {
        auto asked = muster::wait_for(client.get(url("/never")), 50ms);
        bool timed_out = false;
        try {
            auto reply = co_await std::move(asked);
            EXPECT_EQ(reply.status, 0) << "/never has answered";
        } catch (const muster::timeout_error&) {
            timed_out = true;
        }
        EXPECT_TRUE(timed_out);
    };
    run(body);
}

TEST_F(http_client, requests_fail_when_the_client_is_destroyed_under_them) {
    const auto body = [&]() -> muster::task<> {
        auto client = std::make_unique<http::client>();
        std::vector<muster::task_handle<http::response>> asked;
        for (int i = 0; i != 10; ++i)
            asked.push_back(muster::create_task(client->get(url("/never"))));
        co_await muster::sleep_for(30ms);
        auto unstarted = client->get(url("/ok"));
        client.reset();
        auto all = co_await muster::settle(asked);
        EXPECT_EQ(all.failed(), 10u);
        EXPECT_EQ(all.failures_of<http::transfer_error>().size(), 10u);
        auto late = co_await muster::as_outcome(std::move(unstarted));
        EXPECT_TRUE(late.failed_with<http::transfer_error>()) << muster::to_string(late);
    };
    run([&](http::client&) { return body(); });
}

TEST_F(http_client, a_loop_that_is_destroyed_takes_its_requests_along) {
    std::vector<muster::report> reports;
    http::client client;
    {
        muster::event_loop loop;
        muster::run_options options;
        options.grace(0s).on_report([&](const muster::report& r) { reports.push_back(r); });
        const auto stubborn = [&]() -> muster::task<> {
            for (;;) {
                try {
                    auto reply = co_await client.get(url("/never"));
                    EXPECT_EQ(reply.status, 0) << "/never has answered";
                } catch (const muster::cancelled_error&) {
                    // It does not want to stop: the loop's end destroys it in the middle of its next request.
                }
            }
        };
        const auto body = [&]() -> muster::task<> {
            muster::create_task(stubborn(), "stubborn");
            co_await muster::sleep_for(20ms);
        };
        loop.run(body(), options);
    }
    EXPECT_FALSE(reports.empty());
    // The client is as good as new on another loop.
    const auto again = [&]() -> muster::task<> {
        auto reply = co_await client.get(url("/ok"));
        EXPECT_EQ(reply.status, 200);
    };
    muster::run(again());
}

TEST_F(http_client, a_client_serves_one_loop_after_another) {
    http::client client;
    for (int i = 0; i != 3; ++i) {
        const auto body = [&]() -> muster::task<> {
            auto reply = co_await client.get(url("/ok"));
            EXPECT_EQ(reply.body, "ok\n");
        };
        muster::run(body(), muster::run_options().strict());
    }
    EXPECT_EQ(server_.stats().connections, 1u);
}

TEST_F(http_client, a_loop_without_io_is_refused) {
    muster::testing::manual_loop loop;
    const auto body = [&]() -> muster::task<> {
        http::client client;
        auto asked = client.get(url("/ok"));
        auto ended = co_await muster::as_outcome(std::move(asked));
        EXPECT_TRUE(ended.failed_with<muster::invalid_state_error>()) << muster::to_string(ended);
    };
    loop.run(body());
}

TEST_F(http_client, clients_on_several_threads_do_not_meet) {
    std::vector<std::thread> threads;
    for (int t = 0; t != 4; ++t) {
        threads.emplace_back([this] {
            const auto body = [this]() -> muster::task<> {
                http::client client;
                for (int i = 0; i != 20; ++i) {
                    auto reply = co_await client.get(url("/ok"));
                    EXPECT_EQ(reply.status, 200);
                }
            };
            muster::run(body());
        });
    }
    for (auto& t : threads)
        t.join();
    EXPECT_EQ(server_.stats().requests, 80u);
}

TEST_F(http_client, a_peer_that_goes_away_while_we_write_does_not_end_the_program) {
    // The default action of SIGPIPE would be the end of this test program.
    faulty_server_options chosen;
    chosen.accepting = on_accept::reset;
    const faulty_server resets(chosen);
    const auto body = [&](http::client& client) -> muster::task<> {
        for (int i = 0; i != 20; ++i) {
            auto ask = http::request(resets.url("/echo")).body(std::string(1 << 20, 'x'));
            auto asked = client.send(std::move(ask));
            auto ended = co_await muster::as_outcome(std::move(asked));
            EXPECT_TRUE(ended.failed_with<http::error>()) << muster::to_string(ended);
        }
    };
    struct sigaction now {};
    sigaction(SIGPIPE, nullptr, &now);
    EXPECT_EQ(now.sa_handler, SIG_DFL);
    run(body);
}

TEST_F(http_client, without_descriptors_a_request_fails_and_the_next_one_works) {
    if (muster::detail::with_address_sanitizer)
        GTEST_SKIP() << "the sanitizer opens descriptors of its own to check addresses";
    const auto body = [&](http::client& client) -> muster::task<> {
        rlimit before{};
        getrlimit(RLIMIT_NOFILE, &before);
        rlimit none = before;
        none.rlim_cur = 3;
        setrlimit(RLIMIT_NOFILE, &none);
        auto asked = client.get(url("/ok"));
        auto ended = co_await muster::as_outcome(std::move(asked));
        setrlimit(RLIMIT_NOFILE, &before);
        EXPECT_TRUE(ended.failed_with<http::error>()) << muster::to_string(ended);
        auto next = co_await client.get(url("/ok"));
        EXPECT_EQ(next.status, 200);
    };
    run(body);
}

TEST_F(http_client, a_request_that_is_never_awaited_is_reported) {
    std::vector<muster::report> reports;
    const auto body = [&]() -> muster::task<> {
        http::client client;
        { [[maybe_unused]] auto dropped = client.get(url("/ok")); }
        co_return;
    };
    muster::run(body(), muster::run_options().on_report([&](const muster::report& r) { reports.push_back(r); }));
    EXPECT_TRUE(reports.size() == 1 && reports[0].kind == muster::report_kind::never_awaited);
    EXPECT_EQ(server_.stats().requests, 0u);
}

} // namespace
