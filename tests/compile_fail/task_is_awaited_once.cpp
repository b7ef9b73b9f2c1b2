// SPDX-License-Identifier: MIT
// expect: a task is awaited once: write `co_await std::move(t)`
#include <muster/task.hpp>

#include <utility>

muster::task<int> twice(muster::task<int> t) {
#ifdef MUSTER_CONTROL
    auto x = co_await std::move(t);
#else
    auto x = co_await t;
#endif
    co_return 2 * x;
}
