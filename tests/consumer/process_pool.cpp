// SPDX-License-Identifier: MIT
// The same for the component process: its headers and its library, in a program that is its own worker.
#include <muster/process_pool.hpp>
#include <muster/run.hpp>

#include <unistd.h>

const muster::remote_function process_id("process_id", [] { return static_cast<int>(::getpid()); });

muster::task<int> id_of_worker() {
    muster::process_pool pool;
    auto id = co_await muster::run_in_executor(pool, process_id());
    co_return id;
}

int main() {
    muster::process_pool::serve_if_worker();
    return muster::run(id_of_worker()) != static_cast<int>(::getpid()) ? 0 : 1;
}
