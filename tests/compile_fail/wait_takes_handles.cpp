// SPDX-License-Identifier: MIT
// expect: start the tasks with muster::create_task first
#include <muster/wait.hpp>

#include <vector>

#ifdef MUSTER_CONTROL
muster::task<> waits(std::vector<muster::task_handle<int>> handles) {
    auto waiting = muster::wait(handles);
    co_await std::move(waiting);
}
#else
void waits(std::vector<muster::task<int>> tasks) { muster::wait(std::move(tasks)); }
#endif
