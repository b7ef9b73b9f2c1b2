// SPDX-License-Identifier: MIT
// A long life in virtual time: a service that maps, retries, races, times out, cancels, fails and cleans up once a
// second. Two hours unless MUSTER_SOAK_HOURS says more. Its memory must be flat and every count must add up.
#include "support/soak.hpp"

#include <muster/exception_group.hpp>
#include <muster/gather.hpp>
#include <muster/map.hpp>
#include <muster/queue.hpp>
#include <muster/race.hpp>
#include <muster/retry.hpp>
#include <muster/run_options.hpp>
#include <muster/semaphore.hpp>
#include <muster/shield.hpp>
#include <muster/sleep.hpp>
#include <muster/task_group.hpp>
#include <muster/task_handle.hpp>
#include <muster/testing/manual_loop.hpp>
#include <muster/timeout.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <iostream>
#include <stdexcept>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include <malloc.h>

namespace {

using namespace std::chrono_literals;

struct tally {
    std::uint64_t submitted = 0;
    std::uint64_t succeeded = 0;
    std::uint64_t failed = 0;
    std::uint64_t cancelled = 0;
    std::uint64_t not_started = 0;
    std::uint64_t rounds = 0;

    template <class Ledger>
    void add(const Ledger& l) {
        submitted += l.submitted();
        succeeded += l.succeeded();
        failed += l.failed();
        cancelled += l.cancelled();
        not_started += l.not_started();
    }
};

/// A request as a service meets them: most succeed, some fail, some take too long.
muster::task<int> call(std::uint64_t n) {
    co_await muster::sleep_for(std::chrono::milliseconds(1 + n % 7));
    if (n % 11 == 0)
        throw std::runtime_error("refused");
    if (n % 13 == 0)
        co_await muster::sleep_for(10s);
    co_return static_cast<int>(n);
}

muster::task<> map_with_limits(std::uint64_t round, tally& counts) {
    std::vector<std::uint64_t> inputs;
    for (std::uint64_t i = 0; i != 30; ++i)
        inputs.push_back(round * 30 + i);
    auto mapping = muster::map(inputs, &call).limit(8).each_within(50ms).retry(muster::retry_policy(2)).within(400ms);
    auto all = co_await std::move(mapping).settle();
    static_cast<void>(all.failures().size());
    counts.add(all);
}

muster::task<> stop_early(std::uint64_t round, tally& counts) {
    std::vector<std::uint64_t> inputs(12, round | 1);
    inputs[3] = 11;
    auto mapping = muster::map(inputs, &call).limit(3).stop_after_failures(1);
    auto all = co_await std::move(mapping).settle();
    static_cast<void>(all.failures().size());
    counts.add(all);
}

muster::task<> race_and_shield(std::uint64_t round) {
    // None of these fails: what loses a race and fails is reported.
    auto winner = muster::race(call(round % 9 + 1), call(round % 9 + 2), call(12));
    auto limited = muster::wait_for(std::move(winner), 100ms);
    auto won = co_await muster::as_outcome(std::move(limited));
    EXPECT_TRUE(won.succeeded() || won.failed()) << muster::to_string(won);
    auto kept = muster::shield(call(1));
    auto value = co_await std::move(kept);
    EXPECT_EQ(value, 1);
}

muster::task<> group_that_fails(std::uint64_t round) {
    const auto body = [round](muster::task_group& g) -> muster::task<> {
        for (std::uint64_t i = 0; i != 5; ++i)
            g.create_task(call(round + i));
        g.create_task(call(11));
        co_await muster::sleep_for(1s);
    };
    auto grouped = muster::with_task_group(body);
    auto ended = co_await muster::as_outcome(std::move(grouped));
    EXPECT_TRUE(ended.failed_with<muster::exception_group>()) << muster::to_string(ended);
}

muster::task<> producer(muster::queue<int>& q) {
    for (int i = 0; i != 10; ++i)
        co_await q.put(i);
}
muster::task<int> consumer(muster::queue<int>& q) {
    int sum = 0;
    for (int i = 0; i != 10; ++i) {
        auto item = co_await q.get();
        sum += item;
    }
    co_return sum;
}
muster::task<> queue_and_permits(muster::queue<int>& q, muster::semaphore& permits) {
    auto together = muster::gather(producer(q), consumer(q));
    auto ended = co_await std::move(together);
    EXPECT_EQ(std::get<1>(ended), 45);
    const auto waits = [&permits]() -> muster::task<> {
        auto permit = co_await permits.scoped_acquire();
        co_await muster::sleep_for(1s);
    };
    std::vector<muster::task_handle<void>> handles;
    for (int i = 0; i != 4; ++i)
        handles.push_back(muster::create_task(waits()));
    co_await muster::sleep_for(1ms);
    for (auto& each : handles)
        each.cancel();
    auto ending = muster::gather(std::move(handles)).settle();
    auto ends = co_await std::move(ending);
    EXPECT_EQ(ends.cancelled(), 4u);
    EXPECT_FALSE(permits.locked());
}

muster::task<> one_round(std::uint64_t round, tally& counts, muster::queue<int>& q, muster::semaphore& permits) {
    auto all = muster::gather(map_with_limits(round, counts), stop_early(round, counts), race_and_shield(round),
        group_that_fails(round), queue_and_permits(q, permits));
    co_await std::move(all);
    ++counts.rounds;
}

long heap_bytes() { return static_cast<long>(::mallinfo2().uordblks); }

TEST(soak, hours_of_virtual_time_leave_the_memory_flat_and_the_counts_right) {
    const auto hours = soak::from_environment("MUSTER_SOAK_HOURS", 2);
    const auto life = std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::duration<double>(hours * 3600));
    const auto frames = muster::testing::live_frames();
    soak::flatness resident;
    soak::flatness heap;
    tally counts;
    std::int64_t frames_between = 0;
    muster::testing::manual_loop loop;
    const auto body = [&]() -> muster::task<> {
        muster::queue<int> q(3);
        muster::semaphore permits(2);
        const auto began = muster::loop_clock::now();
        for (std::uint64_t second = 0;; ++second) {
            const auto due = began + std::chrono::seconds(second);
            if (due - began >= life)
                co_return;
            co_await muster::sleep_until(due);
            auto round = one_round(second, counts, q, permits);
            auto limited = muster::wait_for(std::move(round), 30s);
            co_await std::move(limited);
            if (second % 60 == 0) {
                const double done = std::chrono::duration<double>(due - began) / std::chrono::duration<double>(life);
                resident.sample(done, soak::resident_kilobytes());
                heap.sample(done, heap_bytes());
                frames_between = std::max(frames_between, muster::testing::live_frames() - frames);
            }
        }
    };
    const auto began = std::chrono::steady_clock::now();
    loop.run(body(), muster::run_options().strict());
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;

    EXPECT_EQ(counts.submitted, counts.succeeded + counts.failed + counts.cancelled + counts.not_started);
    EXPECT_EQ(counts.submitted, counts.rounds * 42);
    EXPECT_GE(counts.succeeded, counts.rounds * 20);
    EXPECT_GE(counts.failed, counts.rounds);
    EXPECT_EQ(muster::testing::live_frames(), frames);
    EXPECT_LE(frames_between, 8) << "the body and what it waits for; all rounds before have ended";
    std::cout << std::chrono::duration<double>(loop.elapsed()) / 1h << " virtual hours in " << took.count() << " s, "
              << counts.rounds << " rounds, " << counts.submitted
              << " children of maps; kilobytes resident: " << resident << "; bytes of heap: " << heap << '\n';
    if (!soak::memory_can_be_measured)
        GTEST_SKIP() << "a sanitizer keeps memory that was freed";
    EXPECT_TRUE(resident.measured());
    EXPECT_LE(resident.growth(), 1024) << resident;
    EXPECT_LE(heap.growth(), 64 * 1024) << heap;
}

} // namespace
