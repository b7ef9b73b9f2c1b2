// SPDX-License-Identifier: MIT
// The table of paths, and one function for each: it queues bytes, and says by `after` and the phase what follows them.
// Its connection is `writing` when it is called.
#include "testing/faulty_server/server_thread.hpp"
#include "testing/faulty_server/texts.hpp"

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>

namespace muster::testing::faulty {

const std::array<server_thread::route, 20> server_thread::routes{{
    {"ok", 0, &server_thread::answer_ok},
    {"bytes", 1, &server_thread::answer_bytes},
    {"chunked", 1, &server_thread::answer_chunked},
    {"slow", 1, &server_thread::answer_slow},
    {"drip", 2, &server_thread::answer_drip},
    {"status", 1, &server_thread::answer_status},
    {"flaky", 2, &server_thread::answer_flaky},
    {"redirect", 1, &server_thread::answer_redirect},
    {"redirect-loop", 0, &server_thread::answer_redirect_loop},
    {"echo", 0, &server_thread::answer_echo},
    {"headers", 0, &server_thread::answer_headers},
    {"close-early", 0, &server_thread::answer_close_early},
    {"reset", 0, &server_thread::answer_reset},
    {"reset-after-headers", 0, &server_thread::answer_reset_after_headers},
    {"truncated", 1, &server_thread::answer_truncated},
    {"garbage", 0, &server_thread::answer_garbage},
    {"never", 0, &server_thread::answer_never},
    {"endless-headers", 0, &server_thread::answer_endless_headers},
    {"bad-chunk", 0, &server_thread::answer_bad_chunk},
    {"gzip-bomb", 1, &server_thread::answer_gzip_bomb},
}};

/// Queues a status line and header fields; `fields` are whole lines.
void server_thread::head(connection& c, const request& asked, unsigned status, std::string_view fields,
    std::optional<std::uint64_t> length) {
    std::string lines = "HTTP/1.1 " + std::to_string(status) + ' ';
    lines.append(reason_of(status)).append("\r\nServer: faulty_server\r\n").append(fields);
    if (length)
        lines.append("Content-Length: ").append(std::to_string(*length)).append("\r\n");
    if (c.after == ending::close)
        lines += "Connection: close\r\n";
    else if (asked.is_http_1_0())
        lines += "Connection: keep-alive\r\n";
    lines += "\r\n";
    c.output.queue(std::move(lines));
}

void server_thread::text(
    connection& c, const request& asked, unsigned status, std::string_view body, std::string_view fields) {
    std::string all("Content-Type: text/plain\r\n");
    all += fields;
    head(c, asked, status, all, body.size());
    if (!asked.is_head())
        c.output.queue(std::string(body));
}

/// Returns the number that a part of the path stands for; where it is none that will do, answers 400.
std::optional<std::uint64_t> server_thread::wanted(
    connection& c, const request& asked, std::string_view part, std::uint64_t low, std::uint64_t high) {
    const auto number = number_in(part, low, high);
    if (!number)
        text(c, asked, 400,
            "a number from " + std::to_string(low) + " to " + std::to_string(high) + " is wanted in the path\n");
    return number;
}

void server_thread::answer_ok(connection& c, const request& asked, arguments) { text(c, asked, 200, "ok\n"); }

void server_thread::answer_bytes(connection& c, const request& asked, arguments given) {
    const auto bytes = wanted(c, asked, given[0], 0, max_body_bytes);
    if (!bytes)
        return;
    head(c, asked, 200, "Content-Type: text/plain\r\n", *bytes);
    if (!asked.is_head())
        c.output.queue_alphabet(*bytes);
}

void server_thread::answer_chunked(connection& c, const request& asked, arguments given) {
    const auto bytes = wanted(c, asked, given[0], 0, max_body_bytes);
    if (!bytes)
        return;
    if (asked.is_http_1_0()) { // knows no chunks: the close ends the body
        c.after = ending::close;
        head(c, asked, 200, "Content-Type: text/plain\r\n", std::nullopt);
        if (!asked.is_head())
            c.output.queue_alphabet(*bytes);
        return;
    }
    head(c, asked, 200, "Content-Type: text/plain\r\nTransfer-Encoding: chunked\r\n", std::nullopt);
    if (asked.is_head())
        return;
    c.output.queue(alphabet_chunk(), *bytes / alphabet_bytes * alphabet_chunk().size());
    if (const auto rest = static_cast<std::size_t>(*bytes % alphabet_bytes); rest != 0)
        c.output.queue(chunk_of(std::string_view(alphabet()).substr(0, rest)));
    c.output.queue("0\r\n\r\n");
}

void server_thread::answer_slow(connection& c, const request& asked, arguments given) {
    const auto delay = wanted(c, asked, given[0], 0, max_milliseconds);
    if (!delay)
        return;
    text(c, asked, 200, "ok\n");
    c.phase.become(phase::delaying);
    set_timer(c, clock::now() + milliseconds(*delay));
}

void server_thread::answer_drip(connection& c, const request& asked, arguments given) {
    const auto period = wanted(c, asked, given[0], 0, max_milliseconds);
    if (!period)
        return;
    const auto bytes = wanted(c, asked, given[1], 0, max_body_bytes);
    if (!bytes)
        return;
    head(c, asked, 200, "Content-Type: text/plain\r\n", *bytes);
    if (asked.is_head() || *bytes == 0)
        return;
    c.phase.become(phase::dripping);
    c.drip.next = 0;
    c.drip.end = *bytes;
    c.drip.period = milliseconds(*period);
    set_timer(c, clock::now() + c.drip.period);
}

void server_thread::answer_status(connection& c, const request& asked, arguments given) {
    const auto status = wanted(c, asked, given[0], 200, 599);
    if (!status)
        return;
    if (*status == 204 || *status == 304)
        head(c, asked, static_cast<unsigned>(*status), {}, std::nullopt);
    else
        text(c, asked, static_cast<unsigned>(*status), "status " + std::to_string(*status) + '\n');
}

void server_thread::answer_flaky(connection& c, const request& asked, arguments given) {
    const auto times = wanted(c, asked, given[1], 0, max_times);
    if (!times)
        return;
    auto found = flaky_.find(given[0]);
    if (found == flaky_.end()) {
        if (flaky_.size() == max_flaky_keys) {
            text(c, asked, 400, "there are too many keys\n");
            return;
        }
        found = flaky_.emplace(given[0], 0).first;
    }
    if (found->second >= *times) {
        text(c, asked, 200, "ok\n");
        return;
    }
    ++found->second;
    text(c, asked, 503, "not yet\n", "Retry-After: 0\r\n");
}

void server_thread::answer_redirect(connection& c, const request& asked, arguments given) {
    const auto times = wanted(c, asked, given[0], 0, max_times);
    if (!times)
        return;
    if (*times == 0)
        text(c, asked, 200, "ok\n");
    else
        text(c, asked, 302, "elsewhere\n", "Location: /redirect/" + std::to_string(*times - 1) + "\r\n");
}

void server_thread::answer_redirect_loop(connection& c, const request& asked, arguments) {
    text(c, asked, 302, "here again\n", "Location: /redirect-loop\r\n");
}

void server_thread::answer_echo(connection& c, const request& asked, arguments) {
    text(c, asked, 200, request_as_text(asked) + asked.body);
}

void server_thread::answer_headers(connection& c, const request& asked, arguments) {
    text(c, asked, 200, fields_as_text(asked));
}

void server_thread::answer_close_early(connection& c, const request&, arguments) { c.after = ending::close; }

void server_thread::answer_reset(connection& c, const request&, arguments) { c.after = ending::reset; }

void server_thread::answer_reset_after_headers(connection& c, const request& asked, arguments) {
    c.after = ending::reset;
    head(c, asked, 200, "Content-Type: text/plain\r\n", 1000);
    if (!asked.is_head())
        c.output.queue_alphabet(1);
}

void server_thread::answer_truncated(connection& c, const request& asked, arguments given) {
    const auto bytes = wanted(c, asked, given[0], 1, max_body_bytes);
    if (!bytes)
        return;
    // The headers promise to keep the connection as any good answer would: the close comes as a surprise.
    head(c, asked, 200, "Content-Type: text/plain\r\n", *bytes);
    c.after = ending::close;
    if (!asked.is_head())
        c.output.queue_alphabet(*bytes / 2);
}

void server_thread::answer_garbage(connection& c, const request&, arguments) {
    c.after = ending::close;
    using namespace std::string_view_literals;
    c.output.queue(std::string("\x16\x03\x01 this is not what you think it is\r\n\r\n\0\xff\xfe\r\n"sv));
}

void server_thread::answer_never(connection& c, const request&, arguments) {
    c.phase.become(phase::swallowing);
    c.input.clear();
}

void server_thread::answer_endless_headers(connection& c, const request&, arguments) {
    c.output.queue("HTTP/1.1 200 OK\r\n");
    c.output.queue(header_fields(), UINT64_MAX);
}

void server_thread::answer_bad_chunk(connection& c, const request& asked, arguments) {
    head(c, asked, 200, "Content-Type: text/plain\r\nTransfer-Encoding: chunked\r\n", std::nullopt);
    c.after = ending::close;
    if (!asked.is_head())
        c.output.queue(chunk_of("hello") + "zz\r\nhello\r\n");
}

void server_thread::answer_gzip_bomb(connection& c, const request& asked, arguments given) {
    const auto megabytes = wanted(c, asked, given[0], 1, max_body_bytes >> 20);
    if (!megabytes)
        return;
    auto bomb = make_gzip_bomb(*megabytes);
    const auto length = bomb.first.size() + bomb.zeros + bomb.last.size();
    head(c, asked, 200, "Content-Type: application/octet-stream\r\nContent-Encoding: gzip\r\n", length);
    if (asked.is_head())
        return;
    c.output.queue(std::move(bomb.first));
    c.output.queue(zeros(), bomb.zeros);
    c.output.queue(std::move(bomb.last));
}

} // namespace muster::testing::faulty
