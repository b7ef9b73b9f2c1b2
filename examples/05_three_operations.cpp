// SPDX-License-Identifier: MIT
// Three operations run together, the second fails, and the program prints how each one ended.
// Then the same again, retrying only what failed: the operations that succeeded are not repeated, and
// each result stays with the number of its operation.

#include <muster/muster.hpp>

#include <fmt/core.h>

#include <chrono>
#include <cstddef>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

using namespace std::chrono_literals;

/// Operation 1 fails at its first attempt.
muster::task<std::string> operation(std::size_t number, int attempt) {
    co_await muster::sleep_for(10ms);
    if (number == 1 && attempt == 1)
        throw std::runtime_error("This operation failed!");
    co_return "Success!";
}

void print(std::size_t number, const muster::outcome<std::string>& result) {
    if (result.succeeded())
        fmt::print("Task {} succeeded with result: {}\n", number, *result);
    else if (const auto* e = result.error_as<std::exception>())
        fmt::print("Task {} failed with an error: {}\n", number, e->what());
}

// [three_operations]
muster::task<> three_operations() {
    fmt::print("Running multiple tasks concurrently...\n");
    std::vector<muster::task<std::string>> tasks;
    for (std::size_t i = 0; i != 3; ++i)
        tasks.push_back(operation(i, 1));
    auto outcomes = co_await muster::settle(std::move(tasks));

    fmt::print("\n--- All tasks have completed ---\n");
    for (std::size_t i = 0; i != outcomes.size(); ++i)
        print(i, outcomes[i]);
}
// [/three_operations]

// [retry_what_failed]
muster::task<> retry_what_failed() {
    std::vector<std::size_t> numbers{0, 1, 2};
    for (int attempt = 1; !numbers.empty(); ++attempt) {
        fmt::print("\nAttempt {}: {} to run\n", attempt, numbers.size());
        auto run = [attempt](std::size_t number) { return operation(number, attempt); };
        auto outcomes = co_await muster::map(numbers, run).settle();

        std::vector<std::size_t> failed;
        for (std::size_t i = 0; i != outcomes.size(); ++i) {
            print(numbers[i], outcomes[i]);
            if (!outcomes[i].succeeded())
                failed.push_back(numbers[i]);
        }
        numbers = std::move(failed);
    }
}
// [/retry_what_failed]

int main() {
    muster::run(three_operations());
    muster::run(retry_what_failed());
}
