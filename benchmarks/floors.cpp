// SPDX-License-Identifier: MIT
// The floors: bare coroutines and bare throws, on this machine. No workload can be faster than its floor.
#include "measure.hpp"

#include <benchmark/benchmark.h>

#include <atomic>
#include <cstdlib>
#include <exception>
#include <stdexcept>
#include <thread>
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

// ---- between threads that never sleep, with one atomic exchange for each hand-over; wall time ----

/// A cache line of its own, made before the time is taken: a frame has several, and has to be made.
struct alignas(64) bare_letter {
    bare_letter* next = nullptr;
    int (*call)() = nullptr;
    int result = 0;
};

class bare_stack {
public:
    void push(bare_letter& l) noexcept {
        l.next = newest_.load(std::memory_order_relaxed);
        while (!newest_.compare_exchange_weak(l.next, &l, std::memory_order_seq_cst, std::memory_order_relaxed)) {}
    }
    /// All of them, oldest first; null if there is none.
    bare_letter* take_all() noexcept {
        if (newest_.load(std::memory_order_relaxed) == nullptr)
            return nullptr;
        bare_letter* rest = newest_.exchange(nullptr, std::memory_order_acquire);
        bare_letter* oldest = nullptr;
        while (rest != nullptr) {
            bare_letter* const l = std::exchange(rest, rest->next);
            l->next = std::exchange(oldest, l);
        }
        return oldest;
    }

private:
    alignas(64) std::atomic<bare_letter*> newest_{nullptr};
};

int one() noexcept { return 1; }

double bare_posts(std::size_t n) {
    bare_stack box;
    std::vector<bare_letter> letters(n);
    std::size_t seen = 0;
    const double begin = bench::wall_now();
    std::thread poster([&] {
        for (auto& l : letters) {
            l.call = &one;
            box.push(l);
        }
    });
    while (seen != n) {
        for (bare_letter* l = box.take_all(); l != nullptr; l = l->next)
            seen += static_cast<std::size_t>(l->call());
    }
    const double took = bench::wall_now() - begin;
    poster.join();
    return took / static_cast<double>(n);
}

/// Two threads claim the calls one by one, in their order, and send each back when it has been made.
double bare_calls(std::size_t n) {
    bare_stack answers;
    std::vector<bare_letter> calls(n);
    alignas(64) std::atomic<std::size_t> submitted{0};
    alignas(64) std::atomic<std::size_t> claimed{0};
    const auto make_calls = [&] {
        for (std::size_t i = 0; i != n;) {
            i = claimed.load(std::memory_order_relaxed);
            if (i == submitted.load(std::memory_order_acquire) || !claimed.compare_exchange_weak(i, i + 1))
                continue;
            calls[i].result = calls[i].call();
            answers.push(calls[i]);
        }
    };
    const double begin = bench::wall_now();
    std::thread first(make_calls);
    std::thread second(make_calls);
    for (std::size_t i = 0; i != n; ++i) {
        calls[i].call = &one;
        submitted.store(i + 1, std::memory_order_release);
    }
    for (std::size_t seen = 0; seen != n;) {
        for (bare_letter* l = answers.take_all(); l != nullptr; l = l->next)
            seen += static_cast<std::size_t>(l->result);
    }
    const double took = bench::wall_now() - begin;
    first.join();
    second.join();
    return took / static_cast<double>(n);
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
    add("posts to another thread, by an atomic stack", 100'000, bare_posts);
    add("calls on two threads, by an atomic counter and a stack", 100'000, bare_calls);
}
