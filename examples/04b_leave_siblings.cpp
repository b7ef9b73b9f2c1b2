// SPDX-License-Identifier: MIT
// Ten tasks that sleep for a second; task 0 fails, and the others are left alone, as asyncio's gather does.
// In muster this policy has a name, and is for handles only, which stay valid: the loop owns the tasks.
// Then the same with `wait`, which throws nothing and says which tasks have ended.

#include <muster/muster.hpp>

#include <fmt/core.h>

#include <chrono>
#include <stdexcept>
#include <string>
#include <vector>

using namespace std::chrono_literals;

muster::task<> work(int number) {
    fmt::print(">task {} executing\n", number);
    co_await muster::sleep_for(1s);
    if (number == 0)
        throw std::runtime_error("Something bad happened");
}

std::vector<muster::task_handle<>> start_ten() {
    std::vector<muster::task_handle<>> handles;
    for (int i = 0; i != 10; ++i)
        handles.push_back(muster::create_task(work(i)));
    return handles;
}

// [leave_siblings]
muster::task<> with_gather() {
    fmt::print("main starting\n");
    auto handles = start_ten();
    try {
        co_await muster::gather(handles).leave_siblings();
    } catch (const std::exception& e) {
        fmt::print("Got exception: {}\n", e.what());
    }
    for (const auto& handle : handles)
        if (handle != handles.front())
            co_await handle;
    fmt::print("main done\n");
}
// [/leave_siblings]

// [with_wait]
muster::task<> with_wait() {
    fmt::print("main starting\n");
    auto handles = start_ten();
    auto result = co_await muster::wait(handles, muster::wait_until::first_exception);
    for (const auto& handle : result.done) {
        if (const auto* e = handle.ended_as().error_as<std::exception>())
            fmt::print("Got exception: {}\n", e->what());
    }
    for (const auto& handle : result.pending)
        co_await handle;
    fmt::print("main done\n");
}
// [/with_wait]

int main() {
    muster::run(with_gather());
    muster::run(with_wait());
}
