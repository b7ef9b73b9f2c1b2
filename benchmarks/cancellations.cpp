// SPDX-License-Identifier: MIT
// Many children, cancelled at once.
#include "measure.hpp"

#include <muster/gather.hpp>
#include <muster/sleep.hpp>

#include <chrono>
#include <utility>
#include <vector>

void add_cancellations();

namespace {

using muster::task;
using namespace std::chrono_literals;

task<int> parked(int n) {
    co_await muster::sleep_for(24h);
    co_return n;
}

muster::droppable_task<int> parked_and_droppable(int n) {
    co_await muster::sleep_for(24h);
    co_return n;
}

/// From the request to the last child's end.
template <class Children>
task<double> cancelled(Children make) {
    auto children = make();
    auto all = [](decltype(children) c) -> task<std::size_t> {
        auto outcomes = co_await muster::as_outcome([](decltype(children) inner) -> task<> {
            auto settled = co_await muster::settle(std::move(inner));
            bench::keep(settled);
        }(std::move(c)));
        bench::keep(outcomes);
        co_return std::size_t{1};
    };
    auto handle = muster::create_task(all(std::move(children)));
    for (int i = 0; i != 3; ++i)
        co_await muster::yield();
    const double begin = bench::cpu_now();
    handle.cancel();
    auto ended = co_await muster::settle(handle); // cancelled: as_outcome does not use the request up
    bench::keep(ended);
    co_return bench::cpu_now() - begin;
}

template <class Child>
auto many(std::size_t n, Child child) {
    return [n, child] {
        std::vector<decltype(child(1))> children;
        children.reserve(n);
        for (std::size_t i = 0; i != n; ++i)
            children.push_back(child(static_cast<int>(i)));
        return children;
    };
}

/// The children are cancelled in the iteration in which they were made: no body ever runs.
task<double> cancelled_before_the_start(std::size_t n) {
    std::vector<muster::task_handle<int>> handles;
    handles.reserve(n);
    for (std::size_t i = 0; i != n; ++i)
        handles.push_back(muster::create_task(parked(static_cast<int>(i))));
    const double begin = bench::cpu_now();
    for (auto& h : handles)
        h.cancel();
    auto outcomes = co_await muster::settle(std::move(handles));
    const double took = bench::cpu_now() - begin;
    bench::keep(outcomes);
    co_return took;
}

} // namespace

void add_cancellations() {
    const auto frame = [] { return parked(1); };
    bench::add_row(bench::row("cancel, not started", {1'000, 100'000}).floor_of(frame).goal({10, 10}),
        [](std::size_t n) { return bench::on_loop(cancelled_before_the_start(n)); });
    bench::add_row(bench::row("cancel, sleeps passed directly", {1'000, 100'000}).floor_of(frame).goal({10, 10}),
        [](std::size_t n) { return bench::on_loop(cancelled(many(n, [](int) { return muster::sleep_for(24h); }))); });
    bench::add_row(bench::row("cancel, droppable_task", {1'000, 100'000}).floor_of(frame).goal({10, 10}),
        [](std::size_t n) { return bench::on_loop(cancelled(many(n, parked_and_droppable))); });
    bench::add_row(
        bench::row("cancel, ordinary tasks on a timer", {1'000, 100'000}).floor_is_a_throw(1).goal({1.3, 1.3}),
        [](std::size_t n) { return bench::on_loop(cancelled(many(n, parked))); });
}
