// SPDX-License-Identifier: MIT
#include <muster/io/stream.hpp>

#include "support/io_play.hpp"

#include <muster/event.hpp>
#include <muster/event_loop.hpp>
#include <muster/gather.hpp>
#include <muster/io/pipe.hpp>
#include <muster/run.hpp>
#include <muster/shield.hpp>
#include <muster/sleep.hpp>
#include <muster/task_handle.hpp>
#include <muster/testing/manual_loop.hpp>
#include <muster/timeout.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

namespace {

using namespace std::chrono_literals;
using namespace io_test;
using muster::task;
using muster::io::make_pipe;
using muster::io::stream;

TEST(io_stream, gives_what_the_other_side_wrote) {
    const descriptor_audit audit;
    auto talk = []() -> task<> {
        auto both = connected();
        co_await both.left.write("hello");
        const auto text = co_await read_text(both.right);
        EXPECT_EQ(text, "hello");
        EXPECT_EQ(both.left.bytes_written(), 5U);
        EXPECT_EQ(both.right.bytes_read(), 5U);
        co_await both.right.write(std::as_bytes(std::span<const char>(text)));
        const auto back = co_await read_text(both.left);
        EXPECT_EQ(back, "hello");
    };
    muster::run(talk());
}

task<> reads_one_byte_then_waits(stream& from, muster::event& never) {
    std::array<std::byte, 1> one{};
    const auto count = co_await from.read_some(one);
    EXPECT_EQ(count, 1U);
    co_await never.wait();
}

// What libuv was told in the first look of a turn was not taken up before the loop went to sleep.
TEST(io_stream, a_writer_wakes_although_the_reader_has_turned_to_something_else) {
    const descriptor_audit audit;
    auto talk = []() -> task<> {
        muster::event never;
        int sockets[2];
        EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets), 0);
        auto ours = stream::adopt(sockets[0]);
        auto reader = muster::create_task(reads_one_byte_then_waits(ours, never));
        constexpr std::size_t much = 1 << 20;
        std::thread peer([fd = sockets[1]] {
            // Two bytes for a reader that takes one: the other makes the stream readable for nobody.
            ::usleep(50'000);
            EXPECT_EQ(::write(fd, "xy", 2), 2);
            ::usleep(100'000);
            std::vector<char> buffer(65536);
            for (std::size_t all = 0; all != much;) {
                const auto count = ::read(fd, buffer.data(), buffer.size());
                if (count <= 0)
                    break;
                all += static_cast<std::size_t>(count);
            }
        });
        std::string text(much, 'x');
        co_await ours.write(text);
        EXPECT_EQ(ours.bytes_written(), much);
        reader.cancel();
        std::vector<muster::task_handle<>> one{reader};
        static_cast<void>(co_await muster::settle(one));
        peer.join();
        ::close(sockets[1]);
    };
    muster::run(talk());
}

TEST(io_stream, waits_for_what_is_not_there_yet) {
    const descriptor_audit audit;
    auto talk = []() -> task<> {
        auto both = connected();
        auto reading = muster::create_task(read_text(both.right));
        co_await muster::sleep_for(2ms);
        EXPECT_FALSE(reading.done());
        co_await both.left.write("late");
        const auto text = co_await reading;
        EXPECT_EQ(text, "late");
    };
    muster::run(talk());
}

TEST(io_stream, reads_and_writes_at_the_same_time) {
    const descriptor_audit audit;
    auto talk = []() -> task<> {
        auto both = connected();
        auto reading = muster::create_task(read_text(both.left));
        auto writing = muster::create_task(both.left.write(std::string(1 << 20, 'x')));
        co_await muster::sleep_for(2ms);
        EXPECT_FALSE(reading.done());
        EXPECT_FALSE(writing.done());
        co_await both.right.write("y");
        const auto text = co_await reading;
        EXPECT_EQ(text, "y");
        std::size_t came = 0;
        while (came != 1 << 20) {
            const auto piece = co_await read_text(both.right, 100'000);
            came += piece.size();
        }
        co_await writing;
    };
    muster::run(talk());
}

TEST(io_stream, gives_nothing_at_the_end) {
    const descriptor_audit audit;
    auto talk = []() -> task<> {
        auto both = connected();
        co_await both.left.write("last");
        both.left.close();
        const auto text = co_await read_text(both.right);
        EXPECT_EQ(text, "last");
        const auto end = co_await read_text(both.right);
        EXPECT_EQ(end, "");
        const auto again = co_await read_text(both.right);
        EXPECT_EQ(again, "");
    };
    muster::run(talk());
}

TEST(io_stream, shut_down_halfway_goes_on_reading) {
    const descriptor_audit audit;
    auto talk = []() -> task<> {
        auto both = connected();
        auto waiting = muster::create_task(read_text(both.right));
        co_await muster::sleep_for(1ms);
        both.left.shutdown_write();
        const auto end = co_await waiting;
        EXPECT_EQ(end, "");
        co_await both.right.write("answer");
        const auto text = co_await read_text(both.left);
        EXPECT_EQ(text, "answer");
        const auto code = co_await code_of(both.left.write("more"));
        EXPECT_EQ(code, std::errc::broken_pipe);
    };
    muster::run(talk());
}

TEST(io_stream, shutdown_is_refused_during_a_write_and_for_what_has_no_halves) {
    const descriptor_audit audit;
    auto talk = []() -> task<> {
        auto both = connected();
        auto writing = muster::create_task(both.left.write(std::string(1 << 22, 'x')));
        co_await muster::sleep_for(1ms);
        EXPECT_THROW(both.left.shutdown_write(), muster::invalid_state_error);
        EXPECT_THROW(static_cast<void>(both.left.release()), muster::invalid_state_error);
        writing.cancel();
        co_await ended(writing);
        auto ends = make_pipe();
        EXPECT_THROW(ends.reader.shutdown_write(), std::system_error);
        ends.writer.shutdown_write();
        EXPECT_FALSE(ends.writer.is_open());
        EXPECT_THROW(ends.writer.shutdown_write(), std::system_error);
    };
    muster::run(talk());
}

TEST(io_stream, a_write_to_nobody_is_an_error_and_no_signal) {
    const descriptor_audit audit;
    auto talk = []() -> task<> {
        auto both = connected();
        both.right.close();
        const auto code = co_await code_of(both.left.write("x"));
        EXPECT_EQ(code, std::errc::broken_pipe);
        auto ends = make_pipe();
        ends.reader.close();
        const auto piped = co_await code_of(ends.writer.write("x"));
        EXPECT_EQ(piped, std::errc::broken_pipe);
    };
    muster::run(talk());
}

TEST(io_stream, a_writer_that_waits_hears_that_its_reader_is_gone) {
    const descriptor_audit audit;
    auto talk = []() -> task<> {
        auto ends = make_pipe();
        auto writing = muster::create_task(ends.writer.write(std::string(1 << 20, 'x')));
        co_await muster::sleep_for(2ms);
        EXPECT_FALSE(writing.done());
        ends.reader.close();
        auto watched = [](muster::task_handle<void> h) -> task<> { co_await h; };
        const auto code = co_await code_of(watched(writing));
        EXPECT_EQ(code, std::errc::broken_pipe);
    };
    muster::run(talk());
}

TEST(io_stream, a_cancelled_read_loses_nothing) {
    const descriptor_audit audit;
    auto talk = []() -> task<> {
        auto both = connected();
        auto reading = muster::create_task(read_text(both.right));
        co_await muster::sleep_for(1ms);
        // It is woken and cancelled in one instant.
        co_await both.left.write("kept");
        reading.cancel();
        co_await ended(reading);
        EXPECT_TRUE(reading.cancelled());
        EXPECT_EQ(both.right.bytes_read(), 0U);
        const auto text = co_await read_text(both.right);
        EXPECT_EQ(text, "kept");
    };
    muster::run(talk());
}

TEST(io_stream, a_read_that_was_woken_and_is_cancelled_before_it_runs_loses_nothing) {
    const descriptor_audit audit;
    auto talk = []() -> task<> {
        auto both = connected();
        for (int i = 0; i != 50; ++i) {
            auto reading = muster::create_task(read_text(both.right));
            co_await muster::sleep_for(1ms);
            co_await both.left.write("x");
            for (int turns = 0; turns != i % 5; ++turns)
                co_await muster::yield();
            reading.cancel();
            co_await ended(reading);
            std::string got;
            if (reading.cancelled())
                got = co_await read_text(both.right);
            else
                got = co_await reading;
            EXPECT_EQ(got, "x");
        }
        EXPECT_EQ(both.right.bytes_read(), 50U);
    };
    muster::run(talk());
}

TEST(io_stream, a_time_limit_ends_a_read) {
    const descriptor_audit audit;
    auto talk = []() -> task<> {
        auto both = connected();
        bool timed_out = false;
        try {
            co_await muster::wait_for(read_text(both.right), 5ms);
        } catch (const muster::timeout_error&) {
            timed_out = true;
        }
        EXPECT_TRUE(timed_out);
    };
    muster::run(talk());
}

TEST(io_stream, a_cancelled_write_says_how_much_was_written_and_refuses_more) {
    const descriptor_audit audit;
    auto talk = []() -> task<> {
        auto both = connected();
        co_await both.left.write("first");
        auto writing = muster::create_task(both.left.write(std::string(1 << 22, 'x')));
        co_await muster::sleep_for(2ms);
        writing.cancel();
        co_await ended(writing);
        EXPECT_TRUE(writing.cancelled());
        const auto written = both.left.bytes_written();
        EXPECT_GT(written, 5U);
        EXPECT_LT(written, 1U << 22);
        std::optional<muster::io::interrupted_write_error> refused;
        try {
            co_await both.left.write("second");
        } catch (const muster::io::interrupted_write_error& e) {
            refused = e;
        }
        EXPECT_TRUE(refused.has_value());
        EXPECT_EQ(refused->written(), written - 5);
        EXPECT_EQ(refused->code(), muster::io::io_errc::interrupted_write);
        both.left.close();
        std::uint64_t came = 0;
        for (;;) {
            const auto piece = co_await read_text(both.right, 100'000);
            if (piece.empty())
                break;
            came += piece.size();
        }
        EXPECT_EQ(came, written);
    };
    muster::run(talk());
}

TEST(io_stream, a_write_that_is_cancelled_before_it_wrote_anything_can_be_repeated) {
    const descriptor_audit audit;
    auto talk = []() -> task<> {
        auto both = connected();
        // Fill it to the brim, so that the next write writes nothing.
        std::array<char, 4096> block{};
        while (::send(both.left.native_handle(), block.data(), block.size(), MSG_NOSIGNAL | MSG_DONTWAIT) > 0) {}
        while (::send(both.left.native_handle(), block.data(), 1, MSG_NOSIGNAL | MSG_DONTWAIT) > 0) {}
        auto writing = muster::create_task(both.left.write("abc"));
        co_await muster::sleep_for(1ms);
        writing.cancel();
        co_await ended(writing);
        EXPECT_EQ(both.left.bytes_written(), 0U);
        auto again = muster::create_task(both.left.write("abc"));
        while (!again.done()) {
            const auto piece = co_await read_text(both.right, 100'000);
            EXPECT_FALSE(piece.empty());
            co_await muster::yield();
        }
        co_await again;
        EXPECT_EQ(both.left.bytes_written(), 3U);
    };
    muster::run(talk());
}

TEST(io_stream, one_task_reads_and_one_writes_at_a_time) {
    const descriptor_audit audit;
    auto talk = []() -> task<> {
        auto both = connected();
        auto reading = muster::create_task(read_text(both.right));
        auto writing = muster::create_task(both.right.write(std::string(1 << 22, 'x')));
        co_await muster::sleep_for(1ms);
        int refused = 0;
        try {
            static_cast<void>(co_await read_text(both.right));
        } catch (const muster::invalid_state_error&) {
            ++refused;
        }
        try {
            co_await both.right.write("x");
        } catch (const muster::invalid_state_error&) {
            ++refused;
        }
        EXPECT_EQ(refused, 2);
        co_await both.left.write("fine");
        const auto text = co_await reading;
        EXPECT_EQ(text, "fine");
        writing.cancel();
        co_await ended(writing);
    };
    muster::run(talk());
}

TEST(io_stream, closing_ends_what_is_in_flight) {
    const descriptor_audit audit;
    auto talk = []() -> task<> {
        auto both = connected();
        auto reading = muster::create_task(code_of(read_text(both.right)));
        auto writing = muster::create_task(code_of(both.right.write(std::string(1 << 22, 'x'))));
        co_await muster::sleep_for(1ms);
        both.right.close();
        both.right.close();
        const auto read_code = co_await reading;
        const auto write_code = co_await writing;
        EXPECT_EQ(read_code, std::errc::operation_canceled);
        EXPECT_EQ(write_code, std::errc::operation_canceled);
        const auto later = co_await code_of(read_text(both.right));
        EXPECT_EQ(later, std::errc::bad_file_descriptor);
        const auto written_later = co_await code_of(both.right.write("x"));
        EXPECT_EQ(written_later, std::errc::bad_file_descriptor);
    };
    muster::run(talk());
}

TEST(io_stream, may_be_moved_and_destroyed_while_something_is_in_flight) {
    const descriptor_audit audit;
    auto talk = []() -> task<> {
        auto both = connected();
        std::string into(16, '\0');
        auto reading = muster::create_task(both.right.read_some(std::as_writable_bytes(std::span<char>(into))));
        co_await muster::sleep_for(1ms);
        std::optional<stream> moved(std::move(both.right));
        co_await both.left.write("abc");
        const auto count = co_await reading;
        EXPECT_EQ(count, 3U);
        auto more = muster::create_task(code_of(moved->read_some(std::as_writable_bytes(std::span<char>(into)))));
        co_await muster::sleep_for(1ms);
        moved.reset();
        const auto code = co_await more;
        EXPECT_EQ(code, std::errc::operation_canceled);
    };
    muster::run(talk());
}

TEST(io_stream, a_read_that_was_made_and_not_begun_finds_it_closed) {
    const descriptor_audit audit;
    auto talk = []() -> task<> {
        std::optional<stream_pair> both(connected());
        std::string into(16, '\0');
        auto reading = code_of(both->right.read_some(std::as_writable_bytes(std::span<char>(into))));
        both.reset();
        const auto code = co_await std::move(reading);
        EXPECT_EQ(code, std::errc::bad_file_descriptor);
    };
    muster::run(talk());
}

TEST(io_stream, one_that_was_never_opened_is_closed) {
    auto talk = []() -> task<> {
        stream none;
        EXPECT_FALSE(none.is_open());
        EXPECT_EQ(none.native_handle(), -1);
        EXPECT_EQ(none.release(), -1);
        none.close();
        const auto code = co_await code_of(read_text(none));
        EXPECT_EQ(code, std::errc::bad_file_descriptor);
        EXPECT_THROW(static_cast<void>(none.peer_address()), std::system_error);
        EXPECT_THROW(static_cast<void>(stream::adopt(-1)), std::system_error);
    };
    muster::run(talk());
}

TEST(io_stream, may_outlive_its_loop_and_be_used_on_another) {
    const descriptor_audit audit;
    auto both = connected();
    auto send = [&]() -> task<> { co_await both.left.write("one"); };
    auto receive = [&]() -> task<std::string> {
        auto text = co_await read_text(both.right);
        co_return text;
    };
    muster::run(send());
    EXPECT_EQ(muster::run(receive()), "one");
    auto wait_in_vain = [&]() -> task<> {
        auto limited = muster::wait_for(read_text(both.right), 2ms);
        co_await std::move(limited);
    };
    EXPECT_THROW(muster::run(wait_in_vain()), muster::timeout_error);
    muster::run(send());
    EXPECT_EQ(muster::run(receive()), "one");
}

TEST(io_stream, a_loop_that_ends_takes_what_is_in_flight_with_it) {
    const descriptor_audit audit;
    auto both = connected();
    std::size_t reports = 0;
    {
        muster::event_loop loop;
        auto stubborn = [&]() -> task<> {
            for (;;) {
                try {
                    static_cast<void>(co_await read_text(both.right));
                } catch (const muster::cancelled_error&) {}
            }
        };
        auto fills = [&]() -> task<> {
            co_await muster::hold_cancellation(both.right.write(std::string(1 << 22, 'x')));
        };
        auto main = [&]() -> task<> {
            static_cast<void>(muster::create_task(stubborn()));
            static_cast<void>(muster::create_task(fills()));
            co_await muster::sleep_for(2ms);
        };
        auto options = muster::run_options().grace(10ms).on_report([&](const muster::report&) { ++reports; });
        loop.run(main(), options);
    }
    EXPECT_GT(reports, 0U);
    EXPECT_TRUE(both.right.is_open());
    // It is free for another.
    auto send = [&]() -> task<> { co_await both.left.write("again"); };
    muster::run(send());
    auto receive = [&]() -> task<std::string> {
        auto text = co_await read_text(both.right);
        co_return text;
    };
    EXPECT_EQ(muster::run(receive()), "again");
}

TEST(io_stream, an_idle_one_keeps_no_loop_waiting) {
    const descriptor_audit audit;
    auto talk = []() -> task<> {
        auto both = connected();
        auto reading = muster::create_task(read_text(both.right));
        co_await muster::sleep_for(1ms);
        co_await both.left.write("x");
        static_cast<void>(co_await reading);
        muster::event never;
        co_await never.wait();
    };
    EXPECT_THROW(muster::run(talk()), muster::deadlock_error);
}

TEST(io_stream, goes_from_one_living_loop_to_another_on_the_same_thread) {
    const descriptor_audit audit;
    muster::event_loop one;
    muster::event_loop two;
    auto both = connected();
    auto talk = [&]() -> task<> {
        auto reading = muster::create_task(read_text(both.right));
        co_await muster::sleep_for(1ms);
        co_await both.left.write("x");
        const auto text = co_await reading;
        EXPECT_EQ(text, "x");
    };
    for (int i = 0; i != 3; ++i) {
        one.run(talk());
        two.run(talk());
    }
    // Another thread's loop can't take it from one that lives.
    bool refused = false;
    std::thread other([&] {
        auto fails = [&]() -> task<> {
            auto ended = co_await muster::as_outcome(read_text(both.right));
            refused = ended.failed_with<muster::invalid_state_error>();
        };
        muster::run(fails());
    });
    other.join();
    EXPECT_TRUE(refused);
}

TEST(io_stream, gives_its_descriptor_up) {
    const descriptor_audit audit;
    auto ends = make_pipe();
    const int fd = ends.writer.release();
    EXPECT_GE(fd, 0);
    EXPECT_FALSE(ends.writer.is_open());
    EXPECT_EQ(::write(fd, "x", 1), 1);
    auto back = stream::adopt(fd);
    EXPECT_NE(::fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
    EXPECT_NE(::fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
    auto read = [&]() -> task<std::string> {
        auto text = co_await read_text(ends.reader);
        co_return text;
    };
    EXPECT_EQ(muster::run(read()), "x");
}

TEST(io_stream, needs_a_loop_that_does_io) {
    const descriptor_audit audit;
    auto both = connected();
    muster::testing::manual_loop loop;
    EXPECT_THROW(loop.run(read_text(both.right)), muster::invalid_state_error);
    EXPECT_THROW(loop.run(both.right.write("x")), muster::invalid_state_error);
}

TEST(io_stream, a_reader_that_always_finds_something_lets_others_run) {
    const descriptor_audit audit;
    auto talk = []() -> task<> {
        auto both = connected();
        co_await both.left.write(std::string(1000, 'x'));
        bool done = false;
        int others = 0;
        auto other = [&]() -> task<> {
            while (!done) {
                ++others;
                co_await muster::yield();
            }
        };
        auto running = muster::create_task(other());
        co_await muster::yield();
        const int before = others;
        for (int i = 0; i != 1000; ++i)
            static_cast<void>(co_await read_text(both.right, 1));
        EXPECT_GE(others - before, 10);
        done = true;
        co_await running;
    };
    muster::run(talk());
}

TEST(io_stream, carries_sixty_four_megabytes_as_fast_as_they_are_read) {
    const descriptor_audit audit;
    constexpr std::size_t all = std::size_t{64} << 20;
    auto send = [](stream& to) -> task<> {
        std::vector<std::uint32_t> block(std::size_t{1} << 18);
        std::uint32_t next = 0;
        for (std::size_t sent = 0; sent != all; sent += block.size() * 4) {
            for (auto& b : block)
                b = next++;
            co_await to.write(std::as_bytes(std::span<const std::uint32_t>(block)));
        }
        to.shutdown_write();
    };
    auto receive = [](stream& from, stream& to) -> task<std::size_t> {
        std::vector<std::uint32_t> block(std::size_t{1} << 16);
        auto bytes = std::as_writable_bytes(std::span<std::uint32_t>(block));
        std::size_t came = 0;
        std::size_t filled = 0;
        std::uint32_t next = 0;
        for (;;) {
            const auto count = co_await from.read_some(bytes.subspan(filled));
            if (count == 0)
                break;
            filled += count;
            came += count;
            // The writer is never further ahead than what the system holds.
            EXPECT_LE(to.bytes_written(), came + (std::size_t{16} << 20));
            const std::size_t whole = filled / 4;
            bool right = true;
            for (std::size_t i = 0; i != whole; ++i)
                right &= block[i] == next++;
            EXPECT_TRUE(right);
            std::copy(bytes.begin() + static_cast<std::ptrdiff_t>(whole * 4),
                bytes.begin() + static_cast<std::ptrdiff_t>(filled), bytes.begin());
            filled -= whole * 4;
        }
        co_return came;
    };
    auto talk = [&]() -> task<> {
        auto both = connected();
        auto sending = muster::create_task(send(both.left));
        const auto came = co_await receive(both.right, both.left);
        EXPECT_EQ(came, all);
        co_await sending;
    };
    muster::run(talk());
}

TEST(io_pipe, standard_streams_of_their_own_leave_the_shared_ones_as_they_are) {
    const descriptor_audit audit;
    std::array<int, 2> ends{};
    EXPECT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
    const int before = ::fcntl(0, F_DUPFD_CLOEXEC, 3);
    EXPECT_EQ(::dup2(ends[0], 0), 0);
    {
        auto input = muster::io::standard_input();
        EXPECT_EQ(::fcntl(0, F_GETFL) & O_NONBLOCK, 0);
        auto read = [&]() -> task<std::string> {
            auto reading = muster::create_task(read_text(input));
            co_await muster::sleep_for(1ms);
            EXPECT_EQ(::write(ends[1], "typed", 5), 5);
            auto text = co_await std::move(reading);
            co_return text;
        };
        EXPECT_EQ(muster::run(read()), "typed");
    }
    {
        std::array<int, 2> sockets{};
        EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets.data()), 0);
        EXPECT_EQ(::dup2(sockets[0], 0), 0);
        {
            auto input = muster::io::standard_input();
            EXPECT_NE(::fcntl(0, F_GETFL) & O_NONBLOCK, 0);
        }
        EXPECT_EQ(::fcntl(0, F_GETFL) & O_NONBLOCK, 0);
        ::close(sockets[0]);
        ::close(sockets[1]);
    }
    ::dup2(before, 0);
    ::close(before);
    ::close(ends[0]);
    ::close(ends[1]);
}

} // namespace
