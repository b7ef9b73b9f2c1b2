// SPDX-License-Identifier: MIT
// Durations that are not a number are refused where they are passed, before anything has begun.
#include "support/virtual_run.hpp"

#include <muster/timeout.hpp>

#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <limits>
#include <string>
#include <utility>
#include <vector>

using namespace play;

namespace {

using fractional = std::chrono::duration<double>;

struct use {
    use(std::string said, std::function<void(fractional)> called) : name(std::move(said)), call(std::move(called)) {}
    std::string name;
    std::function<void(fractional)> call;
};

} // namespace

TEST(nan, is_no_duration) {
    expect_run(
        []() -> muster::task<> {
            const auto body = []() -> muster::task<> { co_return; };
            const std::vector<use> uses{
                {"sleep_for", [](fractional d) { static_cast<void>(muster::sleep_for(d)); }},
                {"timeout", [&](fractional d) { static_cast<void>(muster::timeout(d, body)); }},
                {"timeout_scope", [](fractional d) { const muster::timeout_scope scope(d); }},
                {"wait_for",
                    [](fractional d) {
                        auto forever = muster::create_task(nothing_after(1ms));
                        static_cast<void>(muster::wait_for(forever, d));
                    }},
            };
            for (const auto& one : uses)
                EXPECT_THROW(one.call(fractional(std::numeric_limits<double>::quiet_NaN())), std::invalid_argument)
                    << one.name;
            co_await muster::sleep_for(2ms);
            // What is merely large or infinite means "for ever", or "at once".
            co_await muster::sleep_for(-fractional(std::numeric_limits<double>::infinity()));
            auto soon = co_await muster::wait_for(value_after(1ms, 3), fractional(1e300));
            EXPECT_EQ(soon, 3);
        },
        3ms);
}
