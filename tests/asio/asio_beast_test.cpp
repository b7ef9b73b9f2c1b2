// SPDX-License-Identifier: MIT
// Beast's HTTP, both sides of it, in tasks.
#include <muster/asio.hpp>

#include <muster/muster.hpp>

#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>

#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using asio::ip::tcp;
using muster::use_task;
using namespace std::chrono_literals;

namespace {

using request = http::request<http::string_body>;
using response = http::response<http::string_body>;

/// Answers with the target; never, if that is /never.
muster::task<> answer(beast::tcp_stream stream) {
    beast::flat_buffer buffer;
    for (;;) {
        request asked;
        try {
            co_await http::async_read(stream, buffer, asked, use_task);
        } catch (const boost::system::system_error&) {
            co_return; // the client has gone
        }
        if (asked.target() == "/never")
            co_await muster::sleep_for(1h);
        response reply(http::status::ok, asked.version());
        reply.keep_alive(asked.keep_alive());
        reply.body() = asked.target();
        reply.prepare_payload();
        co_await http::async_write(stream, reply, use_task);
    }
}

muster::task<> serve(tcp::acceptor& acceptor) {
    const auto accepts = [&acceptor](muster::task_group& clients) -> muster::task<> {
        for (;;) {
            auto socket = co_await acceptor.async_accept(use_task);
            clients.create_task(answer(beast::tcp_stream(std::move(socket))));
        }
    };
    co_await muster::with_task_group(accepts);
}

muster::task<std::string> get(asio::io_context& io, tcp::endpoint where, std::string target) {
    beast::tcp_stream stream(io);
    co_await stream.async_connect(where, use_task);
    request ask(http::verb::get, target, 11);
    ask.set(http::field::host, "localhost");
    co_await http::async_write(stream, ask, use_task);
    beast::flat_buffer buffer;
    response reply;
    co_await http::async_read(stream, buffer, reply, use_task);
    EXPECT_EQ(reply.result(), http::status::ok);
    co_return reply.body();
}

muster::task<> client_and_server(asio::io_context& io) {
    tcp::acceptor acceptor(io, tcp::endpoint(asio::ip::address_v4::loopback(), 0));
    const auto where = acceptor.local_endpoint();
    auto server = muster::create_task(serve(acceptor));

    auto one = co_await get(io, where, "/one");
    EXPECT_EQ(one, "/one");

    std::vector<std::string> targets;
    for (int i = 0; i != 20; ++i)
        targets.push_back("/" + std::to_string(i));
    const auto gets = [&io, where](std::string target) { return get(io, where, std::move(target)); };
    auto bodies = co_await muster::map(targets, gets).limit(5);
    EXPECT_EQ(bodies, targets);

    bool timed_out = false;
    try {
        static_cast<void>(co_await muster::wait_for(get(io, where, "/never"), 20ms));
    } catch (const muster::timeout_error&) {
        timed_out = true;
    }
    EXPECT_TRUE(timed_out);

    // Beast's own time limit is its own error.
    beast::tcp_stream slow(io);
    co_await slow.async_connect(where, use_task);
    slow.expires_after(1ms);
    beast::flat_buffer buffer;
    response reply;
    beast::error_code seen;
    try {
        co_await http::async_read(slow, buffer, reply, use_task);
    } catch (const boost::system::system_error& e) {
        seen = e.code();
    }
    EXPECT_EQ(seen, beast::error::timeout);

    server.cancel();
    auto result = co_await muster::wait(std::vector(1, server));
    EXPECT_TRUE(server.cancelled());
}

} // namespace

TEST(beast, client_and_server_on_an_asio_loop) {
    muster::asio_loop loop;
    loop.run(client_and_server(loop.context()), muster::run_options().strict());
}

TEST(beast, a_client_on_an_event_loop_with_the_io_context_on_its_own_thread) {
    muster::asio_thread net;
    muster::run(client_and_server(net.context()), muster::run_options().strict());
}
