// SPDX-License-Identifier: MIT
// One task is cancelled, one fails, one succeeds. They are counted apart: a cancellation is no failure,
// a failure is no cancellation, and neither hides the other. Then the same with a gather that lets all
// children run and throws the failures: the group holds the error, and not the cancellation.

#include <muster/muster.hpp>

#include <fmt/core.h>

#include <chrono>
#include <stdexcept>
#include <vector>

using namespace std::chrono_literals;

muster::task<int> slow() {
    co_await muster::sleep_for(1h);
    co_return 1;
}
muster::task<int> broken() {
    co_await muster::sleep_for(10ms);
    throw std::runtime_error("out of paper");
}
muster::task<int> fine() {
    co_await muster::sleep_for(20ms);
    co_return 3;
}

std::vector<muster::task_handle<int>> start_three() {
    std::vector<muster::task_handle<int>> handles;
    handles.push_back(muster::create_task(slow(), "slow"));
    handles.push_back(muster::create_task(broken(), "broken"));
    handles.push_back(muster::create_task(fine(), "fine"));
    return handles;
}

// [counted_apart]
muster::task<> counted_apart() {
    auto handles = start_three();
    handles[0].cancel("no longer needed");
    auto outcomes = co_await muster::settle(handles);
    fmt::print("{} submitted: {} succeeded, {} failed, {} cancelled, {} not started\n", outcomes.submitted(),
        outcomes.succeeded(), outcomes.failed(), outcomes.cancelled(), outcomes.not_started());
    for (const auto& outcome : outcomes)
        fmt::print("  {}\n", to_string(outcome));
    if (const auto group = outcomes.as_group())
        fmt::print("thrown together: {}\n", muster::as_group(group)->what());
}
// [/counted_apart]

// [not_hidden]
muster::task<> not_hidden() {
    auto handles = start_three();
    handles[0].cancel();
    try {
        co_await muster::gather(handles).finish_siblings();
    } catch (const muster::exception_group& failures) {
        fmt::print("failed: {}\n", failures.what());
    }
}
// [/not_hidden]

int main() {
    muster::run(counted_apart());
    muster::run(not_hidden());
}
