// SPDX-License-Identifier: MIT
// expect: this is awaited once: write `co_await std::move(x)`
#include <muster/gather.hpp>

#include <utility>

muster::task<int> one() { co_return 1; }

muster::task<> both() {
    auto all = muster::gather(one(), one());
#ifdef MUSTER_CONTROL
    auto values = co_await std::move(all);
#else
    auto values = co_await all;
#endif
    static_cast<void>(values);
}
