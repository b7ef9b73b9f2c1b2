// SPDX-License-Identifier: MIT
#include <muster/detail/join/start_gate.hpp>

#include <gtest/gtest.h>

using muster::detail::start_gate;
using muster::detail::unlimited;
using answer = start_gate::answer;
using namespace std::chrono_literals;

TEST(start_gate, without_bounds_is_open) {
    start_gate gate(unlimited, nullptr);
    EXPECT_TRUE(gate.is_open());
    gate.begin_entry();
    for (int i = 0; i != 100; ++i) {
        ASSERT_EQ(gate.ask(0s), answer::now);
        gate.begin(0s);
    }
    EXPECT_EQ(gate.running(), 100u);
}

TEST(start_gate, says_why_nothing_more_begins) {
    muster::detail::rate_window three_in_a_second(3, 1s);
    start_gate gate(2, &three_in_a_second);
    EXPECT_FALSE(gate.is_open());
    gate.begin_entry();
    gate.begin(0s);
    gate.begin(0s);
    EXPECT_EQ(gate.ask(0s), answer::when_one_ends);
    gate.end();
    EXPECT_EQ(gate.ask(0s), answer::next_entry) << "a limit of two also means two in one entry";
    gate.begin_entry();
    EXPECT_EQ(gate.ask(0s), answer::now);
    gate.begin(0s);
    gate.end();
    EXPECT_EQ(gate.ask(0s), answer::later) << "three in a second";
    EXPECT_EQ(gate.opens_at(0s), 1s);
    EXPECT_EQ(gate.ask(999ms), answer::later);
    EXPECT_EQ(gate.ask(1s), answer::now);
}

TEST(start_gate, bounds_how_many_are_alive) {
    struct row {
        std::size_t limit, children;
        bool may_wait;
        std::size_t alive;
    };
    const row rows[] = {
        {3, 100, false, 3},
        {3, 2, false, 2},
        {3, 100, true, 15},
        {3, 7, true, 7},
        {unlimited, 100, false, 100},
        {unlimited, 100, true, 100},
        {unlimited - 1, 100, true, 100},
        {unlimited / 2, unlimited, true, unlimited},
        {5, unlimited, true, 25},
    };
    for (const auto& r : rows) {
        const start_gate gate(r.limit, nullptr);
        EXPECT_EQ(gate.most_alive(r.children, r.may_wait), r.alive) << "row " << &r - rows;
    }
}
