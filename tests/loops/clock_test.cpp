// SPDX-License-Identifier: MIT
// When a loop reads its clock. A reading costs as much as a child of a gather, so an iteration in which nobody asks for
// the time makes none; what is asked for within an iteration is one time.
#include <muster/gather.hpp>
#include <muster/sleep.hpp>
#include <muster/task.hpp>
#include <muster/task_handle.hpp>

#include <muster/detail/scheduler.hpp>

#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <source_location>
#include <utility>

namespace {

using muster::task;
using std::chrono::nanoseconds;

/// Counts how often its clock is read. Each reading is a nanosecond later than the one before.
class counting_loop final : public muster::detail::scheduler {
public:
    counting_loop() : scheduler([](void*) noexcept {}, nullptr) {}
    ~counting_loop() { destroy_tasks(); }

    [[nodiscard]] int readings() const noexcept { return readings_; }
    void run(task<> t) {
        auto handle = muster::detail::spawn(*this, std::move(t), std::source_location::current());
        static_cast<void>(run_until([](void* h) { return static_cast<muster::task_handle<>*>(h)->done(); }, &handle));
        EXPECT_TRUE(handle.done());
    }

    bool watch_interrupt(std::uint64_t, interrupt_function, void*) override { return false; }
    void unwatch_interrupt() noexcept override {}

protected:
    nanoseconds read_clock() noexcept override { return nanoseconds(++readings_); }
    bool poll(bool, std::optional<nanoseconds> until) override { return until.has_value(); }

private:
    int readings_ = 0;
};

task<int> ready(int n) { co_return n; }

TEST(clock, is_not_read_where_no_time_is_asked_for) {
    counting_loop loop;
    loop.run([]() -> task<> {
        auto values = co_await muster::gather(ready(1), ready(2));
        static_cast<void>(values);
    }());
    EXPECT_EQ(loop.readings(), 0);
}

TEST(clock, is_read_once_in_an_iteration_that_asks_for_the_time) {
    counting_loop loop;
    loop.run([]() -> task<> {
        const auto first = muster::loop_clock::now();
        const auto again = muster::loop_clock::now();
        EXPECT_EQ(first, again);
        co_await muster::yield();
        const auto next = muster::loop_clock::now();
        EXPECT_LT(first, next);
    }());
    EXPECT_EQ(loop.readings(), 2);
}

TEST(clock, is_read_in_each_iteration_while_a_timer_is_armed) {
    counting_loop loop;
    loop.run([]() -> task<> { co_await muster::sleep_for(nanoseconds(3)); }());
    // Once to arm the timer for the time 1 + 3, and then at the times 2, 3 and 4.
    EXPECT_EQ(loop.readings(), 4);
}

} // namespace
