// SPDX-License-Identifier: MIT
// expect: this can't be sent to another process: register a function, const muster::remote_function
#include <muster/process_pool.hpp>

int answer() { return 42; }
const muster::remote_function remote_answer("answer", &answer);

muster::task<int> use(muster::process_pool& pool) {
#ifdef MUSTER_CONTROL
    auto value = co_await muster::run_in_executor(pool, remote_answer());
#else
    auto value = co_await muster::run_in_executor(pool, &answer);
#endif
    co_return value;
}
