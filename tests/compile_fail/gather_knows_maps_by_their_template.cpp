// SPDX-License-Identifier: MIT
// expect: move the tasks into a std::map
#include <muster/gather.hpp>

#include <map>
#include <utility>

#ifdef MUSTER_CONTROL
struct tasks_by_key : std::map<int, muster::task<int>> {};
#else
struct tasks_by_key {
    using key_type = int;
    using mapped_type = muster::task<int>;
    [[nodiscard]] auto begin() { return tasks.begin(); }
    [[nodiscard]] auto end() { return tasks.end(); }
    std::map<int, muster::task<int>> tasks;
};
#endif

muster::task<> waits(tasks_by_key tasks) { static_cast<void>(co_await muster::gather(std::move(tasks))); }
