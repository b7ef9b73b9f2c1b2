// SPDX-License-Identifier: MIT
// expect: the guards of the standard library can't await: write `auto guard = co_await m.scoped_lock();`
#include <muster/condition.hpp>
#include <muster/task.hpp>

#include <mutex>

muster::task<> alone(muster::condition& c) {
#ifdef MUSTER_CONTROL
    auto guard = co_await c.scoped_lock();
#else
    std::unique_lock guard(c);
    co_return;
#endif
}
