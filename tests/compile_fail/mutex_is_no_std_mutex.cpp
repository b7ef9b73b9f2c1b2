// SPDX-License-Identifier: MIT
// expect: the guards of the standard library can't await: write `auto guard = co_await m.scoped_lock();`
#include <muster/mutex.hpp>
#include <muster/task.hpp>

#include <mutex>

muster::task<> alone(muster::mutex& m) {
#ifdef MUSTER_CONTROL
    auto guard = co_await m.scoped_lock();
#else
    std::lock_guard guard(m);
    co_return;
#endif
}
