// SPDX-License-Identifier: MIT
// Bytes for one child, everything included: its frame, its place in the gather, its timer.
#include "measure.hpp"

#include <muster/event.hpp>
#include <muster/gather.hpp>
#include <muster/map.hpp>
#include <muster/sleep.hpp>

#include <chrono>
#include <cstdio>
#include <ranges>
#include <utility>
#include <vector>

void add_memory();

namespace {

using muster::task;
using namespace std::chrono_literals;

constexpr std::size_t many = 100'000;

task<int> parked_on_a_timer(int n) {
    co_await muster::sleep_for(24h);
    co_return n;
}

task<int> parked_on_an_event(muster::event& e, int n) {
    co_await e.wait();
    co_return n;
}

/// The memory in use while all children wait, less the memory in use before they were made.
template <class Child>
task<double> while_parked(Child child, std::size_t (*read)()) {
    bench::empty_heap();
    const std::size_t before = read();
    double each = 0;
    auto all = [child]() -> task<> {
        std::vector<task<int>> children;
        children.reserve(many);
        for (std::size_t i = 0; i != many; ++i)
            children.push_back(child(static_cast<int>(i)));
        auto settled = co_await muster::settle(std::move(children));
        bench::keep(settled);
    };
    auto handle = muster::create_task(all());
    for (int i = 0; i != 3; ++i)
        co_await muster::yield();
    each = static_cast<double>(read() - before) / static_cast<double>(many);
    handle.cancel();
    auto ended = co_await muster::settle(std::move(handle));
    bench::keep(ended);
    co_return each;
}

std::size_t heap() { return bench::heap_bytes(); }
std::size_t resident() { return bench::resident_bytes(); }

task<int> ready(int n) { co_return n; }

/// How much the process grows between the first tenth of a streamed map and its end.
task<double> growth() {
    std::size_t early = 0;
    std::size_t late = 0;
    auto sink = [&](std::size_t i, muster::outcome<int>&& o) {
        bench::keep(o);
        if (i == 100'000)
            early = bench::resident_bytes();
        if (i == 999'999)
            late = bench::resident_bytes();
    };
    auto summary = co_await muster::map(std::views::iota(0, 1'000'000), ready).limit(100).for_each(sink);
    bench::keep(summary);
    co_return static_cast<double>(late) - static_cast<double>(early);
}

} // namespace

void add_memory() {
    bench::add_figure("bytes, parked on its own timer, allocated", 256,
        [] { return bench::on_loop(while_parked(parked_on_a_timer, &heap)); });
    bench::add_figure("bytes, parked on its own timer, resident", 0,
        [] { return bench::on_loop(while_parked(parked_on_a_timer, &resident)); });
    bench::add_figure("bytes, parked on an event, allocated", 0, [] {
        muster::event e;
        return bench::on_loop(while_parked([&e](int n) { return parked_on_an_event(e, n); }, &heap));
    });
    bench::add_figure("growth in memory of a streamed map of 1,000,000", 0, [] { return bench::on_loop(growth()); });
}
