// SPDX-License-Identifier: MIT
#include <muster/detail/backoff.hpp>

#include <gtest/gtest.h>

using muster::detail::backoff;
using std::chrono::nanoseconds;
using namespace std::chrono_literals;

namespace {

constexpr std::uint64_t none = 0;                      ///< nothing of the random part is taken off
constexpr std::uint64_t half = std::uint64_t{1} << 63; ///< half of it is

backoff pauses(nanoseconds first, nanoseconds longest, double factor, double jitter) {
    backoff made;
    made.first = first;
    made.longest = longest;
    made.factor = factor;
    made.jitter = jitter;
    return made;
}

} // namespace

TEST(backoff, grows_by_the_factor_up_to_the_longest_delay) {
    struct row {
        nanoseconds first, longest;
        double factor, jitter;
        std::size_t failed;
        std::uint64_t random;
        nanoseconds at_least, expected;
    };
    const row rows[] = {
        {100ms, 30s, 2, 0, 1, none, 0s, 100ms},
        {100ms, 30s, 2, 0, 2, none, 0s, 200ms},
        {100ms, 30s, 2, 0, 5, none, 0s, 1600ms},
        {100ms, 1s, 2, 0, 5, none, 0s, 1s},
        {100ms, 1s, 2, 0, 1'000'000'000'000, none, 0s, 1s},
        {100ms, 30s, 1, 0, 1'000'000'000'000, none, 0s, 100ms},
        {100ms, 30s, 1.5, 0, 3, none, 0s, 225ms},
        {5s, 1s, 2, 0, 1, none, 0s, 1s},
        {0s, 30s, 2, 1, 1'000'000'000'000, half, 0s, 0s},
        // A random part is taken off what would be waited.
        {100ms, 30s, 2, 0.5, 1, none, 0s, 100ms},
        {100ms, 30s, 2, 0.5, 1, half, 0s, 75ms},
        {100ms, 30s, 2, 1, 2, half, 0s, 100ms},
        {100ms, 1s, 2, 1, 9, half, 0s, 500ms},
        // A server's Retry-After is a lower bound, beyond the longest delay too.
        {100ms, 1s, 2, 0, 1, none, 50ms, 100ms},
        {100ms, 1s, 2, 0, 1, none, 300ms, 300ms},
        {100ms, 1s, 2, 1, 9, half, 7s, 7s},
        // The longest that a duration can say is no overflow.
        {1h, nanoseconds::max(), 10, 0, 100, none, 0s, nanoseconds::max()},
        {nanoseconds::max(), nanoseconds::max(), 2, 0, 1, none, 0s, nanoseconds::max()},
    };
    for (const auto& r : rows)
        EXPECT_EQ(pauses(r.first, r.longest, r.factor, r.jitter).after(r.failed, r.random, r.at_least), r.expected)
            << "row " << &r - rows;
}

TEST(backoff, random_part_never_takes_off_more_than_the_jitter) {
    const auto b = pauses(1s, 30s, 2, 0.25);
    EXPECT_EQ(b.after(1, 0), 1s);
    EXPECT_GE(b.after(1, ~std::uint64_t{0}), 750ms);
    EXPECT_LT(b.after(1, ~std::uint64_t{0}), 751ms);
}
