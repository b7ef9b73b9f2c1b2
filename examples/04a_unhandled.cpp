// SPDX-License-Identifier: MIT
// Ten tasks that sleep for a second; task 0 fails and no code handles it. An exception that leaves the
// program's main task ends the program, as it should: its type and text are the last line of
// standard error, the exit status is 1, and nothing aborts.

#include <muster/muster.hpp>

#include <fmt/core.h>

#include <chrono>
#include <stdexcept>
#include <utility>
#include <vector>

using namespace std::chrono_literals;

muster::task<> work(int number) {
    fmt::print(">task {} executing\n", number);
    co_await muster::sleep_for(1s);
    if (number == 0)
        throw std::runtime_error("Something bad happened");
}

// [unhandled]
muster::task<> run_ten() {
    fmt::print("main starting\n");
    std::vector<muster::task<>> tasks;
    for (int i = 0; i != 10; ++i)
        tasks.push_back(work(i));
    co_await muster::gather(std::move(tasks));
    fmt::print("main done\n"); // never printed
}

int main() { return muster::run_main(run_ten()); }
// [/unhandled]
