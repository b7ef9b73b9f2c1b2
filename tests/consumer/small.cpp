// SPDX-License-Identifier: MIT
// A small program that gathers: check.cmake looks at its size.
#include <muster/gather.hpp>
#include <muster/run.hpp>
#include <muster/task.hpp>

#include <cstdio>
#include <tuple>

muster::task<int> number(int n) { co_return n; }

muster::task<> main_task() {
    auto both = co_await muster::gather(number(1), number(2));
    std::printf("%d and %d\n", std::get<0>(both), std::get<1>(both));
}

int main() { muster::run(main_task()); }
