// SPDX-License-Identifier: MIT
// expect: the guards of the standard library can't await: write `auto permit = co_await s.scoped_acquire();`
#include <muster/semaphore.hpp>
#include <muster/task.hpp>

#include <mutex>

muster::task<> alone(muster::semaphore& s) {
#ifdef MUSTER_CONTROL
    auto permit = co_await s.scoped_acquire();
#else
    std::lock_guard guard(s);
    co_return;
#endif
}
