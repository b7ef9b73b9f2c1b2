// SPDX-License-Identifier: MIT
// The floors: bare coroutines and bare throws, on this machine. No workload can be faster than its floor.
#include "measure.hpp"

#include <benchmark/benchmark.h>

#include <cstdlib>
#include <exception>
#include <stdexcept>
#include <utility>
#include <vector>

void add_floors();

namespace {

constexpr std::size_t usual_frame = 136;

/// A floor has no floor below it, so its row prints nanoseconds.
void add(const std::string& name, std::size_t n, const std::function<double(std::size_t)>& each) {
    benchmark::RegisterBenchmark(("floor: " + name + "/" + std::to_string(n)).c_str(),
        [n, each](benchmark::State& state) {
            double least = 1e300;
            for (auto _ : state) {
                const double ns = each(n);
                least = ns < least ? ns : least;
                state.SetIterationTime(ns * static_cast<double>(n) * 1e-9);
            }
            state.counters["n"] = static_cast<double>(n);
            state.counters["ns"] = state.counters["floor_ns"] = least;
            state.counters["ratio"] = 1;
        })
        ->UseManualTime()
        ->Iterations(15);
}

double allocate_and_free(std::size_t n, std::size_t alive) {
    std::vector<void*> blocks(alive);
    const double begin = bench::cpu_now();
    for (std::size_t done = 0; done < n; done += alive) {
        for (auto& b : blocks) {
            b = std::malloc(usual_frame);
            bench::keep(b);
        }
        for (auto& b : blocks)
            std::free(b);
    }
    return (bench::cpu_now() - begin) / static_cast<double>(n);
}

[[gnu::noinline]] std::exception_ptr throw_and_rethrow() {
    std::exception_ptr first;
    try {
        throw std::runtime_error("this one failed");
    } catch (...) {
        first = std::current_exception();
    }
    try {
        std::rethrow_exception(first);
    } catch (...) {
        return std::current_exception();
    }
}

} // namespace

void add_floors() {
    add("malloc and free, one at a time", 100'000, [](std::size_t n) { return allocate_and_free(n, 1); });
    add("malloc and free, all at once", 100'000, [](std::size_t n) { return allocate_and_free(n, n); });
    add("a bare coroutine, one at a time", 100'000,
        [](std::size_t n) { return bench::bare_coroutines(n, 1, usual_frame); });
    add("a bare coroutine, all at once", 100'000,
        [](std::size_t n) { return bench::bare_coroutines(n, n, usual_frame); });
    add("throw into an exception_ptr", 1'000, [](std::size_t n) { return bench::throws(n, 1); });
    add("throw, and one rethrow", 1'000, [](std::size_t n) {
        const double begin = bench::cpu_now();
        for (std::size_t i = 0; i != n; ++i) {
            auto error = throw_and_rethrow();
            bench::keep(error);
        }
        return (bench::cpu_now() - begin) / static_cast<double>(n);
    });
}
