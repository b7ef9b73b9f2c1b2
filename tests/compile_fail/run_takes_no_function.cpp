// SPDX-License-Identifier: MIT
// expect: call it, write `f()`
#include <muster/run.hpp>

muster::task<int> work() { co_return 1; }

void start() {
#ifdef MUSTER_CONTROL
    muster::run(work());
#else
    muster::run(work);
#endif
}
