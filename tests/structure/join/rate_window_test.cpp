// SPDX-License-Identifier: MIT
#include <muster/detail/rate_window.hpp>

#include <gtest/gtest.h>

using muster::detail::rate_window;
using std::chrono::nanoseconds;
using namespace std::chrono_literals;

TEST(rate_window, says_now_or_not_before_the_oldest_has_left_the_window) {
    struct row {
        nanoseconds now, begins;
    };
    // Three in a second, each as early as it may be.
    const row rows[] = {
        {0ms, 0ms},
        {100ms, 100ms},
        {200ms, 200ms},
        {200ms, 1000ms},  // the first at 0 leaves the window at 1000
        {1000ms, 1100ms}, // the second
        {3000ms, 3000ms},
        {3000ms, 3000ms},
        {3000ms, 3000ms},
        {3000ms, 4000ms},
    };
    rate_window window(3, 1s);
    for (const auto& r : rows) {
        EXPECT_EQ(window.earliest(r.now), r.begins) << "row " << &r - rows;
        window.take(window.earliest(r.now));
    }
}

TEST(rate_window, never_sees_more_than_its_number_in_any_window) {
    rate_window window(4, 50ms);
    std::vector<nanoseconds> begun;
    std::uint64_t state = 7;
    nanoseconds now{0};
    for (int i = 0; i != 2000; ++i) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        now += nanoseconds((state >> 33) % 20'000'000);
        now = window.earliest(now);
        window.take(now);
        begun.push_back(now);
        if (begun.size() > 4) {
            ASSERT_GE(begun.back() - begun[begun.size() - 5], 50ms);
        }
    }
}

TEST(rate_window, takes_places_that_lie_ahead) {
    rate_window window(1, 10ms);
    for (int i = 0; i != 5; ++i) {
        EXPECT_EQ(window.earliest(0ms), i * 10ms);
        window.take(window.earliest(0ms));
    }
    EXPECT_EQ(window.earliest(100ms), 100ms);
}

TEST(rate_window, without_a_number_bounds_nothing) {
    rate_window window;
    EXPECT_FALSE(window.bounds());
    for (int i = 0; i != 5; ++i) {
        EXPECT_EQ(window.earliest(3ms), 3ms);
        window.take(3ms);
    }
}

TEST(rate_window, of_a_window_without_end_lets_nothing_more_begin) {
    rate_window window(1, nanoseconds::max());
    window.take(5ms);
    EXPECT_EQ(window.earliest(6ms), nanoseconds::max());
}
