// SPDX-License-Identifier: MIT
// Bodies on their way, both ways: at the pace of whoever is slower.
#include "support/http_fixture.hpp"

#include <muster/event_loop.hpp>
#include <muster/gather.hpp>
#include <muster/generator.hpp>
#include <muster/queue.hpp>
#include <muster/sleep.hpp>
#include <muster/task_handle.hpp>
#include <muster/timeout.hpp>

#include <fstream>
#include <optional>
#include <utility>

#include <sys/stat.h>

namespace {

class http_bodies : public http_client {};

/// A file of its own, with that text in it.
class text_file {
public:
    explicit text_file(std::string_view text) {
        char name[] = "/tmp/muster-http-XXXXXX";
        const int fd = ::mkstemp(name);
        path_ = name;
        static_cast<void>(!::write(fd, text.data(), text.size()));
        ::close(fd);
    }
    ~text_file() { ::unlink(path_.c_str()); }
    text_file(const text_file&) = delete;
    text_file& operator=(const text_file&) = delete;
    [[nodiscard]] const std::string& path() const { return path_; }

private:
    std::string path_;
};

/// Gives `count` pieces, and counts what was asked of it.
http::body_source pieces_of(std::string piece, std::size_t count, std::size_t* asked) {
    return [piece, count, asked]() -> muster::task<std::optional<std::string>> {
        ++*asked;
        if (*asked > count)
            co_return std::nullopt;
        co_return std::optional<std::string>(piece);
    };
}

muster::generator<std::string> words() {
    co_yield "one ";
    co_await muster::sleep_for(2ms);
    co_yield "";
    co_yield "two ";
    co_await muster::yield();
    co_yield "three";
}

std::string read_file_name(const char* text) { return text; }

// ---- request bodies ----

TEST_F(http_bodies, a_file_is_sent_as_it_is) {
    std::string text;
    for (int i = 0; i != 40'000; ++i)
        text += std::to_string(i) + '\n';
    const text_file file(text);
    const auto body = [&](http::client& client) -> muster::task<> {
        for (const auto* method : {"POST", "PUT", "PATCH"}) {
            auto ask = http::request(url("/echo")).method(method).body_file(file.path());
            auto reply = co_await client.send(std::move(ask));
            EXPECT_EQ(reply.body.rfind(std::string(method) + " /echo", 0), 0u) << reply.body.substr(0, 100);
            EXPECT_NE(reply.body.find("Content-Length: " + std::to_string(text.size())), std::string::npos);
            EXPECT_TRUE(reply.body.ends_with("\r\n\r\n" + text));
        }
        const text_file nothing("");
        auto empty = http::request(url("/echo")).body_file(nothing.path());
        auto reply = co_await client.send(std::move(empty));
        EXPECT_TRUE(reply.body.ends_with("\r\n\r\n")) << reply.body;
        reply = co_await client.get(url("/echo"));
        EXPECT_EQ(reply.body.rfind("GET /echo", 0), 0u) << reply.body;
        EXPECT_EQ(reply.body.find("Content-Length"), std::string::npos) << reply.body;
    };
    run(body);
}

TEST_F(http_bodies, a_file_that_cant_be_read_is_a_body_error_before_anything_is_sent) {
    const auto body = [&](http::client& client) -> muster::task<> {
        const std::string pipe = "/tmp/muster-http-pipe-" + std::to_string(::getpid());
        EXPECT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
        for (const auto& path : {read_file_name("/no/such/file"), read_file_name("/tmp"), pipe}) {
            auto ask = http::request(url("/echo")).body_file(path);
            auto asked = client.send(std::move(ask));
            auto ended = co_await muster::as_outcome(std::move(asked));
            EXPECT_TRUE(ended.failed_with<http::body_error>()) << muster::to_string(ended);
            const auto* e = ended.error_as<http::body_error>();
            EXPECT_TRUE(e != nullptr && std::string(e->what()).find(path) != std::string::npos);
        }
        ::unlink(pipe.c_str());
    };
    run(body);
    EXPECT_EQ(server_.stats().requests, 0u);
}

TEST_F(http_bodies, a_source_is_pulled_piece_by_piece) {
    const auto body = [&](http::client& client) -> muster::task<> {
        for (const auto* method : {"", "PUT", "PATCH"}) {
            auto ask = http::request(url("/echo")).body_from(words());
            if (*method != '\0')
                ask.method(method);
            auto reply = co_await client.send(std::move(ask));
            EXPECT_NE(reply.body.find("Transfer-Encoding: chunked"), std::string::npos) << reply.body;
            EXPECT_TRUE(reply.body.ends_with("\r\n\r\none two three")) << reply.body;
        }
        auto sized = http::request(url("/echo")).body_from(words(), 13);
        auto reply = co_await client.send(std::move(sized));
        EXPECT_NE(reply.body.find("Content-Length: 13\r\n"), std::string::npos) << reply.body;
        EXPECT_TRUE(reply.body.ends_with("\r\n\r\none two three")) << reply.body;
    };
    run(body);
}

TEST_F(http_bodies, a_source_is_not_pulled_before_there_is_room) {
    // The server reads nothing: what is pulled fits into the sockets.
    const auto body = [&](http::client& client) -> muster::task<> {
        faulty_server_options chosen;
        chosen.accepting = on_accept::ignore;
        const faulty_server silent(chosen);
        std::size_t asked = 0;
        auto ask = http::request(silent.url("/")).body_from(pieces_of(std::string(100'000, 'x'), 100'000, &asked));
        auto sending = muster::create_task(client.send(std::move(ask)));
        std::size_t before = 1;
        while (before != asked) {
            before = asked;
            co_await muster::sleep_for(60ms);
        }
        EXPECT_GT(asked, 0u);
        EXPECT_LT(asked, 1000u);
        sending.cancel();
        std::vector<muster::task_handle<http::response>> one{sending};
        auto ended = co_await muster::settle(one);
        EXPECT_EQ(ended.cancelled(), 1u);
    };
    run(body);
}

TEST_F(http_bodies, what_a_source_throws_is_thrown_as_itself) {
    const auto body = [&](http::client& client) -> muster::task<> {
        std::size_t asked = 0;
        const auto source = [&]() -> muster::task<std::optional<std::string>> {
            if (++asked == 3)
                throw std::length_error("no more");
            co_return std::optional<std::string>("piece");
        };
        auto ask = http::request(url("/echo")).body_from(http::body_source(source));
        auto sending = client.send(std::move(ask));
        auto ended = co_await muster::as_outcome(std::move(sending));
        EXPECT_TRUE(ended.failed_with<std::length_error>()) << muster::to_string(ended);
        auto next = co_await client.get(url("/ok"));
        EXPECT_EQ(next.status, 200);
    };
    run(body);
}

TEST_F(http_bodies, a_source_that_never_gives_ends_with_the_time_limit_and_is_cancelled) {
    const auto body = [&](http::client& client) -> muster::task<> {
        muster::queue<std::string> pieces(1);
        bool was_cancelled = false;
        const auto source = [&]() -> muster::task<std::optional<std::string>> {
            try {
                auto piece = co_await pieces.get();
                co_return std::optional<std::string>(std::move(piece));
            } catch (const muster::cancelled_error&) {
                was_cancelled = true;
                throw;
            }
        };
        auto ask = http::request(url("/echo")).body_from(http::body_source(source)).timeout(80ms);
        auto sending = client.send(std::move(ask));
        auto ended = co_await muster::as_outcome(std::move(sending));
        EXPECT_TRUE(ended.failed_with<http::timeout_error>()) << muster::to_string(ended);
        EXPECT_TRUE(was_cancelled);
    };
    run(body);
}

TEST_F(http_bodies, an_answer_that_comes_before_the_end_of_the_body_ends_the_pulling) {
    // It answers as soon as it has the head: the body is read by nobody.
    const loopback_listener here([](int s) {
        char head[4096];
        static_cast<void>(!::recv(s, head, sizeof head, 0));
        scripted_server::say(s, scripted_server::text("413 Content Too Large", "no", "Connection: close\r\n"));
        while (::recv(s, head, sizeof head, 0) > 0) {}
    });
    const auto body = [&](http::client& client) -> muster::task<> {
        muster::queue<std::string> pieces(1);
        pieces.put_nowait("first");
        const auto source = [&]() -> muster::task<std::optional<std::string>> {
            auto piece = co_await pieces.get();
            co_return std::optional<std::string>(std::move(piece));
        };
        auto ask = http::request("http://127.0.0.1:" + std::to_string(here.port()) + "/");
        ask.body_from(http::body_source(source));
        auto reply = co_await client.send(std::move(ask));
        EXPECT_EQ(reply.status, 413);
        EXPECT_EQ(reply.body, "no");
    };
    run(body);
}

TEST_F(http_bodies, a_body_that_cant_be_read_again_is_not_sent_to_where_a_redirect_leads) {
    const scripted_server server([](const asked& a) {
        return a.has("/first") ? scripted_server::text("307 Temporary Redirect", "", "Location: /second\r\n")
                               : scripted_server::text("200 OK", a.body);
    });
    const auto body = [&](http::client& client) -> muster::task<> {
        auto ask = http::request(server.url("/first")).body_from(words());
        auto sending = client.send(std::move(ask));
        auto ended = co_await muster::as_outcome(std::move(sending));
        EXPECT_TRUE(ended.failed_with<http::transfer_error>()) << muster::to_string(ended);
        const text_file file("from a file");
        auto again = http::request(server.url("/first")).body_file(file.path());
        auto reply = co_await client.send(std::move(again));
        EXPECT_EQ(reply.body, "from a file");
        auto bytes = http::request(server.url("/first")).body("bytes");
        reply = co_await client.send(std::move(bytes));
        EXPECT_EQ(reply.body, "bytes");
    };
    run(body);
}

TEST_F(http_bodies, a_request_refuses_bodies_that_are_none) {
    EXPECT_THROW(http::request("http://a/").body_file(""), std::invalid_argument);
    EXPECT_THROW(http::request("http://a/").body_from(http::body_source()), std::invalid_argument);
}

// ---- streamed answers ----

TEST_F(http_bodies, open_gives_the_headers_first_and_the_body_as_it_is_read) {
    const auto body = [&](http::client& client) -> muster::task<> {
        for (const auto* path : {"/bytes/1000000", "/chunked/1000000", "/bytes/0", "/chunked/1"}) {
            auto stream = co_await client.open(http::request(url(path)));
            EXPECT_EQ(stream.status(), 200);
            EXPECT_NE(stream.headers().find("Content-Type"), nullptr);
            EXPECT_EQ(stream.head().url, url(path));
            std::string all;
            for (;;) {
                auto piece = co_await stream.read();
                if (!piece)
                    break;
                EXPECT_FALSE(piece->empty());
                all += *piece;
            }
            const std::string size = std::string(path).substr(std::string(path).rfind('/') + 1);
            EXPECT_EQ(all.size(), std::stoul(size));
            bool right = true;
            for (std::size_t i = 0; i != all.size(); ++i)
                right = right && all[i] == static_cast<char>('a' + i % 26);
            EXPECT_TRUE(right) << path;
            auto nothing = co_await stream.read();
            EXPECT_FALSE(nothing.has_value());
        }
    };
    run(body);
    EXPECT_EQ(server_.stats().connections, 1u) << "a body that was read to its end leaves the connection for the next";
}

TEST_F(http_bodies, a_stream_is_read_by_for_each_and_at_once) {
    const auto body = [&](http::client& client) -> muster::task<> {
        auto stream = co_await client.open(http::request(url("/bytes/300000")));
        std::size_t bytes = 0;
        const auto count = [&](const std::string& piece) { bytes += piece.size(); };
        co_await muster::for_each(stream, count);
        EXPECT_EQ(bytes, 300'000u);
        auto other = co_await client.open(http::request(url("/redirect/2")));
        EXPECT_EQ(other.status(), 200);
        EXPECT_EQ(other.head().timing.redirects, 2u);
        auto text = co_await other.read_all();
        EXPECT_EQ(text, "ok\n");
        auto missing = co_await client.open(http::request(url("/status/404")));
        EXPECT_TRUE(missing.is_error());
        EXPECT_THROW(missing.throw_if_error(), http::status_error);
        text = co_await missing.read_all();
        EXPECT_EQ(text, "status 404\n");
    };
    run(body);
}

TEST_F(http_bodies, open_returns_before_the_first_byte_of_the_body) {
    const auto body = [&](http::client& client) -> muster::task<> {
        auto stream = co_await client.open(http::request(url("/drip/3600000/5")));
        EXPECT_EQ(stream.status(), 200);
        bool waited = false;
        auto reading = muster::wait_for(stream.read(), 30ms);
        try {
            auto piece = co_await std::move(reading);
            EXPECT_FALSE(piece.has_value());
        } catch (const muster::timeout_error&) {
            waited = true;
        }
        EXPECT_TRUE(waited);
    };
    run(body);
}

TEST_F(http_bodies, a_read_that_was_given_up_loses_nothing) {
    const auto body = [&](http::client& client) -> muster::task<> {
        auto stream = co_await client.open(http::request(url("/drip/10/30")));
        std::string all;
        std::size_t given_up = 0;
        for (bool over = false; !over;) {
            auto reading = muster::wait_for(stream.read(), 3ms);
            try {
                auto piece = co_await std::move(reading);
                if (piece)
                    all += *piece;
                over = !piece;
            } catch (const muster::timeout_error&) {
                ++given_up;
            }
        }
        EXPECT_EQ(all, "abcdefghijklmnopqrstuvwxyzabcd");
        EXPECT_GT(given_up, 0u);
    };
    run(body);
}

TEST_F(http_bodies, who_reads_slowly_slows_the_server_down) {
    std::atomic<std::size_t> sent{0};
    constexpr std::size_t whole = std::size_t{64} << 20;
    const scripted_server server([&](const asked& a) {
        const std::string piece(1 << 16, 'x');
        scripted_server::say(a.socket, "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(whole) + "\r\n\r\n");
        while (sent < whole && scripted_server::say(a.socket, piece))
            sent += piece.size();
        return std::string();
    });
    const auto body = [&](http::client& client) -> muster::task<> {
        auto ask = http::request(server.url()).body_limit(http::no_limit);
        auto stream = co_await client.open(std::move(ask));
        std::size_t before = 1;
        while (before != sent) {
            before = sent;
            co_await muster::sleep_for(60ms);
        }
        // What it has sent is in the sockets' buffers.
        EXPECT_LT(sent, whole / 2);
        std::size_t got = 0;
        const auto count = [&](const std::string& piece) {
            got += piece.size();
            EXPECT_LE(piece.size(), std::size_t{128} << 10);
        };
        co_await muster::for_each(stream, count);
        EXPECT_EQ(got, whole);
    };
    run(body);
}

TEST_F(http_bodies, a_stream_that_is_dropped_ends_the_transfer) {
    const auto body = [&](http::client& client) -> muster::task<> {
        {
            auto stream = co_await client.open(http::request(url("/bytes/100000000")).body_limit(http::no_limit));
            auto piece = co_await stream.read();
            EXPECT_TRUE(piece.has_value());
        }
        auto next = co_await client.get(url("/ok"));
        EXPECT_EQ(next.status, 200);
        for (int i = 0; i != 400 && server_.stats().open_connections > 1; ++i)
            co_await muster::sleep_for(5ms);
        EXPECT_EQ(server_.stats().open_connections, 1u);
        auto first = co_await client.open(http::request(url("/drip/3600000/5")));
        first = co_await client.open(http::request(url("/ok")));
        auto text = co_await first.read_all();
        EXPECT_EQ(text, "ok\n");
    };
    run(body);
}

TEST_F(http_bodies, a_streamed_body_fails_as_any_and_says_so_again) {
    const auto body = [&](http::client& client) -> muster::task<> {
        for (const auto* path : {"/truncated/1000", "/reset-after-headers", "/bad-chunk"}) {
            auto stream = co_await client.open(http::request(url(path)));
            EXPECT_EQ(stream.status(), 200);
            for (int i = 0; i != 2; ++i) {
                auto reading = stream.read_all();
                auto ended = co_await muster::as_outcome(std::move(reading));
                EXPECT_TRUE(ended.failed_with<http::error>()) << path << muster::to_string(ended);
            }
        }
        auto opening = client.open(http::request(url("/reset")));
        auto ended = co_await muster::as_outcome(std::move(opening));
        EXPECT_TRUE(ended.failed_with<http::reset_error>()) << muster::to_string(ended);
        auto limited = co_await client.open(http::request(url("/chunked/5000")).body_limit(1000));
        auto reading = limited.read_all();
        auto read = co_await muster::as_outcome(std::move(reading));
        EXPECT_TRUE(read.failed_with<http::too_large_error>()) << muster::to_string(read);
        auto bomb = co_await client.open(http::request(url("/gzip-bomb/40")).body_limit(http::no_limit));
        std::size_t bytes = 0;
        const auto count = [&](const std::string& piece) { bytes += piece.size(); };
        co_await muster::for_each(bomb, count);
        EXPECT_EQ(bytes, std::size_t{40} << 20);
    };
    run(body);
}

TEST_F(http_bodies, a_stream_refuses_a_second_reader_a_sink_and_reads_after_its_end) {
    const auto body = [&](http::client& client) -> muster::task<> {
        auto stream = co_await client.open(http::request(url("/drip/3600000/5")));
        auto first = muster::create_task(stream.read());
        co_await muster::yield();
        auto second = stream.read();
        auto ended = co_await muster::as_outcome(std::move(second));
        EXPECT_TRUE(ended.failed_with<muster::invalid_state_error>()) << muster::to_string(ended);
        co_await stream.close();
        std::vector<muster::task_handle<std::optional<std::string>>> one{first};
        auto all = co_await muster::settle(one);
        EXPECT_TRUE(all.any_failed<http::transfer_error>());
        auto late = stream.read();
        auto refused = co_await muster::as_outcome(std::move(late));
        EXPECT_TRUE(refused.failed_with<http::transfer_error>()) << muster::to_string(refused);
        auto moved = std::move(stream);
        auto nothing = stream.read();
        auto none = co_await muster::as_outcome(std::move(nothing));
        EXPECT_TRUE(none.failed_with<muster::invalid_state_error>()) << muster::to_string(none);
        http::request with_sink(url("/ok"));
        with_sink.body_to([](std::string_view) {});
        EXPECT_THROW({ auto opening = client.open(with_sink); }, std::invalid_argument);
    };
    run(body);
}

TEST_F(http_bodies, a_stream_that_is_dropped_under_its_reader_tells_him) {
    const auto body = [&](http::client& client) -> muster::task<> {
        auto opened = co_await client.open(http::request(url("/drip/3600000/5")));
        auto stream = std::make_optional(std::move(opened));
        auto reading = muster::create_task(stream->read());
        co_await muster::sleep_for(10ms);
        stream.reset();
        std::vector<muster::task_handle<std::optional<std::string>>> one{reading};
        auto all = co_await muster::settle(one);
        EXPECT_TRUE(all.any_failed<http::transfer_error>());
    };
    run(body);
}

TEST_F(http_bodies, a_stream_outlives_its_client_and_its_loop) {
    std::optional<http::response_stream> kept;
    std::optional<http::response_stream> other;
    const auto body = [&]() -> muster::task<> {
        http::client client;
        auto stream = co_await client.open(http::request(url("/drip/3600000/5")));
        kept.emplace(std::move(stream));
    };
    const auto late = [&]() -> muster::task<> {
        auto reading = kept->read();
        auto ended = co_await muster::as_outcome(std::move(reading));
        EXPECT_TRUE(ended.failed_with<http::transfer_error>()) << muster::to_string(ended);
    };
    muster::run(body(), muster::run_options().strict());
    muster::run(late(), muster::run_options().strict());
    kept.reset();
    // The client is there as long as the stream is; the loop is not.
    http::client client;
    const auto open = [&]() -> muster::task<> {
        auto stream = co_await client.open(http::request(url("/drip/3600000/5")));
        kept.emplace(std::move(stream));
        auto big = co_await client.open(http::request(url("/bytes/30000000")));
        other.emplace(std::move(big));
    };
    muster::run(open(), muster::run_options().strict());
    muster::run(late(), muster::run_options().strict());
    const auto again = [&]() -> muster::task<> {
        auto reply = co_await client.get(url("/ok"));
        EXPECT_EQ(reply.status, 200);
    };
    muster::run(again(), muster::run_options().strict());
}

TEST_F(http_bodies, both_ways_at_once) {
    // Each piece that comes is what lets the next one go: nothing may wait for the whole of the other way.
    const loopback_listener here([](int s) {
        char bytes[4096];
        std::string seen;
        bool answered = false;
        for (;;) {
            const auto count = ::recv(s, bytes, sizeof bytes, 0);
            if (count <= 0)
                break;
            seen.append(bytes, static_cast<std::size_t>(count));
            if (!answered && seen.find("\r\n\r\n") != std::string::npos) {
                answered = scripted_server::say(s, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
                seen.clear();
            }
            if (seen.find("ping") != std::string::npos) {
                scripted_server::say(s, "4\r\npong\r\n");
                seen.clear();
            }
            if (seen.find("0\r\n\r\n") != std::string::npos)
                scripted_server::say(s, "0\r\n\r\n");
        }
    });
    const auto body = [&](http::client& client) -> muster::task<> {
        muster::queue<std::string> pieces(4);
        const auto source = [&]() -> muster::task<std::optional<std::string>> {
            auto piece = co_await pieces.get();
            co_return piece.empty() ? std::nullopt : std::optional<std::string>(std::move(piece));
        };
        auto ask = http::request("http://127.0.0.1:" + std::to_string(here.port()) + "/");
        ask.body_from(http::body_source(source));
        auto stream = co_await client.open(std::move(ask));
        for (int i = 0; i != 10; ++i) {
            pieces.put_nowait("ping");
            auto piece = co_await stream.read();
            EXPECT_TRUE(piece && *piece == "pong");
        }
        pieces.put_nowait("");
        auto rest = co_await stream.read_all();
        EXPECT_EQ(rest, "");
        co_await stream.close();
    };
    run(body);
}

TEST_F(http_bodies, an_exchange_is_cancelled_at_every_moment_of_its_life) {
    const auto body = [&](http::client& client) -> muster::task<> {
        const auto exchange = [&]() -> muster::task<std::size_t> {
            std::size_t asked = 0;
            auto ask = http::request(url("/echo")).body_from(pieces_of(std::string(20'000, 'x'), 20, &asked));
            auto stream = co_await client.open(std::move(ask));
            auto text = co_await stream.read_all();
            co_await stream.close();
            co_return text.size();
        };
        std::size_t ends = 0;
        for (int turns = 0; turns != 60; ++turns) {
            auto running = muster::create_task(exchange());
            for (int i = 0; i != turns / 2; ++i)
                co_await muster::sleep_for(100us);
            running.cancel();
            std::vector<muster::task_handle<std::size_t>> one{running};
            auto ended = co_await muster::settle(one);
            ends += ended.cancelled() + ended.succeeded();
            EXPECT_EQ(ended.failed(), 0u);
        }
        EXPECT_EQ(ends, 60u);
        auto next = co_await client.get(url("/ok"));
        EXPECT_EQ(next.status, 200);
    };
    run(body);
}

} // namespace
