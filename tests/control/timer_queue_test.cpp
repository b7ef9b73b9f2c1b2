// SPDX-License-Identifier: MIT
// The loop's timers: whatever goes to the row and whatever to the heap, they fire in the order of their times, and
// among equals in the order in which they were armed.
#include <muster/detail/random_sequence.hpp>
#include <muster/detail/timer_queue.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <utility>
#include <vector>

using muster::detail::nanoseconds;
using muster::detail::random_sequence;
using muster::detail::timer_queue;

namespace {

/// A timer that writes its number down when it fires.
struct numbered : muster::detail::timer {
    numbered(int n, std::vector<int>& fired_ones) noexcept
        : timer([](timer& t) noexcept {
              auto& self = static_cast<numbered&>(t);
              self.fired->push_back(self.number);
          }),
          number(n),
          fired(&fired_ones) {}
    int number;
    std::vector<int>* fired;
};

class timers : public ::testing::Test {
protected:
    numbered& arm(std::int64_t when) {
        all_.emplace_back(static_cast<int>(all_.size()), fired_);
        queue_.push(all_.back(), nanoseconds(when), queue_.take_order());
        return all_.back();
    }
    std::vector<int> fire(std::int64_t now) {
        queue_.fire_due(nanoseconds(now), queue_.last_order());
        return std::exchange(fired_, {});
    }

    timer_queue queue_;
    std::deque<numbered> all_;
    std::vector<int> fired_;
};

} // namespace

TEST_F(timers, fire_in_the_order_of_their_times_and_among_equals_as_they_were_armed) {
    for (const int when : {5, 5, 9, 3, 9, 1, 3, 12})
        arm(when);
    EXPECT_EQ(queue_.earliest(), nanoseconds(1));
    EXPECT_EQ(fire(4), (std::vector<int>{5, 3, 6}));
    EXPECT_EQ(fire(100), (std::vector<int>{0, 1, 2, 4, 7}));
    EXPECT_TRUE(queue_.empty());
}

TEST_F(timers, that_are_disarmed_leave_the_others_in_their_order) {
    for (int when = 1; when != 10; ++when)
        arm(when);
    for (const std::size_t i : {0u, 4u, 8u, 7u})
        queue_.remove(all_[i]);
    EXPECT_FALSE(all_[4].armed());
    EXPECT_EQ(queue_.earliest(), nanoseconds(2));
    EXPECT_EQ(fire(100), (std::vector<int>{1, 2, 3, 5, 6}));
}

TEST_F(timers, of_which_one_is_due_late_and_was_armed_first_fire_in_order) {
    numbered& late = arm(1'000'000);
    for (int when = 1; when != 6; ++when)
        arm(when);
    EXPECT_EQ(fire(3), (std::vector<int>{1, 2, 3}));
    EXPECT_TRUE(late.armed());
    EXPECT_EQ(fire(2'000'000), (std::vector<int>{4, 5, 0}));
}

TEST_F(timers, with_an_order_that_was_taken_before_go_before_those_that_were_armed_meanwhile) {
    const std::uint64_t order = queue_.take_order();
    arm(7);
    arm(7);
    all_.emplace_back(2, fired_);
    queue_.push(all_.back(), nanoseconds(7), order);
    EXPECT_EQ(fire(7), (std::vector<int>{2, 0, 1}));
}

TEST_F(timers, that_come_and_go_behind_one_that_stays_fire_in_order) {
    arm(1'000'000);
    for (int round = 1; round != 10'000; ++round) {
        numbered& one = arm(1'000'000 + round);
        if (round % 100 != 0)
            queue_.remove(one);
    }
    const auto fired = fire(2'000'000);
    EXPECT_EQ(fired.size(), 100u);
    EXPECT_TRUE(std::is_sorted(fired.begin(), fired.end()));
    EXPECT_TRUE(queue_.empty());
}

TEST_F(timers, fire_as_a_sorted_list_would_whatever_is_armed_and_disarmed) {
    random_sequence random(20'261'127);
    struct armed_one {
        std::int64_t when;
        int number;
    };
    std::vector<armed_one> expected; // in the order in which they were armed
    std::int64_t now = 0;
    for (int step = 0; step != 20'000; ++step) {
        const auto drawn = random.next() % 8;
        if (drawn < 4) {
            // Mostly one length of time, so that the row is used as much as the heap.
            const auto length = drawn < 3 ? 50 : static_cast<std::int64_t>(random.next() % 200);
            const numbered& one = arm(now + length);
            expected.push_back({now + length, one.number});
        } else if (drawn < 7) {
            if (expected.empty())
                continue;
            const auto at = static_cast<std::ptrdiff_t>(random.next() % expected.size());
            queue_.remove(all_[static_cast<std::size_t>((expected.begin() + at)->number)]);
            expected.erase(expected.begin() + at);
        } else {
            now += static_cast<std::int64_t>(random.next() % 5);
            std::sort(expected.begin(), expected.end(), [](const armed_one& a, const armed_one& b) {
                return a.when != b.when ? a.when < b.when : a.number < b.number;
            });
            const auto due =
                std::find_if(expected.begin(), expected.end(), [now](const armed_one& one) { return one.when > now; });
            std::vector<int> numbers;
            for (auto i = expected.begin(); i != due; ++i)
                numbers.push_back(i->number);
            expected.erase(expected.begin(), due);
            std::sort(expected.begin(), expected.end(),
                [](const armed_one& a, const armed_one& b) { return a.number < b.number; });
            ASSERT_EQ(fire(now), numbers) << "in step " << step;
        }
        ASSERT_EQ(queue_.empty(), expected.empty());
    }
    for (const armed_one& one : expected)
        queue_.remove(all_[static_cast<std::size_t>(one.number)]);
}
