// SPDX-License-Identifier: MIT
// Time limits around a gather: for all of it, and for each child. A child that exceeds its own limit has
// failed, with timeout_error. When the time for all is over, children that have not ended are cancelled,
// and the results of the others are kept. A gather that gives values and not outcomes throws timeout_error.

#include <muster/muster.hpp>

#include <fmt/core.h>

#include <chrono>
#include <cstddef>
#include <string>
#include <vector>

using namespace std::chrono_literals;

muster::task<int> answer(std::chrono::milliseconds after) {
    co_await muster::sleep_for(after);
    co_return 42;
}

std::vector<muster::task<int>> three() {
    std::vector<muster::task<int>> tasks;
    for (auto after : {1ms, 5ms, 10'000ms})
        tasks.push_back(answer(after));
    return tasks;
}

void print(const muster::outcomes<int>& outcomes) {
    for (std::size_t i = 0; i != outcomes.size(); ++i)
        fmt::print("  {}: {}\n", i, outcomes[i].succeeded() ? std::to_string(*outcomes[i]) : to_string(outcomes[i]));
}

// [timeouts]
muster::task<> timeouts() {
    fmt::print("a limit for all of it, with the results that were there when it struck\n");
    auto partial = co_await muster::gather(three()).within(100ms).settle();
    print(partial);

    fmt::print("a limit for each child\n");
    auto each = co_await muster::gather(three()).each_within(100ms).settle();
    print(each);
    fmt::print("  timed out: {}\n", each.failures_of<muster::timeout_error>().size());

    fmt::print("a limit around anything\n");
    try {
        auto values = co_await muster::wait_for(muster::gather(three()), 100ms);
        fmt::print("  {} values\n", values.size());
    } catch (const muster::timeout_error& e) {
        fmt::print("  timeout_error: {}\n", e.what());
    }
}
// [/timeouts]

int main() { return muster::run_main(timeouts()); }
