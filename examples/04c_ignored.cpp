// SPDX-License-Identifier: MIT
// Ten tasks that sleep for a second; task 0 fails. `settle` gives every outcome back, and this program
// does not look at them. It goes on as if nothing had happened, but the failure is not lost: one line
// on standard error says which failure nobody looked at, and where its task was started.

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

// [ignored]
muster::task<> run_ten() {
    fmt::print("main starting\n");
    std::vector<muster::task<>> tasks;
    for (int i = 0; i != 10; ++i)
        tasks.push_back(work(i));
    auto outcomes = co_await muster::settle(std::move(tasks));
    fmt::print("main done\n");
}
// [/ignored]

int main() { return muster::run_main(run_ten()); }
