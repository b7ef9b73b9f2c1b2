// SPDX-License-Identifier: MIT
// expect: call it, write `f()`
#include <muster/task_handle.hpp>

muster::task<> work() { co_return; }

void start() {
#ifdef MUSTER_CONTROL
    muster::create_task(work());
#else
    muster::create_task(work);
#endif
}
