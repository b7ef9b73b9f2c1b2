// SPDX-License-Identifier: MIT
#include <muster/io/reader.hpp>

#include "support/io_play.hpp"

#include <muster/io/pipe.hpp>
#include <muster/run.hpp>
#include <muster/sleep.hpp>
#include <muster/task_group.hpp>
#include <muster/task_handle.hpp>
#include <muster/testing/manual_loop.hpp>
#include <muster/wait.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include <malloc.h>

namespace {

using namespace std::chrono_literals;
using namespace io_test;
using muster::task;
using muster::io::make_pipe;
using muster::io::reader;
using muster::io::stream;

/// A pipe that holds `text` and has ended.
task<muster::io::stream> holding(std::string text) {
    auto ends = make_pipe();
    co_await ends.writer.write(std::move(text));
    co_return std::move(ends.reader);
}

TEST(io_reader, gives_lines_without_their_line_feeds) {
    const descriptor_audit audit;
    auto read = []() -> task<> {
        auto from = co_await holding("one\n\ntwo\r\nlast");
        reader in(from);
        std::string lines;
        for (;;) {
            auto line = co_await in.read_line();
            if (!line)
                break;
            lines += '[' + *line + ']';
        }
        EXPECT_EQ(lines, "[one][][two\r][last]");
        const auto after = co_await in.read_line();
        EXPECT_FALSE(after.has_value());
        const auto all = co_await in.read_all();
        EXPECT_EQ(all, "");
    };
    muster::run(read());
}

TEST(io_reader, puts_pieces_together) {
    const descriptor_audit audit;
    auto read = []() -> task<> {
        auto ends = make_pipe();
        auto write = [](muster::io::stream& to) -> task<> {
            const std::string text = "a line\nEND--END=rest";
            for (const char c : text) {
                co_await to.write(std::string(1, c));
                co_await muster::yield();
                co_await muster::yield();
            }
            to.close();
        };
        auto writing = muster::create_task(write(ends.writer));
        reader in(ends.reader);
        const auto line = co_await in.read_line();
        EXPECT_EQ(line, "a line");
        const auto mark = co_await in.read_until("END=");
        EXPECT_EQ(mark, "END--END=");
        const auto two = co_await in.read_exactly(2);
        EXPECT_EQ(two, "re");
        const auto all = co_await in.read_all();
        EXPECT_EQ(all, "st");
        co_await writing;
    };
    muster::run(read());
}

TEST(io_reader, a_line_longer_than_the_limit_stays_there) {
    const descriptor_audit audit;
    auto read = []() -> task<> {
        auto from = co_await holding("12345\n678");
        reader in(from);
        std::size_t limit = 0;
        try {
            static_cast<void>(co_await in.read_line(4));
        } catch (const muster::io::limit_error& e) {
            limit = e.limit();
            EXPECT_EQ(e.code(), muster::io::io_errc::limit_exceeded);
        }
        EXPECT_EQ(limit, 4U);
        const auto line = co_await in.read_line(5);
        EXPECT_EQ(line, "12345");
        const auto last = co_await in.read_line(3);
        EXPECT_EQ(last, "678");
    };
    muster::run(read());
}

TEST(io_reader, a_line_without_an_end_stops_at_the_limit_before_it_has_come) {
    const descriptor_audit audit;
    auto read = []() -> task<> {
        auto both = connected();
        co_await both.left.write(std::string(100'000, 'x'));
        reader in(both.right);
        const auto code = co_await code_of(in.read_line(1000));
        EXPECT_EQ(code, muster::io::io_errc::limit_exceeded);
        EXPECT_LE(in.buffered(), 50'000U);
        const auto marked = co_await code_of(in.read_until("\r\n", 1000));
        EXPECT_EQ(marked, muster::io::io_errc::limit_exceeded);
        const auto all = co_await code_of(in.read_all(1000));
        EXPECT_EQ(all, muster::io::io_errc::limit_exceeded);
        both.left.close();
        const auto rest = co_await in.read_all();
        EXPECT_EQ(rest.size(), 100'000U);
    };
    muster::run(read());
}

TEST(io_reader, an_end_that_comes_too_early_says_what_came) {
    const descriptor_audit audit;
    auto read = []() -> task<> {
        auto from = co_await holding("abc");
        reader in(from);
        std::string partial;
        try {
            static_cast<void>(co_await in.read_exactly(4));
        } catch (const muster::io::incomplete_read_error& e) {
            partial = e.partial();
            EXPECT_EQ(e.code(), muster::io::io_errc::incomplete_read);
        }
        EXPECT_EQ(partial, "abc");
        auto other = co_await holding("no mark");
        reader again(other);
        partial.clear();
        try {
            static_cast<void>(co_await again.read_until("MARK"));
        } catch (const muster::io::incomplete_read_error& e) {
            partial = e.partial();
        }
        EXPECT_EQ(partial, "no mark");
        const auto code = co_await code_of(again.read_exactly(std::size_t{1} << 60));
        EXPECT_EQ(code, muster::io::io_errc::incomplete_read);
    };
    muster::run(read());
}

TEST(io_reader, nothing_is_lost_when_a_record_is_cancelled_halfway) {
    const descriptor_audit audit;
    auto read = []() -> task<> {
        auto ends = make_pipe();
        reader in(ends.reader);
        co_await ends.writer.write("half a ");
        auto line = muster::create_task(in.read_line());
        co_await muster::sleep_for(1ms);
        EXPECT_EQ(in.buffered(), 7U);
        line.cancel();
        co_await ended(line);
        EXPECT_TRUE(line.cancelled());
        auto exactly = muster::create_task(in.read_exactly(8));
        co_await muster::sleep_for(1ms);
        exactly.cancel();
        co_await ended(exactly);
        co_await ends.writer.write("line\n");
        const auto whole = co_await in.read_line();
        EXPECT_EQ(whole, "half a line");
    };
    muster::run(read());
}

TEST(io_reader, no_byte_is_lost_or_read_twice_however_reads_are_cancelled) {
    const descriptor_audit audit;
    auto read = []() -> task<> {
        auto both = connected();
        constexpr std::uint32_t records = 3000;
        auto write = [](muster::io::stream& to) -> task<> {
            for (std::uint32_t i = 0; i != records; ++i) {
                std::string record = std::to_string(i) + std::string(i % 50, '.') + '\n';
                co_await to.write(record.substr(0, i % 7));
                if (i % 3 == 0)
                    co_await muster::yield();
                co_await to.write(record.substr(std::min<std::size_t>(i % 7, record.size())));
            }
            to.shutdown_write();
        };
        auto writing = muster::create_task(write(both.left));
        reader in(both.right);
        std::mt19937 random(7);
        std::uint32_t next = 0;
        std::size_t cancelled = 0;
        while (next != records) {
            auto line = muster::create_task(in.read_line());
            for (auto turns = random() % 4; turns != 0 && !line.done(); --turns)
                co_await muster::yield();
            if (random() % 2 == 0)
                line.cancel();
            co_await ended(line);
            if (line.cancelled()) {
                ++cancelled;
                continue;
            }
            const auto got = co_await line;
            const bool right = got == std::to_string(next) + std::string(next % 50, '.');
            EXPECT_TRUE(right) << next;
            if (!right)
                break;
            ++next;
        }
        EXPECT_GT(cancelled, 100U);
        co_await writing;
    };
    muster::run(read());
}

TEST(io_reader, may_be_destroyed_with_its_stream_during_a_read) {
    const descriptor_audit audit;
    auto read = []() -> task<> {
        std::optional<muster::io::pipe_ends> ends(make_pipe());
        std::optional<reader> in(ends->reader);
        auto line = muster::create_task(code_of(in->read_line()));
        co_await muster::sleep_for(1ms);
        in.reset();
        ends.reset();
        const auto code = co_await line;
        EXPECT_EQ(code, std::errc::operation_canceled);
    };
    muster::run(read());
}

TEST(io_reader, one_task_reads_at_a_time) {
    const descriptor_audit audit;
    auto read = []() -> task<> {
        auto ends = make_pipe();
        reader in(ends.reader);
        auto line = muster::create_task(in.read_line());
        co_await muster::sleep_for(1ms);
        bool refused = false;
        try {
            static_cast<void>(co_await in.read_some());
        } catch (const muster::invalid_state_error&) {
            refused = true;
        }
        EXPECT_TRUE(refused);
        co_await ends.writer.write("x\n");
        const auto got = co_await line;
        EXPECT_EQ(got, "x");
    };
    muster::run(read());
}

TEST(io_reader, refuses_what_makes_no_sense) {
    auto read = []() -> task<> {
        reader in{muster::io::stream()};
        int refused = 0;
        try {
            static_cast<void>(co_await in.read_until(""));
        } catch (const std::invalid_argument&) {
            ++refused;
        }
        try {
            static_cast<void>(co_await in.read_some(0));
        } catch (const std::invalid_argument&) {
            ++refused;
        }
        EXPECT_EQ(refused, 2);
        const auto code = co_await code_of(in.read_line());
        EXPECT_EQ(code, std::errc::bad_file_descriptor);
        const auto nothing = co_await in.read_exactly(0);
        EXPECT_EQ(nothing, "");
    };
    muster::run(read());
    reader in{muster::io::stream()};
    muster::testing::manual_loop loop;
    EXPECT_THROW(loop.run(in.read_line()), muster::invalid_state_error);
}

TEST(io_reader, a_flood_of_empty_lines_lets_other_tasks_run) {
    const descriptor_audit audit;
    auto talk = []() -> task<> {
        constexpr std::size_t flood = 16'000;
        auto from = co_await holding(std::string(flood, '\n'));
        reader in(from);
        std::size_t lines = 0;
        auto count = [&]() -> task<> {
            for (;;) {
                auto line = co_await in.read_line();
                if (!line)
                    break;
                ++lines;
            }
        };
        auto counting = muster::create_task(count());
        std::size_t longest = 0;
        while (!counting.done()) {
            const std::size_t before = lines;
            co_await muster::yield();
            longest = std::max(longest, lines - before);
        }
        EXPECT_EQ(lines, flood);
        EXPECT_LE(longest, 256U);
    };
    muster::run(talk());
}

TEST(io_reader, one_that_was_moved_from_is_refused_and_copies_share_what_has_come) {
    const descriptor_audit audit;
    auto talk = []() -> task<> {
        auto pair = connected();
        reader in(pair.left);
        reader copy(in);
        co_await pair.right.write("one\ntwo\n");
        auto first = co_await in.read_line();
        EXPECT_EQ(first, "one");
        auto second = co_await copy.read_line();
        EXPECT_EQ(second, "two");
        const reader moved(std::move(in));
        EXPECT_EQ(in.buffered(), 0U); // NOLINT: that is what is tested
        auto reading = co_await muster::as_outcome(in.read_line());
        EXPECT_TRUE(reading.failed_with<muster::invalid_state_error>());
    };
    muster::run(talk());
}

TEST(io_reader, an_idle_connection_costs_no_buffer) {
    const descriptor_audit audit;
    constexpr std::size_t count = 100;
    auto serve_lines = [](stream peer) -> task<> {
        reader in(peer);
        for (;;) {
            auto line = co_await in.read_line();
            if (!line)
                break;
        }
    };
    std::size_t before = 0;
    std::size_t after = 0;
    auto talk = [&]() -> task<> {
        std::vector<stream> others;
        others.reserve(count);
        std::vector<stream> ours;
        for (std::size_t i = 0; i < count; ++i) {
            auto pair = connected();
            others.push_back(std::move(pair.left));
            ours.push_back(std::move(pair.right));
        }
        auto body = [&](muster::task_group& all) -> task<> {
            before = ::mallinfo2().uordblks;
            for (auto& mine : ours)
                all.create_task(serve_lines(std::move(mine)));
            co_await muster::sleep_for(5ms);
            // Lines come and go, and the connections are idle again.
            for (auto& other : others)
                co_await other.write(std::string(3000, 'x') + '\n');
            co_await muster::sleep_for(20ms);
            after = ::mallinfo2().uordblks;
            others.clear();
        };
        co_await muster::with_task_group(body);
    };
    muster::run(talk());
    if (before == 0)
        GTEST_SKIP() << "a sanitizer's allocator does not say how much it has given";
    EXPECT_LT((after - before) / count, 2048U);
}

TEST(io_reader, reads_long_and_many_lines) {
    const descriptor_audit audit;
    auto read = []() -> task<> {
        auto both = connected();
        auto write = [](muster::io::stream& to) -> task<> {
            for (std::size_t i = 0; i != 2000; ++i)
                co_await to.write(std::string(i * i % 5000, 'a') + '\n');
            co_await to.write(std::string(1 << 20, 'b'));
            to.close();
        };
        auto writing = muster::create_task(write(both.left));
        reader in(both.right);
        for (std::size_t i = 0; i != 2000; ++i) {
            const auto line = co_await in.read_line();
            EXPECT_EQ(line.value_or("none").size(), i * i % 5000);
        }
        const auto last = co_await in.read_line(1 << 20);
        EXPECT_EQ(last.value_or("none").size(), std::size_t{1} << 20);
        co_await writing;
    };
    muster::run(read());
}

} // namespace
