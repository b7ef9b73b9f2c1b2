// SPDX-License-Identifier: MIT
// Asio's sockets in tasks: an echo server, and clients that are gathered, put under a timeout and cancelled like
// anything else. Needs Boost; the rest of muster does not.

#include <muster/asio.hpp>
#include <muster/muster.hpp>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>

#include <fmt/core.h>

#include <array>
#include <chrono>
#include <coroutine>
#include <string>
#include <thread>
#include <utility>

namespace asio = boost::asio;
using asio::ip::tcp;
using namespace std::chrono_literals;

// [server]
muster::task<> echo(tcp::socket client) {
    std::array<char, 512> data;
    for (;;) {
        auto [error, n] = co_await client.async_read_some(asio::buffer(data), asio::as_tuple(muster::use_task));
        if (error)
            co_return; // the client has gone
        co_await asio::async_write(client, asio::buffer(data, n), muster::use_task);
    }
}

muster::task<> serve(tcp::acceptor& acceptor) {
    const auto accept_all = [&acceptor](muster::task_group& clients) -> muster::task<> {
        for (;;) {
            auto client = co_await acceptor.async_accept(muster::use_task);
            clients.create_task(echo(std::move(client)));
        }
    };
    co_await muster::with_task_group(accept_all);
}
// [/server]

// [client]
muster::task<std::string> say(asio::io_context& io, tcp::endpoint server, std::string text) {
    tcp::socket socket(io);
    co_await socket.async_connect(server, muster::use_task);
    co_await asio::async_write(socket, asio::buffer(text), muster::use_task);
    std::string answer(text.size(), ' ');
    co_await muster::wait_for(asio::async_read(socket, asio::buffer(answer), muster::use_task), 5s);
    co_return answer;
}
// [/client]

// [main]
muster::task<> talk(asio::io_context& io) {
    tcp::acceptor acceptor(io, tcp::endpoint(asio::ip::address_v4::loopback(), 0));
    const auto here = acceptor.local_endpoint();
    auto server = muster::create_task(serve(acceptor), "server");
    auto [one, two] = co_await muster::gather(say(io, here, "one"), say(io, here, "two"));
    fmt::print("{} {}\n", one, two);

    tcp::socket silent(io);
    co_await silent.async_connect(here, muster::use_task);
    std::array<char, 1> data;
    try {
        co_await muster::wait_for(asio::async_read(silent, asio::buffer(data), muster::use_task), 10ms);
    } catch (const muster::timeout_error& e) {
        fmt::print("{}\n", e.what());
    }
    server.cancel();
    co_await muster::wait(std::vector(1, server));
}

void on_one_thread() {
    muster::asio_loop loop;
    loop.run(talk(loop.context()));
}

void on_two_threads() {
    muster::asio_thread net;
    muster::run(talk(net.context()));
}
// [/main]

// [foreign]
/// Some other library's awaitable: it resumes on a thread of its own.
struct computed_elsewhere {
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> h) {
        std::thread([this, h] {
            result = 42;
            h.resume();
        }).detach();
    }
    int await_resume() const noexcept { return result; }
    int result = 0;
};

muster::task<int> ask_elsewhere() {
    auto n = co_await computed_elsewhere();
    co_return n; // on the loop's thread again
}
// [/foreign]

int main() {
    on_one_thread();
    on_two_threads();
    fmt::print("{}\n", muster::run(ask_elsewhere()));
}
