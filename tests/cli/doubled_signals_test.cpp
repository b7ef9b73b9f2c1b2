// SPDX-License-Identifier: MIT
// Signals that come to a worker by two ways.
#include "doubled_signals.hpp"

#include <csignal>

#include <gtest/gtest.h>

namespace {

using namespace std::chrono_literals;
using tool::doubled_signals;
using way = doubled_signals::way;

constexpr doubled_signals::time_point start{};

TEST(signals_by_two_ways, count_once_whichever_comes_first) {
    for (const auto first : {way::direct, way::passed_on}) {
        const auto other = first == way::direct ? way::passed_on : way::direct;
        doubled_signals seen;
        EXPECT_TRUE(seen.counts(SIGTERM, first, start));
        EXPECT_FALSE(seen.counts(SIGTERM, other, start + 1s));
        // The next two are of the next time that somebody sends one.
        EXPECT_TRUE(seen.counts(SIGTERM, other, start + 1s));
        EXPECT_FALSE(seen.counts(SIGTERM, first, start + 1001ms));
    }
}

TEST(signals_by_two_ways, are_one_hang_up_when_a_terminal_is_closed) {
    doubled_signals seen;
    EXPECT_TRUE(seen.counts(SIGHUP, way::direct, start)); // the shell's
    EXPECT_FALSE(seen.counts(SIGHUP, way::passed_on, start + 1ms));
    EXPECT_FALSE(seen.counts(SIGHUP, way::direct, start + 2ms)); // the kernel's
    EXPECT_FALSE(seen.counts(SIGHUP, way::passed_on, start + 3ms));
    EXPECT_TRUE(seen.counts(SIGTERM, way::direct, start + 4ms));
    EXPECT_TRUE(seen.counts(SIGHUP, way::direct, start + 1001ms));
}

TEST(signals_by_two_ways, count_twice_if_the_second_is_sent_before_the_twin_of_the_first_has_come) {
    doubled_signals seen;
    EXPECT_TRUE(seen.counts(SIGINT, way::direct, start));
    EXPECT_TRUE(seen.counts(SIGINT, way::direct, start + 1ms));
    EXPECT_FALSE(seen.counts(SIGINT, way::passed_on, start + 2ms));
    EXPECT_FALSE(seen.counts(SIGINT, way::passed_on, start + 3ms));
    EXPECT_TRUE(seen.counts(SIGINT, way::passed_on, start + 4ms));
}

TEST(signals_by_two_ways, are_others_if_they_have_another_number_or_come_later) {
    doubled_signals seen;
    EXPECT_TRUE(seen.counts(SIGTERM, way::direct, start));
    EXPECT_TRUE(seen.counts(SIGINT, way::passed_on, start));
    EXPECT_TRUE(seen.counts(SIGTERM, way::passed_on, start + 1001ms));
    EXPECT_TRUE(seen.counts(SIGTERM, way::passed_on, start + 1002ms));
}

} // namespace
