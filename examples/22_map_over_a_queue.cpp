// SPDX-License-Identifier: MIT
// `map` over an input that is awaited: a generator that loads page after page of a list, and a queue that other tasks
// fill until it is shut down. The next element is asked for when there is room for another child, so neither the list
// nor the queue is ever held in memory as a whole. The loop's clock is virtual.

#include <muster/muster.hpp>
#include <muster/testing/manual_loop.hpp>

#include <fmt/core.h>

#include <chrono>
#include <stdexcept>
#include <string>

using namespace std::chrono_literals;

muster::task<int> work(int number) {
    co_await muster::sleep_for(10ms);
    if (number % 4 == 0)
        co_await muster::fail(std::runtime_error(fmt::format("{} can't be divided", number)));
    co_return number;
}

// [generator]
muster::generator<int> all_numbers() {
    for (int page = 0; page != 3; ++page) {
        co_await muster::sleep_for(5ms); // stands for loading a page of four numbers
        for (int i = 1; i <= 4; ++i)
            co_yield 4 * page + i;
    }
}

muster::task<> over_a_generator() {
    auto summary = co_await muster::map(all_numbers(), work).limit(2).summarize();
    fmt::print("{} = {} ok + {} failed\n", summary.submitted(), summary.succeeded(), summary.failed());
    for (const auto& type : summary.failures_by_type())
        fmt::print("{} x {}\n", type.count, type.name);
}
// [/generator]

// [queue]
muster::task<> fill(muster::queue<int>& jobs) {
    for (int number = 1; number <= 5; ++number)
        co_await jobs.put(number); // waits while the queue is full
    jobs.shutdown();               // no more will come: the map ends when the queue is empty
}

muster::task<> over_a_queue() {
    muster::queue<int> jobs(2);
    auto filling = muster::create_task(fill(jobs), "fill");
    auto outcomes = co_await muster::map(jobs, work).limit(2).settle();
    co_await filling;
    for (const auto& outcome : outcomes)
        fmt::print("{}\n", outcome.succeeded() ? std::to_string(*outcome) : to_string(outcome));
}
// [/queue]

int main() {
    muster::testing::manual_loop loop;
    loop.run(over_a_generator());
    loop.run(over_a_queue());
}
