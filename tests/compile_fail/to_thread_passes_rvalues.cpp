// SPDX-License-Identifier: MIT
// expect: pass std::ref(x) for a reference
#include <muster/to_thread.hpp>

#include <functional>

void increment(int& n) { ++n; }

muster::task<> misuse(int n) {
#ifdef MUSTER_CONTROL
    co_await muster::to_thread(increment, std::ref(n));
#else
    co_await muster::to_thread(increment, n);
#endif
}
