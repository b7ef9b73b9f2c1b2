// SPDX-License-Identifier: MIT
// Races of I/O operations that are ready in one instant: the losers' bytes and connections stay where they were.
#include <muster/race.hpp>

#include "support/io_play.hpp"

#include <muster/event.hpp>
#include <muster/gather.hpp>
#include <muster/io/reader.hpp>
#include <muster/io/tcp.hpp>
#include <muster/run.hpp>
#include <muster/sleep.hpp>
#include <muster/subprocess.hpp>
#include <muster/task_handle.hpp>
#include <muster/timeout.hpp>

#include <gtest/gtest.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

namespace {

using namespace std::chrono_literals;
using namespace io_test;
using muster::task;
using muster::io::reader;
using muster::io::stream;
using line = std::optional<std::string>;

TEST(io_race, the_line_of_the_reader_that_lost_is_read_next) {
    const descriptor_audit audit;
    auto talk = []() -> task<> {
        auto a = connected();
        auto b = connected();
        reader first(a.left);
        reader second(b.left);
        // With lines that are there before, and with lines that come while both wait.
        for (const bool come_later : {false, true}) {
            auto send = [&]() -> task<> {
                if (come_later)
                    co_await muster::sleep_for(5ms);
                co_await a.right.write("from a\n");
                co_await b.right.write("from b\n");
            };
            auto sending = muster::create_task(send());
            if (!come_later)
                co_await sending;
            auto racing = muster::race(first.read_line(), second.read_line());
            const auto won = co_await std::move(racing);
            co_await sending;
            const bool first_won = won.index() == 0;
            EXPECT_EQ(won.value(), first_won ? "from a" : "from b");
            auto rest = (first_won ? second : first).read_line();
            const line next = co_await std::move(rest);
            EXPECT_EQ(next, first_won ? "from b" : "from a");
        }
    };
    muster::run(talk());
}

TEST(io_race, an_event_set_in_the_instant_in_which_a_line_comes_costs_no_line) {
    const descriptor_audit audit;
    auto talk = []() -> task<> {
        auto pair = connected();
        reader in(pair.left);
        std::size_t lines = 0;
        for (int round = 0; round < 50; ++round) {
            muster::event stop;
            auto both = [&]() -> task<> {
                co_await pair.right.write("line\n");
                stop.set();
            };
            auto wait = [&]() -> task<line> {
                co_await stop.wait();
                co_return line();
            };
            auto acting = muster::create_task(both());
            auto racing = muster::race(wait(), in.read_line());
            const auto won = co_await std::move(racing);
            lines += won.index() == 1 ? 1 : 0;
            co_await acting;
        }
        pair.right.shutdown_write();
        const std::string rest = co_await in.read_all();
        EXPECT_EQ(lines * 5 + rest.size(), 50 * 5U);
    };
    muster::run(talk());
}

TEST(io_race, a_connection_that_the_loser_could_have_accepted_is_accepted_next) {
    const descriptor_audit audit;
    auto talk = []() -> task<> {
        auto first = co_await muster::io::listen("127.0.0.1", 0);
        auto second = co_await muster::io::listen("127.0.0.1", 0);
        for (int round = 0; round < 5; ++round) {
            auto a = co_await muster::io::connect(first.local_address());
            auto b = co_await muster::io::connect(second.local_address());
            auto racing = muster::race(first.accept(), second.accept());
            auto won = co_await std::move(racing);
            auto other = (won.index() == 0 ? second : first).accept();
            auto limited = muster::wait_for(std::move(other), 5s);
            auto guest = co_await std::move(limited);
            EXPECT_TRUE(guest.is_open());
            co_await guest.write("welcome");
            const auto said = co_await read_text(won.index() == 0 ? b : a);
            EXPECT_EQ(said, "welcome");
        }
    };
    muster::run(talk());
}

TEST(io_race, the_output_of_the_process_that_lost_is_read_next) {
    auto talk = []() -> task<> {
        auto a = muster::start_process(muster::command("echo", "from a"));
        auto b = muster::start_process(muster::command("echo", "from b"));
        static_cast<void>(co_await a.wait());
        static_cast<void>(co_await b.wait());
        auto racing = muster::race(a.output().read_line(), b.output().read_line());
        const auto won = co_await std::move(racing);
        EXPECT_EQ(won.value(), won.index() == 0 ? "from a" : "from b");
        auto rest = (won.index() == 0 ? b : a).output().read_line();
        const line next = co_await std::move(rest);
        EXPECT_EQ(next, won.index() == 0 ? "from b" : "from a");
    };
    muster::run(talk());
}

TEST(io_race, a_time_limit_that_strikes_as_bytes_come_loses_none_and_gives_none_twice) {
    const descriptor_audit audit;
    auto talk = []() -> task<> {
        auto pair = connected();
        reader in(pair.left);
        std::string sent;
        std::string got;
        for (int round = 0; round < 200; ++round) {
            const std::string record(3, static_cast<char>('a' + round % 26));
            sent += record;
            auto send = [&]() -> task<> {
                co_await muster::sleep_for(std::chrono::microseconds(round * 5));
                co_await pair.right.write(record);
            };
            auto sending = muster::create_task(send());
            try {
                auto reading = muster::wait_for(in.read_exactly(3), 500us);
                got += co_await std::move(reading);
            } catch (const muster::timeout_error&) {}
            co_await sending;
        }
        pair.right.shutdown_write();
        const std::string rest = co_await in.read_all();
        EXPECT_EQ(got + rest, sent);
    };
    muster::run(talk());
}

} // namespace
