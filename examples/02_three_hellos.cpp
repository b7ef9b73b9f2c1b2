// SPDX-License-Identifier: MIT
// Three coroutines that sleep for a second and print a line, run together by `gather`.
// They wait at the same time: all three lines are there after one second, not after three.
// The exit status says so: it is 1 if it took longer.

#include <muster/muster.hpp>

#include <fmt/core.h>

#include <chrono>

using namespace std::chrono_literals;

// [three_hellos]
muster::task<> hello() {
    co_await muster::sleep_for(1s);
    fmt::print("hello\n");
}

muster::task<> three_hellos() { co_await muster::gather(hello(), hello(), hello()); }
// [/three_hellos]

int main() {
    const auto start = std::chrono::steady_clock::now();
    muster::run(three_hellos());
    const auto took = std::chrono::steady_clock::now() - start;
    return took >= 1s && took < 2s ? 0 : 1;
}
