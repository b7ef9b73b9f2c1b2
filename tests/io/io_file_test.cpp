// SPDX-License-Identifier: MIT
#include <muster/io/file.hpp>

#include "support/io_play.hpp"

#include <muster/run.hpp>
#include <muster/sleep.hpp>
#include <muster/task_handle.hpp>
#include <muster/testing/manual_loop.hpp>

#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>

#include <sys/stat.h>
#include <unistd.h>

namespace {

using namespace io_test;
using muster::task;
using muster::io::append_file;
using muster::io::file;
using muster::io::file_mode;
using muster::io::read_file;
using muster::io::write_file;

TEST(io_file, writes_adds_and_reads) {
    const own_directory directory;
    const auto path = directory.file("x");
    auto use = [&]() -> task<> {
        co_await write_file(path, "first");
        co_await write_file(path, "one\n");
        co_await append_file(path, "two\n");
        const auto text = co_await read_file(path);
        EXPECT_EQ(text, "one\ntwo\n");
        co_await write_file(path, "");
        const auto nothing = co_await read_file(path);
        EXPECT_EQ(nothing, "");
        const std::string large(5'000'001, 'x');
        co_await write_file(path, large);
        const auto back = co_await read_file(path);
        EXPECT_EQ(back == large, true);
    };
    muster::run(use());
}

TEST(io_file, reads_what_does_not_tell_its_size) {
    auto use = []() -> task<> {
        const auto text = co_await read_file("/proc/self/status");
        EXPECT_NE(text.find("Name:"), std::string::npos);
    };
    muster::run(use());
}

TEST(io_file, stops_at_a_limit) {
    const own_directory directory;
    const auto path = directory.file("x");
    auto use = [&]() -> task<> {
        co_await write_file(path, "12345");
        const auto text = co_await read_file(path, 5);
        EXPECT_EQ(text, "12345");
        const auto code = co_await code_of(read_file(path, 4));
        EXPECT_EQ(code, muster::io::io_errc::limit_exceeded);
        const auto endless = co_await code_of(read_file("/dev/zero", 10'000'000));
        EXPECT_EQ(endless, muster::io::io_errc::limit_exceeded);
    };
    muster::run(use());
}

TEST(io_file, says_what_is_wrong_with_which) {
    const own_directory directory;
    const auto path = directory.file("absent");
    auto use = [&]() -> task<> {
        std::optional<muster::io::file_error> failed;
        try {
            static_cast<void>(co_await read_file(path));
        } catch (const muster::io::file_error& e) {
            failed = e;
        }
        EXPECT_TRUE(failed.has_value());
        EXPECT_EQ(failed->path(), path);
        EXPECT_EQ(failed->code(), std::errc::no_such_file_or_directory);
        EXPECT_NE(std::string(failed->what()).find(path), std::string::npos);
        const auto folder = co_await code_of(read_file("/"));
        EXPECT_EQ(folder, std::errc::is_a_directory);
        const auto zero = co_await code_of(read_file(std::string("a\0b", 3)));
        EXPECT_EQ(zero, std::errc::invalid_argument);
        const auto full = co_await code_of(write_file("/dev/full", "x"));
        EXPECT_EQ(full, std::errc::no_space_on_device);
    };
    muster::run(use());
}

TEST(io_file, reads_and_writes_at_places) {
    const descriptor_audit audit;
    const own_directory directory;
    const auto path = directory.file("x");
    auto use = [&]() -> task<> {
        auto made = co_await file::open(path, file_mode::create);
        co_await made.write_at(10, "ten");
        const auto size = co_await made.size();
        EXPECT_EQ(size, 13U);
        const auto all = co_await made.read_at(0, 1000);
        EXPECT_EQ(all, std::string(10, '\0') + "ten");
        const auto some = co_await made.read_at(11, 1);
        EXPECT_EQ(some, "e");
        const auto rest = co_await made.read_at(10, std::numeric_limits<std::size_t>::max());
        EXPECT_EQ(rest, "ten");
        const auto past = co_await made.read_at(100, 1);
        EXPECT_EQ(past, "");
        co_await made.resize(11);
        co_await made.sync();
        const auto cut = co_await made.size();
        EXPECT_EQ(cut, 11U);
        const auto exists = co_await code_of(file::open(path, file_mode::create));
        EXPECT_EQ(exists, std::errc::file_exists);
        auto readable = co_await file::open(path, file_mode::read);
        const auto refused = co_await code_of(readable.write_at(0, "x"));
        EXPECT_EQ(refused, std::errc::bad_file_descriptor);
        auto updated = co_await file::open(path, file_mode::update);
        const auto kept = co_await updated.size();
        EXPECT_EQ(kept, 11U);
        auto emptied = co_await file::open(path, file_mode::write);
        const auto none = co_await emptied.size();
        EXPECT_EQ(none, 0U);
        constexpr auto far = std::numeric_limits<std::uint64_t>::max();
        const auto overflow = co_await code_of(made.read_at(far, 1));
        EXPECT_EQ(overflow, std::errc::value_too_large);
    };
    muster::run(use());
}

TEST(io_file, a_closed_one_says_so_and_lets_what_is_in_flight_end) {
    const own_directory directory;
    const auto path = directory.file("x");
    auto use = [&]() -> task<> {
        auto made = co_await file::open(path, file_mode::update);
        auto writing = muster::create_task(made.write_at(0, "kept"));
        co_await muster::yield();
        made.close();
        EXPECT_FALSE(made.is_open());
        co_await writing;
        const auto text = co_await read_file(path);
        EXPECT_EQ(text, "kept");
        const auto code = co_await code_of(made.size());
        EXPECT_EQ(code, std::errc::bad_file_descriptor);
    };
    muster::run(use());
}

TEST(io_file, cancelling_waits_for_what_runs) {
    const descriptor_audit audit;
    const own_directory directory;
    const auto path = directory.file("pipe");
    EXPECT_EQ(::mkfifo(path.c_str(), 0600), 0);
    auto use = [&]() -> task<> {
        // Opening a pipe without a writer blocks its thread.
        auto reading = muster::create_task(read_file(path));
        co_await muster::sleep_for(std::chrono::milliseconds(20));
        reading.cancel();
        co_await muster::sleep_for(std::chrono::milliseconds(5));
        co_await write_file(path, "x");
        co_await ended(reading);
        EXPECT_TRUE(reading.cancelled());
    };
    muster::run(use());
}

TEST(io_file, works_on_every_loop) {
    const own_directory directory;
    const auto path = directory.file("x");
    auto use = [&]() -> task<> {
        co_await write_file(path, "virtual");
        const auto text = co_await read_file(path);
        EXPECT_EQ(text, "virtual");
    };
    muster::testing::manual_loop loop;
    loop.run(use());
}

} // namespace
