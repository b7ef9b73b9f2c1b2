// SPDX-License-Identifier: MIT
#include "support/collected.hpp"

#include <muster/asio.hpp>

#include <muster/muster.hpp>
#include <muster/testing/manual_loop.hpp>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/connect.hpp>
#include <boost/asio/experimental/channel.hpp>
#include <boost/asio/experimental/concurrent_channel.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/write.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;
using boost::system::system_error;
using muster::use_task;
using muster::testing::live_frames;
using namespace std::chrono_literals;

namespace {

/// What `body` does is done both ways: on an asio_loop, and on an event_loop with the io_context on its own thread.
template <class Body>
void both_ways(const Body& body) {
    const auto frames = live_frames();
    {
        SCOPED_TRACE("on an asio_loop");
        collected c;
        muster::asio_loop loop;
        loop.run(body(loop.context()), c.options());
        for (const auto& r : c.reports)
            ADD_FAILURE() << muster::to_string(r);
    }
    EXPECT_EQ(live_frames(), frames);
    {
        SCOPED_TRACE("on a thread of its own");
        collected c;
        muster::asio_thread net;
        muster::run(body(net.context()), c.options());
        for (const auto& r : c.reports)
            ADD_FAILURE() << muster::to_string(r);
    }
    EXPECT_EQ(live_frames(), frames);
}

tcp::acceptor listening(asio::io_context& io) {
    return tcp::acceptor(io, tcp::endpoint(asio::ip::address_v4::loopback(), 0));
}

/// A pair of sockets that are connected to each other.
muster::task<std::pair<tcp::socket, tcp::socket>> connected(asio::io_context& io) {
    auto acceptor = listening(io);
    tcp::socket client(io);
    auto both = co_await muster::gather(
        acceptor.async_accept(use_task), client.async_connect(acceptor.local_endpoint(), use_task));
    auto server = std::move(std::get<0>(both));
    co_return std::pair(std::move(client), std::move(server));
}

muster::task<> echo(tcp::socket socket) {
    std::array<char, 100> data{};
    for (;;) {
        auto [error, n] = co_await socket.async_read_some(asio::buffer(data), asio::as_tuple(use_task));
        if (error)
            co_return;
        co_await asio::async_write(socket, asio::buffer(data, n), use_task);
    }
}

muster::task<> serve(tcp::acceptor& acceptor) {
    std::vector<muster::task_handle<void>> clients;
    for (;;) {
        auto socket = co_await acceptor.async_accept(use_task);
        clients.push_back(muster::create_task(echo(std::move(socket))));
    }
}

muster::task<std::string> ask(asio::io_context& io, tcp::endpoint where, std::string text) {
    tcp::socket socket(io);
    co_await socket.async_connect(where, use_task);
    co_await asio::async_write(socket, asio::buffer(text), use_task);
    std::string answer(text.size(), ' ');
    auto n = co_await asio::async_read(socket, asio::buffer(answer), use_task);
    answer.resize(n);
    co_return answer;
}

muster::task<std::size_t> read_some(tcp::socket& from) {
    std::array<char, 16> data{};
    auto n = co_await from.async_read_some(asio::buffer(data), use_task);
    co_return n;
}

/// An operation that ends when it is told to, and never by a cancellation.
struct stubborn {
    template <class Token>
    auto wait(Token&& token) {
        return asio::async_initiate<Token, void(error_code, int)>(
            [this](auto handler) {
                using handler_type = decltype(handler);
                auto shared = std::make_shared<handler_type>(std::move(handler));
                end = [shared](error_code e, int n) { std::move (*shared)(e, n); };
            },
            token);
    }
    std::function<void(error_code, int)> end;
};

} // namespace

// ---- what an await gives ----

TEST(use_task, gives_values_of_sockets_that_echo) {
    both_ways([](asio::io_context& io) -> muster::task<> {
        auto acceptor = listening(io);
        const auto where = acceptor.local_endpoint();
        auto server = muster::create_task(serve(acceptor));
        auto answer = co_await ask(io, where, "hello");
        EXPECT_EQ(answer, "hello");
        server.cancel();
        auto result = co_await muster::wait(std::vector(1, server));
        EXPECT_TRUE(server.cancelled());
    });
}

TEST(use_task, begins_nothing_before_it_is_awaited) {
    both_ways([](asio::io_context& io) -> muster::task<> {
        asio::steady_timer timer(io, 1h);
        { [[maybe_unused]] auto never = timer.async_wait(use_task); }
        auto later = timer.async_wait(use_task);
        EXPECT_EQ(timer.expires_after(1ms), 0u) << "nobody waits yet";
        co_await std::move(later);
    });
}

TEST(use_task, throws_an_error_code_as_a_system_error) {
    both_ways([](asio::io_context& io) -> muster::task<> {
        tcp::endpoint nobody;
        {
            auto acceptor = listening(io);
            nobody = acceptor.local_endpoint();
        }
        error_code seen;
        try {
            tcp::socket socket(io);
            co_await socket.async_connect(nobody, use_task);
        } catch (const system_error& e) {
            seen = e.code();
        }
        EXPECT_EQ(seen, asio::error::connection_refused);

        tcp::socket again(io);
        auto [error] = co_await again.async_connect(nobody, asio::as_tuple(use_task));
        EXPECT_EQ(error, asio::error::connection_refused);
    });
}

TEST(use_task, resolves_names) {
    both_ways([](asio::io_context& io) -> muster::task<> {
        auto acceptor = listening(io);
        tcp::resolver resolver(io);
        auto found =
            co_await resolver.async_resolve("127.0.0.1", std::to_string(acceptor.local_endpoint().port()), use_task);
        EXPECT_EQ(found.begin()->endpoint(), acceptor.local_endpoint());
        tcp::socket socket(io);
        auto used = co_await asio::async_connect(socket, found, use_task);
        EXPECT_EQ(used, acceptor.local_endpoint());
    });
}

TEST(use_task, gives_tuples_of_several_values_and_those_of_other_signatures) {
    both_ways([](asio::io_context& io) -> muster::task<> {
        const auto later = [&io](auto work) {
            return [&io, work](auto handler) { asio::post(io, [h = std::move(handler), work]() mutable { work(h); }); };
        };
        auto two = later([](auto& h) { h(error_code(), 1, std::string("two")); });
        auto [one, text] =
            co_await asio::async_initiate<const muster::use_task_t, void(error_code, int, std::string)>(two, use_task);
        EXPECT_EQ(one, 1);
        EXPECT_EQ(text, "two");

        auto plain = later([](auto& h) { h(std::make_unique<int>(3)); });
        auto three =
            co_await asio::async_initiate<const muster::use_task_t, void(std::unique_ptr<int>)>(plain, use_task);
        EXPECT_EQ(*three, 3);

        auto nothing = later([](auto& h) { h(); });
        co_await asio::async_initiate<const muster::use_task_t, void()>(nothing, use_task);

        auto throws = later([](auto& h) { h(std::make_exception_ptr(std::out_of_range("far")), 1); });
        bool caught = false;
        try {
            static_cast<void>(co_await asio::async_initiate<const muster::use_task_t, void(std::exception_ptr, int)>(
                throws, use_task));
        } catch (const std::out_of_range&) {
            caught = true;
        }
        EXPECT_TRUE(caught);
    });
}

TEST(use_task, takes_what_an_initiation_throws_and_a_handler_that_is_called_at_once) {
    both_ways([](asio::io_context&) -> muster::task<> {
        auto throws = [](auto&&) { throw std::runtime_error("not today"); };
        bool caught = false;
        try {
            co_await asio::async_initiate<const muster::use_task_t, void(error_code)>(throws, use_task);
        } catch (const std::runtime_error& e) {
            caught = std::string_view(e.what()) == "not today";
        }
        EXPECT_TRUE(caught);
        auto at_once = [](auto&& handler) { handler(error_code(), 5); };
        auto five = co_await asio::async_initiate<const muster::use_task_t, void(error_code, int)>(at_once, use_task);
        EXPECT_EQ(five, 5);
    });
}

TEST(use_task, can_be_the_default_of_a_socket_and_be_bound_to_a_strand) {
    both_ways([](asio::io_context& io) -> muster::task<> {
        auto pair = co_await connected(io);
        muster::use_task_t::as_default_on_t<tcp::socket> client(std::move(pair.first));
        asio::strand<asio::io_context::executor_type> strand(io.get_executor());
        co_await asio::async_write(pair.second, asio::buffer("abc", 3), asio::bind_executor(strand, use_task));
        std::array<char, 3> data{};
        auto n = co_await asio::async_read(client, asio::buffer(data));
        EXPECT_EQ(n, 3u);

        tcp::socket on_strand{asio::any_io_executor(strand)};
        auto acceptor = listening(io);
        co_await on_strand.async_connect(acceptor.local_endpoint(), use_task);
    });
}

// ---- with everything else ----

TEST(use_task, is_gathered_raced_mapped_and_limited) {
    both_ways([](asio::io_context& io) -> muster::task<> {
        auto acceptor = listening(io);
        const auto where = acceptor.local_endpoint();
        auto server = muster::create_task(serve(acceptor));

        asio::steady_timer one(io, 1ms), two(io, 2ms), forever(io, 1h);
        co_await muster::gather(one.async_wait(use_task), two.async_wait(use_task), muster::sleep_for(1ms));
        one.expires_after(1ms);
        co_await muster::race(one.async_wait(use_task), forever.async_wait(use_task));

        std::vector<std::string> texts;
        for (int i = 0; i != 20; ++i)
            texts.push_back(std::to_string(i));
        const auto asks = [&io, where](std::string text) { return ask(io, where, std::move(text)); };
        auto answers = co_await muster::map(texts, asks).limit(4);
        EXPECT_EQ(answers, texts);

        const auto waits = [](asio::steady_timer& t) { return t.async_wait(use_task); };
        std::vector<asio::steady_timer> timers;
        for (int i = 0; i != 10; ++i)
            timers.emplace_back(io, 1ms);
        co_await muster::map(timers, waits).limit(3);

        muster::task<> as_task = one.async_wait(use_task);
        one.expires_after(1ms);
        auto handle = muster::create_task(std::move(as_task));
        co_await handle;
        server.cancel();
        auto result = co_await muster::wait(std::vector(1, server));
    });
}

TEST(use_task, a_failure_cancels_its_sibling_in_a_gather) {
    both_ways([](asio::io_context& io) -> muster::task<> {
        auto pair = co_await connected(io);
        const auto fails = []() -> muster::task<> {
            co_await muster::sleep_for(1ms);
            throw std::out_of_range("the other one");
        };
        bool thrown = false;
        try {
            [[maybe_unused]] auto both = co_await muster::gather(read_some(pair.first), fails());
        } catch (const std::out_of_range&) {
            thrown = true;
        }
        EXPECT_TRUE(thrown);
        // The socket still works: only the operation was cancelled.
        co_await asio::async_write(pair.second, asio::buffer("abc", 3), use_task);
        auto n = co_await read_some(pair.first);
        EXPECT_EQ(n, 3u);
    });
}

TEST(use_task, a_timeout_ends_an_operation_and_is_an_error) {
    both_ways([](asio::io_context& io) -> muster::task<> {
        auto pair = co_await connected(io);
        std::array<char, 16> data{};
        bool timed_out = false;
        try {
            static_cast<void>(co_await muster::wait_for(pair.first.async_read_some(asio::buffer(data), use_task), 1ms));
        } catch (const muster::timeout_error&) {
            timed_out = true;
        }
        EXPECT_TRUE(timed_out);
        timed_out = false;
        try {
            static_cast<void>(co_await muster::wait_for(
                asio::async_read(pair.first, asio::buffer(data), asio::as_tuple(use_task)), 1ms));
        } catch (const muster::timeout_error&) {
            timed_out = true;
        }
        EXPECT_TRUE(timed_out) << "an error code that is part of the value is a cancellation all the same";
        co_await asio::async_write(pair.second, asio::buffer("abc", 3), use_task);
        auto n = co_await muster::wait_for(pair.first.async_read_some(asio::buffer(data), use_task), 1h);
        EXPECT_EQ(n, 3u);
    });
}

// ---- cancellation ----

TEST(use_task, bytes_that_a_cancelled_operation_had_transferred_are_reported) {
    for (const bool as_tuple : {false, true}) {
        collected c;
        muster::asio_loop loop;
        loop.run(
            [](asio::io_context& io, bool with_tuple) -> muster::task<> {
                auto pair = co_await connected(io);
                std::array<char, 16> data{};
                co_await asio::async_write(pair.second, asio::buffer("abc", 3), use_task);
                bool timed_out = false;
                try {
                    if (with_tuple)
                        static_cast<void>(co_await muster::wait_for(
                            asio::async_read(pair.first, asio::buffer(data), asio::as_tuple(use_task)), 50ms));
                    else
                        static_cast<void>(co_await muster::wait_for(
                            asio::async_read(pair.first, asio::buffer(data), use_task), 50ms));
                } catch (const muster::timeout_error&) {
                    timed_out = true;
                }
                EXPECT_TRUE(timed_out);
            }(loop.context(), as_tuple),
            c.options());
        EXPECT_EQ(c.reports.size(), 1u);
        for (const auto& r : c.reports)
            EXPECT_EQ(muster::to_string(r), "suppressed: Asio operation: it was cancelled when it had transferred 3 "
                                            "bytes, of which its task is not told");
    }
}

TEST(use_task, a_cancellation_ends_what_takes_requests_with_its_reason) {
    both_ways([](asio::io_context& io) -> muster::task<> {
        asio::steady_timer timer(io, 1h);
        auto waits = muster::create_task(timer.async_wait(use_task).as_task());
        auto never = muster::create_task(timer.async_wait(use_task).as_task());
        never.cancel();
        co_await muster::sleep_for(1ms);
        EXPECT_TRUE(never.cancelled());
        waits.cancel("enough");
        waits.cancel("enough");
        auto result = co_await muster::wait(std::vector(1, waits));
        EXPECT_TRUE(waits.cancelled());
        EXPECT_EQ(waits.ended_as().message(), "enough");
        EXPECT_EQ(timer.cancel(), 0u) << "nobody is left";
    });
}

TEST(use_task, every_code_by_which_asio_says_cancelled_is_a_cancellation_if_we_cancelled) {
    both_ways([](asio::io_context& io) -> muster::task<> {
        // Without a buffer: Boost 1.81's channel with one refuses to be sent to after any cancelled receive.
        asio::experimental::channel<void(error_code, int)> numbers(io);
        bool timed_out = false;
        try {
            auto waiting = muster::wait_for(numbers.async_receive(use_task), 5ms);
            static_cast<void>(co_await std::move(waiting));
        } catch (const muster::timeout_error&) {
            timed_out = true;
        }
        EXPECT_TRUE(timed_out);
        // The channel is as it was, and the next receive gets the next value.
        auto sending = muster::create_task(numbers.async_send(error_code(), 5, use_task).as_task());
        const int got = co_await numbers.async_receive(use_task);
        EXPECT_EQ(got, 5);
        co_await sending;
    });
    EXPECT_TRUE(muster::detail::says_cancelled(std::make_error_code(std::errc::operation_canceled)));
    EXPECT_TRUE(muster::detail::says_cancelled(std::error_code(error_code(asio::error::operation_aborted))));
    EXPECT_TRUE(
        muster::detail::says_cancelled(std::error_code(error_code(asio::experimental::error::channel_cancelled))));
    EXPECT_FALSE(muster::detail::says_cancelled(error_code(asio::experimental::error::channel_closed)));
    EXPECT_FALSE(muster::detail::says_cancelled(std::make_error_code(std::errc::timed_out)));
    EXPECT_TRUE(muster::detail::says_cancelled(
        std::make_exception_ptr(std::system_error(std::make_error_code(std::errc::operation_canceled)))));
}

TEST(use_task, a_race_of_channels_that_both_have_a_value_loses_none_unseen) {
    for (const bool elsewhere : {false, true}) {
        collected c;
        auto body = [](asio::io_context& io, std::size_t& seen) -> muster::task<> {
            using channel = asio::experimental::concurrent_channel<void(error_code, int)>;
            channel a(io, 1);
            channel b(io, 1);
            EXPECT_TRUE(a.try_send(error_code(), 1));
            EXPECT_TRUE(b.try_send(error_code(), 2));
            auto racing = muster::race(a.async_receive(use_task).as_task(), b.async_receive(use_task).as_task());
            static_cast<void>(co_await std::move(racing));
            ++seen;
            // Received values are the winner's, or are reported; the others are still in their channels.
            co_await muster::sleep_for(5ms);
            const auto take = [&seen](error_code, int) { ++seen; };
            a.try_receive(take);
            b.try_receive(take);
        };
        std::size_t seen = 0;
        if (elsewhere) {
            muster::asio_thread net;
            muster::run(body(net.context(), seen), c.options());
        } else {
            muster::asio_loop loop;
            loop.run(body(loop.context(), seen), c.options());
        }
        EXPECT_EQ(seen + c.reports.size(), 2U) << (elsewhere ? "on a thread of its own" : "on an asio_loop");
    }
}

TEST(use_task, a_channel_that_somebody_else_cancels_is_an_error) {
    both_ways([](asio::io_context& io) -> muster::task<> {
        asio::experimental::channel<void(error_code, int)> numbers(io, 1);
        auto h = muster::create_task(numbers.async_receive(use_task).as_task());
        co_await muster::sleep_for(1ms);
        asio::post(io, [&] { numbers.cancel(); });
        auto result = co_await muster::wait(std::vector(1, h));
        EXPECT_TRUE(h.ended_as().failed_with<system_error>()) << muster::to_string(h.ended_as());
    });
}

TEST(use_task, cancelled_before_it_is_awaited_begins_nothing) {
    both_ways([](asio::io_context& io) -> muster::task<> {
        auto body = [](asio::io_context& on, bool& threw) -> muster::task<> {
            asio::steady_timer timer(on, 1h);
            muster::this_task::cancel();
            try {
                co_await timer.async_wait(use_task);
            } catch (const muster::cancelled_error&) {
                threw = true;
                throw;
            }
        };
        bool threw = false;
        auto h = muster::create_task(body(io, threw));
        auto result = co_await muster::wait(std::vector(1, h));
        EXPECT_TRUE(h.cancelled());
        EXPECT_TRUE(threw);
    });
}

TEST(use_task, what_completes_in_spite_of_a_cancellation_keeps_its_value_and_the_cancellation_comes_next) {
    both_ways([](asio::io_context& io) -> muster::task<> {
        stubborn operation;
        int got = 0;
        auto body = [](stubborn& op, int& value) -> muster::task<> {
            value = co_await op.wait(use_task);
            co_await muster::sleep_for(1h);
        };
        auto h = muster::create_task(body(operation, got));
        co_await muster::yield();
        h.cancel("too late");
        co_await muster::yield();
        EXPECT_FALSE(h.done());
        asio::post(io, [&operation] { std::exchange(operation.end, nullptr)(error_code(), 7); });
        auto result = co_await muster::wait(std::vector(1, h));
        EXPECT_EQ(got, 7);
        EXPECT_TRUE(h.cancelled());
        EXPECT_EQ(h.ended_as().message(), "too late");
    });
}

TEST(use_task, an_error_beats_a_cancellation) {
    both_ways([](asio::io_context& io) -> muster::task<> {
        stubborn operation;
        auto h = muster::create_task(operation.wait(use_task).as_task());
        co_await muster::yield();
        h.cancel();
        asio::post(
            io, [&operation] { std::exchange(operation.end, nullptr)(error_code(asio::error::connection_reset), 0); });
        auto result = co_await muster::wait(std::vector(1, h));
        EXPECT_TRUE(h.ended_as().failed_with<system_error>()) << muster::to_string(h.ended_as());
    });
}

TEST(use_task, somebody_elses_cancel_of_the_socket_is_an_error_and_no_cancellation) {
    both_ways([](asio::io_context& io) -> muster::task<> {
        auto pair = co_await connected(io);
        auto h = muster::create_task(read_some(pair.first));
        co_await muster::sleep_for(1ms);
        asio::post(io, [&pair] { pair.first.cancel(); });
        auto result = co_await muster::wait(std::vector(1, h));
        EXPECT_TRUE(h.ended_as().failed_with<system_error>());
    });
}

TEST(use_task, cancellations_race_completions) {
    both_ways([](asio::io_context& io) -> muster::task<> {
        int values = 0;
        int cancelled = 0;
        for (int round = 0; round != 100; ++round) {
            std::vector<asio::steady_timer> timers;
            timers.reserve(20);
            std::vector<muster::task_handle<void>> waits;
            for (int i = 0; i != 20; ++i) {
                timers.emplace_back(io, std::chrono::microseconds(10 * i));
                waits.push_back(muster::create_task(timers.back().async_wait(use_task).as_task()));
            }
            co_await muster::yield();
            for (std::size_t i = static_cast<std::size_t>(round) % 3; i < waits.size(); i += 3)
                waits[i].cancel();
            auto result = co_await muster::wait(waits);
            for (auto& h : waits)
                ++(h.ended_as().succeeded() ? values : cancelled);
        }
        EXPECT_EQ(values + cancelled, 2000);
        EXPECT_GT(values, 0);
    });
}

// ---- the io_context goes ----

TEST(use_task, an_io_context_that_is_destroyed_ends_its_awaits_with_an_error) {
    collected c;
    muster::run(
        []() -> muster::task<> {
            std::optional<muster::asio_thread> net(std::in_place);
            std::optional<asio::steady_timer> timer(std::in_place, net->context(), 1h);
            auto waits = muster::create_task(timer->async_wait(use_task).as_task());
            co_await muster::sleep_for(1ms);
            auto& context = net->context();
            std::jthread ends([&] {
                context.stop();
                timer.reset(); // before what it belongs to
                net.reset();
            });
            auto result = co_await muster::wait(std::vector(1, waits));
            ends.join();
            EXPECT_TRUE(waits.ended_as().failed()) << muster::to_string(waits.ended_as());
        }(),
        c.options());
    EXPECT_TRUE(c.reports.empty());
}

TEST(use_task, a_handler_that_is_dropped_is_a_clear_error) {
    both_ways([](asio::io_context&) -> muster::task<> {
        auto drops = [](auto&&) {};
        std::string text;
        try {
            co_await asio::async_initiate<const muster::use_task_t, void(error_code)>(drops, use_task);
        } catch (const muster::operation_dropped_error& e) {
            text = e.what();
        }
        EXPECT_NE(text.find("io_context"), std::string::npos);

        // Also for one who had been cancelled and waits for it.
        stubborn operation;
        auto h = muster::create_task(operation.wait(use_task).as_task());
        co_await muster::yield();
        h.cancel();
        operation.end = nullptr;
        auto result = co_await muster::wait(std::vector(1, h));
        EXPECT_TRUE(h.ended_as().failed_with<muster::operation_dropped_error>());
    });
}

TEST(use_task, a_stopped_io_context_that_is_destroyed_drops_what_has_not_even_begun) {
    collected c;
    muster::run(
        []() -> muster::task<> {
            auto io = std::make_unique<asio::io_context>();
            auto timer = std::make_unique<asio::steady_timer>(*io, 1h);
            auto waits = muster::create_task(timer->async_wait(use_task).as_task());
            co_await muster::sleep_for(1ms); // nobody runs that context
            timer.reset();
            io.reset();
            auto result = co_await muster::wait(std::vector(1, waits));
            EXPECT_TRUE(waits.ended_as().failed_with<muster::operation_dropped_error>())
                << muster::to_string(waits.ended_as());
        }(),
        c.options());
    EXPECT_TRUE(c.reports.empty());
}

TEST(use_task, what_an_io_context_that_nobody_runs_has_not_begun_is_cancelled_at_once) {
    asio::io_context io;
    muster::run([](asio::io_context& stopped) -> muster::task<> {
        asio::steady_timer timer(stopped, 1h);
        bool timed_out = false;
        try {
            co_await muster::wait_for(timer.async_wait(use_task), 1ms);
        } catch (const muster::timeout_error&) {
            timed_out = true;
        }
        EXPECT_TRUE(timed_out);
    }(io));
    EXPECT_GT(io.run(), 0u); // what was on its way begins nothing
}

TEST(use_task, a_loop_that_is_destroyed_leaves_the_operation_behind_and_a_lost_value_is_reported) {
    static std::string late;
    late.clear();
    const auto before = muster::set_report_handler([](const muster::report& r) { late += muster::to_string(r); });
    muster::asio_thread net;
    {
        stubborn operation;
        collected c;
        {
            auto body = [](stubborn& op, muster::run_options) -> muster::task<> {
                auto h = muster::create_task(op.wait(use_task).as_task(), "stuck");
                co_await muster::yield();
            };
            muster::run(body(operation, {}), c.options().grace(1ms));
        }
        ASSERT_EQ(c.reports.size(), 2u);
        EXPECT_EQ(c.reports[0].kind, muster::report_kind::ignores_cancellation);
        EXPECT_NE(muster::to_string(c.reports[0]).find("an Asio operation"), std::string::npos);
        EXPECT_EQ(c.reports[1].kind, muster::report_kind::destroyed_pending);
        EXPECT_EQ(late, "");
        std::exchange(operation.end, nullptr)(error_code(), 1); // a value that no task takes
        EXPECT_NE(late.find("its value is lost"), std::string::npos) << late;
    }
    muster::set_report_handler(before);
}

// ---- the two ways to run it ----

TEST(asio_thread, counts_as_work_outside) {
    muster::asio_thread net;
    muster::run([](asio::io_context& io) -> muster::task<> {
        asio::steady_timer timer(io, 10ms);
        co_await timer.async_wait(use_task); // no deadlock, although the loop has nothing to do
    }(net.context()));
    muster::testing::manual_loop loop;
    loop.run([](asio::io_context& io) -> muster::task<> {
        asio::steady_timer timer(io, 1ms);
        co_await timer.async_wait(use_task);
    }(net.context()));
    EXPECT_EQ(loop.elapsed(), 0ms);
}

TEST(asio_thread, serves_several_loops_and_reports_what_a_handler_throws) {
    static std::atomic<int> reports = 0;
    reports = 0;
    const auto before = muster::set_report_handler([](const muster::report& r) {
        EXPECT_EQ(r.kind, muster::report_kind::callback_failed);
        ++reports;
    });
    {
        muster::asio_thread net;
        asio::post(net.context(), [] { throw std::runtime_error("a handler"); });
        std::vector<std::jthread> loops;
        for (int i = 0; i != 3; ++i)
            loops.emplace_back([&net] {
                muster::run([](asio::io_context& io) -> muster::task<> {
                    for (int n = 0; n != 100; ++n) {
                        asio::steady_timer timer(io, 0ms);
                        co_await timer.async_wait(use_task);
                    }
                }(net.context()));
            });
    }
    muster::set_report_handler(before);
    EXPECT_EQ(reports, 1);
}

TEST(asio_loop, a_handler_that_posts_itself_keeps_no_timer_from_its_turn) {
    muster::asio_loop loop;
    const bool struck = loop.run([](asio::io_context& io) -> muster::task<bool> {
        // It gives up after very many turns: without its turn the timer would come only then.
        auto left = std::make_shared<int>(20'000'000);
        auto again = std::make_shared<std::function<void()>>();
        *again = [&io, left, again] {
            if (--*left > 0)
                asio::post(io, *again);
        };
        asio::post(io, *again);
        co_await muster::sleep_for(1ms);
        const bool in_between = *left > 0;
        *left = 0;
        *again = nullptr;
        co_return in_between;
    }(loop.context()));
    EXPECT_TRUE(struck);
}

TEST(asio_loop, runs_handlers_and_tasks_on_one_thread_in_turn) {
    collected c;
    muster::asio_loop loop;
    const auto here = std::this_thread::get_id();
    const int answer = loop.run(
        [](asio::io_context& io, std::thread::id main) -> muster::task<int> {
            int calls = 0;
            for (int i = 0; i != 1000; ++i)
                asio::post(io, [&calls, main] {
                    EXPECT_EQ(std::this_thread::get_id(), main);
                    ++calls;
                });
            while (calls != 1000)
                co_await muster::yield();
            asio::post(io, [] { throw std::runtime_error("a handler"); });
            co_await muster::sleep_for(1ms);
            auto n = co_await muster::to_thread([] { return 42; });
            co_return n;
        }(loop.context(), here),
        c.options());
    EXPECT_EQ(answer, 42);
    ASSERT_EQ(c.reports.size(), 1u);
    EXPECT_EQ(c.reports[0].kind, muster::report_kind::callback_failed);
}

TEST(asio_loop, is_woken_by_other_threads) {
    muster::asio_loop loop;
    loop.run([](asio::io_context& io) -> muster::task<> {
        for (int i = 0; i != 200; ++i) {
            auto [p, f] = muster::make_promise<int>();
            std::jthread sets([q = std::move(p), i]() mutable { q.set_value(i); });
            auto n = co_await f;
            EXPECT_EQ(n, i);
        }
        bool called = false;
        std::jthread posts([&io, &called] { asio::post(io, [&called] { called = true; }); });
        while (!called)
            co_await muster::sleep_for(1ms);
    }(loop.context()));
}

TEST(asio_loop, knows_a_deadlock_from_a_wait_for_asio) {
    muster::asio_loop loop;
    bool fired = false;
    const auto body = [](asio::io_context& io, bool& later) -> muster::task<> {
        // Nobody awaits this timer, but its handler may make something ready.
        muster::event set;
        asio::steady_timer timer(io, 5ms);
        timer.async_wait([&](error_code) {
            later = true;
            set.set();
        });
        co_await set.wait();
        muster::event never;
        co_await never.wait();
    };
    EXPECT_THROW(loop.run(body(loop.context(), fired)), muster::deadlock_error);
    EXPECT_TRUE(fired);
    EXPECT_EQ(loop.run([]() -> muster::task<int> { co_return 3; }()), 3) << "and can be used again";
}

TEST(asio_loop, is_cancelled_by_an_interrupt) {
    muster::asio_loop loop;
    const auto body = []() -> muster::task<> {
        std::raise(SIGINT);
        co_await muster::sleep_for(1h);
    };
    EXPECT_THROW(loop.run(body()), muster::cancelled_error);
    const auto busy = []() -> muster::task<> {
        std::raise(SIGINT);
        for (;;)
            co_await muster::yield();
    };
    EXPECT_THROW(loop.run(busy()), muster::cancelled_error);
}

TEST(asio_loop, that_is_destroyed_with_an_operation_under_way_reports_its_task) {
    static std::vector<muster::report_kind> kinds;
    kinds.clear();
    const auto before = muster::set_report_handler([](const muster::report& r) { kinds.push_back(r.kind); });
    const auto frames = live_frames();
    stubborn operation;
    {
        muster::asio_loop loop;
        auto body = [](stubborn& op) -> muster::task<> {
            auto h = muster::create_task(op.wait(use_task).as_task());
            co_await muster::yield();
        };
        loop.run(body(operation), muster::run_options().grace(1ms));
    }
    operation.end = nullptr;
    muster::set_report_handler(before);
    EXPECT_EQ(kinds, (std::vector{muster::report_kind::ignores_cancellation, muster::report_kind::destroyed_pending}));
    EXPECT_EQ(live_frames(), frames);
}
