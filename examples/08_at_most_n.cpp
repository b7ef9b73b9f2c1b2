// SPDX-License-Identifier: MIT
// A thousand inputs, at most ten at a time. First as in asyncio, with a gather and a semaphore: a
// thousand tasks exist, and ten of them work. Then with the library's own limit: `map` makes a task
// when there is room for it, so that only ten tasks exist, however long the input is.

#include <muster/muster.hpp>

#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <ranges>
#include <utility>
#include <vector>

using namespace std::chrono_literals;

/// Counts how many work at once.
class gauge {
public:
    void enter() { peak_ = std::max(peak_, ++now_); }
    void leave() { --now_; }
    int peak() const { return peak_; }

private:
    int now_ = 0;
    int peak_ = 0;
};

muster::task<int> square(int x, gauge& working) {
    working.enter();
    co_await muster::sleep_for(1ms);
    working.leave();
    co_return x* x;
}

// [with_a_semaphore]
muster::task<int> square_in_turn(int x, gauge& working, muster::semaphore& turns) {
    auto turn = co_await turns.scoped_acquire();
    auto result = co_await square(x, working);
    co_return result;
}

muster::task<> with_a_semaphore() {
    gauge working;
    muster::semaphore turns(10);
    std::vector<muster::task<int>> tasks;
    for (int x = 0; x != 1000; ++x)
        tasks.push_back(square_in_turn(x, working, turns));
    auto squares = co_await muster::gather(std::move(tasks));
    fmt::print(
        "semaphore: {} results, the last is {}, at most {} at once\n", squares.size(), squares.back(), working.peak());
}
// [/with_a_semaphore]

// [with_a_limit]
muster::task<> with_a_limit() {
    gauge working;
    auto work = [&working](int x) { return square(x, working); };
    auto squares = co_await muster::map(std::views::iota(0, 1000), work).limit(10);
    fmt::print(
        "limit: {} results, the last is {}, at most {} at once\n", squares.size(), squares.back(), working.peak());
}
// [/with_a_limit]

int main() {
    muster::run(with_a_semaphore());
    muster::run(with_a_limit());
}
