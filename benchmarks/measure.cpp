// SPDX-License-Identifier: MIT
#include "measure.hpp"

#include <muster/detail/frame_allocator.hpp>
#include <muster/run.hpp>

#include <benchmark/benchmark.h>

#include <malloc.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <exception>
#include <new>
#include <stdexcept>
#include <utility>

namespace bench {

namespace {

double read_clock(clockid_t id) noexcept {
    timespec t{};
    clock_gettime(id, &t);
    return static_cast<double>(t.tv_sec) * 1e9 + static_cast<double>(t.tv_nsec);
}

double median(std::vector<double> values) {
    const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
    std::nth_element(values.begin(), middle, values.end());
    return *middle;
}

std::size_t bare_frame_bytes = 0;

struct bare {
    struct promise_type {
        static void* operator new(std::size_t bytes) { return ::operator new(std::max(bytes, bare_frame_bytes)); }
        static void operator delete(void* frame) { ::operator delete(frame); }
        bare get_return_object() noexcept { return {std::coroutine_handle<promise_type>::from_promise(*this)}; }
        std::suspend_always initial_suspend() const noexcept { return {}; }
        std::suspend_always final_suspend() const noexcept { return {}; }
        void return_value(int v) noexcept { value = v; }
        void unhandled_exception() noexcept { std::terminate(); }
        int value = 0;
    };
    std::coroutine_handle<promise_type> frame;
};

[[gnu::noinline]] bare make_bare(int n) { co_return n; }

[[gnu::noinline]] std::exception_ptr throw_one() {
    try {
        throw std::runtime_error("this one failed");
    } catch (...) {
        return std::current_exception();
    }
}

} // namespace

void empty_heap() noexcept {
    // Frames are kept for later ones, but not while a hook is set.
    muster::detail::set_frame_fault_hook([](void*) noexcept { return true; }, nullptr);
    muster::detail::set_frame_fault_hook(nullptr, nullptr);
    malloc_trim(0);
}

double cpu_now() noexcept { return read_clock(CLOCK_PROCESS_CPUTIME_ID); }

double wall_now() noexcept { return read_clock(CLOCK_MONOTONIC); }

std::size_t heap_bytes() noexcept {
    const auto info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

std::size_t resident_bytes() noexcept {
    std::size_t pages = 0;
    std::size_t resident = 0;
    if (std::FILE* f = std::fopen("/proc/self/statm", "r")) {
        if (std::fscanf(f, "%zu %zu", &pages, &resident) != 2)
            resident = 0;
        std::fclose(f);
    }
    return resident * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
}

std::size_t block_bytes(const void* frame);
std::size_t block_bytes(const void* frame) {
    // Frames are rounded up to a block. Take the smallest frame that would have got this block, or the floor is too
    // high.
    const std::size_t usable = malloc_usable_size(const_cast<void*>(frame));
    using muster::detail::frame_cache;
    const std::size_t size_class = (usable - frame_cache::bytes_of(0)) / frame_cache::granularity;
    return frame_cache::bytes_of(size_class) - frame_cache::granularity + sizeof(void*);
}

double bare_coroutines(std::size_t count, std::size_t alive, std::size_t frame_bytes) {
    bare_frame_bytes = frame_bytes;
    std::vector<std::coroutine_handle<bare::promise_type>> frames(std::max<std::size_t>(alive, 1));
    int sum = 0;
    const double begin = cpu_now();
    for (std::size_t done = 0; done < count; done += frames.size()) {
        for (auto& f : frames)
            f = make_bare(static_cast<int>(done)).frame;
        for (auto& f : frames)
            f.resume();
        for (auto& f : frames) {
            sum += f.promise().value;
            f.destroy();
        }
    }
    const double took = cpu_now() - begin;
    keep(sum);
    return took / static_cast<double>((count + frames.size() - 1) / frames.size() * frames.size());
}

double throws(std::size_t count, std::size_t alive) {
    std::vector<std::exception_ptr> errors(alive);
    const double begin = cpu_now();
    for (std::size_t done = 0; done < count; done += alive) {
        for (auto& e : errors)
            e = throw_one();
        for (auto& e : errors)
            e = nullptr;
    }
    return (cpu_now() - begin) / static_cast<double>((count + alive - 1) / alive * alive);
}

namespace {

double one_floor(const row& what, std::size_t n) {
    if (what.own_floor)
        return what.own_floor(n);
    if (!what.frame_bytes)
        return throws(n, what.alive != 0 ? what.alive : n);
    static std::size_t bytes = 0;
    static std::string known;
    if (known != what.name) {
        bytes = what.frame_bytes();
        known = what.name;
    }
    return bare_coroutines(std::max<std::size_t>(n, 1'000), what.alive != 0 ? what.alive : n, bytes);
}

void run_row(benchmark::State& state, const row& what, std::size_t n, double goal,
    const std::function<double(std::size_t)>& run) {
    // Start with a clean heap; otherwise the floor is measured among the remains of the row before.
    empty_heap();
    std::vector<double> floors;
    std::vector<double> times;
    for (int i = 0; i != 15; ++i)
        floors.push_back(one_floor(what, n));
    static_cast<void>(run(n)); // from here on malloc holds the memory that a run needs
    for (auto _ : state) {
        const double took = run(n);
        const double without = what.base ? what.base(n) : 0;
        times.push_back((took - without) / static_cast<double>(n) / what.part_of);
        state.SetIterationTime(took * 1e-9);
    }
    const double floor = median(floors);
    const double each = median(times);
    state.counters["n"] = static_cast<double>(n);
    state.counters["ns"] = each;
    state.counters["floor_ns"] = floor;
    state.counters["ratio"] = each / floor;
    state.counters["goal"] = goal;
    if (!what.own_floor)
        state.SetLabel(what.frame_bytes ? "F" : "T");
}

} // namespace

void add_row(const row& what, const std::function<double(std::size_t)>& run) {
    for (std::size_t i = 0; i != what.sizes.size(); ++i) {
        const std::size_t n = what.sizes[i];
        const double goal = i < what.goals.size() ? what.goals[i] : 0;
        benchmark::RegisterBenchmark((what.name + "/" + std::to_string(n)).c_str(),
            [what, n, goal, run](benchmark::State& s) { run_row(s, what, n, goal, run); })
            ->UseManualTime()
            ->Iterations(static_cast<benchmark::IterationCount>(
                std::clamp<std::size_t>(1'000'000 / std::max<std::size_t>(n, 1'000), 5, 300)))
            ->Unit(benchmark::kMicrosecond);
    }
}

void add_figure(const std::string& name, double goal, const std::function<double()>& measure) {
    benchmark::RegisterBenchmark(name.c_str(), [goal, measure](benchmark::State& state) {
        for (auto _ : state)
            state.counters["bytes"] = measure();
        state.counters["goal"] = goal;
    })->Iterations(1);
}

double on_loop(muster::task<double> t) {
    return muster::run(std::move(t), muster::run_options().handle_interrupt(false));
}

} // namespace bench
