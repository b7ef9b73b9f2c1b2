// SPDX-License-Identifier: MIT
// expect: call it, write `f()`
#include <muster/task_handle.hpp>

void start() {
#ifdef MUSTER_CONTROL
    muster::create_task([]() -> muster::task<> { co_return; }());
#else
    muster::create_task([]() -> muster::task<> { co_return; });
#endif
}
