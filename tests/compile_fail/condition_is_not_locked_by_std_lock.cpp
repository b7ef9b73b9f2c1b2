// SPDX-License-Identifier: MIT
// expect: the guards of the standard library can't await: write `auto guard = co_await m.scoped_lock();`
#include <muster/condition.hpp>
#include <muster/task.hpp>

#include <mutex>

muster::task<> both(std::mutex& m, muster::condition& c) {
#ifdef MUSTER_CONTROL
    m.lock();
    auto guard = co_await c.scoped_lock();
    m.unlock();
#else
    std::lock(m, c);
    co_return;
#endif
}
