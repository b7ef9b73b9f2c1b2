// SPDX-License-Identifier: MIT
// expect: the sink of for_each is called and not awaited: write a plain function
#include <muster/map.hpp>

#include <vector>

muster::task<int> twice(int x) { co_return 2 * x; }

#ifdef MUSTER_CONTROL
void store(std::size_t, muster::outcome<int>&&) {}
#else
muster::task<> store(std::size_t, muster::outcome<int>&&) { co_return; }
#endif

muster::task<> all(std::vector<int> in) {
    auto summary = co_await muster::map(in, twice).for_each(store);
    static_cast<void>(summary);
}
