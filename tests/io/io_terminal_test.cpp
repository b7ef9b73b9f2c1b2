// SPDX-License-Identifier: MIT
#include <muster/io/terminal.hpp>

#include "support/io_play.hpp"

#include <muster/io/reader.hpp>
#include <muster/run.hpp>

#include <gtest/gtest.h>

#include <fcntl.h>
#include <pty.h>
#include <unistd.h>

namespace {

TEST(io_terminal, tells_a_terminal_and_its_size) {
    const io_test::descriptor_audit audit;
    winsize size{};
    size.ws_col = 132;
    size.ws_row = 43;
    int main = -1;
    int side = -1;
    if (::openpty(&main, &side, nullptr, nullptr, &size) != 0)
        GTEST_SKIP() << "no pseudo-terminal can be had here";
    EXPECT_TRUE(muster::io::is_terminal(side));
    const auto found = muster::io::terminal_size(side);
    EXPECT_TRUE(found.has_value());
    EXPECT_EQ(found->columns, 132);
    EXPECT_EQ(found->rows, 43);
    ::close(main);
    ::close(side);
}

TEST(io_terminal, what_is_none_has_no_size) {
    const int fd = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    EXPECT_FALSE(muster::io::is_terminal(fd));
    EXPECT_FALSE(muster::io::terminal_size(fd).has_value());
    ::close(fd);
    EXPECT_FALSE(muster::io::is_terminal(-1));
    EXPECT_FALSE(muster::io::terminal_size(-1).has_value());
}

TEST(io_terminal, is_a_stream_like_any_other) {
    const io_test::descriptor_audit audit;
    int main = -1;
    int side = -1;
    if (::openpty(&main, &side, nullptr, nullptr, nullptr) != 0)
        GTEST_SKIP() << "no pseudo-terminal can be had here";
    auto keys = muster::io::stream::adopt(main);
    auto screen = muster::io::stream::adopt(side);
    auto talk = [&]() -> muster::task<> {
        co_await keys.write("typed\n");
        muster::io::reader in(screen);
        const auto line = co_await in.read_line();
        EXPECT_EQ(line, "typed");
        co_await screen.write("shown");
    };
    muster::run(talk());
}

} // namespace
