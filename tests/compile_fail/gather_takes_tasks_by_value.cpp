// SPDX-License-Identifier: MIT
// expect: a task is awaited once: write `std::move(t)`
#include <muster/gather.hpp>

#include <utility>

auto both(muster::task<int> a, muster::task<int> b) {
#ifdef MUSTER_CONTROL
    return muster::gather(std::move(a), std::move(b));
#else
    return muster::gather(a, std::move(b));
#endif
}
