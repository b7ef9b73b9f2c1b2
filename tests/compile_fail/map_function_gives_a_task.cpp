// SPDX-License-Identifier: MIT
// expect: the function of a map gives a task: write `muster::task<T> f(...)` with `co_return value;` in it
#include <muster/map.hpp>

#include <vector>

#ifdef MUSTER_CONTROL
muster::task<int> twice(int x) { co_return 2 * x; }
#else
int twice(int x) { return 2 * x; }
#endif

muster::task<> all(std::vector<int> in) {
    auto values = co_await muster::map(in, twice);
    static_cast<void>(values);
}
