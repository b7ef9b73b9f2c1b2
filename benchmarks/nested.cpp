// SPDX-License-Identifier: MIT
// Gathers within gathers: a tree of ten children at each node, and one of two. Every node is a task, so a tree is a
// test of how much of it is alive at once. And a queue, which is where trees of work usually end.
#include "measure.hpp"

#include <muster/gather.hpp>
#include <muster/queue.hpp>

#include <utility>
#include <vector>

void add_nested();

namespace {

using muster::task;

/// The bytes that the program held when the first leaf ran: in the default order the whole tree is alive then.
std::size_t bytes_at_first_leaf = 0;

task<long> leaf(long number) {
    if (number == 0)
        bytes_at_first_leaf = bench::heap_bytes();
    co_return number;
}

task<long> tree_of_ten(long first, long leaves) {
    std::vector<task<long>> children;
    children.reserve(10);
    const long each = leaves / 10;
    for (long i = 0; i != 10; ++i)
        children.push_back(each == 1 ? leaf(first + i) : tree_of_ten(first + i * each, each));
    auto sums = co_await muster::gather(std::move(children));
    long sum = 0;
    for (const long s : sums)
        sum += s;
    co_return sum;
}

task<double> tens(std::size_t leaves) {
    const double begin = bench::cpu_now();
    auto sum = co_await tree_of_ten(0, static_cast<long>(leaves));
    bench::keep(sum);
    co_return bench::cpu_now() - begin;
}

task<double> bytes_of_tens(std::size_t leaves) {
    bench::empty_heap();
    const std::size_t before = bench::heap_bytes();
    auto sum = co_await tree_of_ten(0, static_cast<long>(leaves));
    bench::keep(sum);
    co_return static_cast<double>(bytes_at_first_leaf - before) / static_cast<double>(leaves);
}

task<long> fibonacci(long n) {
    if (n < 2)
        co_return n;
    auto both = co_await muster::gather(fibonacci(n - 1), fibonacci(n - 2));
    co_return std::get<0>(both) + std::get<1>(both);
}

std::size_t calls_of_fibonacci(long n) { return n < 2 ? 1 : 1 + calls_of_fibonacci(n - 1) + calls_of_fibonacci(n - 2); }

task<double> twos(std::size_t calls) {
    long n = 1;
    while (calls_of_fibonacci(n) < calls)
        ++n;
    const double begin = bench::cpu_now();
    auto value = co_await fibonacci(n);
    bench::keep(value);
    co_return bench::cpu_now() - begin;
}

task<double> through_a_queue(std::size_t n) {
    constexpr std::size_t room = 100;
    muster::queue<int> queue(room);
    long sum = 0;
    const double begin = bench::cpu_now();
    for (std::size_t i = 0; i < n; i += room) {
        for (std::size_t k = 0; k != room; ++k)
            co_await queue.put(static_cast<int>(k));
        for (std::size_t k = 0; k != room; ++k) {
            auto item = co_await queue.get();
            sum += item;
        }
    }
    bench::keep(sum);
    co_return bench::cpu_now() - begin;
}

} // namespace

void add_nested() {
    const auto frame = [] { return leaf(1); };
    bench::add_row(
        bench::row("nested gathers of ten, a leaf", {1'000, 100'000, 1'000'000}).floor_of(frame).goal({3, 3, 3}),
        [](std::size_t n) { return bench::on_loop(tens(n)); });
    bench::add_row(bench::row("nested gathers of two, a call of fib(20)", {calls_of_fibonacci(20)}).floor_of(frame),
        [](std::size_t n) { return bench::on_loop(twos(n)); });
    bench::add_row(
        bench::row("queue, put and get of an item without waiting", {100'000}).floor_of(frame, 1).goal({0.65}),
        [](std::size_t n) { return bench::on_loop(through_a_queue(n)); });
    bench::add_figure(
        "bytes, nested gathers of ten, a leaf", 300, [] { return bench::on_loop(bytes_of_tens(100'000)); });
}
