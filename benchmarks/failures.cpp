// SPDX-License-Identifier: MIT
// Children that fail, with a throw and without one, and asking a hundred thousand failures what they are.
#include "measure.hpp"

#include <muster/gather.hpp>

#include <stdexcept>
#include <utility>
#include <vector>

void add_failures();

namespace {

using muster::task;

task<int> ready(int n) { co_return n; }

task<int> throws(int) {
    throw std::runtime_error("this one failed");
    co_return 0;
}

task<int> one_in_a_hundred_throws(int n) {
    if (n % 100 == 0)
        throw std::runtime_error("this one failed");
    co_return n;
}

task<int> fails_without_a_throw(int) {
    co_await muster::fail(std::runtime_error("this one failed"));
    co_return 0;
}

template <class Child>
task<double> settled(std::size_t n, Child child) {
    const double begin = bench::cpu_now();
    {
        std::vector<task<int>> children;
        children.reserve(n);
        for (std::size_t i = 0; i != n; ++i)
            children.push_back(child(static_cast<int>(i)));
        auto outcomes = co_await muster::settle(std::move(children));
        outcomes.mark_all_looked_at();
    }
    co_return bench::cpu_now() - begin;
}

task<double> asked_for_a_base(std::size_t n) {
    std::vector<task<int>> children;
    children.reserve(n);
    for (std::size_t i = 0; i != n; ++i)
        children.push_back(fails_without_a_throw(static_cast<int>(i)));
    auto outcomes = co_await muster::settle(std::move(children));
    const double begin = bench::cpu_now();
    auto found = outcomes.failures_of<std::exception>();
    const double took = bench::cpu_now() - begin;
    bench::keep(found);
    co_return took;
}

} // namespace

void add_failures() {
    const auto frame = [] { return ready(1); };
    const auto run_ready = [](std::size_t n) { return bench::on_loop(settled(n, ready)); };
    // The same function with numbers for which it does not throw: its test of the number is in both.
    const auto run_none_throws = [](std::size_t n) {
        return bench::on_loop(settled(n, [](int i) { return one_in_a_hundred_throws(100 * i + 1); }));
    };
    bench::add_row(bench::row("settle, children ready", {1'000, 100'000}).floor_of(frame), run_ready);
    bench::add_row(bench::row("settle, what each of the 1 % that throw adds", {1'000, 100'000})
                       .floor_is_a_throw()
                       .above(run_none_throws, 0.01)
                       .goal({1.3, 1.3}),
        [](std::size_t n) { return bench::on_loop(settled(n, one_in_a_hundred_throws)); });
    bench::add_row(bench::row("settle, all throw", {1'000, 100'000}).floor_is_a_throw().goal({1.15, 1.15}),
        [](std::size_t n) { return bench::on_loop(settled(n, throws)); });
    bench::add_row(bench::row("settle, all fail without a throw", {1'000, 100'000})
                       .floor_of([] { return fails_without_a_throw(1); })
                       .goal({6, 6}),
        [](std::size_t n) { return bench::on_loop(settled(n, fails_without_a_throw)); });
    bench::add_row(bench::row("ask failures for a base type", {100'000}).floor_of(frame).goal({1}),
        [](std::size_t n) { return bench::on_loop(asked_for_a_base(n)); });
}
