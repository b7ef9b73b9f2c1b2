// SPDX-License-Identifier: MIT
// The same for the component http: its header, and its library with what that needs, from the installed package alone.
#include <muster/http.hpp>
#include <muster/run.hpp>
#include <muster/testing/faulty_server.hpp>

#include <cstdlib>
#include <optional>
#include <string>

muster::task<int> status_of(std::string url) {
    muster::http::client client;
    auto reply = co_await client.get(url);
    co_return reply.status;
}

int main() {
    ::setenv("no_proxy", "*", 1);
    const muster::testing::faulty_server server({.script = [](const muster::testing::faulty_request& asked) {
        return asked.has(" /scripted ") ? std::optional(muster::testing::faulty_answer("HTTP/1.1 204 Nothing\r\n\r\n"))
                                        : std::nullopt;
    }});
    return muster::run(status_of(server.url("/ok"))) == 200 && muster::run(status_of(server.url("/scripted"))) == 204
               ? 0
               : 1;
}
