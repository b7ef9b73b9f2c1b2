// SPDX-License-Identifier: MIT
// expect: wait_for takes what it awaits by value: write `wait_for(std::move(t), limit)`
#include <muster/timeout.hpp>

#include <chrono>
#include <utility>

muster::task<int> limited(muster::task<int> t) {
#ifdef MUSTER_CONTROL
    auto x = co_await muster::wait_for(std::move(t), std::chrono::seconds(1));
#else
    auto x = co_await muster::wait_for(t, std::chrono::seconds(1));
#endif
    co_return x;
}
