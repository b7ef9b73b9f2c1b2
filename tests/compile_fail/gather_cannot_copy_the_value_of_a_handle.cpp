// SPDX-License-Identifier: MIT
// expect: the value of this handle can't be copied: give the handle away with `std::move(h)`
#include <muster/gather.hpp>

#include <memory>
#include <utility>

auto all(muster::task_handle<std::unique_ptr<int>> h) {
#ifdef MUSTER_CONTROL
    return muster::gather(std::move(h));
#else
    return muster::gather(h);
#endif
}
