// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// For what another process does: a test waits for it as a condition, and never for a time.
///
///     EXPECT_TRUE(soon([&] { return std::filesystem::exists(path); }));

#include <chrono>
#include <thread>

/// *Returns* whether the condition holds within half a minute; it is asked a hundred times a second.
template <class Condition>
bool soon(Condition holds) {
    constexpr int attempts = 3000;
    for (int i = 0; i != attempts; ++i) {
        if (holds())
            return true;
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return false;
}
