// SPDX-License-Identifier: MIT
// expect: await it on the loop, and call only what blocks on a thread
#include <muster/thread_pool.hpp>

muster::task<int> load() { co_return 1; }
int fetch() { return 1; }

muster::task<int> misuse(muster::thread_pool& pool) {
#ifdef MUSTER_CONTROL
    auto value = co_await muster::run_in_executor(pool, fetch);
#else
    auto value = co_await muster::run_in_executor(pool, load);
#endif
    static_cast<void>(value);
    co_return 1;
}
