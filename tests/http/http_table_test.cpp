// SPDX-License-Identifier: MIT
// One table of faults, put through every way to ask (get, send, open, body_to), in both versions of HTTP, with TLS and
// without: the type of the outcome, the bytes that arrived, and the state of the client for the next request. Then
// every truncation of an answer, for each encoding and framing, and every split of it into two packets.
#include "support/answer_faults.hpp"
#include "support/deflated.hpp"
#include "support/http2_server.hpp"
#include "support/http_fixture.hpp"

#include <muster/map.hpp>
#include <muster/outcomes.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdio>
#include <functional>
#include <optional>
#include <utility>

#if MUSTER_TEST_TLS
#include "support/tls_front.hpp"
#endif
#if MUSTER_TEST_BROTLI && MUSTER_HTTP_BROTLI
#include <brotli/encode.h>
#endif
#if MUSTER_HTTP_ZSTD
#include <zstd.h>
#endif
#if defined(__SANITIZE_THREAD__)
#define MUSTER_TEST_IS_SLOW 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define MUSTER_TEST_IS_SLOW 1
#endif
#endif

namespace {

using answer_faults::fault;
using answer_faults::faults;
using muster::testing::faulty_answer;
using muster::testing::faulty_request;
using enum faulty_answer::ending;

class http_table : public http_client {};

// ---- faults ----

enum class form { get, send, open, body_to };

struct arrival {
    std::string type;
    std::string text;
    std::string bytes;
};

/// Asks in that form; a body that is read from a stream, or goes to a sink, is kept as far as it came.
muster::task<arrival> arrival_of(http::client& client, std::string url, form how, std::chrono::nanoseconds limit) {
    arrival a;
    auto ask = http::request(std::move(url)).timeout(limit);
    if (how == form::send)
        ask.body("order");
    if (how == form::body_to)
        ask.body_to([&a](std::string_view piece) { a.bytes += piece; });
    const auto asking = [&]() -> muster::task<int> {
        if (how == form::open) {
            auto stream = co_await client.open(std::move(ask));
            for (;;) {
                auto piece = co_await stream.read();
                if (!piece)
                    co_return stream.status();
                a.bytes += *piece;
            }
        }
        auto reply = co_await client.send(std::move(ask));
        if (how != form::body_to)
            a.bytes = reply.body;
        co_return reply.status;
    };
    auto trying = asking();
    auto ended = co_await muster::as_outcome(std::move(trying));
    a.type = type_of(ended);
    a.text = muster::to_string(ended);
    co_return a;
}

/// Every form of asking for that fault, each with a second request behind it.
muster::task<> expect_fault(
    http::client& client, std::string url, const fault& one, std::atomic<bool>& is_faulty, std::string where) {
    for (const auto how : {form::get, form::send, form::open, form::body_to}) {
        const std::string what =
            std::string(one.name) + ", " + where + ", form " + std::to_string(static_cast<int>(how));
        is_faulty = true;
        auto asking = arrival_of(client, url, how, one.timeout);
        const auto came = co_await std::move(asking);
        EXPECT_EQ(came.type, one.ends_as) << what << ": " << came.text;
        // A body that is collected is there as a whole or not at all.
        if (how == form::open || how == form::body_to || came.type.empty()) {
            EXPECT_EQ(came.bytes, one.arrives) << what;
        }
        is_faulty = false;
        auto next = co_await muster::as_outcome(client.get(url));
        EXPECT_TRUE(next.succeeded() && next.value().body == "mine") << what << ", next: " << muster::to_string(next);
    }
}

TEST_F(http_table, a_fault_has_one_type_in_every_form_of_asking_over_http1_plain_and_with_tls) {
    for (const auto& one : faults) {
        std::atomic<bool> is_faulty{true};
        faulty_server server({.script = [&](const faulty_request&) -> std::optional<faulty_answer> {
            if (is_faulty)
                return one.http1;
            return faulty_answer(scripted_server::text("200 OK", "mine"));
        }});
        const auto plain = [&](http::client& client) -> muster::task<> {
            auto all = expect_fault(client, server.url("/"), one, is_faulty, "HTTP/1.1");
            co_await std::move(all);
        };
        run(plain, http::client_options().body_limit(1000));
#if MUSTER_TEST_TLS
        const tls_front front(server.port(), tls_front::speaks::http1);
        const auto secure = [&](http::client& client) -> muster::task<> {
            auto all = expect_fault(client, front.url("/"), one, is_faulty, "HTTP/1.1, TLS");
            co_await std::move(all);
        };
        run(secure, http::client_options().body_limit(1000).tls(http::tls_options().ca_file(front.authority())));
#endif
    }
}

TEST_F(http_table, a_fault_has_one_type_in_every_form_of_asking_over_http2_plain_and_with_tls) {
    for (const auto& one : faults) {
        std::atomic<bool> is_faulty{true};
        const http2_server server([&](std::uint32_t s, std::size_t) {
            if (is_faulty)
                return one.http2(s);
            return h2::headers(s, "200", 0, h2::field("content-length", "4")) + h2::data(s, "mine", h2::end_stream);
        });
        const auto plain = [&](http::client& client) -> muster::task<> {
            auto all = expect_fault(client, server.url(), one, is_faulty, "HTTP/2");
            co_await std::move(all);
        };
        run(plain, http::client_options().body_limit(1000).version(http::http_version::http2_only));
#if MUSTER_TEST_TLS
        const auto port = server.url().substr(server.url().rfind(':') + 1);
        const tls_front front(static_cast<std::uint16_t>(std::stoi(port)), tls_front::speaks::http2);
        const auto secure = [&](http::client& client) -> muster::task<> {
            auto all = expect_fault(client, front.url("/"), one, is_faulty, "HTTP/2, TLS");
            co_await std::move(all);
        };
        run(secure, http::client_options().body_limit(1000).tls(http::tls_options().ca_file(front.authority())));
#endif
    }
}

#if MUSTER_TEST_TLS
TEST_F(http_table, a_body_that_only_the_end_of_tls_ends_is_no_value_without_a_close_notify_in_any_form) {
    faulty_server server({.script = [](const faulty_request&) -> std::optional<faulty_answer> {
        return faulty_answer("HTTP/1.1 200 OK\r\n\r\nhalf", close);
    }});
    for (const bool is_proper : {true, false}) {
        const tls_front front(server.port(), tls_front::speaks::http1,
            is_proper ? tls_front::ends::properly : tls_front::ends::without_close_notify);
        const auto body = [&](http::client& client) -> muster::task<> {
            for (const auto how : {form::get, form::send, form::open, form::body_to}) {
                auto asking = arrival_of(client, front.url("/"), how, 20s);
                const auto came = co_await std::move(asking);
                EXPECT_EQ(came.type, is_proper ? "" : "truncated_error") << came.text;
            }
        };
        run(body, http::client_options().tls(http::tls_options().ca_file(front.authority())));
    }
}

TEST_F(http_table, a_scheme_in_capitals_is_no_way_around_what_holds_for_https) {
    faulty_server server({.script = [](const faulty_request& asked) -> std::optional<faulty_answer> {
        const bool redirects = asked.has(" /away ");
        return faulty_answer(redirects
                                 ? "HTTP/1.1 302 Found\r\nLocation: HTTP://127.0.0.1/\r\nContent-Length: 0\r\n\r\n"
                                 : "HTTP/1.1 200 OK\r\n\r\nhalf",
            close);
    }});
    const tls_front front(server.port(), tls_front::speaks::http1, tls_front::ends::without_close_notify);
    for (const std::string scheme : {"HTTPS", "Https", "hTTPs"}) {
        for (const std::string path : {"/", "/away"}) {
            const auto body = [&](http::client& client) -> muster::task<> {
                auto asking = client.get(scheme + front.url(path).substr(5));
                const auto ended = co_await muster::as_outcome(std::move(asking));
                EXPECT_EQ(type_of(ended), path == "/" ? "truncated_error" : "protocol_error")
                    << muster::to_string(ended);
            };
            run(body, http::client_options().https_only().tls(http::tls_options().ca_file(front.authority())));
        }
    }
}
#endif

// ---- every truncation, every split ----

std::string text_of(std::size_t size) {
    std::string all;
    std::uint32_t x = 1;
    for (std::size_t i = 0; i != size; ++i)
        all += static_cast<char>('a' + ((x = x * 1664525 + 1013904223) >> 24) % 26);
    return all;
}

struct packed {
    std::string name;
    std::string encoding;
    std::string bytes;
};

const std::string& plain_text() {
    static const std::string text = text_of(2700);
    return text;
}

const std::vector<packed>& all_packed() {
    static const std::vector<packed> all = [] {
        const std::string& text = plain_text();
        std::vector<packed> made{{"identity", "", text.substr(0, 1900)}, {"gzip", "gzip", deflated(text, 31)},
            {"deflate", "deflate", deflated(text, 15)}, {"bare deflate", "deflate", deflated(text, -15)}};
#if MUSTER_TEST_BROTLI && MUSTER_HTTP_BROTLI
        std::string br(text.size() + 100, '\0');
        std::size_t size = br.size();
        BrotliEncoderCompress(6, 22, BROTLI_MODE_GENERIC, text.size(),
            reinterpret_cast<const std::uint8_t*>(text.data()), &size, reinterpret_cast<std::uint8_t*>(br.data()));
        br.resize(size);
        made.push_back({"br", "br", br});
#endif
#if MUSTER_HTTP_ZSTD
        std::string zstd(ZSTD_compressBound(text.size()), '\0');
        zstd.resize(ZSTD_compress(zstd.data(), zstd.size(), text.data(), text.size(), 3));
        made.push_back({"zstd", "zstd", zstd});
#endif
        return made;
    }();
    return all;
}

enum class framed { by_length, in_chunks, by_close };

std::string answer_of(const packed& p, framed how) {
    std::string head = "HTTP/1.1 200 OK\r\n";
    if (!p.encoding.empty())
        head += "Content-Encoding: " + p.encoding + "\r\n";
    if (how == framed::by_close)
        return head + "\r\n" + p.bytes;
    if (how == framed::by_length)
        return head + "Content-Length: " + std::to_string(p.bytes.size()) + "\r\n\r\n" + p.bytes;
    head += "Transfer-Encoding: chunked\r\n\r\n";
    for (std::size_t at = 0; at < p.bytes.size(); at += 700) {
        const auto piece = p.bytes.substr(at, 700);
        char size[16];
        std::snprintf(size, sizeof size, "%zx\r\n", piece.size());
        head += size + piece + "\r\n";
    }
    return head + "0\r\n\r\n";
}

/// Every byte. Under ThreadSanitizer, which takes twenty times as long: near the ends, and at some places between them.
std::vector<std::size_t> cuts_of(std::size_t size) {
#ifdef MUSTER_TEST_IS_SLOW
    constexpr std::size_t step = 89;
#else
    constexpr std::size_t step = 1;
#endif
    std::vector<std::size_t> all;
    for (std::size_t i = 0; i < size; i += i < 8 || i + 16 >= size ? 1 : std::min(step, size - 16 - i))
        all.push_back(i);
    return all;
}

/// Calls `check` with what becomes of the answer `case/cut`, for many cuts at a time.
template <class Check>
muster::task<> ask_for_each(
    http::client& client, const faulty_server& server, std::vector<std::size_t> cuts, std::string path, Check check) {
    const auto ask = [&](std::size_t cut) -> muster::task<int> {
        auto ended = co_await muster::as_outcome(client.get(server.url(path + std::to_string(cut))));
        check(cut, ended);
        co_return 0;
    };
    auto mapping = muster::map(cuts, ask).limit(16);
    auto all = co_await std::move(mapping).settle();
    EXPECT_EQ(all.succeeded(), cuts.size());
}

std::size_t cut_in(const faulty_request& asked) {
    const auto end = asked.head.find(" HTTP/1.1\r\n");
    return std::stoul(asked.head.substr(asked.head.rfind('/', end) + 1));
}

TEST_F(http_table, an_answer_that_is_cut_at_any_byte_is_never_a_value) {
    std::string answer;
    faulty_server server({.script = [&](const faulty_request& asked) -> std::optional<faulty_answer> {
        return faulty_answer(answer.substr(0, cut_in(asked)), close);
    }});
    std::size_t tried = 0;
    const auto body = [&](http::client& client) -> muster::task<> {
        for (const auto& p : all_packed())
            for (const auto how : {framed::by_length, framed::in_chunks, framed::by_close}) {
                answer = answer_of(p, how);
                // Nothing ends a plain body that ends with the connection.
                const bool has_end = how != framed::by_close || !p.encoding.empty();
                const auto cuts = cuts_of(has_end ? answer.size() : answer.size() - p.bytes.size());
                tried += cuts.size();
                const auto check = [&](std::size_t cut, const muster::outcome<http::response>& ended) {
                    const bool within_head = cut < answer.find("\r\n\r\n") + 4;
                    EXPECT_EQ(type_of(ended), within_head ? "reset_error" : "truncated_error")
                        << p.name << ' ' << static_cast<int>(how) << " cut at " << cut << " of " << answer.size()
                        << ": " << muster::to_string(ended);
                };
                auto asking = ask_for_each(client, server, cuts, "/cut/", check);
                co_await std::move(asking);
            }
    };
    run(body);
    EXPECT_GT(tried, 300u);
}

TEST_F(http_table, an_answer_that_is_split_at_any_byte_is_always_the_value) {
    std::string answer;
    framed how = framed::by_length;
    faulty_server server({.script = [&](const faulty_request& asked) -> std::optional<faulty_answer> {
        const auto cut = cut_in(asked);
        return faulty_answer(answer.substr(0, cut), how == framed::by_close ? close : keep)
            .then(1ms, answer.substr(cut));
    }});
    const auto body = [&](http::client& client) -> muster::task<> {
        for (const auto& p : all_packed())
            for (const auto framing : {framed::by_length, framed::in_chunks, framed::by_close}) {
                how = framing;
                answer = answer_of(p, how);
                const auto check = [&](std::size_t cut, const muster::outcome<http::response>& ended) {
                    EXPECT_TRUE(
                        ended.succeeded() && ended.value().body == (p.encoding.empty() ? p.bytes : plain_text()))
                        << p.name << ' ' << static_cast<int>(how) << " split at " << cut << ": "
                        << muster::to_string(ended);
                };
                auto asking = ask_for_each(client, server, cuts_of(answer.size()), "/split/", check);
                co_await std::move(asking);
            }
    };
    run(body);
}

TEST_F(http_table, an_http2_body_that_is_cut_at_any_byte_is_never_a_value) {
    const packed* at_hand = nullptr;
    std::vector<std::size_t> cuts;
    bool has_length = false;
    std::atomic<std::size_t> next{0};
    const http2_server server([&](std::uint32_t s, std::size_t) {
        std::string fields = at_hand->encoding.empty() ? "" : h2::field("content-encoding", at_hand->encoding);
        if (has_length)
            fields += h2::field("content-length", std::to_string(at_hand->bytes.size()));
        return h2::headers(s, "200", 0, fields) +
               h2::data(s, at_hand->bytes.substr(0, cuts.at(next++)), h2::end_stream);
    });
    const auto body = [&](http::client& client) -> muster::task<> {
        for (const auto& p : all_packed())
            for (const bool length : {false, true}) {
                at_hand = &p;
                has_length = length;
                if (p.encoding.empty() && !length)
                    continue;
                cuts = cuts_of(p.bytes.size());
                // An empty body without a length is taken for one that was not packed.
                if (!length)
                    std::erase(cuts, 0U);
                next = 0;
                // Each request meets another cut; which of them it meets does not matter to the type of its outcome.
                const auto ask = [&](std::size_t) -> muster::task<int> {
                    auto ended = co_await muster::as_outcome(client.get(server.url()));
                    EXPECT_EQ(type_of(ended), length ? "protocol_error" : "truncated_error")
                        << p.name << ": " << muster::to_string(ended);
                    co_return 0;
                };
                const std::vector<std::size_t> all = cuts;
                auto mapping = muster::map(all, ask).limit(16);
                auto asked_all = co_await std::move(mapping).settle();
                EXPECT_EQ(asked_all.succeeded(), all.size());
                EXPECT_EQ(next, all.size()) << "each cut was met once";
                cuts = {p.bytes.size()};
                next = 0;
                auto whole = co_await client.get(server.url());
                EXPECT_EQ(whole.body, p.encoding.empty() ? p.bytes : plain_text()) << p.name;
            }
    };
    run(body, http::client_options().version(http::http_version::http2_only));
}

} // namespace
