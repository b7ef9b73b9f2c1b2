// SPDX-License-Identifier: MIT
// expect: a race would end the generators of the losers, and their values with them
#include <muster/generator.hpp>
#include <muster/race.hpp>

#include <utility>

muster::task<> first(muster::generator<int> a, muster::generator<int> b) {
#ifdef MUSTER_CONTROL
    auto value = co_await a.next();
    auto other = co_await b.next();
    static_cast<void>(value);
    static_cast<void>(other);
#else
    auto winner = co_await muster::race(a.next(), b.next());
#endif
}
