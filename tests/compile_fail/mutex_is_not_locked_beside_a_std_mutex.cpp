// SPDX-License-Identifier: MIT
// expect: the guards of the standard library can't await: write `auto guard = co_await m.scoped_lock();`
#include <muster/mutex.hpp>
#include <muster/task.hpp>

#include <mutex>

muster::task<> alone(muster::mutex& m, std::mutex& other) {
#ifdef MUSTER_CONTROL
    other.lock();
    auto guard = co_await m.scoped_lock();
    other.unlock();
#else
    std::scoped_lock guard(other, m);
    co_return;
#endif
}
