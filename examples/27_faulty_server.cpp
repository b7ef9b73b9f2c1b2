// SPDX-License-Identifier: MIT
// A server that misbehaves as a script says, for the test of a client: an answer that is cut short, one that comes in
// pieces, a reset, and an answer that nobody asked for, which must not become the next request's.

#include <muster/http.hpp>
#include <muster/outcome.hpp>
#include <muster/run.hpp>
#include <muster/testing/faulty_server.hpp>

#include <fmt/core.h>

#include <chrono>
#include <cstdlib>
#include <optional>
#include <string>

namespace http = muster::http;
using muster::testing::faulty_answer;
using muster::testing::faulty_request;
using muster::testing::faulty_server;
using namespace std::chrono_literals;

// [server]
std::optional<faulty_answer> script(const faulty_request& asked) {
    if (asked.has(" /half ")) // announces ten bytes, sends four, and hangs up
        return faulty_answer("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", faulty_answer::ending::close);
    if (asked.has(" /pieces "))
        return faulty_answer("HTTP/1.1 200 OK\r\nContent-Le").then(10ms, "ngth: 5\r\n\r\nwhole");
    return std::nullopt; // then the path decides
}
// [/server]

// [use]
muster::task<> try_it(http::client& client, faulty_server& server) {
    for (const auto* path : {"/half", "/reset", "/pieces"}) {
        auto ended = co_await muster::as_outcome(client.get(server.url(path)));
        fmt::print("{}: {}\n", path, ended.succeeded() ? ended.value().body : muster::type_name(ended.error()));
    }
    const auto reached = server.send_unasked("HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n");
    auto reply = co_await client.get(server.url("/ok"));
    fmt::print("{} connection got an answer that nobody asked for; the next request: {}\n", reached, reply.status);
}
// [/use]

muster::task<> all(faulty_server& server) {
    http::client client;
    co_await try_it(client, server);
}

int main() {
    ::setenv("no_proxy", "*", 1); // the server is on loopback
    faulty_server server({.script = script});
    muster::run(all(server));
}
