// SPDX-License-Identifier: MIT
// Ten blocking calls on the threads of the default pool, gathered; some throw. An exception that a call
// throws arrives as itself. A call that *returns* an exception object has succeeded, and that object is
// its value. Handles can be returned out of `run` and read after the loop has ended.

#include <muster/muster.hpp>

#include <fmt/core.h>

#include <chrono>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

using namespace std::chrono_literals;

int read_sector(int number) {
    std::this_thread::sleep_for(20ms); // blocks its thread, not the loop
    if (number % 4 == 3)
        throw std::runtime_error("bad sector " + std::to_string(number));
    return number * 512;
}

// [ten_calls]
using started_calls = std::vector<muster::task_handle<int>>;

muster::task<started_calls> ten_calls() {
    started_calls calls;
    for (int i = 0; i != 10; ++i)
        calls.push_back(muster::create_task(muster::to_thread(read_sector, i).as_task()));
    auto outcomes = co_await muster::settle(calls);
    fmt::print("{} read, {} failed\n", outcomes.succeeded(), outcomes.failed());
    for (const auto& failure : outcomes.failures())
        fmt::print("call {}: {}\n", failure.index(), failure.what());
    co_return calls;
}

void read_afterwards() {
    for (const auto& call : muster::run(ten_calls())) { // the loop has ended, the results are kept
        const auto& ended = call.ended_as();
        fmt::print("afterwards: {}\n", ended.succeeded() ? std::to_string(*ended) : to_string(ended));
    }
}
// [/ten_calls]

// [thrown_or_returned]
std::runtime_error returns_one() { return std::runtime_error("a value like any other"); }
std::runtime_error throws_one() { throw std::runtime_error("a failure"); }

muster::task<> thrown_or_returned() {
    std::vector<muster::task_handle<std::runtime_error>> calls;
    calls.push_back(muster::create_task(muster::to_thread(returns_one).as_task()));
    calls.push_back(muster::create_task(muster::to_thread(throws_one).as_task()));
    auto result = co_await muster::wait(calls);
    for (const auto& call : result.done)
        fmt::print("through wait: {}\n", call.exception() ? "threw" : "returned");

    auto outcomes = co_await muster::settle(calls);
    fmt::print("outcomes: {} value, {} failure\n", outcomes.succeeded(), outcomes.failed());
    fmt::print("  returned: {}\n", outcomes[0]->what());
    fmt::print("  threw: {}\n", outcomes[1].error_as<std::runtime_error>()->what());
}
// [/thrown_or_returned]

int main() {
    read_afterwards();
    muster::run(thrown_or_returned());
}
