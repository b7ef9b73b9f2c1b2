// SPDX-License-Identifier: MIT
// Ten tasks that sleep for a second; task 0 fails. The coroutine belongs to another library and can't be
// changed, so a wrapper handles its exceptions: it awaits any task that it is given, and catches.
// The wrapper takes the task by value and owns it, so the task can't be destroyed too early.

#include <muster/muster.hpp>

#include <fmt/core.h>

#include <chrono>
#include <stdexcept>
#include <utility>
#include <vector>

using namespace std::chrono_literals;

muster::task<> work(int number) { // cannot be changed
    fmt::print(">task {} executing\n", number);
    co_await muster::sleep_for(1s);
    if (number == 0)
        throw std::runtime_error("Something bad happened");
}

// [wrapped]
muster::task<> guarded(muster::task<> inner, int number) {
    try {
        co_await std::move(inner);
    } catch (const std::exception& e) {
        fmt::print(">task {} failed: {}\n", number, e.what());
    }
}

muster::task<> run_ten() {
    fmt::print("main starting\n");
    std::vector<muster::task<>> tasks;
    for (int i = 0; i != 10; ++i)
        tasks.push_back(guarded(work(i), i));
    co_await muster::gather(std::move(tasks));
    fmt::print("main done\n");
}
// [/wrapped]

int main() { return muster::run_main(run_ten()); }
