// SPDX-License-Identifier: MIT
// expect: a task is awaited once: write `std::move(t)`
#include <muster/gather.hpp>

#include <utility>
#include <vector>

auto all(std::vector<muster::task<int>> tasks) {
#ifdef MUSTER_CONTROL
    return muster::gather(std::move(tasks));
#else
    return muster::gather(tasks);
#endif
}
