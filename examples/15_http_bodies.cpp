// SPDX-License-Identifier: MIT
// The HTTP client beyond get(): a client's options, bodies that are pulled and read piece by piece, requests that are
// tried again only where that is safe. The server runs in this program, on loopback.

#include <muster/generator.hpp>
#include <muster/http.hpp>
#include <muster/muster.hpp>
#include <muster/testing/faulty_server.hpp>

#include <fmt/core.h>

#include <chrono>
#include <cstddef>
#include <string>

using namespace std::chrono_literals;
namespace http = muster::http;
using muster::testing::faulty_server;

// [options]
http::client_options our_options() {
    http::client_options options;
    options.timeout(10s).connections_per_host(8).redirects(5);
    options.retry(http::resend_policy(3).first_delay(10ms).longest_retry_after(30s));
    options.tls(http::tls_options().at_least(http::tls_version::tls1_2)); // and ca_file, client_certificate, ...
    return options;
}
// [/options]

// [requests]
muster::task<> requests(http::client& client, const faulty_server& server) {
    auto busy = co_await client.get(server.url("/flaky/page/2")); // 503, 503, 200
    fmt::print("get: {} after {} attempts\n", busy.status, busy.attempts);

    auto order = http::request(server.url("/status/503")).header("Accept", "text/plain").body("one pizza");
    auto refused = co_await client.send(std::move(order)); // a POST: not sent twice
    fmt::print("post: {} after {} attempts\n", refused.status, refused.attempts);

    auto again = http::request(server.url("/status/503")).body("one pizza").header("Idempotency-Key", "order-17");
    refused = co_await client.send(std::move(again));
    fmt::print("post with a key: {} after {} attempts\n", refused.status, refused.attempts);
}
// [/requests]

// [upload]
muster::generator<std::string> rows() {
    for (int i = 0; i != 1000; ++i) {
        if (i % 100 == 0)
            co_await muster::sleep_for(1ms); // as a query would take
        co_yield std::to_string(i) + '\n';
    }
}

muster::task<> upload(http::client& client, const faulty_server& server) {
    auto ask = http::request(server.url("/echo")).method("PUT").header("Content-Type", "text/csv").body_from(rows());
    auto reply = co_await client.send(std::move(ask)); // rows are made as the connection takes them
    reply.throw_if_error();
    fmt::print("sent: the server saw it end with {}", reply.body.substr(reply.body.size() - 4));
}
// [/upload]

// [download]
muster::task<> download(http::client& client, const faulty_server& server) {
    auto stream = co_await client.open(http::request(server.url("/bytes/1000000")));
    stream.throw_if_error();
    std::size_t bytes = 0;
    while (true) {
        auto piece = co_await stream.read(); // a slow reader slows the server down
        if (!piece)
            break;
        bytes += piece->size();
    }
    fmt::print("read: {} bytes\n", bytes);
}
// [/download]

// [to-file]
muster::task<> to_file(http::client& client, const faulty_server& server) {
    http::download_options options;
    options.resume().retry(http::resend_policy(5)); // goes on where it broke off, in this run or the next
    options.digest(
        "sha256:dc51b8c96c2d745df3bd5590d990230a482fd247123599548e0632fdbf97fc22"); // of "ok" and a line feed
    auto got = co_await http::download(client, server.url("/ok"), "ok.txt", options);
    fmt::print("file: {} bytes in {}, {} of them from before\n", got.size, got.file, got.continued_at);
}
// [/to-file]

muster::task<> all(const faulty_server& server) {
    http::client client(our_options());
    co_await requests(client, server);
    co_await upload(client, server);
    co_await download(client, server);
    co_await to_file(client, server);
}

int main() {
    const faulty_server server;
    return muster::run_main(all(server));
}
