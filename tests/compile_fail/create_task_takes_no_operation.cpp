// SPDX-License-Identifier: MIT
// expect: write a coroutine that awaits it
#include <muster/sleep.hpp>
#include <muster/task_handle.hpp>

#include <chrono>

using namespace std::chrono_literals;

void start() {
#ifdef MUSTER_CONTROL
    muster::create_task([]() -> muster::task<> { co_await muster::sleep_for(1s); }());
#else
    muster::create_task(muster::sleep_for(1s));
#endif
}
