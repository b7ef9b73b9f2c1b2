// SPDX-License-Identifier: MIT
// expect: the body of a scope is a callable that takes the scope by reference, or nothing, and returns a muster::task
#include <muster/task_group.hpp>

#ifdef MUSTER_CONTROL
muster::task<> body(muster::task_group&) { co_return; }
#else
muster::task<> body(int) { co_return; }
#endif

muster::task<> scope() { co_await muster::with_task_group(body); }
