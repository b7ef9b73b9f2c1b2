// SPDX-License-Identifier: MIT
// Children that wait: under a time limit, for a permit, for time to pass, for another thread.
#include "measure.hpp"

#include <muster/executor.hpp>
#include <muster/gather.hpp>
#include <muster/map.hpp>
#include <muster/semaphore.hpp>
#include <muster/sleep.hpp>
#include <muster/thread_pool.hpp>
#include <muster/timeout.hpp>

#include <array>
#include <chrono>
#include <ranges>
#include <type_traits>
#include <utility>
#include <vector>

void add_waits();

namespace {

using muster::task;
using namespace std::chrono_literals;

task<int> yields_once(int n) {
    co_await muster::yield();
    co_return n;
}

task<double> under_time_limits(std::size_t n) {
    const double begin = bench::cpu_now();
    {
        std::vector<task<int>> children;
        children.reserve(n);
        for (std::size_t i = 0; i != n; ++i)
            children.push_back(yields_once(static_cast<int>(i)));
        auto values = co_await muster::gather(std::move(children)).each_within(10s);
        bench::keep(values);
    }
    co_return bench::cpu_now() - begin;
}

task<double> in_wait_for(std::size_t n) {
    const double begin = bench::cpu_now();
    {
        std::vector<task<int>> children;
        children.reserve(n);
        for (std::size_t i = 0; i != n; ++i)
            children.push_back(muster::wait_for(yields_once(static_cast<int>(i)), 10s));
        auto values = co_await muster::gather(std::move(children));
        bench::keep(values);
    }
    co_return bench::cpu_now() - begin;
}

task<int> with_a_permit(muster::semaphore& permits, int n) {
    auto permit = co_await permits.scoped_acquire();
    co_await muster::yield();
    co_return n;
}

task<double> through_a_semaphore(std::size_t n) {
    muster::semaphore permits(100);
    const double begin = bench::cpu_now();
    {
        std::vector<task<int>> children;
        children.reserve(n);
        for (std::size_t i = 0; i != n; ++i)
            children.push_back(with_a_permit(permits, static_cast<int>(i)));
        auto values = co_await muster::gather(std::move(children));
        bench::keep(values);
    }
    co_return bench::cpu_now() - begin;
}

task<int> sleeps(int n) {
    co_await muster::sleep_for(
        std::chrono::microseconds(1'000 + (static_cast<unsigned>(n) * 2'654'435'761u >> 8) % 49'000));
    co_return n;
}

task<double> asleep(std::size_t n) {
    const double begin = bench::cpu_now();
    {
        std::vector<task<int>> children;
        children.reserve(n);
        for (std::size_t i = 0; i != n; ++i)
            children.push_back(sleeps(static_cast<int>(i)));
        auto values = co_await muster::gather(std::move(children));
        bench::keep(values);
    }
    co_return bench::cpu_now() - begin;
}

struct trivial {
    int operator()() const noexcept { return 1; }
};

/// An executor without a thread, which makes a call when it is submitted: so the loop's own part of a call is measured.
class here {
public:
    class job : public muster::executor_job {
    public:
        void make() noexcept { run_(*this); }

    protected:
        using function = void (*)(job&) noexcept;
        job(muster::outcome_base& result, function run) noexcept : executor_job(result), run_(run) {}
        ~job() = default;

    private:
        function run_;
        [[maybe_unused]] std::array<void*, 6> as_large_as_a_pools_{};
    };
    template <class F>
    class call final : public job {
    public:
        using result_type = std::invoke_result_t<F>;
        explicit call(F f) : job(result_, &run), f_(std::move(f)) {}
        [[nodiscard]] muster::outcome<result_type>& result() noexcept { return result_; }
        [[nodiscard]] F callable() && { return std::move(f_); }
        void request_stop() noexcept {}

    private:
        static void run(job& j) noexcept {
            auto& self = static_cast<call&>(j);
            self.result_.emplace(self.f_());
        }
        muster::outcome<result_type> result_;
        F f_;
    };

    void submit(job& j) noexcept {
        j.begin();
        {
            const muster::executor_job::context in(j);
            j.make();
        }
        j.finish();
    }
    [[nodiscard]] bool withdraw(job&) noexcept { return false; }
};

/// Wall time: two threads and the loop's work side by side.
template <class Executor>
task<double> on_threads(Executor& pool, std::size_t n) {
    const double begin = bench::wall_now();
    {
        std::vector<task<int>> calls;
        calls.reserve(n);
        for (std::size_t i = 0; i != n; ++i)
            calls.push_back(muster::run_in_executor(pool, trivial()).as_task());
        auto values = co_await muster::gather(std::move(calls));
        bench::keep(values);
    }
    co_return bench::wall_now() - begin;
}

task<double> in_bulk(muster::thread_pool& pool, std::size_t n) {
    const auto input = std::views::iota(0, static_cast<int>(n));
    const double begin = bench::wall_now();
    {
        auto values = co_await muster::map(input, [](int x) { return x; }).on(pool);
        bench::keep(values);
    }
    co_return bench::wall_now() - begin;
}

} // namespace

void add_waits() {
    const auto yielding_frame = [] { return yields_once(1); };
    bench::add_row(
        bench::row("each child under its own time limit", {1'000, 100'000}).floor_of(yielding_frame).goal({6, 6}),
        [](std::size_t n) { return bench::on_loop(under_time_limits(n)); });
    bench::add_row(bench::row("each child in wait_for", {1'000, 100'000}).floor_of(yielding_frame),
        [](std::size_t n) { return bench::on_loop(in_wait_for(n)); });
    static muster::semaphore for_the_frame(1);
    bench::add_row(bench::row("semaphore of 100, yielding inside", {1'000, 100'000})
                       .floor_of([] { return with_a_permit(for_the_frame, 1); })
                       .goal({5, 5}),
        [](std::size_t n) { return bench::on_loop(through_a_semaphore(n)); });
    bench::add_row(bench::row("sleeps of 1 to 50 ms", {100'000}).floor_of([] { return sleeps(1); }).goal({25}),
        [](std::size_t n) { return bench::on_loop(asleep(n)); });
    bench::add_row(
        bench::row("calls on a pool of two threads", {100'000}).floor_of(yielding_frame).goal({8}), [](std::size_t n) {
            muster::thread_pool pool(muster::thread_pool_options().threads(2));
            return bench::on_loop(on_threads(pool, n));
        });
    bench::add_row(bench::row("calls without a thread: the loop's part", {10'000, 100'000}).floor_of(yielding_frame),
        [](std::size_t n) {
            here executor;
            return bench::on_loop(on_threads(executor, n));
        });
    bench::add_row(
        bench::row("calls on a pool of two threads, in bulk", {100'000}).floor_of(yielding_frame), [](std::size_t n) {
            muster::thread_pool pool(muster::thread_pool_options().threads(2));
            return bench::on_loop(in_bulk(pool, n));
        });
}
