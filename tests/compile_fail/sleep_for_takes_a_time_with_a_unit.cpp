// SPDX-License-Identifier: MIT
// expect: a time needs a unit: write `sleep_for(1s)`, with `using namespace std::chrono_literals;`
#include <muster/sleep.hpp>

#include <chrono>

using namespace std::chrono_literals;

muster::task<> pauses() {
#ifdef MUSTER_CONTROL
    co_await muster::sleep_for(1s);
#else
    co_await muster::sleep_for(1);
#endif
}
