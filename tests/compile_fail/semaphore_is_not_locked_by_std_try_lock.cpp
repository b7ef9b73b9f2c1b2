// SPDX-License-Identifier: MIT
// expect: the guards of the standard library can't await: write `auto permit = co_await s.scoped_acquire();`
#include <muster/mutex.hpp>
#include <muster/semaphore.hpp>
#include <muster/task.hpp>

#include <mutex>

muster::task<> both(std::mutex& m, muster::semaphore& s) {
#ifdef MUSTER_CONTROL
    m.lock();
    auto permit = co_await s.scoped_acquire();
    m.unlock();
#else
    static_cast<void>(std::try_lock(m, s));
    co_return;
#endif
}
