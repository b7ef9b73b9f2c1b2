// SPDX-License-Identifier: MIT
// How many blocks an operation takes from the heap, exactly: what makes muster fast is that most take none. Each is
// done once before it is counted, so that the free lists of frames and the heap of timers have room.
#include <muster/muster.hpp>

#include <muster/detail/frame_allocator.hpp>

#include "support/replaced_new.hpp"
#include "support/virtual_run.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cstddef>
#include <cstdlib>
#include <new>
#include <ranges>
#include <utility>
#include <vector>

namespace {

constinit thread_local std::size_t blocks_taken = 0;

} // namespace

void* replaced_new::take(std::size_t bytes) noexcept {
    ++blocks_taken;
    return std::malloc(bytes);
}
void replaced_new::give_back(void* block) noexcept { std::free(block); }

namespace {

using namespace play;
using muster::task;

constexpr std::size_t many = 1'000;
/// A frame of more than this comes from the heap each time. One that awaits a combinator has some 1,300 bytes.
constexpr std::size_t largest_kept = 2'039;

task<int> ready(int n) { co_return n; }
task<int> yields_once(int n) {
    co_await muster::yield();
    co_return n;
}

std::vector<task<int>> tasks(task<int> (*make)(int)) {
    std::vector<task<int>> all;
    all.reserve(many);
    for (std::size_t i = 0; i != many; ++i)
        all.push_back(make(static_cast<int>(i)));
    return all;
}

/// *Returns* how many blocks the second of three runs of `make()` takes; the third must take as many.
template <class Make>
std::size_t blocks_of(Make make) {
    std::size_t counted[3] = {};
    auto body = [](Make& once, std::size_t(&all)[3]) -> task<> {
        for (std::size_t& blocks : all) {
            const std::size_t before = blocks_taken;
            co_await once();
            blocks = blocks_taken - before;
        }
    };
    muster::testing::manual_loop loop;
    loop.run(body(make, counted));
    EXPECT_EQ(counted[1], counted[2]);
    return counted[1];
}

class allocations : public ::testing::Test {
protected:
    void SetUp() override {
        if (muster::detail::with_address_sanitizer)
            GTEST_SKIP() << "under an address sanitizer every frame comes from the heap";
    }
};

TEST_F(allocations, awaiting_a_task_takes_none) {
    EXPECT_EQ(blocks_of([]() -> task<> {
        auto value = co_await ready(1);
        static_cast<void>(value);
    }),
        0u);
}

TEST_F(allocations, a_frame_larger_than_the_free_lists_keep_takes_one) {
    using large = std::array<char, largest_kept + 1>;
    const auto holds = [](large) -> task<> { co_await muster::yield(); };
    EXPECT_EQ(blocks_of([holds]() { return holds(large()); }), 1u);
}

TEST_F(allocations, a_gather_of_two_takes_none) {
    EXPECT_EQ(blocks_of([]() -> task<> {
        auto values = co_await muster::gather(ready(1), yields_once(2));
        static_cast<void>(values);
    }),
        0u);
}

TEST_F(allocations, a_gather_of_many_takes_its_input_its_outcomes_its_values_and_if_they_wait_its_slots) {
    const auto gathered = [](task<int> (*make)(int)) {
        return blocks_of([make]() -> task<> {
            auto all = tasks(make);
            auto values = co_await muster::gather(std::move(all));
            static_cast<void>(values);
        });
    };
    EXPECT_EQ(gathered(&ready), 3u);
    EXPECT_EQ(gathered(&yields_once), 4u);
}

TEST_F(allocations, a_settle_also_takes_its_durations_and_the_facts_that_its_outcomes_keep) {
    EXPECT_EQ(blocks_of([]() -> task<> {
        auto all = tasks(&ready);
        auto outcomes = co_await muster::settle(std::move(all));
        static_cast<void>(outcomes);
    }),
        4u);
}

TEST_F(allocations, a_streamed_map_takes_no_more_for_more_children) {
    const auto mapped = [](int n) {
        return blocks_of([n]() -> task<> {
            auto summary = co_await muster::map(std::views::iota(0, n), ready)
                               .limit(10)
                               .for_each([](std::size_t, muster::outcome<int>&&) {});
            static_cast<void>(summary);
        });
    };
    EXPECT_EQ(mapped(100), mapped(10'000));
}

TEST_F(allocations, sleeping_takes_none) {
    EXPECT_EQ(blocks_of([]() -> task<> { co_await muster::sleep_for(1ms); }), 0u);
}

TEST_F(allocations, waiting_for_an_event_a_permit_or_a_lock_takes_none) {
    EXPECT_EQ(blocks_of([]() -> task<> {
        muster::event set;
        auto waits = [](muster::event& e) -> task<int> {
            co_await e.wait();
            co_return 0;
        };
        auto sets = [](muster::event& e) -> task<int> {
            e.set();
            co_return 0;
        };
        auto both = co_await muster::gather(waits(set), sets(set));
        static_cast<void>(both);
    }),
        0u);
    EXPECT_EQ(blocks_of([]() -> task<> {
        muster::semaphore one(1);
        auto holds = [](muster::semaphore& s) -> task<int> {
            auto permit = co_await s.scoped_acquire();
            co_await muster::yield();
            co_return 0;
        };
        auto both = co_await muster::gather(holds(one), holds(one));
        static_cast<void>(both);
    }),
        0u);
    EXPECT_EQ(blocks_of([]() -> task<> {
        muster::mutex lock;
        auto holds = [](muster::mutex& m) -> task<int> {
            auto held = co_await m.scoped_lock();
            co_await muster::yield();
            co_return 0;
        };
        auto both = co_await muster::gather(holds(lock), holds(lock));
        static_cast<void>(both);
    }),
        0u);
}

TEST_F(allocations, wait_for_takes_none) {
    EXPECT_EQ(blocks_of([]() -> task<> {
        auto value = co_await muster::wait_for(yields_once(1), 1s);
        static_cast<void>(value);
    }),
        0u);
}

TEST_F(allocations, a_task_that_the_loop_owns_takes_none) {
    EXPECT_EQ(blocks_of([]() -> task<> {
        auto handle = muster::create_task(yields_once(1));
        auto value = co_await std::move(handle);
        static_cast<void>(value);
    }),
        0u);
}

TEST_F(allocations, the_tasks_of_a_group_take_none) {
    EXPECT_EQ(blocks_of([]() -> task<> {
        auto body = [](muster::task_group& group) -> task<> {
            for (int i = 0; i != 10; ++i)
                group.create_task(ready(i));
            co_return;
        };
        co_await muster::with_task_group(body);
    }),
        0u);
}

} // namespace
