// SPDX-License-Identifier: MIT
// The look-ups' own threads. getaddrinfo is replaced here, so that a look-up can be as slow as a test wants it.
#include <muster/io/dns.hpp>

#include "support/io_play.hpp"

#include <muster/io/tcp.hpp>
#include <muster/run.hpp>
#include <muster/sleep.hpp>
#include <muster/task_handle.hpp>
#include <muster/timeout.hpp>
#include <muster/to_thread.hpp>

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <latch>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <dlfcn.h>
#include <netdb.h>

namespace {

using namespace std::chrono_literals;
using namespace io_test;
using muster::task;

std::atomic<int> now_running{0};
std::atomic<int> most_running{0};
std::atomic<bool> slow_ones_go_on{false};

} // namespace

/// "slow.test" is looked up until the test says so, "stuck.test" for ever; "two.test" has two addresses.
extern "C" int getaddrinfo(const char* host, const char* service, const addrinfo* hints, addrinfo** found) {
    using function = int (*)(const char*, const char*, const addrinfo*, addrinfo**);
    static const auto real = reinterpret_cast<function>(::dlsym(RTLD_NEXT, "getaddrinfo"));
    const std::string_view name = host != nullptr ? host : "";
    if ((hints->ai_flags & AI_NUMERICHOST) != 0 || !name.ends_with(".test"))
        return real(host, service, hints, found);
    if (name == "two.test") {
        if (const int failed = real("127.0.0.1", service, hints, found); failed != 0)
            return failed;
        addrinfo* last = *found;
        while (last->ai_next != nullptr)
            last = last->ai_next;
        return real("127.0.0.2", service, hints, &last->ai_next);
    }
    const int running = ++now_running;
    for (int most = most_running.load(); most < running && !most_running.compare_exchange_weak(most, running);) {}
    while (name == "stuck.test" || !slow_ones_go_on.load())
        std::this_thread::sleep_for(1ms);
    --now_running;
    return real("127.0.0.1", service, hints, found);
}

namespace {

TEST(io_dns, look_ups_do_not_wait_behind_other_blocking_calls) {
    std::latch go_on(1);
    auto look = [&]() -> task<> {
        // As many as the default pool has threads at most.
        std::vector<muster::task_handle<void>> blocked;
        auto block = [&] { go_on.wait(); };
        for (int i = 0; i < 40; ++i)
            blocked.push_back(muster::start_in_executor(muster::default_pool(), block));
        co_await muster::sleep_for(1ms);
        const auto found = co_await muster::io::resolve("localhost", "80");
        EXPECT_FALSE(found.empty());
        go_on.count_down();
        for (auto& b : blocked)
            co_await b;
    };
    muster::run(look());
}

TEST(io_dns, at_most_eight_names_are_looked_up_at_a_time) {
    slow_ones_go_on = false;
    most_running = 0;
    auto look = [&]() -> task<> {
        std::vector<muster::task_handle<std::vector<muster::io::address>>> all;
        for (int i = 0; i < 20; ++i)
            all.push_back(muster::create_task(muster::io::resolve("slow.test", "80")));
        while (now_running.load() < 8)
            co_await muster::sleep_for(1ms);
        // Who waits for a thread can be cancelled, and is taken back.
        all.back().cancel();
        co_await ended(all.back());
        EXPECT_TRUE(all.back().cancelled());
        all.pop_back();
        co_await muster::sleep_for(20ms);
        slow_ones_go_on = true;
        for (auto& h : all) {
            const auto& found = co_await h;
            EXPECT_EQ(found.front().text(), "127.0.0.1:80");
        }
    };
    muster::run(look());
    EXPECT_EQ(most_running.load(), 8);
}

TEST(io_dns, a_look_up_that_is_given_up_holds_neither_the_task_nor_the_loop) {
    slow_ones_go_on = false;
    auto look = [&]() -> task<> {
        for (int i = 0; i < 3; ++i) {
            bool timed_out = false;
            try {
                auto looking = muster::wait_for(muster::io::connect("slow.test", 80), 10ms);
                static_cast<void>(co_await std::move(looking));
            } catch (const muster::timeout_error&) {
                timed_out = true;
            }
            EXPECT_TRUE(timed_out);
        }
    };
    // It ends although the look-ups have not.
    std::size_t reports = 0;
    muster::run(look(), muster::run_options().on_report([&](const muster::report&) { ++reports; }));
    EXPECT_EQ(now_running.load(), 3);
    slow_ones_go_on = true;
    while (now_running.load() != 0)
        std::this_thread::sleep_for(1ms);
    EXPECT_EQ(reports, 0U);
}

/// A port of 127.0.0.1 that answers nobody: as many wait to be accepted as may.
class mute_port {
public:
    [[nodiscard]] task<> open() {
        door_ = co_await muster::io::listen("127.0.0.1", 0, muster::io::listen_options().backlog(0));
        const auto options = muster::io::connect_options().address_limit(30ms);
        for (bool waits = false; !waits;) {
            try {
                auto connecting = muster::io::connect("127.0.0.1", door_.port(), options);
                auto guest = co_await std::move(connecting);
                guests_.push_back(std::move(guest));
            } catch (const muster::io::connect_error& e) {
                EXPECT_EQ(e.code(), std::errc::timed_out);
                waits = true;
            }
        }
    }
    [[nodiscard]] std::uint16_t port() const { return door_.port(); }

private:
    muster::io::listener door_;
    std::vector<muster::io::stream> guests_;
};

TEST(io_connect, an_address_that_does_not_answer_costs_one_delay_and_no_more) {
    const descriptor_audit audit;
    auto talk = []() -> task<> {
        mute_port mute;
        co_await mute.open();
        auto door = co_await muster::io::listen("127.0.0.2", mute.port());
        const auto options = muster::io::connect_options().attempt_delay(10ms);
        auto peer = co_await muster::io::connect("two.test", mute.port(), options);
        EXPECT_EQ(peer.peer_address().text(), "127.0.0.2:" + std::to_string(mute.port()));
        // Without the second one each address is given its limit, and both are in the error.
        door.close();
        const auto short_ones = muster::io::connect_options().attempt_delay(10ms).address_limit(30ms);
        std::optional<muster::io::connect_error> failed;
        try {
            auto none = co_await muster::io::connect("two.test", mute.port(), short_ones);
        } catch (const muster::io::connect_error& e) {
            failed = e;
        }
        if (!failed) {
            ADD_FAILURE() << "it connected";
            co_return;
        }
        EXPECT_EQ(failed->attempts().size(), 2U);
        EXPECT_EQ(failed->attempts()[0].code, std::errc::connection_refused);
        EXPECT_EQ(failed->attempts()[1].code, std::errc::timed_out);
    };
    muster::run(talk());
}

TEST(io_dns_death_test, a_stuck_look_up_does_not_keep_the_program_from_exiting) {
    ::testing::FLAGS_gtest_death_test_style = "threadsafe";
    auto give_up = []() -> task<> {
        auto looking = muster::create_task(muster::io::resolve("stuck.test", "80"));
        while (now_running.load() == 0)
            co_await muster::sleep_for(1ms);
        looking.cancel();
        co_await ended(looking);
    };
    EXPECT_EXIT(
        {
            muster::run(give_up());
            std::exit(7);
        },
        ::testing::ExitedWithCode(7), "");
}

} // namespace
