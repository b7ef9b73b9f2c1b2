// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// What the tests of muster::io share.
///
///     const descriptor_audit audit;            // fails the test if descriptors are left over

#include <muster/io/stream.hpp>
#include <muster/run.hpp>
#include <muster/task.hpp>
#include <muster/wait.hpp>

#include <gtest/gtest.h>

#include <array>
#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <sys/socket.h>
#include <unistd.h>

#include "support/own_resources.hpp"

namespace io_test {

using own_resources::open_descriptors;

/// As many descriptors must be open at the end as at the beginning.
class descriptor_audit {
public:
    descriptor_audit() {
        // What the first loop of a program opens stays open.
        muster::run([]() -> muster::task<> { co_return; }());
        before_ = open_descriptors();
    }
    ~descriptor_audit() { EXPECT_EQ(open_descriptors(), before_); }
    descriptor_audit(const descriptor_audit&) = delete;
    descriptor_audit& operator=(const descriptor_audit&) = delete;

private:
    std::size_t before_ = 0;
};

struct stream_pair {
    stream_pair(muster::io::stream l, muster::io::stream r) : left(std::move(l)), right(std::move(r)) {}
    muster::io::stream left;
    muster::io::stream right;
};

inline stream_pair connected() {
    std::array<int, 2> ends{};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends.data()), 0);
    auto left = muster::io::stream::adopt(ends[0]);
    return stream_pair(std::move(left), muster::io::stream::adopt(ends[1]));
}

/// What a read gives, as text.
inline muster::task<std::string> read_text(muster::io::stream& from, std::size_t most = 4096) {
    std::string text(most, '\0');
    auto reading = from.read_some(std::as_writable_bytes(std::span<char>(text)));
    const std::size_t count = co_await std::move(reading);
    text.resize(count);
    co_return text;
}

/// What the task fails with; no error if it does not.
template <class T>
muster::task<std::error_code> code_of(muster::task<T> t) {
    auto ended = co_await muster::as_outcome(std::move(t));
    if (ended.succeeded())
        co_return std::error_code();
    try {
        ended.rethrow();
    } catch (const std::system_error& e) {
        co_return e.code();
    }
}

/// Waits for a task and looks at nothing.
template <class Handle>
muster::task<> ended(Handle h) {
    std::vector<Handle> all;
    all.push_back(h);
    co_await muster::wait(all);
}

/// A directory of the test's own, for as long as this lives.
class own_directory {
public:
    own_directory() {
        std::string name = (std::filesystem::temp_directory_path() / "muster-io-XXXXXX").string();
        EXPECT_NE(::mkdtemp(name.data()), nullptr);
        path_ = name;
    }
    ~own_directory() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    own_directory(const own_directory&) = delete;
    own_directory& operator=(const own_directory&) = delete;
    [[nodiscard]] std::string file(const std::string& name) const { return (path_ / name).string(); }

private:
    std::filesystem::path path_;
};

} // namespace io_test
