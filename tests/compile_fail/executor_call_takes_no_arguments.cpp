// SPDX-License-Identifier: MIT
// expect: this can't be called on a thread
#include <muster/thread_pool.hpp>
#include <muster/to_thread.hpp>

int twice(int n) { return 2 * n; }

muster::task<int> misuse(muster::thread_pool& pool) {
#ifdef MUSTER_CONTROL
    static_cast<void>(pool);
    auto value = co_await muster::to_thread(twice, 1);
#else
    auto value = co_await muster::run_in_executor(pool, twice);
#endif
    co_return value;
}
