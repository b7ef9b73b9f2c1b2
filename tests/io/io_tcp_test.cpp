// SPDX-License-Identifier: MIT
#include <muster/io/tcp.hpp>

#include "support/io_play.hpp"

#include <muster/event_loop.hpp>
#include <muster/io/dns.hpp>
#include <muster/io/reader.hpp>
#include <muster/io/serve.hpp>
#include <muster/run.hpp>
#include <muster/sleep.hpp>
#include <muster/task_handle.hpp>
#include <muster/testing/manual_loop.hpp>
#include <muster/timeout.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

namespace {

using namespace std::chrono_literals;
using namespace io_test;
using muster::task;
using muster::io::listener;
using muster::io::serve_options;
using muster::io::stream;

const std::string here = "127.0.0.1";

task<> echo(stream peer) {
    muster::io::reader in(peer);
    for (;;) {
        const auto text = co_await in.read_some();
        if (text.empty())
            break;
        co_await peer.write(text);
    }
}

task<std::string> ask(std::uint16_t port, std::string question) {
    auto peer = co_await muster::io::connect(here, port);
    co_await peer.write(std::move(question));
    peer.shutdown_write();
    muster::io::reader in(peer);
    auto answer = co_await in.read_all();
    co_return answer;
}

int no_delay_of(const stream& s) {
    int value = -1;
    socklen_t bytes = sizeof value;
    ::getsockopt(s.native_handle(), IPPROTO_TCP, TCP_NODELAY, &value, &bytes);
    return value;
}

TEST(io_tcp, connects_to_what_listens) {
    const descriptor_audit audit;
    auto talk = []() -> task<> {
        auto door = co_await muster::io::listen(here, 0);
        EXPECT_NE(door.port(), 0);
        auto peer = co_await muster::io::connect(here, door.port());
        auto guest = co_await door.accept();
        EXPECT_EQ(peer.peer_address(), door.local_address());
        EXPECT_EQ(guest.peer_address(), peer.local_address());
        EXPECT_EQ(peer.peer_address().text(), here + ':' + std::to_string(door.port()));
        EXPECT_NE(no_delay_of(peer), 0);
        EXPECT_NE(no_delay_of(guest), 0);
        EXPECT_NE(::fcntl(guest.native_handle(), F_GETFD) & FD_CLOEXEC, 0);
        co_await peer.write("hello");
        const auto text = co_await read_text(guest);
        EXPECT_EQ(text, "hello");
        auto second = co_await muster::io::connect(door.local_address());
        auto other = co_await door.accept();
        second.close();
        const auto end = co_await read_text(other);
        EXPECT_EQ(end, "");
    };
    muster::run(talk());
}

TEST(io_tcp, options_reach_the_sockets) {
    const descriptor_audit audit;
    auto talk = []() -> task<> {
        auto options = muster::io::listen_options().no_delay(false).reuse_port().backlog(3);
        auto door = co_await muster::io::listen(here, 0, options);
        auto beside = co_await muster::io::listen(here, door.port(), options);
        EXPECT_EQ(beside.port(), door.port());
        beside.close();
        auto peer = co_await muster::io::connect(here, door.port());
        auto guest = co_await door.accept();
        EXPECT_EQ(no_delay_of(guest), 0);
    };
    muster::run(talk());
}

TEST(io_tcp, an_address_in_use_is_an_error) {
    const descriptor_audit audit;
    auto talk = []() -> task<> {
        auto door = co_await muster::io::listen(here, 0);
        const auto code = co_await code_of(muster::io::listen(here, door.port()));
        EXPECT_EQ(code, std::errc::address_in_use);
    };
    muster::run(talk());
}

TEST(io_tcp, what_each_address_failed_with_is_told_together) {
    const descriptor_audit audit;
    auto talk = []() -> task<> {
        std::uint16_t port = 0;
        {
            auto door = co_await muster::io::listen(here, 0);
            port = door.port();
        }
        std::optional<muster::io::connect_error> failed;
        try {
            auto peer = co_await muster::io::connect(here, port);
        } catch (const muster::io::connect_error& e) {
            failed = e;
        }
        if (!failed) {
            ADD_FAILURE() << "it connected";
            co_return;
        }
        EXPECT_EQ(failed->code(), std::errc::connection_refused);
        EXPECT_EQ(failed->attempts().size(), 1U);
        EXPECT_EQ(failed->attempts()[0].address, here + ':' + std::to_string(port));
        EXPECT_NE(std::string(failed->what()).find(failed->attempts()[0].address), std::string::npos);
    };
    muster::run(talk());
}

TEST(io_tcp, a_cancelled_accept_loses_no_connection) {
    const descriptor_audit audit;
    auto talk = []() -> task<> {
        auto door = co_await muster::io::listen(here, 0);
        auto accepting = muster::create_task(door.accept());
        co_await muster::sleep_for(1ms);
        auto peer = co_await muster::io::connect(here, door.port());
        accepting.cancel();
        co_await ended(accepting);
        if (accepting.cancelled()) {
            auto guest = co_await door.accept();
            EXPECT_TRUE(guest.is_open());
        }
    };
    muster::run(talk());
}

TEST(io_tcp, closing_or_destroying_a_listener_ends_accept) {
    const descriptor_audit audit;
    auto talk = []() -> task<> {
        auto made = co_await muster::io::listen(here, 0);
        std::optional<listener> door(std::move(made));
        auto accepting = muster::create_task(code_of(door->accept()));
        co_await muster::sleep_for(1ms);
        bool refused = false;
        try {
            auto second = co_await door->accept();
        } catch (const muster::invalid_state_error&) {
            refused = true;
        }
        EXPECT_TRUE(refused);
        door->close();
        const auto code = co_await accepting;
        EXPECT_EQ(code, std::errc::operation_canceled);
        const auto later = co_await code_of(door->accept());
        EXPECT_EQ(later, std::errc::bad_file_descriptor);
        EXPECT_EQ(door->port(), 0);
        EXPECT_THROW(static_cast<void>(door->local_address()), std::system_error);

        auto again = co_await muster::io::listen(here, 0);
        door.emplace(std::move(again));
        auto waiting = muster::create_task(code_of(door->accept()));
        co_await muster::sleep_for(1ms);
        door.reset();
        const auto gone = co_await waiting;
        EXPECT_EQ(gone, std::errc::operation_canceled);
    };
    muster::run(talk());
}

TEST(io_tcp, a_connect_that_is_not_answered_can_be_cancelled) {
    const descriptor_audit audit;
    auto talk = []() -> task<> {
        // A backlog that is full answers nobody.
        auto door = co_await muster::io::listen(here, 0, muster::io::listen_options().backlog(0));
        std::vector<stream> guests;
        bool waited = false;
        for (int i = 0; i != 20 && !waited; ++i) {
            try {
                auto connecting = muster::wait_for(muster::io::connect(here, door.port()), 30ms);
                auto peer = co_await std::move(connecting);
                guests.push_back(std::move(peer));
            } catch (const muster::timeout_error&) {
                waited = true;
            }
        }
        EXPECT_TRUE(waited);
    };
    muster::run(talk());
}

/// As few descriptors may be open as are now, and so many more.
class few_descriptors {
public:
    explicit few_descriptors(rlim_t more) {
        ::getrlimit(RLIMIT_NOFILE, &before_);
        rlimit now = before_;
        // The lowest free number is what the limit is about.
        const int next = ::fcntl(0, F_DUPFD_CLOEXEC, 0);
        ::close(next);
        now.rlim_cur = static_cast<rlim_t>(next) + more;
        EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &now), 0);
    }
    ~few_descriptors() { ::setrlimit(RLIMIT_NOFILE, &before_); }
    few_descriptors(const few_descriptors&) = delete;
    few_descriptors& operator=(const few_descriptors&) = delete;

private:
    rlimit before_{};
};

TEST(io_tcp, accept_waits_for_descriptors_and_loses_no_connection) {
    const descriptor_audit audit;
    auto talk = []() -> task<> {
        auto door = co_await muster::io::listen(here, 0);
        std::vector<stream> peers;
        for (int i = 0; i != 3; ++i) {
            auto peer = co_await muster::io::connect(here, door.port());
            co_await peer.write(std::to_string(i));
            peers.push_back(std::move(peer));
        }
        std::vector<stream> guests;
        guests.reserve(3);
        rusage before{};
        ::getrusage(RUSAGE_SELF, &before);
        {
            const few_descriptors limit(1);
            auto first = co_await door.accept();
            guests.push_back(std::move(first));
            auto accepting = muster::create_task(door.accept());
            co_await muster::sleep_for(300ms);
            EXPECT_FALSE(accepting.done());
            rusage after{};
            ::getrusage(RUSAGE_SELF, &after);
            const auto spent = (after.ru_utime.tv_sec - before.ru_utime.tv_sec) * 1'000'000L +
                               (after.ru_utime.tv_usec - before.ru_utime.tv_usec);
            EXPECT_LT(spent, 150'000) << "it spins";
            // One that ends makes room for the next.
            const auto said = co_await read_text(guests[0]);
            EXPECT_EQ(said, "0");
            guests.clear();
            auto second = co_await std::move(accepting);
            guests.push_back(std::move(second));
            auto cancelled = muster::create_task(door.accept());
            co_await muster::sleep_for(5ms);
            cancelled.cancel();
            co_await ended(cancelled);
            EXPECT_TRUE(cancelled.cancelled());
        }
        auto third = co_await door.accept();
        guests.push_back(std::move(third));
        for (std::size_t i = 0; i != 2; ++i) {
            const auto said = co_await read_text(guests[i]);
            EXPECT_EQ(said, std::to_string(i + 1));
        }
    };
    muster::run(talk());
}

TEST(io_tcp, a_loop_that_ends_takes_accept_and_connect_with_it) {
    const descriptor_audit audit;
    std::size_t reports = 0;
    std::optional<listener> door;
    {
        muster::event_loop loop;
        auto stubborn = [&]() -> task<> {
            for (;;) {
                try {
                    auto guest = co_await door->accept();
                } catch (const muster::cancelled_error&) {}
            }
        };
        auto main = [&]() -> task<> {
            auto made = co_await muster::io::listen(here, 0);
            door.emplace(std::move(made));
            static_cast<void>(muster::create_task(stubborn()));
            co_await muster::sleep_for(1ms);
        };
        auto options = muster::run_options().grace(5ms).on_report([&](const muster::report&) { ++reports; });
        loop.run(main(), options);
    }
    EXPECT_GT(reports, 0U);
    EXPECT_TRUE(door->is_open());
    auto again = [&]() -> task<> {
        auto peer = co_await muster::io::connect(door->local_address());
        auto guest = co_await door->accept();
        EXPECT_TRUE(guest.is_open());
    };
    muster::run(again());
}

TEST(io_tcp, needs_a_loop_that_does_io) {
    muster::testing::manual_loop loop;
    EXPECT_THROW(static_cast<void>(loop.run(muster::io::connect(here, 1))), muster::invalid_state_error);
    EXPECT_THROW(static_cast<void>(loop.run(muster::io::listen(here, 0))), muster::invalid_state_error);
}

// ---- serve ----

TEST(io_serve, serves_many_at_once_and_ends_in_good_order) {
    const descriptor_audit audit;
    auto talk = []() -> task<> {
        auto door = co_await muster::io::listen(here, 0);
        auto serving = muster::create_task(muster::io::serve(door, echo));
        std::vector<muster::task_handle<std::string>> asked;
        for (int i = 0; i != 50; ++i)
            asked.push_back(muster::create_task(ask(door.port(), "question " + std::to_string(i))));
        for (std::size_t i = 0; i != asked.size(); ++i) {
            const auto answer = co_await asked[i];
            EXPECT_EQ(answer, "question " + std::to_string(i));
        }
        auto late = co_await muster::io::connect(here, door.port());
        co_await late.write("a");
        const auto first = co_await read_text(late);
        EXPECT_EQ(first, "a");
        door.close();
        co_await muster::sleep_for(2ms);
        EXPECT_FALSE(serving.done());
        co_await late.write("b");
        const auto second = co_await read_text(late);
        EXPECT_EQ(second, "b");
        late.close();
        co_await serving;
    };
    muster::run(talk());
}

TEST(io_serve, failures_are_reported_each_with_its_connection_and_the_others_go_on) {
    const descriptor_audit audit;
    std::string reported;
    auto talk = []() -> task<> {
        auto door = co_await muster::io::listen(here, 0);
        auto handler = [](stream peer) -> task<> {
            auto text = co_await read_text(peer);
            if (text != "well")
                throw std::runtime_error(text);
            co_await peer.write(std::move(text));
        };
        auto serving = muster::create_task(muster::io::serve(door, handler));
        const auto nothing = co_await ask(door.port(), "first failure");
        EXPECT_EQ(nothing, "");
        const auto answer = co_await ask(door.port(), "well");
        EXPECT_EQ(answer, "well");
        static_cast<void>(co_await ask(door.port(), "second failure"));
        door.close();
        co_await serving;
    };
    muster::run(talk(), muster::run_options().on_report([&](const muster::report& r) { reported += to_string(r); }));
    const auto first = reported.find("connection 1 (127.0.0.1:");
    const auto third = reported.find("connection 3 (127.0.0.1:");
    EXPECT_LT(first, reported.find("first failure")) << reported;
    EXPECT_LT(reported.find("first failure"), third) << reported;
    EXPECT_LT(third, reported.find("second failure")) << reported;
    EXPECT_EQ(reported.find("connection 2"), std::string::npos) << reported;
}

TEST(io_serve, a_failure_handler_is_given_the_failures) {
    const descriptor_audit audit;
    std::string failures;
    std::size_t reports = 0;
    auto talk = [&]() -> task<> {
        auto door = co_await muster::io::listen(here, 0);
        auto handler = [](stream peer) -> task<> {
            const auto text = co_await read_text(peer);
            throw std::runtime_error(text);
        };
        auto options = serve_options().on_failure([&](const muster::io::address& peer, std::exception_ptr error) {
            EXPECT_EQ(peer.host(), here);
            failures += muster::describe(error) + ';';
            throw std::runtime_error("out of paper");
        });
        auto serving = muster::create_task(muster::io::serve(door, handler, options));
        static_cast<void>(co_await ask(door.port(), "one"));
        door.close();
        co_await serving;
    };
    muster::run(talk(), muster::run_options().on_report([&](const muster::report&) { ++reports; }));
    EXPECT_NE(failures.find("one"), std::string::npos) << failures;
    EXPECT_EQ(reports, 2U);
}

TEST(io_serve, takes_no_more_than_the_limit_at_a_time) {
    const descriptor_audit audit;
    auto talk = []() -> task<> {
        auto door = co_await muster::io::listen(here, 0);
        int now = 0;
        int most = 0;
        auto handler = [&](stream peer) -> task<> {
            most = std::max(most, ++now);
            co_await muster::sleep_for(2ms);
            co_await echo(std::move(peer));
            --now;
        };
        auto serving = muster::create_task(muster::io::serve(door, handler, serve_options().limit(3)));
        std::vector<muster::task_handle<std::string>> asked;
        for (int i = 0; i != 12; ++i)
            asked.push_back(muster::create_task(ask(door.port(), "x")));
        for (auto& a : asked) {
            const auto answer = co_await a;
            EXPECT_EQ(answer, "x");
        }
        EXPECT_EQ(most, 3);
        door.close();
        co_await serving;
    };
    muster::run(talk());
}

TEST(io_serve, cancelling_it_cancels_the_connections) {
    const descriptor_audit audit;
    auto talk = []() -> task<> {
        auto door = co_await muster::io::listen(here, 0);
        auto serving = muster::create_task(muster::io::serve(door, echo));
        auto peer = co_await muster::io::connect(here, door.port());
        co_await peer.write("x");
        const auto text = co_await read_text(peer);
        EXPECT_EQ(text, "x");
        serving.cancel();
        co_await ended(serving);
        EXPECT_TRUE(serving.cancelled());
        const auto end = co_await read_text(peer);
        EXPECT_EQ(end, "");
        EXPECT_TRUE(door.is_open());
    };
    muster::run(talk());
}

TEST(io_serve, the_listener_may_go_while_it_serves) {
    const descriptor_audit audit;
    auto talk = []() -> task<> {
        auto made = co_await muster::io::listen(here, 0);
        std::optional<listener> door(std::move(made));
        auto serving = muster::create_task(muster::io::serve(*door, echo));
        co_await muster::sleep_for(1ms);
        door.reset();
        co_await serving;
    };
    muster::run(talk());
}

// ---- names and addresses ----

TEST(io_dns, numbers_need_no_look_up) {
    auto look = []() -> task<> {
        const auto four = co_await muster::io::resolve("127.0.0.1", "80");
        EXPECT_EQ(four.front().text(), "127.0.0.1:80");
        EXPECT_EQ(four.front().family(), AF_INET);
        const auto six = co_await muster::io::resolve("::1", "443");
        EXPECT_EQ(six.front().text(), "[::1]:443");
        EXPECT_EQ(six.front().host(), "::1");
        EXPECT_EQ(six.front().port(), 443);
        EXPECT_FALSE(six.front() == four.front());
        const auto itself = co_await muster::io::resolve("", "1");
        EXPECT_FALSE(itself.empty());
    };
    muster::run(look());
    muster::testing::manual_loop loop;
    loop.run(look());
}

TEST(io_dns, looks_names_up) {
    auto look = []() -> task<> {
        const auto found = co_await muster::io::resolve("localhost", "80");
        bool loopback = false;
        for (const auto& a : found)
            loopback |= a.host() == "127.0.0.1" || a.host() == "::1";
        EXPECT_TRUE(loopback);
    };
    muster::run(look());
}

TEST(io_dns, a_number_that_is_no_port_is_no_other_port) {
    auto look = []() -> task<> {
        bool refused = false;
        try {
            auto found = co_await muster::io::resolve("127.0.0.1", "70000");
            EXPECT_TRUE(found.empty());
        } catch (const muster::io::resolve_error&) {
            refused = true;
        }
        EXPECT_TRUE(refused);
    };
    muster::run(look());
}

TEST(io_dns, says_why_a_name_is_not_found) {
    auto look = []() -> task<> {
        std::optional<muster::io::resolve_error> failed;
        try {
            static_cast<void>(co_await muster::io::resolve("name.invalid", "no-such-service-at-all"));
        } catch (const muster::io::resolve_error& e) {
            failed = e;
        }
        EXPECT_TRUE(failed.has_value());
        EXPECT_EQ(failed->host(), "name.invalid");
        EXPECT_NE(std::string(failed->what()).find("no-such-service"), std::string::npos);
        EXPECT_EQ(std::string(muster::io::resolve_category().name()), "getaddrinfo");
        const auto code = co_await code_of(muster::io::resolve(std::string("a\0b", 3), "1"));
        EXPECT_EQ(code, std::error_code(EAI_NONAME, muster::io::resolve_category()));
    };
    muster::run(look());
}

TEST(io_dns, cancelling_a_look_up_ends_in_a_cancellation) {
    auto look = []() -> task<> {
        auto looking = muster::create_task(muster::io::resolve("localhost", "80"));
        co_await muster::yield();
        looking.cancel();
        co_await ended(looking);
        EXPECT_TRUE(looking.cancelled());
    };
    muster::run(look());
}

TEST(io_address, refuses_what_is_too_long) {
    const std::string bytes(200, 'x');
    EXPECT_THROW(muster::io::address(bytes.data(), bytes.size()), std::invalid_argument);
    EXPECT_EQ(muster::io::address().text(), "");
    EXPECT_EQ(muster::io::address().family(), AF_UNSPEC);
}

} // namespace
