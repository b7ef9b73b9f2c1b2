// SPDX-License-Identifier: MIT
// Ten tasks that sleep for a second; task 0 fails. Each coroutine handles its own exception, so that
// none of them fails as far as `gather` can see: all ten run to their end.
// The coroutine decides what counts as a failure for the program, and prints it.

#include <muster/muster.hpp>

#include <fmt/core.h>

#include <chrono>
#include <stdexcept>
#include <utility>
#include <vector>

using namespace std::chrono_literals;

// [handled_in_each]
muster::task<> work(int number) {
    try {
        fmt::print(">task {} executing\n", number);
        co_await muster::sleep_for(1s);
        if (number == 0)
            throw std::runtime_error("Something bad happened");
    } catch (const std::exception& e) { // a cancellation is no std::exception, and passes
        fmt::print(">task {} failed: {}\n", number, e.what());
    }
}
// [/handled_in_each]

muster::task<> run_ten() {
    fmt::print("main starting\n");
    std::vector<muster::task<>> tasks;
    for (int i = 0; i != 10; ++i)
        tasks.push_back(work(i));
    co_await muster::gather(std::move(tasks));
    fmt::print("main done\n");
}

int main() { return muster::run_main(run_ten()); }
