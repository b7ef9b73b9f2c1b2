// SPDX-License-Identifier: MIT
// HTTP/2 frames that a server may send, right and wrong, written byte by byte. Each row is what the server sends for a
// POST, with the type of its outcome ("" is a value), the body that arrives, and how often the server was asked. After
// each the client is asked again, and must get its own answer.
#include "support/http2_server.hpp"
#include "support/http_fixture.hpp"

#include <muster/outcomes.hpp>

#include <atomic>
#include <functional>
#include <initializer_list>
#include <utility>

namespace {

class http_frames : public http_client {};

struct sent {
    const char* name;
    std::function<std::string(std::uint32_t stream, std::size_t number)> frames;
    const char* ends_as;
    const char* body = "";
    std::size_t requests = 1;
};

const std::string later(h2::later);
const std::string closes(h2::then_close);
constexpr unsigned padded = 8;
constexpr unsigned with_priority = 32;

std::string field(std::string_view name, std::string_view value) { return h2::field(name, value); }
std::string status(std::string_view code) { return h2::field(":status", code); }
std::string length(std::string_view digits) { return h2::field("content-length", digits); }
/// An answer whose head is these fields.
std::string head(std::uint32_t s, std::string_view fields, unsigned flags = h2::end_stream) {
    return h2::frame(1, flags | h2::end_headers, s, fields);
}
std::string good(std::uint32_t s) { return h2::headers(s, "200", 0) + h2::data(s, "ok", h2::end_stream); }
std::string continuation(std::uint32_t s, std::string_view block, unsigned flags = 0) {
    return h2::frame(9, flags, s, block);
}
std::string window_update(std::uint32_t s, std::uint32_t by) { return h2::frame(8, 0, s, h2::number(by, 4)); }
std::string settings(std::initializer_list<std::pair<std::uint32_t, std::uint32_t>> all) {
    std::string text;
    for (const auto& [id, value] : all)
        text += h2::number(id, 2) + h2::number(value, 4);
    return h2::frame(4, 0, 0, text);
}
std::string repeated(const std::string& text, std::size_t times) {
    std::string all;
    for (std::size_t i = 0; i != times; ++i)
        all += text;
    return all;
}
/// A field that both sides keep at the head of their tables, and then say again by one byte.
std::string kept_field(std::string_view name, std::string_view value) {
    std::string size;
    std::size_t left = value.size() - 127;
    for (size = '\x7f'; left >= 128; left /= 128)
        size += static_cast<char>(left % 128 + 128);
    size += static_cast<char>(left);
    return '\x40' + std::string(1, static_cast<char>(name.size())) + std::string(name) + size + std::string(value);
}
/// More fields than one frame holds.
std::string large_head(std::uint32_t s, const std::string& block) {
    constexpr std::size_t most = 16'384;
    std::string all = h2::frame(1, 0, s, block.substr(0, most));
    for (std::size_t at = most; at < block.size(); at += most)
        all += continuation(s, block.substr(at, most), at + most >= block.size() ? h2::end_headers : 0);
    return all;
}

using stream = std::uint32_t;
using number = std::size_t;

const std::string ten_kilobytes(10'000, 'b');
const std::string sixteen_kilobytes(16'384, 'b');
const std::string twenty_eight_kilobytes(28'384, 'b');
const std::string forty_kilobytes(40'000, 'b');

const std::vector<sent> all_sent{
    // ---- padding ----
    {"padded headers and data",
        [](stream s, number) {
            return head(s, '\3' + status("200") + std::string(3, '\0'), padded) +
                   h2::frame(0, padded, s, std::string("\5ok", 3) + std::string(5, '\0')) +
                   h2::frame(0, padded | h2::end_stream, s, std::string("\4", 1) + std::string(4, '\0'));
        },
        "", "ok"},
    {"padding longer than its frame of data",
        [](stream s, number) { return h2::headers(s, "200", 0) + later + h2::frame(0, padded, s, "\xffok"); },
        "protocol_error"},
    {"padding longer than its frame of headers",
        [](stream s, number) { return head(s, "\xff" + status("200"), padded); }, "protocol_error"},
    {"padding without a byte for its length",
        [](stream s, number) { return h2::headers(s, "200", 0) + later + h2::frame(0, padded, s, {}); },
        "protocol_error"},
    // ---- CONTINUATION ----
    {"headers in pieces",
        [](stream s, number) {
            return h2::frame(1, 0, s, status("200").substr(0, 4)) + continuation(s, {}) +
                   continuation(s, status("200").substr(4), h2::end_headers) + h2::data(s, "ok", h2::end_stream);
        },
        "", "ok"},
    {"a flood of CONTINUATION",
        [](stream s, number) { return h2::frame(1, 0, s, status("200")) + repeated(continuation(s, {}), 100'000); },
        "protocol_error"},
    {"CONTINUATION of nothing", [](stream s, number) { return continuation(s, status("200"), h2::end_headers); },
        "protocol_error"},
    {"data within headers", [](stream s, number) { return h2::frame(1, 0, s, status("200")) + h2::data(s, "ok", 1); },
        "protocol_error"},
    {"CONTINUATION of another stream",
        [](stream s, number) { return h2::frame(1, 0, s, status("200")) + continuation(s + 2, {}, h2::end_headers); },
        "protocol_error"},
    {"headers that never end", [](stream s, number) { return h2::frame(1, 0, s, status("200")) + closes; },
        "reset_error"},
    // ---- WINDOW_UPDATE ----
    {"a window beyond 31 bits for the connection", [](stream, number) { return window_update(0, 0x7FFFFFFF); },
        "protocol_error"},
    {"a window beyond 31 bits for the stream", [](stream s, number) { return window_update(s, 0x7FFFFFFF); },
        "protocol_error"},
    {"a window beyond 31 bits in the body",
        [](stream s, number) {
            return h2::headers(s, "200", 0) + h2::data(s, "ok", 0) + later + window_update(s, 0x7FFFFFFF);
        },
        "protocol_error"},
    {"a window that grows by nothing", [](stream, number) { return window_update(0, 0); }, "protocol_error"},
    {"a stream's window that grows by nothing", [](stream s, number) { return window_update(s, 0); }, "protocol_error"},
    {"WINDOW_UPDATE of three bytes", [](stream, number) { return h2::frame(8, 0, 0, "abc"); }, "protocol_error"},
    {"a window for a stream that is not", [](stream s, number) { return window_update(s + 100, 5); }, "protocol_error"},
    {"a flood of windows", [](stream s, number) { return repeated(window_update(0, 1), 100'000) + good(s); }, "", "ok"},
    // ---- SETTINGS ----
    {"settings that change in the body",
        [](stream s, number) {
            return h2::headers(s, "200", 0) + settings({{4, 0}, {1, 0}}) + h2::data(s, "o", 0) +
                   settings({{4, 65'535}, {3, 1}, {5, 16'777'215}}) + h2::data(s, "k", h2::end_stream);
        },
        "", "ok"},
    {"settings that nobody knows",
        [](stream s, number) {
            return settings({{0xF000, 1}, {0, 0}}) + good(s);
        },
        "", "ok"},
    {"a small list of headers",
        [](stream s, number) {
            return settings({{6, 1}}) + good(s);
        },
        "", "ok"},
    {"no further streams",
        [](stream s, number) {
            return settings({{3, 0}}) + good(s);
        },
        "", "ok"},
    {"push, switched on",
        [](stream s, number) {
            return settings({{2, 1}}) + good(s);
        },
        "protocol_error"},
    {"push, neither on nor off",
        [](stream s, number) {
            return settings({{2, 7}}) + good(s);
        },
        "protocol_error"},
    {"frames of a byte",
        [](stream s, number) {
            return settings({{5, 1}}) + good(s);
        },
        "protocol_error"},
    {"frames of 4 GB",
        [](stream s, number) {
            return settings({{5, 0xFFFFFFFF}}) + good(s);
        },
        "protocol_error"},
    {"a first window beyond 31 bits",
        [](stream s, number) {
            return settings({{4, 0x80000000}}) + good(s);
        },
        "protocol_error"},
    {"settings of five bytes", [](stream s, number) { return h2::frame(4, 0, 0, "abcde") + good(s); },
        "protocol_error"},
    {"settings of a stream", [](stream s, number) { return h2::frame(4, 0, s, {}) + good(s); }, "protocol_error"},
    {"an acknowledgement with settings", [](stream s, number) { return h2::frame(4, 1, 0, "abcdef") + good(s); },
        "protocol_error"},
    {"acknowledgements of nothing", [](stream s, number) { return repeated(h2::frame(4, 1, 0, {}), 3) + good(s); },
        "protocol_error"},
    {"a flood of settings",
        [](stream s, number) {
            return repeated(settings({{3, 100}}), 100'000) + good(s);
        },
        "protocol_error"},
    // ---- PING, PRIORITY, PUSH_PROMISE, what is not known ----
    {"a ping, and an answer to none",
        [](stream s, number) { return h2::frame(6, 0, 0, "12345678") + h2::frame(6, 1, 0, "12345678") + good(s); }, "",
        "ok"},
    {"a ping of seven bytes", [](stream s, number) { return h2::frame(6, 0, 0, "1234567") + good(s); },
        "protocol_error"},
    {"a ping of a stream", [](stream s, number) { return h2::frame(6, 0, s, "12345678") + good(s); }, "protocol_error"},
    {"a flood of pings", [](stream s, number) { return repeated(h2::frame(6, 0, 0, "12345678"), 100'000) + good(s); },
        "protocol_error"},
    {"a priority of four bytes", [](stream s, number) { return h2::frame(2, 0, s, "1234") + good(s); },
        "protocol_error"},
    {"headers that depend on themselves",
        [](stream s, number) { return head(s, h2::number(s, 4) + "\x10" + status("204"), with_priority | 1U); }, ""},
    {"headers with a priority",
        [](stream s, number) { return head(s, h2::number(0, 4) + "\x10" + status("204"), with_priority | 1U); }, ""},
    {"a promise that was switched off",
        [](stream s, number) {
            return h2::frame(5, h2::end_headers, s,
                       h2::number(2, 4) + field(":method", "GET") + field(":path", "/") + field(":scheme", "http") +
                           field(":authority", "x")) +
                   good(s);
        },
        "protocol_error"},
    {"frames and flags that nobody knows",
        [](stream s, number) {
            return h2::frame(0x42, 0xff, s, "abc") + h2::frame(0xfe, 0, 0, {}) +
                   h2::frame(10, 0, 0, std::string(2, '\0')) + head(s, status("200"), 0x40) +
                   h2::frame(0, 0xc0, s, "o") + h2::frame(0x42, 0, s, "no") + h2::data(s, "k", h2::end_stream);
        },
        "", "ok"},
    {"the bit before the stream's number",
        [](stream s, number) { return h2::headers(s | 0x80000000U, "200", 0) + h2::data(s | 0x80000000U, "ok", 1); },
        "", "ok"},
    {"headers on a stream of the server's", [](stream s, number) { return h2::headers(s + 1, "200", 1) + good(s); },
        "protocol_error"},
    // ---- RST_STREAM, GOAWAY ----
    {"a reset without an error and without an answer", [](stream s, number) { return h2::reset(s, h2::error::none); },
        "reset_error"},
    {"a reset that asks for calm", [](stream s, number) { return h2::frame(3, 0, s, h2::number(11, 4)); },
        "reset_error"},
    {"a reset by an error that nobody knows", [](stream s, number) { return h2::frame(3, 0, s, h2::number(4711, 4)); },
        "reset_error"},
    {"a reset in the body without an error",
        [](stream s, number) {
            return h2::headers(s, "200", 0, length("3")) + h2::data(s, "ok", 0) + later + h2::reset(s, h2::error::none);
        },
        "truncated_error"},
    {"a reset of three bytes", [](stream s, number) { return h2::frame(3, 0, s, "abc"); }, "protocol_error"},
    {"a reset of no stream", [](stream s, number) { return h2::reset(0, h2::error::none) + good(s); },
        "protocol_error"},
    {"a reset of a stream that is not", [](stream s, number) { return h2::reset(s + 100, h2::error::none) + good(s); },
        "protocol_error"},
    {"data behind a reset",
        [](stream s, number) {
            return h2::headers(s, "200", 0) + h2::data(s, "ok", 0) + later + h2::reset(s, h2::error::cancel) +
                   h2::data(s, "more", 1);
        },
        "truncated_error"},
    {"two resets",
        [](stream s, number) { return h2::reset(s, h2::error::internal) + h2::reset(s, h2::error::internal); },
        "reset_error"},
    {"GOAWAY twice",
        [](stream s, number) { return h2::go_away(s, h2::error::none) + h2::go_away(s, h2::error::none) + good(s); },
        "", "ok"},
    {"GOAWAY that allows more than before",
        [](stream s, number) {
            return h2::go_away(s, h2::error::none) + h2::go_away(s + 2, h2::error::none) + good(s);
        },
        "reset_error"},
    {"GOAWAY for want of calm, before the stream",
        [](stream s, number n) {
            return n == 0 ? h2::frame(7, 0, 0, h2::number(0, 4) + h2::number(11, 4) + "too_many_pings") : good(s);
        },
        "", "ok", 2},
    {"GOAWAY of a stream", [](stream s, number) { return h2::frame(7, 0, s, h2::number(0, 8)) + good(s); },
        "protocol_error"},
    {"GOAWAY of seven bytes", [](stream s, number) { return h2::frame(7, 0, 0, "1234567") + good(s); },
        "protocol_error"},
    // ---- the head ----
    {"interim answers, then the answer",
        [](stream s, number) {
            return head(s, status("100"), 0) + head(s, status("103") + field("link", "</a>"), 0) + good(s);
        },
        "", "ok"},
    {"an interim answer that ends the stream", [](stream s, number) { return head(s, status("100")); },
        "protocol_error"},
    {"data behind an interim answer", [](stream s, number) { return head(s, status("100"), 0) + h2::data(s, "ok", 1); },
        "protocol_error"},
    {"interim answers without end", [](stream s, number) { return repeated(head(s, status("103"), 0), 60'000); },
        "too_large_error"},
    {"another protocol, unasked", [](stream s, number) { return head(s, status("101"), 0) + good(s); },
        "protocol_error"},
    {"a status of two digits", [](stream s, number) { return head(s, status("20")); }, "protocol_error"},
    {"a status of four digits", [](stream s, number) { return head(s, status("2000")); }, "protocol_error"},
    {"a status that is no number", [](stream s, number) { return head(s, status("abc")); }, "protocol_error"},
    {"a status of nothing", [](stream s, number) { return head(s, status("")); }, "protocol_error"},
    {"a status below all", [](stream s, number) { return head(s, status("099")); }, "protocol_error"},
    {"a status with a sign", [](stream s, number) { return head(s, status("+20")); }, "protocol_error"},
    {"two statuses", [](stream s, number) { return head(s, status("200") + status("404")); }, "protocol_error"},
    {"a status behind a field", [](stream s, number) { return head(s, field("x", "1") + status("200")); },
        "protocol_error"},
    {"a field of a request", [](stream s, number) { return head(s, status("200") + field(":path", "/")); },
        "protocol_error"},
    {"a field with a colon that nobody knows",
        [](stream s, number) { return head(s, status("200") + field(":x", "1")); }, "protocol_error"},
    {"a field in large letters", [](stream s, number) { return head(s, status("200") + field("X-Sum", "1")); },
        "protocol_error"},
    {"a field without a name", [](stream s, number) { return head(s, status("200") + field("", "1")); },
        "protocol_error"},
    {"a line feed in a field",
        [](stream s, number) { return head(s, status("200") + field("x", "1\nset-cookie: a=b")); }, "protocol_error"},
    {"a carriage return in a field", [](stream s, number) { return head(s, status("200") + field("x", "1\r2")); },
        "protocol_error"},
    {"a zero in a field",
        [](stream s, number) { return head(s, status("200") + field("x", std::string_view("1\0002", 3))); },
        "protocol_error"},
    {"a line feed in a name", [](stream s, number) { return head(s, status("200") + field("x\ny", "1")); },
        "protocol_error"},
    {"a colon in a name", [](stream s, number) { return head(s, status("200") + field("x: y", "1")); },
        "protocol_error"},
    {"a field of one connection",
        [](stream s, number) { return head(s, status("200") + field("connection", "close")); }, "protocol_error"},
    {"another protocol, offered", [](stream s, number) { return head(s, status("200") + field("upgrade", "h2c")); },
        "protocol_error"},
    // nghttp2 takes such lines for a violation of the rules.
    {"a header line of 110 KB",
        [](stream s, number) {
            return large_head(s, status("200") + kept_field("x", std::string(110'000, 'a'))) + h2::data(s, "ok", 1);
        },
        "protocol_error"},
    {"three header lines of 60 KB",
        [](stream s, number) {
            return large_head(s, status("200") + repeated(kept_field("x", std::string(60'000, 'a')), 3)) +
                   h2::data(s, "ok", 1);
        },
        "protocol_error"},
    // With a small buffer libcurl has nghttp2 pause in the midst of these, and does not see that the stream has ended.
    {"a header line of 60 KB and the body in one packet",
        [](stream s, number) {
            return large_head(s, status("200") + kept_field("x", std::string(60'000, 'a'))) + h2::data(s, "ok", 1);
        },
        "", "ok"},
    {"three header lines of 18 KB and the body in one packet",
        [](stream s, number) {
            return large_head(s, status("200") + repeated(kept_field("x", std::string(18'000, 'a')), 3)) +
                   h2::data(s, "ok", 1);
        },
        "", "ok"},
    {"headers of 10 KB and a body of 10 KB in one packet",
        [](stream s, number) {
            return head(s, status("200") + kept_field("x", std::string(10'000, 'a')), 0) +
                   h2::data(s, std::string(10'000, 'b'), 1);
        },
        "", ten_kilobytes.c_str()},
    {"a body of 16 KB in one packet",
        [](stream s, number) { return h2::headers(s, "200", 0) + h2::data(s, sixteen_kilobytes, 1); }, "",
        sixteen_kilobytes.c_str()},
    {"a body of 28 KB in one packet",
        [](stream s, number) {
            return h2::headers(s, "200", 0) + h2::data(s, sixteen_kilobytes, 0) +
                   h2::data(s, sixteen_kilobytes.substr(0, 12'000), 1);
        },
        "", twenty_eight_kilobytes.c_str()},
    {"headers of nearly 16 KB and the body in one packet",
        [](stream s, number) {
            return head(s, status("200") + kept_field("x", std::string(16'340, 'a')), 0) + h2::data(s, "ok", 1);
        },
        "", "ok"},
    {"headers of 50 KB and a body of 40 KB in one packet",
        [](stream s, number) {
            return large_head(s, status("200") + kept_field("x", std::string(50'000, 'a'))) +
                   h2::data(s, std::string(16'000, 'b'), 0) + h2::data(s, std::string(16'000, 'b'), 0) +
                   h2::data(s, std::string(8'000, 'b'), 1);
        },
        "", forty_kilobytes.c_str()},
    {"a header line of 40 KB and no body in one packet",
        [](stream s, number) {
            return large_head(s, status("204") + kept_field("x", std::string(40'000, 'a'))) +
                   h2::data(s, "", h2::end_stream);
        },
        "", ""},
    {"a trailer of 16 KB in pieces",
        [](stream s, number) {
            return h2::headers(s, "200", 0) + h2::data(s, "ok", 0) + h2::frame(1, 1, s, std::string()) +
                   continuation(s, kept_field("x", std::string(16'000, 'a')), h2::end_headers);
        },
        "", "ok"},
    // ---- HPACK ----
    {"a table larger than allowed", [](stream s, number) { return head(s, "\x3f\xe1\xff\x7f" + status("200")); },
        "protocol_error"},
    {"a field that no table has", [](stream s, number) { return head(s, status("200") + "\xfe"); }, "protocol_error"},
    {"a field of number 0", [](stream s, number) { return head(s, status("200") + "\x80"); }, "protocol_error"},
    {"a number without end", [](stream s, number) { return head(s, status("200") + "\xff" + repeated("\xff", 30)); },
        "protocol_error"},
    {"a text that is longer than its frame",
        [](stream s, number) { return head(s, status("200") + std::string("\0\5ab", 4)); }, "protocol_error"},
    {"a bomb of headers",
        [](stream s, number) {
            return large_head(s, status("200") + kept_field("x", std::string(4000, 'a')) + repeated("\xbe", 14'000)) +
                   h2::data(s, "ok", 1);
        },
        "too_large_error"},
    // ---- the body ----
    {"empty data, often",
        [](stream s, number) {
            return h2::headers(s, "200", 0) + repeated(h2::data(s, {}, 0), 1000) + h2::data(s, "ok", 1);
        },
        "", "ok"},
    {"data behind its end", [](stream s, number) { return good(s) + h2::data(s, "EVIL", 1); }, "", "ok"},
    {"headers behind its end", [](stream s, number) { return good(s) + h2::headers(s, "200", 1); }, "", "ok"},
    {"trailers",
        [](stream s, number) { return h2::headers(s, "200", 0) + h2::data(s, "ok", 0) + head(s, field("x-sum", "1")); },
        "", "ok"},
    {"data behind the trailers",
        [](stream s, number) {
            return h2::headers(s, "200", 0) + h2::data(s, "ok", 0) + head(s, field("x-sum", "1")) +
                   h2::data(s, "EVIL", 1);
        },
        "", "ok"},
    {"a status among the trailers",
        [](stream s, number) {
            return h2::headers(s, "200", 0) + h2::data(s, "ok", 0) + later + head(s, status("200"));
        },
        "protocol_error"},
    {"a length among the trailers",
        [](stream s, number) { return h2::headers(s, "200", 0) + h2::data(s, "ok", 0) + later + head(s, length("5")); },
        "protocol_error"},
    {"less than the length",
        [](stream s, number) { return h2::headers(s, "200", 0, length("5")) + h2::data(s, "ok", 1); },
        "protocol_error"},
    {"a length with a sign",
        [](stream s, number) { return h2::headers(s, "200", 0, length("+2")) + h2::data(s, "ok", 1); },
        "protocol_error"},
    {"a length beyond 64 bits",
        [](stream s, number) { return h2::headers(s, "200", 0, length("18446744073709551616")); }, "protocol_error"},
    {"no content, and some", [](stream s, number) { return h2::headers(s, "204", 0) + h2::data(s, "EVIL", 1); },
        "protocol_error"},
    {"an end of the length without an end of the stream",
        [](stream s, number) { return h2::headers(s, "200", 0, length("2")) + h2::data(s, "ok", 0); }, "", "ok"},
    {"no content without an end of the stream", [](stream s, number) { return h2::headers(s, "204", 0); }, ""},
    {"an end of the length, then the connection's",
        [](stream s, number) { return h2::headers(s, "200", 0, length("2")) + h2::data(s, "ok", 0) + later + closes; },
        "", "ok"},
    {"data on no stream", [](stream s, number) { return h2::data(0, "x", 0) + good(s); }, "protocol_error"},
    // ---- what breaks the rules in the packet of what came right ----
    {"padding longer than its frame, at once",
        [](stream s, number) { return h2::headers(s, "200", 0) + h2::frame(0, padded, s, "\xffok"); },
        "protocol_error"},
    {"data on no stream, at once", [](stream s, number) { return h2::headers(s, "200", 0) + h2::data(0, "x", 0); },
        "protocol_error"},
    {"data on no stream behind some data",
        [](stream s, number) { return h2::headers(s, "200", 0) + h2::data(s, "ok", 0) + h2::data(0, "x", 0); },
        "protocol_error"},
    {"data on no stream behind data of a length",
        [](stream s, number) {
            return h2::headers(s, "200", 0, length("5")) + h2::data(s, "ok", 0) + h2::data(0, "x", 0);
        },
        "protocol_error"},
    {"data on no stream behind data, later",
        [](stream s, number) {
            return h2::headers(s, "200", 0, length("5")) + later + h2::data(s, "ok", 0) + h2::data(0, "x", 0);
        },
        "protocol_error"},
    {"data on no stream behind data without a length, later",
        [](stream s, number) {
            return h2::headers(s, "200", 0) + h2::data(s, "a", 0) + later + h2::data(s, "ok", 0) + h2::data(0, "x", 0);
        },
        "protocol_error"},
    {"data on no stream alone, later",
        [](stream s, number) { return h2::headers(s, "200", 0) + h2::data(s, "a", 0) + later + h2::data(0, "x", 0); },
        "protocol_error"},
    {"a settings frame of a stream behind the headers",
        [](stream s, number) { return h2::headers(s, "200", 0, length("5")) + h2::frame(4, 0, s, {}); },
        "protocol_error"},
    {"a window that overflows behind the headers",
        [](stream s, number) { return h2::headers(s, "200", 0) + window_update(0, 0x7FFFFFFF); }, "protocol_error"},
    {"a frame larger than allowed behind the headers",
        [](stream s, number) { return h2::headers(s, "200", 0) + h2::frame(0, 0, s, std::string(20'000, 'x')); },
        "protocol_error"},
    // ---- behind a full answer ----
    {"rubbish behind the answer, later", [](stream s, number) { return good(s) + later + repeated("\xff", 100); }, "",
        "ok"},
    {"GOAWAY behind the answer", [](stream s, number) { return good(s) + h2::go_away(0, h2::error::protocol); }, "",
        "ok"},
    {"the end behind the answer", [](stream s, number) { return good(s) + closes; }, "", "ok"},
};

TEST_F(http_frames, frames_right_and_wrong_end_as_the_table_says_and_the_next_request_gets_its_own_answer) {
    for (const auto& one : all_sent) {
        std::atomic<bool> is_next{false};
        const http2_server server([&](std::uint32_t s, std::size_t n) {
            if (is_next)
                return h2::headers(s, "200", 0) + h2::data(s, "mine", h2::end_stream);
            return one.frames(s, n);
        });
        const auto body = [&](http::client& client) -> muster::task<> {
            auto ask = http::request(server.url()).body("order");
            auto ended = co_await muster::as_outcome(client.send(std::move(ask)));
            EXPECT_EQ(type_of(ended), one.ends_as) << one.name << ": " << muster::to_string(ended);
            if (ended.succeeded()) {
                EXPECT_EQ(ended.value().body, one.body) << one.name;
            }
            EXPECT_EQ(server.requests(), one.requests) << one.name << ": " << muster::to_string(ended);
            is_next = true;
            auto another = http::request(server.url()).body("next");
            auto next = co_await muster::as_outcome(client.send(std::move(another)));
            EXPECT_TRUE(next.succeeded() && next.value().body == "mine") << one.name << ": " << muster::to_string(next);
        };
        run(body, http::client_options().version(http::http_version::http2_only).timeout(4s));
    }
}

} // namespace
