// SPDX-License-Identifier: MIT
// Gathers within gathers: a tree of ten children at each node, and one of two, in the default order and depth first.
// Every node is a task, so a tree is a test of how much of it is alive at once. And a queue, which is where trees of
// work usually end.
#include "measure.hpp"

#include <muster/gather.hpp>
#include <muster/queue.hpp>

#include <algorithm>
#include <coroutine>
#include <cstddef>
#include <exception>
#include <tuple>
#include <utility>
#include <vector>

void add_nested();

namespace {

using muster::task;

enum class order { in_turn, depth_first };

/// The bytes that the program held when the first leaf ran: in the default order the whole tree is alive then.
std::size_t bytes_at_first_leaf = 0;
/// The most that it held when one of a thousand leaves ran.
std::size_t most_bytes = 0;

task<long> leaf(long number) {
    if (number == 0)
        bytes_at_first_leaf = bench::heap_bytes();
    co_return number;
}
task<long> weighed_leaf(long number) {
    if (number % 1'000 == 0)
        most_bytes = std::max(most_bytes, bench::heap_bytes());
    co_return number;
}

template <order Order, task<long> (*Leaf)(long)>
task<long> tree_of_ten(long first, long leaves) {
    std::vector<task<long>> children;
    children.reserve(10);
    const long each = leaves / 10;
    for (long i = 0; i != 10; ++i)
        children.push_back(each == 1 ? Leaf(first + i) : tree_of_ten<Order, Leaf>(first + i * each, each));
    long sum = 0;
    if constexpr (Order == order::depth_first) {
        auto sums = co_await muster::gather(std::move(children)).depth_first();
        for (const long s : sums)
            sum += s;
    } else {
        auto sums = co_await muster::gather(std::move(children));
        for (const long s : sums)
            sum += s;
    }
    co_return sum;
}

template <order Order>
task<double> tens(std::size_t leaves) {
    const double begin = bench::cpu_now();
    auto sum = co_await tree_of_ten<Order, &leaf>(0, static_cast<long>(leaves));
    bench::keep(sum);
    co_return bench::cpu_now() - begin;
}

task<double> bytes_of_tens(std::size_t leaves) {
    bench::empty_heap();
    const std::size_t before = bench::heap_bytes();
    auto sum = co_await tree_of_ten<order::in_turn, &leaf>(0, static_cast<long>(leaves));
    bench::keep(sum);
    co_return static_cast<double>(bytes_at_first_leaf - before) / static_cast<double>(leaves);
}

task<double> most_bytes_of_tens(std::size_t leaves) {
    bench::empty_heap();
    const std::size_t before = most_bytes = bench::heap_bytes();
    auto sum = co_await tree_of_ten<order::depth_first, &weighed_leaf>(0, static_cast<long>(leaves));
    bench::keep(sum);
    co_return static_cast<double>(most_bytes - before);
}

template <order Order>
task<long> fibonacci(long n) {
    if (n < 2)
        co_return n;
    long sum = 0;
    if constexpr (Order == order::depth_first) {
        auto both = co_await muster::gather(fibonacci<Order>(n - 1), fibonacci<Order>(n - 2)).depth_first();
        sum = std::get<0>(both) + std::get<1>(both);
    } else {
        auto both = co_await muster::gather(fibonacci<Order>(n - 1), fibonacci<Order>(n - 2));
        sum = std::get<0>(both) + std::get<1>(both);
    }
    co_return sum;
}

std::size_t calls_of_fibonacci(long n) { return n < 2 ? 1 : 1 + calls_of_fibonacci(n - 1) + calls_of_fibonacci(n - 2); }

long argument_of_fibonacci(std::size_t calls) {
    long n = 1;
    while (calls_of_fibonacci(n) < calls)
        ++n;
    return n;
}

template <order Order>
task<double> twos(std::size_t calls) {
    const long n = argument_of_fibonacci(calls);
    const double begin = bench::cpu_now();
    auto value = co_await fibonacci<Order>(n);
    bench::keep(value);
    co_return bench::cpu_now() - begin;
}

/// The floor of a recursion: bare coroutines that await each other by symmetric transfer, one after the other.
struct bare {
    struct promise_type {
        long value = 0;
        std::coroutine_handle<> parent;
        bare get_return_object() noexcept { return bare(std::coroutine_handle<promise_type>::from_promise(*this)); }
        std::suspend_always initial_suspend() const noexcept { return {}; }
        struct last {
            bool await_ready() const noexcept { return false; }
            std::coroutine_handle<> await_suspend(std::coroutine_handle<promise_type> h) const noexcept {
                return h.promise().parent;
            }
            void await_resume() const noexcept {}
        };
        last final_suspend() const noexcept { return {}; }
        void return_value(long v) noexcept { value = v; }
        void unhandled_exception() const noexcept { std::terminate(); }
    };

    explicit bare(std::coroutine_handle<promise_type> made) noexcept : frame(made) {}
    bare(const bare&) = delete;
    bare& operator=(const bare&) = delete;
    ~bare() { frame.destroy(); }
    bool await_ready() const noexcept { return false; }
    std::coroutine_handle<> await_suspend(std::coroutine_handle<> h) const noexcept {
        frame.promise().parent = h;
        return frame;
    }
    long await_resume() const noexcept { return frame.promise().value; }

    std::coroutine_handle<promise_type> frame;
};

bare bare_fibonacci(long n) {
    if (n < 2)
        co_return n;
    const long first = co_await bare_fibonacci(n - 1);
    const long second = co_await bare_fibonacci(n - 2);
    co_return first + second;
}

double bare_twos(std::size_t calls) {
    const long n = argument_of_fibonacci(calls);
    const double begin = bench::cpu_now();
    {
        const bare root = bare_fibonacci(n);
        root.frame.promise().parent = std::noop_coroutine();
        root.frame.resume();
        long value = root.frame.promise().value;
        bench::keep(value);
    }
    return (bench::cpu_now() - begin) / static_cast<double>(calls);
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
        [](std::size_t n) { return bench::on_loop(tens<order::in_turn>(n)); });
    bench::add_row(bench::row("nested gathers of ten, depth first, a leaf", {1'000, 100'000, 1'000'000})
                       .floor_of(frame, 1)
                       .goal({3, 3, 3}),
        [](std::size_t n) { return bench::on_loop(tens<order::depth_first>(n)); });
    bench::add_row(bench::row("nested gathers of two, a call of fib(20)", {calls_of_fibonacci(20)}).floor_of(frame),
        [](std::size_t n) { return bench::on_loop(twos<order::in_turn>(n)); });
    bench::add_row(bench::row("nested gathers of two, depth first, a call of fib(27)", {calls_of_fibonacci(27)})
                       .floor_is(&bare_twos)
                       .goal({2}),
        [](std::size_t n) { return bench::on_loop(twos<order::depth_first>(n)); });
    bench::add_row(
        bench::row("queue, put and get of an item without waiting", {100'000}).floor_of(frame, 1).goal({0.65}),
        [](std::size_t n) { return bench::on_loop(through_a_queue(n)); });
    bench::add_figure(
        "bytes, nested gathers of ten, a leaf", 300, [] { return bench::on_loop(bytes_of_tens(100'000)); });
    bench::add_figure("bytes, nested gathers of ten, depth first, at most", 8e6,
        [] { return bench::on_loop(most_bytes_of_tens(1'000'000)); });
}
