// SPDX-License-Identifier: MIT
// Children that succeed: gather, task_group, map, and awaiting one after another.
#include "measure.hpp"

#include <muster/gather.hpp>
#include <muster/map.hpp>
#include <muster/sleep.hpp>
#include <muster/task_group.hpp>

#include <ranges>
#include <utility>
#include <vector>

void add_gathers();

namespace {

using muster::task;

task<int> ready(int n) { co_return n; }

task<int> yields_once(int n) {
    co_await muster::yield();
    co_return n;
}

template <class Child>
task<double> gathered(std::size_t n, Child child) {
    // Small workloads are repeated: one alone is shorter than reading the clock takes.
    const std::size_t rounds = n < 1'000 ? 1'000 / n : 1;
    const double begin = bench::cpu_now();
    for (std::size_t round = 0; round != rounds; ++round) {
        std::vector<task<int>> children;
        children.reserve(n);
        for (std::size_t i = 0; i != n; ++i)
            children.push_back(child(static_cast<int>(i)));
        auto values = co_await muster::gather(std::move(children));
        bench::keep(values);
    }
    co_return (bench::cpu_now() - begin) / static_cast<double>(rounds);
}

task<double> gathered_two(std::size_t n) {
    const double begin = bench::cpu_now();
    for (std::size_t i = 0; i < n; i += 2) {
        auto values = co_await muster::gather(ready(1), ready(2));
        bench::keep(values);
    }
    co_return bench::cpu_now() - begin;
}

task<double> in_a_group(std::size_t n) {
    const double begin = bench::cpu_now();
    auto body = [n](muster::task_group& group) -> task<> {
        for (std::size_t i = 0; i != n; ++i)
            group.create_task(ready(static_cast<int>(i)));
        co_return;
    };
    co_await muster::with_task_group(muster::take(body));
    co_return bench::cpu_now() - begin;
}

task<double> streamed(std::size_t n) {
    long sum = 0;
    const double begin = bench::cpu_now();
    auto sink = [&sum](std::size_t, muster::outcome<int>&& o) { sum += *o.value_if(); };
    auto summary = co_await muster::map(std::views::iota(0, static_cast<int>(n)), ready).limit(100).for_each(sink);
    bench::keep(summary);
    bench::keep(sum);
    co_return bench::cpu_now() - begin;
}

task<double> one_after_another(std::size_t n) {
    long sum = 0;
    const double begin = bench::cpu_now();
    for (std::size_t i = 0; i != n; ++i) {
        auto value = co_await ready(static_cast<int>(i));
        sum += value;
    }
    bench::keep(sum);
    co_return bench::cpu_now() - begin;
}

task<int> nested(int n) {
    if (n == 0)
        co_return 0;
    auto below = co_await nested(n - 1);
    co_return below + 1;
}

task<double> chained(std::size_t n) {
    const double begin = bench::cpu_now();
    auto depth = co_await nested(static_cast<int>(n));
    bench::keep(depth);
    co_return bench::cpu_now() - begin;
}

} // namespace

void add_gathers() {
    const auto frame = [] { return ready(1); };
    const auto yielding_frame = [] { return yields_once(1); };
    bench::add_row(
        bench::row("gather, children ready", {10, 1'000, 100'000, 1'000'000}).floor_of(frame).goal({0, 1.5, 2, 0}),
        [](std::size_t n) { return bench::on_loop(gathered(n, ready)); });
    bench::add_row(bench::row("gather of two, children ready", {1'000}).floor_of(frame, 2),
        [](std::size_t n) { return bench::on_loop(gathered_two(n)); });
    bench::add_row(bench::row("gather, each child yields once", {10, 1'000, 100'000, 1'000'000})
                       .floor_of(yielding_frame)
                       .goal({0, 2, 2.5, 0}),
        [](std::size_t n) { return bench::on_loop(gathered(n, yields_once)); });
    bench::add_row(bench::row("task_group, create_task to the end", {1'000, 100'000}).floor_of(frame).goal({2.5, 2.5}),
        [](std::size_t n) { return bench::on_loop(in_a_group(n)); });
    bench::add_row(bench::row("map, limit 100, streamed", {1'000'000}).floor_of(frame, 100).goal({2.5}),
        [](std::size_t n) { return bench::on_loop(streamed(n)); });
    bench::add_row(bench::row("await, one after another", {1'000, 1'000'000}).floor_of(frame, 1).goal({1, 1}),
        [](std::size_t n) { return bench::on_loop(one_after_another(n)); });
    bench::add_row(
        bench::row("await, a chain so deep", {1'000, 100'000}).floor_of([] { return nested(1); }).goal({1, 1}),
        [](std::size_t n) { return bench::on_loop(chained(n)); });
}
