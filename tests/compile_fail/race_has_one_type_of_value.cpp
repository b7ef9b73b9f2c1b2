// SPDX-License-Identifier: MIT
// expect: the children of a race have one type of value: wrap them to return a std::variant, or use settle
#include <muster/race.hpp>

#include <string>

muster::task<int> number() { co_return 1; }
muster::task<std::string> text() { co_return "x"; }

muster::task<> first() {
#ifdef MUSTER_CONTROL
    auto winner = co_await muster::race(number(), number());
#else
    auto winner = co_await muster::race(number(), text());
#endif
    static_cast<void>(winner);
}
