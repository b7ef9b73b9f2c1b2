// SPDX-License-Identifier: MIT
// Memory that is refused to the thread of another host, at one allocation after the other: each call has an outcome,
// and the pool goes on. It begins when the host has greeted, as JSON, which the greeting has, can't be destroyed
// without memory.
#include <muster/process_pool.hpp>

#include <muster/host_lost_error.hpp>
#include <muster/map.hpp>
#include <muster/run.hpp>
#include <muster/sleep.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <new>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <pthread.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "support/own_resources.hpp"
#include "support/replaced_new.hpp"

namespace {

std::atomic<int> allocations_left{-1}; ///< of the threads of hosts, until some are refused; -1: none is refused
constexpr int refused_in_a_row = 4;

bool is_thread_of_host() noexcept {
    char name[16] = {};
    return ::pthread_getname_np(::pthread_self(), name, sizeof name) == 0 && std::string_view(name) == "muster-host";
}

bool is_refused() noexcept {
    if (allocations_left.load() < 0 || !is_thread_of_host())
        return false;
    return allocations_left.fetch_sub(1) <= refused_in_a_row;
}

} // namespace

void* replaced_new::take(std::size_t bytes) noexcept { return is_refused() ? nullptr : std::malloc(bytes); }
void replaced_new::give_back(void* block) noexcept { std::free(block); }

namespace {

using namespace std::chrono_literals;

int twice(int n) {
    std::this_thread::sleep_for(1ms);
    return 2 * n;
}
const muster::remote_function remote_twice("twice", &twice);

int own_number() {
    std::this_thread::sleep_for(100ms);
    return static_cast<int>(::getpid());
}
const muster::remote_function remote_number("own_number", &own_number);

/// Makes calls until one of them is made by a worker of the host.
muster::task<> use_host(muster::process_pool& pool) {
    for (int i = 0; i != 100; ++i) {
        const std::vector<int> three(3);
        auto call = [&pool](int) -> muster::task<int> {
            auto number = co_await muster::run_in_executor(pool, remote_number());
            co_return number;
        };
        auto numbers = co_await muster::map(three, call);
        const auto here = pool.process_ids();
        if (std::ranges::any_of(numbers, [&](int n) { return std::ranges::find(here, n) == here.end(); }))
            co_return;
    }
    ADD_FAILURE() << "no call went to the host";
}

TEST(process_pool_memory, that_a_host_does_not_get_costs_no_call_more_than_the_host) {
    muster::run([]() -> muster::task<> { co_await muster::sleep_for(1ms); }());
    const auto descriptors = own_resources::open_descriptors();
    const auto children = own_resources::children();
    std::vector<int> ids(30);
    for (std::size_t i = 0; i != ids.size(); ++i)
        ids[i] = static_cast<int>(i);
    for (int allowed = 0; allowed < 120; allowed += 1 + allowed / 4) {
        SCOPED_TRACE(allowed);
        muster::process_pool pool(muster::process_pool_options().processes(1).launcher(
            {"sh", "-c", "exec \"$@\"", "sh"}, 2, "a host whose name is longer than what a string holds by itself"));
        muster::run([&]() -> muster::task<> {
            auto using_host = use_host(pool);
            co_await std::move(using_host);
            allocations_left.store(allowed + refused_in_a_row);
            auto call = [&](int id) -> muster::task<int> {
                auto result = co_await muster::run_in_executor(pool, remote_twice(id));
                co_return result;
            };
            auto outcomes = co_await muster::map(ids, call).settle();
            allocations_left.store(-1);
            for (std::size_t i = 0; i != ids.size(); ++i) {
                const auto& o = outcomes[i];
                if (o.succeeded())
                    EXPECT_EQ(o.value(), 2 * ids[i]);
                else
                    EXPECT_TRUE(muster::is_a<muster::hosts::host_lost_error>(o.as_exception()))
                        << muster::describe(o.as_exception());
            }
            auto after = co_await call(21);
            EXPECT_EQ(after, 42);
        }());
    }
    EXPECT_EQ(own_resources::open_descriptors(), descriptors);
    EXPECT_EQ(own_resources::children(), children);
}

} // namespace

int main(int argc, char** argv) {
    muster::process_pool::serve_if_worker();
    ::testing::InitGoogleTest(&argc, argv);
    return RUN_ALL_TESTS();
}
