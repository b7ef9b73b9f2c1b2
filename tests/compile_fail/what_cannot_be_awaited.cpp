// SPDX-License-Identifier: MIT
// expect: this can't be awaited: it is no task, handle or future of muster
#include <muster/task.hpp>

muster::task<int> value() { co_return 1; }

muster::task<int> asks() {
#ifdef MUSTER_CONTROL
    auto x = co_await value();
    co_return x;
#else
    co_await 42;
    co_return 1;
#endif
}
