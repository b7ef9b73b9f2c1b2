// SPDX-License-Identifier: MIT
// Servers that lie about where an answer ends, in both versions of HTTP. Each row is one lie, with the type of its
// outcome ("" is a value), the body that arrives, and how many requests the server saw. After each, the client is asked
// again.
#include "support/http2_server.hpp"
#include "support/http_fixture.hpp"
#ifdef MUSTER_TEST_TLS
#include "support/tls_front.hpp"
#endif
#include "vocabulary/printable.hpp"

#include <muster/sleep.hpp>

#include <functional>
#include <optional>
#include <utility>

#include <sys/un.h>

namespace {

class http_hostile : public http_client {};

/// A server at a Unix socket that answers each request with the same bytes.
class unix_server {
public:
    explicit unix_server(std::string answer)
        : answer_(std::move(answer)),
          listening_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        char folder[] = "/tmp/muster-http-XXXXXX";
        if (::mkdtemp(folder) == nullptr)
            throw std::system_error(errno, std::generic_category(), "unix_server");
        folder_ = folder;
        sockaddr_un here{};
        here.sun_family = AF_UNIX;
        path().copy(here.sun_path, sizeof here.sun_path - 1);
        if (::bind(listening_, reinterpret_cast<const sockaddr*>(&here), sizeof here) != 0 ||
            ::listen(listening_, 8) != 0)
            throw std::system_error(errno, std::generic_category(), "unix_server");
        serving_ = std::thread([this] {
            for (int s = 0; (s = ::accept4(listening_, nullptr, nullptr, SOCK_CLOEXEC)) >= 0; ::close(s)) {
                std::string asked;
                char bytes[4096];
                for (ssize_t count = 0; (count = ::recv(s, bytes, sizeof bytes, 0)) > 0;) {
                    asked.append(bytes, static_cast<std::size_t>(count));
                    if (asked.ends_with("\r\n\r\n") && !scripted_server::say(s, answer_))
                        break;
                }
            }
        });
    }
    ~unix_server() {
        ::shutdown(listening_, SHUT_RDWR);
        serving_.join();
        ::close(listening_);
        std::filesystem::remove_all(folder_);
    }
    unix_server(const unix_server&) = delete;
    unix_server& operator=(const unix_server&) = delete;
    [[nodiscard]] std::string path() const { return folder_ + "/socket"; }

private:
    std::string answer_;
    std::string folder_;
    int listening_;
    std::thread serving_;
};

struct lie {
    const char* name;
    std::string answer;
    const char* ends_as;
    const char* body = "";
};

std::string ok(std::string_view fields, std::string_view rest) {
    return "HTTP/1.1 200 OK\r\n" + std::string(fields) + "\r\n" + std::string(rest);
}

std::string chunks(std::string_view rest) { return ok("Transfer-Encoding: chunked\r\n", rest); }

std::string repeated(std::string_view text, std::size_t times) {
    std::string all;
    for (std::size_t i = 0; i != times; ++i)
        all += text;
    return all;
}

const std::string closes(scripted_server::then_close);
const std::string good_chunks = "5\r\nhello\r\n0\r\n\r\n";

const std::vector<lie> lies{
    // ---- chunks ----
    {"a size in another notation", chunks("0x5\r\nhello\r\n0\r\n\r\n"), "protocol_error"},
    {"a size with rubbish behind it", chunks("5g\r\nhello\r\n0\r\n\r\n"), "protocol_error"},
    {"two sizes", chunks("5 5\r\nhello\r\n0\r\n\r\n"), "protocol_error"},
    {"a size with a sign", chunks("+5\r\nhello\r\n0\r\n\r\n"), "protocol_error"},
    {"a negative size", chunks("-5\r\nhello\r\n0\r\n\r\n"), "protocol_error"},
    {"no size", chunks("\r\nhello\r\n0\r\n\r\n"), "protocol_error"},
    {"a size beyond 64 bits", chunks("ffffffffffffffff\r\nhello\r\n0\r\n\r\n"), "protocol_error"},
    {"a chunk that is longer than its size", chunks("4\r\nhello\r\n0\r\n\r\n"), "protocol_error"},
    {"a size with an extension", chunks("5 ; a=\"b\"\r\nhello\r\n0;last\r\n\r\n"), "", "hello"},
    {"line feeds alone", chunks("5\nhello\n0\n\n"), "", "hello"},
    {"the end without its last byte", chunks("5\r\nhello\r\n0\r\n\r" + closes), "truncated_error"},
    {"the end without its empty line", chunks("5\r\nhello\r\n0\r\n" + closes), "truncated_error"},
    {"the end within the trailers", chunks("5\r\nhello\r\n0\r\nX-Sum: 1\r\n" + closes), "truncated_error"},
    {"the end before the last chunk", chunks("5\r\nhello\r\n" + closes), "truncated_error"},
    {"a trailer of 20 KB", chunks("5\r\nhello\r\n0\r\nX: " + std::string(20'000, 'x') + "\r\n\r\n"), "protocol_error"},
    {"ten thousand trailers", chunks("5\r\nhello\r\n0\r\n" + repeated("X: y\r\n", 100'000) + "\r\n"),
        "too_large_error"},
    {"another answer behind the last chunk", chunks(good_chunks + "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nEVIL"),
        "", "hello"},
    // ---- Transfer-Encoding ----
    {"a packed transfer", ok("Transfer-Encoding: gzip, chunked\r\n", good_chunks), "protocol_error"},
    {"chunks twice in two fields", ok("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", good_chunks),
        "protocol_error"},
    {"chunks twice in one field", ok("Transfer-Encoding: chunked, chunked\r\n", good_chunks), "protocol_error"},
    {"chunks and identity", ok("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", good_chunks + closes),
        "protocol_error"},
    {"identity with a length", ok("Transfer-Encoding: identity\r\nContent-Length: 5\r\n", "hello"), "protocol_error"},
    {"a coding that is none", ok("Transfer-Encoding: xchunked\r\n", good_chunks + closes), "protocol_error"},
    {"no coding", ok("Transfer-Encoding: \r\nContent-Length: 5\r\n", "hello"), "protocol_error"},
    {"a coding in quotes", ok("Transfer-Encoding: \"chunked\"\r\n", good_chunks + closes), "protocol_error"},
    {"a folded coding", ok("Transfer-Encoding:\r\n chunked\r\n", good_chunks + closes), "protocol_error"},
    {"a coding with a blank before its colon", ok("Transfer-Encoding : chunked\r\n", good_chunks + closes),
        "protocol_error"},
    {"a coding in other letters", ok("TRANSFER-ENCODING: Chunked\r\n", good_chunks), "", "hello"},
    // ---- Content-Length ----
    {"a length with a blank before its colon", ok("Content-Length : 5\r\n", "helloworld" + closes), "protocol_error"},
    {"a folded length", ok("Content-Length:\r\n 5\r\n", "helloworld" + closes), "protocol_error"},
    {"a length that goes on in the next line", ok("Content-Length: 5\r\n 0\r\n", "hello"), "protocol_error"},
    {"a length beyond 64 bits", ok("Content-Length: 18446744073709551616\r\n", "hello" + closes), "too_large_error"},
    {"two lengths", ok("Content-Length: 5\r\nContent-Length: 6\r\n", "hello"), "protocol_error"},
    {"more than the length", ok("Content-Length: 5\r\n", "helloEVIL"), "", "hello"},
    {"less than the length", ok("Content-Length: 5\r\n", "hell" + closes), "truncated_error"},
    // ---- the head ----
    {"a head that ends in a header", "HTTP/1.1 200 OK\r\nContent-Le" + closes, "reset_error"},
    {"a head that ends in its status", "HTTP/1.1 2" + closes, "reset_error"},
    {"nothing but an interim answer", "HTTP/1.1 100 Continue\r\n\r\n" + closes, "reset_error"},
    {"interim answers without end", repeated("HTTP/1.1 102 Processing\r\n\r\n", 12'000), "too_large_error"},
    {"interim answers, then the answer",
        "HTTP/1.1 100 X\r\nContent-Length: 9\r\n\r\nHTTP/1.1 103 Y\r\nTransfer-Encoding: chunked\r\n\r\n" +
            ok("Content-Length: 2\r\n", "ok"),
        "", "ok"},
    {"another protocol, unasked", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\nhello",
        "protocol_error"},
    {"another version than the connection's", "HTTP/2 200 OK\r\nContent-Length: 2\r\n\r\nok", "protocol_error"},
    {"a status of four digits", "HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\nok", "protocol_error"},
    {"a status line among the headers",
        ok("Content-Encoding: gzip\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n", "hello"), "protocol_error"},
    {"a header that is called as the protocol", ok("Content-Length: 5\r\nHTTP/1.1: yes\r\n", "hello"),
        "protocol_error"},
    {"a status below all", "HTTP/1.1 099 No\r\nContent-Length: 2\r\n\r\nok", "protocol_error"},
    {"a status of two digits", "HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\nok", "protocol_error"},
    {"a status with a sign", "HTTP/1.1 -20 OK\r\nContent-Length: 2\r\n\r\nok", "protocol_error"},
    {"a status that is no number", "HTTP/1.1 abc OK\r\nContent-Length: 2\r\n\r\nok", "protocol_error"},
    {"a status without a reason", "HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok", "", "ok"},
    {"a status that runs into its reason", "HTTP/1.1 200OK\r\nContent-Length: 2\r\n\r\nok", "protocol_error"},
    {"a version that is none", "HTTP/9.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "protocol_error"},
    {"a version of two digits", "HTTP/1.10 200 OK\r\nContent-Length: 2\r\n\r\nok", "protocol_error"},
    {"no version", "HTTP 200 OK\r\nContent-Length: 2\r\n\r\nok", "protocol_error"},
    {"another protocol", "ICY 200 OK\r\nContent-Length: 2\r\n\r\nok", "protocol_error"},
    {"an empty line before the status", "\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "protocol_error"},
    {"a body without a head", "hello" + closes, "protocol_error"},
    {"a zero in a header", ok(std::string("X: a\0b\r\nContent-Length: 5\r\n", 26), "hello"), "protocol_error"},
    {"a first header that is folded", ok(" X: a\r\nContent-Length: 5\r\n", "hello"), "protocol_error"},
    {"a carriage return for a line's end", ok("X: a\rContent-Length: 0\r\nContent-Length: 5\r\n", "hello"), "",
        "hello"},
    {"a header without a colon", ok("Content-Length 9\r\nContent-Length: 5\r\n", "hello"), "protocol_error"},
    {"a header without a name", ok(": 9\r\nContent-Length: 5\r\n", "hello"), "", "hello"},
    {"headers that end in line feeds alone", "HTTP/1.1 200 OK\nContent-Length: 5\n\nhello", "", "hello"},
    {"a length with a tab before its colon", ok("Content-Length\t: 5\r\n", "helloworld" + closes), "protocol_error"},
    {"a length in a vertical tab", ok("Content-Length: \v5\r\n", "hello" + closes), "protocol_error"},
    {"a length with a point", ok("Content-Length: 5.0\r\n", "hello" + closes), "protocol_error"},
    {"an empty length", ok("Content-Length: \r\n", "hello" + closes), "protocol_error"},
    {"a length in hexadecimal letters", ok("Content-Length: a\r\n", "hellohello" + closes), "protocol_error"},
    {"two spellings of a length", ok("Content-Length: 5\r\nContent-Length: 05\r\n", "hello"), "protocol_error"},
    {"a length thrice in a list", ok("Content-Length: 5, 5 ,5\r\n", "hello"), "", "hello"},
    {"a list of a length and nothing", ok("Content-Length: 5,\r\n", "hello" + closes), "protocol_error"},
    {"a length and chunks", ok("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", good_chunks), "", "hello"},
    {"chunks of HTTP/1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + good_chunks, "", "hello"},
    {"a size of many zeros", chunks("000000005\r\nhello\r\n0000\r\n\r\n"), "", "hello"},
    {"a size with blanks before it", chunks(" 5\r\nhello\r\n0\r\n\r\n"), "protocol_error"},
    {"an extension with a carriage return", chunks("5;a\rb\r\nhello\r\n0\r\n\r\n"), "", "hello"},
    {"an extension of 100,000 bytes", chunks("5;" + repeated("x", 100'000) + "\r\nhello\r\n0\r\n\r\n"), "", "hello"},
    {"a last chunk with something behind it", chunks("5\r\nhello\r\n0\r\nhello\r\n\r\n"), "protocol_error"},
    {"a length among the trailers", chunks("5\r\nhello\r\n0\r\nContent-Length: 3\r\n\r\n"), "", "hello"},
    {"trailers without end", chunks("5\r\nhello\r\n0\r\n" + repeated("X: 12345678\r\n", 40'000) + closes),
        "too_large_error"},
    {"an encoding in large letters", ok("Content-Encoding: IDENTITY\r\nContent-Length: 5\r\n", "hello"), "", "hello"},
    {"an empty encoding", ok("Content-Encoding: \r\nContent-Length: 5\r\n", "hello"), "", "hello"},
    {"an encoding in encodings without end",
        ok("Content-Encoding: " + repeated("gzip, ", 100) + "gzip\r\nContent-Length: 5\r\n", "hello"),
        "protocol_error"},
    {"a part that nobody asked for",
        "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-4/10\r\nContent-Length: 5\r\n\r\nhello", "", "hello"},
    {"an interim answer that says how long it is",
        "HTTP/1.1 199 X\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n" + ok("Content-Length: 2\r\n", "ok"), "",
        "ok"},
    {"a header of 200 KB", ok("X-Long: " + std::string(200'000, 'x') + "\r\nContent-Length: 2\r\n", "ok"),
        "too_large_error"},
    {"a hundred thousand headers", ok(repeated("X: y\r\n", 100'000) + "Content-Length: 2\r\n", "ok"),
        "too_large_error"},
    {"a name of 200 KB", ok(std::string(200'000, 'x') + ": y\r\nContent-Length: 2\r\n", "ok"), "too_large_error"},
    {"a name with a NUL", ok(std::string("X\0Y: a\r\nContent-Length: 2\r\n", 27), "ok"), "protocol_error"},
    {"the head of another protocol", "SSH-2.0-OpenSSH_9.2\r\n" + closes, "protocol_error"},
    {"TLS, unasked", std::string("\x15\x03\x01\x00\x02\x02\x0a", 7) + closes, "protocol_error"},
    {"an encoding that is not known", ok("Content-Encoding: rot13\r\nContent-Length: 2\r\n", "bx"), "protocol_error"},
    {"an encoding that it is not in", ok("Content-Encoding: gzip\r\nContent-Length: 5\r\n", "hello"), "protocol_error"},
    {"an encoding of no bytes", ok("Content-Encoding: gzip\r\nContent-Length: 0\r\n", ""), ""},
    {"a cookie of 60 KB", ok("Set-Cookie: a=" + std::string(60'000, 'x') + "\r\nContent-Length: 2\r\n", "ok"), "",
        "ok"},
    {"a thousand cookies", ok(repeated("Set-Cookie: a=b\r\n", 1000) + "Content-Length: 2\r\n", "ok"), "", "ok"},
    {"a pause for ever", ok("Retry-After: 99999999999999999999\r\nContent-Length: 2\r\n", "ok"), "", "ok"},
    {"an alternative of its own", ok("Alt-Svc: h3=\"evil.invalid:443\"; ma=99999999\r\nContent-Length: 2\r\n", "ok"),
        "", "ok"},
    {"a policy of its own", ok("Strict-Transport-Security: max-age=99999999\r\nContent-Length: 2\r\n", "ok"), "", "ok"},
    {"a place to go to, without a status that says so",
        ok("Location: file:///etc/passwd\r\nContent-Length: 2\r\n", "ok"), "", "ok"},
    {"a redirect to another protocol", "HTTP/1.1 302 Found\r\nLocation: dict://127.0.0.1/\r\nContent-Length: 0\r\n\r\n",
        "protocol_error"},
    {"a redirect without a place", "HTTP/1.1 302 Found\r\nContent-Length: 2\r\n\r\nok", "", "ok"},
    // ---- redirects ----
    {"a redirect to nothing", "HTTP/1.1 302 Found\r\nLocation: \r\nContent-Length: 0\r\n\r\n", ""},
    {"a redirect to half an address", "HTTP/1.1 302 Found\r\nLocation: http://[::1\r\nContent-Length: 0\r\n\r\n",
        "protocol_error"},
    {"a redirect to a file", "HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n",
        "protocol_error"},
    {"a redirect to a script", "HTTP/1.1 302 Found\r\nLocation: javascript:alert(1)\r\nContent-Length: 0\r\n\r\n",
        "protocol_error"},
    {"a redirect to port 99999", "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:99999/\r\nContent-Length: 0\r\n\r\n",
        "protocol_error"},
    // ---- no body, and one all the same ----
    {"204 with a body", "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello", ""},
    {"204 with chunks", "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n" + good_chunks, ""},
    {"304 with a body", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\nhello", ""},
    {"205 whose body the connection ends", "HTTP/1.1 205 Reset Content\r\n\r\n" + closes, ""},
    {"two answers", ok("Content-Length: 0\r\n", ok("Content-Length: 4\r\n", "EVIL")), ""},
};

TEST_F(http_hostile, an_answer_that_lies_about_its_end_is_no_value_and_never_the_next_ones) {
    for (const auto& one : lies) {
        const scripted_server server(
            [&](const asked& a) { return a.has(" /next ") ? scripted_server::text("200 OK", "mine") : one.answer; });
        const auto body = [&](http::client& client) -> muster::task<> {
            auto ended = co_await muster::as_outcome(client.get(server.url()));
            EXPECT_EQ(type_of(ended), one.ends_as) << one.name << ": " << muster::to_string(ended);
            if (ended.succeeded()) {
                EXPECT_EQ(ended.value().body, one.body) << one.name;
            }
            auto next = co_await muster::as_outcome(client.get(server.url("/next")));
            EXPECT_TRUE(next.succeeded() && next.value().body == "mine") << one.name << ": " << muster::to_string(next);
        };
        run(body, http::client_options().timeout(20s));
        EXPECT_EQ(server.requests(), 2u) << one.name;
    }
}

TEST_F(http_hostile, a_redirect_whose_chunks_are_malformed_is_not_followed) {
    const scripted_server server([&](const asked& a) {
        return a.has(" /next ") ? scripted_server::text("200 OK", "mine")
                                : "HTTP/1.1 302 Found\r\nLocation: /next\r\nTransfer-Encoding: "
                                  "chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n";
    });
    expect_error<http::protocol_error>(server.url());
    EXPECT_EQ(server.requests(), 1u);
}

TEST_F(http_hostile, an_answer_that_comes_unasked_on_a_unix_socket_is_not_given_to_the_next_request) {
    const unix_server server("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nmine"
                             "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nothers");
    const auto body = [&](http::client& client) -> muster::task<> {
        for (int i = 0; i != 3; ++i) {
            auto reply = co_await client.get("http://localhost/");
            EXPECT_EQ(reply.body, "mine") << i;
        }
    };
    run(body, http::client_options().unix_socket(server.path()));
}

TEST_F(http_hostile, the_servers_of_all_urls_are_at_the_end_of_a_unix_socket) {
    const unix_server server("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nmine");
    const auto body = [&](http::client& client) -> muster::task<> {
        for (const auto* name : {"http://localhost/", "http://docker.invalid:81/images/json"}) {
            auto reply = co_await client.get(name);
            EXPECT_EQ(reply.body, "mine") << name;
        }
    };
    run(body, http::client_options().unix_socket(server.path()));
    expect_error<http::connect_error>(
        "http://localhost/", nullptr, http::client_options().unix_socket("/no/such/socket"));
}

// ---- HTTP/2 ----

struct lie2 {
    const char* name;
    std::function<std::string(std::uint32_t stream, std::size_t number)> frames;
    const char* ends_as;
    std::size_t requests;
};

const std::string later(h2::later);
const std::string h2_closes(h2::then_close);
const std::string two_bytes = h2::field("content-length", "2");

std::string begun(std::uint32_t s) { return h2::headers(s, "200", 0) + h2::data(s, "ok", 0); }
std::string empty(std::uint32_t s) { return h2::headers(s, "204", h2::end_stream); }
std::string frame_of_16_mb(std::uint32_t s) { return "\xff\xff\xff" + std::string(2, '\0') + h2::number(s, 4); }

const std::vector<lie2> lies2{
    // ---- the body breaks off, and nothing says how long it is ----
    {"a frame for no stream in the body", [](auto s, auto) { return begun(s) + later + h2::data(0, "x", 0); },
        "protocol_error", 1},
    {"a frame of 16 MB in the body", [](auto s, auto) { return begun(s) + later + frame_of_16_mb(s); },
        "protocol_error", 1},
    {"headers that can't be unpacked in the body",
        [](auto s, auto) { return begun(s) + later + h2::frame(1, 5, s, "\xff\xff\xff\xff\xff\xff\xff\xff"); },
        "protocol_error", 1},
    {"a GOAWAY and the end in the body",
        [](auto s, auto) { return begun(s) + h2::go_away(s, h2::error::none) + later + h2_closes; }, "truncated_error",
        1},
    {"trailers that break off",
        [](auto s, auto) { return begun(s) + h2::frame(1, 1, s, h2::field("x-sum", "1")) + h2_closes; },
        "truncated_error", 1},
    {"trailers that do not end the stream",
        [](auto s, auto) { return begun(s) + later + h2::frame(1, 4, s, h2::field("x-sum", "1")); }, "protocol_error",
        1},
    // ---- lengths ----
    {"more than the length",
        [](auto s, auto) { return h2::headers(s, "200", 0, two_bytes) + h2::data(s, "okEVIL", 1); }, "protocol_error",
        1},
    {"no body with a length", [](auto s, auto) { return h2::headers(s, "200", 1, two_bytes); }, "protocol_error", 1},
    {"chunks",
        [](auto s, auto) {
            return h2::headers(s, "200", 0, h2::field("transfer-encoding", "chunked")) + h2::data(s, "ok", 1);
        },
        "protocol_error", 1},
    // ---- before the answer ----
    {"data before the headers", [](auto s, auto) { return h2::data(s, "ok", 1); }, "protocol_error", 1},
    {"an answer to nobody's request", [](auto s, auto) { return h2::headers(s + 2, "200", 1); }, "protocol_error", 1},
    // The server closes later: what the client still sends into a closed connection ends as a reset.
    {"an answer of HTTP/1.1", [](auto, auto) { return "HTTP/1.1 400 Bad Request\r\n\r\n" + later + h2_closes; },
        "protocol_error", 1},
    {"headers without a status", [](auto s, auto) { return h2::frame(1, 5, s, h2::field("x", "1")); }, "protocol_error",
        1},
    // ---- streams that were not processed, and streams that may have been ----
    {"GOAWAY before the stream, and the end",
        [](auto s, auto n) { return n == 0 ? h2::go_away(0, h2::error::none) + h2_closes : empty(s); }, "", 2},
    {"GOAWAY that takes back what it allowed",
        [](auto s, auto n) {
            return n == 0 ? h2::go_away(0x7FFFFFFF, h2::error::none) + later + h2::go_away(0, h2::error::none)
                          : empty(s);
        },
        "", 2},
    {"GOAWAY behind the stream, and its reset",
        [](auto s, auto) { return h2::go_away(s, h2::error::none) + h2::reset(s, h2::error::internal); }, "reset_error",
        1},
    {"GOAWAY behind the stream, and the end",
        [](auto s, auto) { return h2::go_away(s, h2::error::internal) + h2_closes; }, "reset_error", 1},
    {"GOAWAY behind the stream, then the answer",
        [](auto s, auto) { return h2::go_away(s, h2::error::none) + empty(s) + h2_closes; }, "", 1},
    {"a reset behind a full answer",
        [](auto s, auto) {
            return h2::headers(s, "200", 0, two_bytes) + h2::data(s, "ok", 1) + h2::reset(s, h2::error::internal);
        },
        "", 1},
    {"refused in the body", [](auto s, auto) { return begun(s) + later + h2::reset(s, h2::error::refused); },
        "truncated_error", 1},
};

TEST_F(http_hostile, an_http2_stream_that_lies_about_its_end_is_no_value_and_is_not_processed_twice) {
    for (const auto& one : lies2) {
        const http2_server server([&](std::uint32_t s, std::size_t n) { return one.frames(s, n); });
        const auto body = [&](http::client& client) -> muster::task<> {
            auto ask = http::request(server.url()).body("order");
            auto ended = co_await muster::as_outcome(client.send(std::move(ask)));
            EXPECT_EQ(type_of(ended), one.ends_as) << one.name << ": " << muster::to_string(ended);
        };
        run(body, http::client_options().version(http::http_version::http2_only).timeout(20s));
        EXPECT_EQ(server.requests(), one.requests) << one.name;
    }
    EXPECT_GE(lies.size() + lies2.size(), 100u);
}

TEST_F(http_hostile, an_early_answer_whose_stream_is_reset_without_an_error_is_the_answer_to_a_source) {
    const http2_server server([&](std::uint32_t s, std::size_t) {
        return h2::headers(s, "200", 0) + h2::data(s, "ok", 1) + later + h2::reset(s, h2::error::none);
    });
    const auto body = [&](http::client& client) -> muster::task<> {
        auto left = std::make_shared<int>(2000);
        auto ask = http::request(server.url()).body_from([left]() -> muster::task<std::optional<std::string>> {
            if ((*left)-- == 0)
                co_return std::nullopt;
            co_return std::optional<std::string>(std::string(100, 'x'));
        });
        auto reply = co_await client.send(std::move(ask));
        EXPECT_EQ(reply.body, "ok");
    };
    run(body, http::client_options().version(http::http_version::http2_only).timeout(20s));
}

TEST_F(http_hostile, an_early_answer_without_a_length_ends_when_the_upload_does) {
    const http2_server server(
        [](std::uint32_t s, std::size_t) { return h2::headers(s, "200", 0) + h2::data(s, "ok", h2::end_stream); });
    const auto body = [&](http::client& client) -> muster::task<> {
        for (const bool has_size : {false, true}) {
            auto left = std::make_shared<int>(3);
            const auto give = [left]() -> muster::task<std::optional<std::string>> {
                co_await muster::sleep_for(30ms); // the answer has begun by then
                if ((*left)-- == 0)
                    co_return std::nullopt;
                co_return std::optional<std::string>("some");
            };
            auto ask = http::request(server.url());
            if (has_size)
                ask.body_from(http::body_source(give), 12);
            else
                ask.body_from(http::body_source(give));
            auto ended = co_await muster::as_outcome(client.send(std::move(ask)));
            EXPECT_TRUE(ended.succeeded() && ended.value().body == "ok") << muster::to_string(ended);
        }
    };
    run(body, http::client_options().version(http::http_version::http2_only).timeout(20s));
}

TEST_F(http_hostile, a_refused_stream_whose_source_was_read_is_a_reset_error_by_refusal_and_by_goaway) {
    for (const bool by_goaway : {false, true}) {
        const http2_server server([&](std::uint32_t s, std::size_t) {
            return later + (by_goaway ? h2::go_away(0, h2::error::none) : h2::reset(s, h2::error::refused));
        });
        const auto body = [&](http::client& client) -> muster::task<> {
            auto left = std::make_shared<int>(1);
            auto ask = http::request(server.url()).body_from([left]() -> muster::task<std::optional<std::string>> {
                if ((*left)-- == 0)
                    co_return std::nullopt;
                co_return std::optional<std::string>("all");
            });
            auto ended = co_await muster::as_outcome(client.send(std::move(ask)));
            EXPECT_EQ(type_of(ended), "reset_error") << muster::to_string(ended);
        };
        run(body, http::client_options().version(http::http_version::http2_only).timeout(20s));
        EXPECT_EQ(server.requests(), 1u);
    }
}

#ifdef MUSTER_TEST_TLS
TEST_F(http_hostile, the_names_of_a_certificate_are_quoted_so_that_they_steer_nothing) {
    for (const std::string name : {"\x1b[31mred", "\x1b]0;title\x07", "line\nfeed", "\r\x1b[2K127.0.0.1 is fine",
             "\xc2\x9b"
             "31m",
             "\xe2\x80\xae"
             "moc.elgoog",
             "\xe2\x81\xa6"
             "isolated",
             "back\b\b\b\bspace", "tab\tand more", "\x7f\x7f", "user:password@host", "\xd0\xb8\xd0\xbc\xd1\x8f", "*",
             "127.0.0.1.evil.example", ""}) {
        const tls_front front(server_.port(), tls_front::speaks::http1, tls_front::ends::properly,
            name.empty() ? std::string(64, 'x') : name);
        const auto body = [&](http::client& client) -> muster::task<> {
            auto ended = co_await muster::as_outcome(client.get(front.url("/ok")));
            EXPECT_EQ(type_of(ended), "tls_error") << name;
            if (const auto* e = ended.error_as<http::tls_error>()) {
                EXPECT_EQ(std::string(e->what()), muster::detail::printable(e->what())) << name;
                EXPECT_EQ(std::string(e->problem()), muster::detail::printable(e->problem())) << name;
            }
        };
        run(body, http::client_options().tls(http::tls_options().ca_file(front.authority())));
    }
}
#endif

} // namespace
