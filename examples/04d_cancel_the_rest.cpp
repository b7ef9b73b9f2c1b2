// SPDX-License-Identifier: MIT
// Ten tasks; task 0 fails after a second, the others would sleep for two. On the first failure the program
// cancels the rest by hand and sees nine cancellations. Then the same without any code for it: `gather`
// cancels the rest by default, and when it throws, all ten have ended.

#include <muster/muster.hpp>

#include <fmt/core.h>

#include <chrono>
#include <stdexcept>
#include <utility>
#include <vector>

using namespace std::chrono_literals;

muster::task<> work(int number) {
    fmt::print(">task {} executing\n", number);
    if (number == 0) {
        co_await muster::sleep_for(1s);
        throw std::runtime_error("Something bad happened");
    }
    try {
        co_await muster::sleep_for(2s);
    } catch (const muster::cancelled_error& e) {
        fmt::print(">task {} cancelled ({})\n", number, to_string(e.reason()));
        throw; // a cancellation is passed on, always
    }
}

// [by_hand]
muster::task<> by_hand() {
    fmt::print("main starting\n");
    std::vector<muster::task_handle<>> handles;
    for (int i = 0; i != 10; ++i)
        handles.push_back(muster::create_task(work(i)));
    auto first = co_await muster::wait(handles, muster::wait_until::first_exception);
    for (const auto& handle : first.pending)
        handle.cancel();

    auto outcomes = co_await muster::settle(handles);
    for (const auto& failure : outcomes.failures())
        fmt::print("task {}: {}\n", failure.index(), failure.what());
    fmt::print("{} cancelled\nmain done\n", outcomes.cancelled());
}
// [/by_hand]

// [by_default]
muster::task<> by_default() {
    fmt::print("main starting\n");
    std::vector<muster::task<>> tasks;
    for (int i = 0; i != 10; ++i)
        tasks.push_back(work(i));
    try {
        co_await muster::gather(std::move(tasks));
    } catch (const std::runtime_error& e) {
        fmt::print("Got exception: {}\n", e.what());
    }
    fmt::print("main done\n");
}
// [/by_default]

int main() {
    muster::run(by_hand());
    muster::run(by_default());
}
