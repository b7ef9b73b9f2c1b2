// SPDX-License-Identifier: MIT
// Random programs on the real loop: lines go into some sockets, and one task races the readers of the other ends.
// Nothing that was written may be lost: each reader gives its lines in order and all of them, whoever won a race.
#include <muster/gather.hpp>
#include <muster/io/reader.hpp>
#include <muster/io/stream.hpp>
#include <muster/race.hpp>
#include <muster/run.hpp>
#include <muster/sleep.hpp>
#include <muster/task.hpp>
#include <muster/timeout.hpp>

#include "support/io_play.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using muster::task;

/// One socket: its lines are the numbers from 0 on.
struct channel {
    explicit channel(std::size_t n) : ends(io_test::connected()), from(ends.left), lines(n) {}

    io_test::stream_pair ends;
    muster::io::reader from;
    std::size_t lines;
    std::size_t received = 0;
    bool is_at_end = false;
};

struct program {
    explicit program(unsigned seed) : random(seed) {
        const std::size_t count = 2 + draw(3);
        for (std::size_t i = 0; i != count; ++i)
            channels.emplace_back(draw(12));
    }
    [[nodiscard]] std::size_t draw(std::size_t below) { return random() % below; }

    std::minstd_rand random;
    std::vector<channel> channels;
    std::vector<std::string> mistakes;
};

task<> writes(program& p, channel& c) {
    for (std::size_t next = 0; next != c.lines;) {
        std::string text;
        // Several lines in one write are in the reader's buffer together, or a line comes in two parts.
        for (std::size_t burst = 1 + p.draw(3); burst != 0 && next != c.lines; --burst, ++next)
            text += std::to_string(next) + '\n';
        if (p.draw(3) == 0) {
            auto first_part = c.ends.right.write(text.substr(0, 1));
            co_await std::move(first_part);
            co_await muster::yield();
            text.erase(0, 1);
        }
        auto writing = c.ends.right.write(std::move(text));
        co_await std::move(writing);
        for (std::size_t pauses = p.draw(3); pauses != 0; --pauses)
            co_await muster::yield();
    }
    c.ends.right.shutdown_write();
}

void take(program& p, channel& c, const std::optional<std::string>& line) {
    if (!line) {
        c.is_at_end = true;
        if (c.received != c.lines)
            p.mistakes.push_back(
                "the end came after " + std::to_string(c.received) + " of " + std::to_string(c.lines) + " lines");
        return;
    }
    if (*line != std::to_string(c.received))
        p.mistakes.push_back("line " + *line + " came where " + std::to_string(c.received) + " was due");
    ++c.received;
}

task<> reads(program& p) {
    for (;;) {
        std::vector<channel*> open;
        for (auto& c : p.channels)
            if (!c.is_at_end)
                open.push_back(&c);
        if (open.empty())
            break;
        const std::size_t a = p.draw(open.size());
        channel& first = *open[a];
        if (open.size() == 1) {
            auto line = co_await first.from.read_line();
            take(p, first, line);
            continue;
        }
        channel& second = *open[(a + 1 + p.draw(open.size() - 1)) % open.size()];
        // With a pause both have something to read when the race begins.
        if (p.draw(2) == 0)
            co_await muster::yield();
        if (open.size() > 2 && p.draw(3) == 0) {
            std::vector<task<std::optional<std::string>>> all;
            for (channel* c : open)
                all.push_back(c->from.read_line());
            auto won = co_await muster::race(std::move(all));
            take(p, *open[won.index()], won.value());
            continue;
        }
        auto won = co_await muster::race(first.from.read_line(), second.from.read_line());
        take(p, won.index() == 0 ? first : second, won.value());
    }
}

task<> runs(program& p) {
    std::vector<task<>> all;
    for (auto& c : p.channels)
        all.push_back(writes(p, c));
    all.push_back(reads(p));
    auto both = muster::gather(std::move(all)).within(20s);
    co_await std::move(both);
}

std::size_t programs() {
    const char* const set = std::getenv("MUSTER_READER_PROGRAMS");
    return set != nullptr ? static_cast<std::size_t>(std::strtoull(set, nullptr, 10)) : 500;
}

TEST(reader_races, lose_no_line_whoever_wins) {
    std::size_t lines = 0;
    for (std::size_t seed = 1; seed <= programs(); ++seed) {
        program p(static_cast<unsigned>(seed));
        try {
            muster::run(runs(p));
        } catch (const muster::timeout_error& e) {
            p.mistakes.push_back(e.what());
        }
        std::size_t written = 0;
        std::size_t received = 0;
        for (const auto& c : p.channels) {
            written += c.lines;
            received += c.received;
        }
        EXPECT_EQ(written, received) << "seed " << seed;
        EXPECT_EQ(p.mistakes, std::vector<std::string>()) << "seed " << seed;
        lines += received;
    }
    std::printf("%zu programs, %zu lines\n", programs(), lines);
}

} // namespace
