// SPDX-License-Identifier: MIT
// expect: wait_for takes what it awaits first, then the limit: write `wait_for(std::move(t), 1s)`
#include <muster/timeout.hpp>

#include <chrono>
#include <utility>

using namespace std::chrono_literals;

muster::task<> limited(muster::task<> t) {
#ifdef MUSTER_CONTROL
    co_await muster::wait_for(std::move(t), 1s);
#else
    co_await muster::wait_for(1s, std::move(t));
#endif
}
