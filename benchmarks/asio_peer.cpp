// SPDX-License-Identifier: MIT
// The first workloads of `bench` written with Boost.Asio, as its users write them: an awaitable a child, all waited for
// by a parallel_group. Prints one line of JSON for each: {"name": ..., "n": ..., "ns": ...}.
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/experimental/parallel_group.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <time.h>

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <exception>
#include <stdexcept>
#include <utility>
#include <vector>

namespace {

namespace asio = boost::asio;

double cpu_now() {
    timespec t{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return static_cast<double>(t.tv_sec) * 1e9 + static_cast<double>(t.tv_nsec);
}

asio::awaitable<int> ready(int n) { co_return n; }

asio::awaitable<int> yields_once(int n) {
    co_await asio::post(co_await asio::this_coro::executor, asio::use_awaitable);
    co_return n;
}

asio::awaitable<int> throws(int) {
    throw std::runtime_error("this one failed");
    co_return 0;
}

template <class Child>
asio::awaitable<void> gathered(std::size_t n, Child child, double& took) {
    auto executor = co_await asio::this_coro::executor;
    const double begin = cpu_now();
    {
        using operation = decltype(asio::co_spawn(executor, child(0), asio::deferred));
        std::vector<operation> children;
        children.reserve(n);
        for (std::size_t i = 0; i != n; ++i)
            children.push_back(asio::co_spawn(executor, child(static_cast<int>(i)), asio::deferred));
        auto [order, errors, values] = co_await asio::experimental::make_parallel_group(std::move(children))
                                           .async_wait(asio::experimental::wait_for_all(), asio::use_awaitable);
        asm volatile("" : : "g"(values.data()), "g"(order.data()), "g"(errors.data()) : "memory");
    }
    took = cpu_now() - begin;
}

template <class Child>
void measure(const char* name, std::size_t n, Child child) {
    std::vector<double> times;
    const std::size_t rounds = n <= 1'000 ? 200 : 7;
    for (std::size_t i = 0; i != rounds; ++i) {
        asio::io_context loop(1);
        double took = 0;
        asio::co_spawn(loop, gathered(n, child, took), asio::detached);
        loop.run();
        times.push_back(took / static_cast<double>(n));
    }
    std::nth_element(times.begin(), times.begin() + static_cast<std::ptrdiff_t>(rounds / 2), times.end());
    std::printf("{\"name\": \"%s\", \"n\": %zu, \"ns\": %.1f}\n", name, n, times[rounds / 2]);
    std::fflush(stdout);
}

} // namespace

int main() {
    for (const std::size_t n : {std::size_t{1'000}, std::size_t{100'000}}) {
        measure("gather, children ready", n, ready);
        measure("gather, each child yields once", n, yields_once);
        measure("settle, all throw", n, throws);
    }
}
