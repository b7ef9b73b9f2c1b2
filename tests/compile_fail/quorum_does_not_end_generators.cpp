// SPDX-License-Identifier: MIT
// expect: a quorum would end the generators of those that are too late, and their values with them
#include <muster/gather.hpp>
#include <muster/generator.hpp>

#include <utility>

muster::task<> first(muster::generator<int> a, muster::generator<int> b) {
#ifdef MUSTER_CONTROL
    auto value = co_await a.next();
    auto other = co_await b.next();
    static_cast<void>(value);
    static_cast<void>(other);
#else
    auto winners = co_await muster::gather(a.next(), b.next()).quorum(1);
#endif
}
