// SPDX-License-Identifier: MIT
// expect: a limit needs a unit: write `wait_for(std::move(t), 1s)`
#include <muster/timeout.hpp>

#include <chrono>
#include <utility>

using namespace std::chrono_literals;

muster::task<> limited(muster::task<> t) {
#ifdef MUSTER_CONTROL
    co_await muster::wait_for(std::move(t), 1s);
#else
    co_await muster::wait_for(std::move(t), 1);
#endif
}
