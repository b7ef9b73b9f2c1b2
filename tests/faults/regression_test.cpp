// SPDX-License-Identifier: MIT
// Each test is named after what was once lost, and would be lost again without the line that keeps it.
#include "support/virtual_run.hpp"

#include <muster/as_completed.hpp>
#include <muster/cleanup.hpp>
#include <muster/generator.hpp>
#include <muster/map.hpp>
#include <muster/race.hpp>
#include <muster/run.hpp>
#include <muster/shield.hpp>
#include <muster/task_group.hpp>
#include <muster/timeout.hpp>
#include <muster/wait.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

using namespace play;

namespace {

/// Ends with nothing but the loop.
muster::task<> deaf(std::chrono::nanoseconds nap = 1h) {
    while (true) {
        try {
            co_await muster::sleep_for(nap);
        } catch (const muster::cancelled_error&) {
            continue;
        }
    }
}
muster::task<> awaits(muster::task_handle<> h) { co_await h; }
muster::task<> awaits_slot(const muster::task_handle<>& slot) {
    const auto h = slot;
    co_await h;
}
muster::task<> gathers_slot(const muster::task_handle<>& slot) {
    std::vector<muster::task_handle<>> one{slot};
    auto all = muster::gather(one);
    co_await std::move(all);
}
/// Waits until it has ended, however; its failure stays with the handle.
muster::task<> until_done(muster::any_handle h) {
    std::vector<muster::any_handle> one{std::move(h)};
    auto waiting = muster::wait(std::move(one));
    co_await std::move(waiting);
}
/// The reports of a run on a virtual clock, its loop's end included.
template <class Body>
lines reports_of(Body body) {
    lines kinds;
    const auto note = [&kinds](const muster::report& r) { kinds.push_back(line_of(r)); };
    const auto before = muster::set_report_handler(note);
    {
        muster::testing::manual_loop ends_here;
        ends_here.run(body(), muster::run_options().on_report(note));
    }
    muster::set_report_handler(before);
    return kinds;
}

} // namespace

// ---- memory, at the end of a loop ----

TEST(regression, a_waiter_younger_than_what_it_waits_for_is_forgotten_with_its_frame) {
    const auto body = []() -> muster::task<> {
        auto older = muster::create_task(deaf(), "older");
        auto younger = muster::create_task(awaits(older), "younger");
        co_await muster::sleep_for(1ms);
    };
    EXPECT_EQ(reports_of(body), (lines{"ignores cancellation: older", "ignores cancellation: younger",
                                    "destroyed while pending: younger", "destroyed while pending: older"}));
}

TEST(regression, a_sleep_that_is_destroyed_takes_its_timer_along) {
    const auto body = []() -> muster::task<> {
        const auto limited = []() -> muster::task<> {
            std::vector<muster::task<>> one;
            one.push_back(deaf(3h));
            auto all = muster::gather(std::move(one)).within(5h).each_within(4h);
            co_await std::move(all);
        };
        auto h = muster::create_task(limited(), "limited");
        for (int i = 1; i != 7; ++i)
            muster::create_task(deaf(i * 1h), "sleeper");
        co_await muster::sleep_for(1ms);
    };
    // The limited one's timers are taken off the heap after the sleepers' frames have gone.
    EXPECT_EQ(reports_of(body).size(), 14u);
}

TEST(regression, a_report_handler_that_creates_tasks_does_not_keep_a_loop_from_ending) {
    int reports = 0;
    int later = 0; // the run's handler is not called after the run
    const auto before = muster::set_report_handler([&later](const muster::report&) { ++later; });
    {
        muster::testing::manual_loop loop;
        const auto body = []() -> muster::task<> {
            muster::create_task(deaf(), "deaf");
            co_await muster::sleep_for(1ms);
        };
        loop.run(body(), muster::run_options().on_report([&reports](const muster::report&) {
            if (++reports < 100)
                muster::create_task(nothing_after(1ms), "writes the log");
        }));
    }
    muster::set_report_handler(before);
    EXPECT_EQ(reports, 1) << "it ignores the cancellation";
    EXPECT_EQ(later, 2) << "it and the log's first writer are destroyed";
}

TEST(regression, a_chain_of_unstarted_tasks_is_destroyed_without_stack) {
    struct chain {
        static muster::task<> inner() { co_return; }
        static muster::task<> around(muster::task<> t) { co_await std::move(t); }
        static muster::task<> of(int length) {
            auto t = inner();
            for (int i = 0; i != length; ++i)
                t = around(std::move(t));
            return t;
        }
    };
    constexpr int length = 300'000;
    const auto frames = muster::testing::live_frames();
    int reports = 0;
    const auto before = muster::set_report_handler([&reports](const muster::report&) { ++reports; });
    { const auto dropped = chain::of(length); }
    muster::set_report_handler(before);
    EXPECT_EQ(reports, length + 1);
    EXPECT_EQ(muster::testing::live_frames(), frames);
}

TEST(regression, an_as_completed_that_outlives_its_loop_leaves_it_alone) {
    std::optional<muster::as_completed<muster::task_handle<>>> each;
    const auto body = [&each]() -> muster::task<> {
        std::vector<muster::task_handle<>> one{muster::create_task(deaf(), "deaf")};
        each.emplace(one, 1000h);
        co_await muster::sleep_for(1ms);
    };
    EXPECT_EQ(reports_of(body), (lines{"ignores cancellation: deaf", "destroyed while pending: deaf"}));
    each.reset();
}

// ---- cancellations ----

TEST(regression, a_cancellation_of_tasks_that_await_each_other_comes_to_an_end) {
    expect_run(
        []() -> muster::task<> {
            muster::task_handle<> a;
            muster::task_handle<> b;
            a = muster::create_task(awaits_slot(b), "a");
            b = muster::create_task(awaits_slot(a), "b");
            auto c = muster::create_task(awaits(a), "c");
            co_await muster::sleep_for(1ms);
            c.cancel("enough");
            co_await until_done(c);
            EXPECT_TRUE(a.cancelled());
            EXPECT_TRUE(b.cancelled());
            EXPECT_TRUE(c.cancelled());
        },
        1ms);
}

TEST(regression, a_deadlock_of_tasks_that_gather_each_other_is_found_and_ended) {
    lines reports;
    muster::testing::manual_loop loop;
    muster::task_handle<> a;
    muster::task_handle<> b;
    const auto body = [&a, &b]() -> muster::task<> {
        a = muster::create_task(gathers_slot(b), "a");
        b = muster::create_task(gathers_slot(a), "b");
        co_await a;
    };
    const auto note = [&reports](const muster::report& r) { reports.push_back(std::string(to_string(r.kind))); };
    EXPECT_THROW(loop.run(body(), muster::run_options().on_report(note)), muster::deadlock_error);
    EXPECT_EQ(reports, lines()) << "the circle is cut, and both end";
    EXPECT_TRUE(a.cancelled());
    EXPECT_TRUE(b.cancelled());
    a = {};
    b = {};
}

TEST(regression, a_cancellation_is_not_swallowed_by_a_group_that_is_being_cancelled) {
    expect_run(
        []() -> muster::task<> {
            const auto scope = []() -> muster::task<> {
                const auto body = [](muster::task_group& group) -> muster::task<> {
                    group.create_task(tidy_up(1h, 10ms));
                    co_await muster::sleep_for(1ms);
                    group.cancel();
                };
                co_await muster::with_task_group(body);
            };
            auto h = muster::create_task(scope());
            co_await muster::sleep_for(5ms);
            h.cancel("please");
            co_await until_done(h);
            EXPECT_TRUE(h.cancelled());
            EXPECT_EQ(h.ended_as().message(), "please");
        },
        11ms);
}

TEST(regression, a_child_made_by_a_function_that_cancels_the_caller_is_cancelled_too) {
    expect_run(
        []() -> muster::task<> {
            muster::task_handle<> self;
            const auto all = [&self]() -> muster::task<> {
                const std::vector<int> input{0, 1, 2};
                const auto f = [&self](int i) {
                    if (i == 1)
                        self.cancel();
                    return value_after(1h, i);
                };
                auto values = muster::map(input, f).limit(3);
                co_await std::move(values);
            };
            self = muster::create_task(all());
            co_await until_done(self);
            EXPECT_TRUE(self.cancelled());
        },
        0ms);
}

TEST(regression, a_retry_by_a_function_that_cancels_the_caller_is_cancelled_too) {
    expect_run(
        []() -> muster::task<> {
            muster::task_handle<> self;
            const auto all = [&self]() -> muster::task<> {
                const std::vector<int> input{0};
                int calls = 0;
                const auto f = [&self, &calls](int i) {
                    if (++calls == 1)
                        return fail_now();
                    self.cancel();
                    return value_after(1h, i);
                };
                auto values = muster::map(input, f).retry(1);
                co_await std::move(values);
            };
            self = muster::create_task(all());
            co_await until_done(self);
            EXPECT_TRUE(self.cancelled());
        },
        0ms);
}

TEST(regression, a_cancellation_from_a_dying_frame_of_the_awaited_reaches_the_waiter) {
    struct canceller {
        explicit canceller(muster::task_handle<>& h) noexcept : target(&h) {}
        canceller(canceller&& other) noexcept : target(std::exchange(other.target, nullptr)) {}
        ~canceller() {
            if (target != nullptr)
                target->cancel("from a destructor");
        }
        muster::task_handle<>* target;
    };
    expect_run(
        []() -> muster::task<> {
            const auto awaited = [](canceller) -> muster::task<> { co_await muster::sleep_for(1ms); };
            muster::task_handle<> waiter;
            auto h = muster::create_task(awaited(canceller(waiter)));
            waiter = muster::create_task(awaits(h));
            co_await until_done(waiter);
            EXPECT_TRUE(waiter.cancelled());
            EXPECT_EQ(waiter.ended_as().message(), "from a destructor");
        },
        1ms);
}

// ---- failures ----

TEST(regression, what_a_retry_predicate_throws_ends_the_map_and_nothing_else) {
    expect_run(
        []() -> muster::task<> {
            const std::vector<int> input{1, 2};
            const auto f = [](int) { return fail_now(); };
            const auto policy = muster::retry_policy(2).when(
                [](const std::exception_ptr&) -> bool { throw std::logic_error("can't say"); });
            auto outcomes = muster::map(input, f).limit(1).retry(policy).settle();
            auto ended = co_await ending(std::move(outcomes));
            EXPECT_EQ(text_of<std::logic_error>(ended), "can't say");
        },
        0ms, {"suppressed: map[0]: std::runtime_error: bad"});
}

TEST(regression, retries_without_a_delay_leave_a_deadline_its_turn) {
    const auto body = []() -> muster::task<> {
        const std::vector<int> input{1};
        const auto f = [](int) { return fail_now(); };
        auto outcomes = muster::map(input, f).within(20ms).retry(std::numeric_limits<std::size_t>::max()).settle();
        auto ended = co_await std::move(outcomes);
        EXPECT_TRUE(ended.deadline_struck());
        EXPECT_GT(ended.retries(), 0u);
        expect_adds_up(ended, 1, 0, 1, 0, 0);
        ended.mark_all_looked_at();
    };
    muster::run(body());
}

TEST(regression, a_value_whose_move_throws_is_destroyed_once) {
    struct brittle {
        brittle() = default;
        brittle(brittle&& other) : text(other.text) {
            if (--moves_left() == 0)
                throw std::runtime_error("moved once too often");
        }
        static int& moves_left() {
            static int left = 0;
            return left;
        }
        std::string text = "long enough that it lives on the heap, where a second delete is seen";
    };
    const auto make = [](int) -> muster::task<brittle> { co_return brittle(); };
    const auto body = [make]() -> muster::task<> {
        const std::vector<int> input{1};
        auto outcomes = muster::map(input, make).settle();
        auto all = co_await std::move(outcomes);
        all.mark_all_looked_at();
    };
    for (int moves = 1; moves != 10; ++moves) {
        brittle::moves_left() = moves;
        muster::testing::manual_loop loop;
        try {
            loop.run(body());
        } catch (const std::runtime_error& e) {
            EXPECT_STREQ(e.what(), "moved once too often");
        }
    }
}

TEST(regression, a_value_is_freed_when_the_destructor_of_a_local_throws_after_it) {
    struct throws_late {
        throws_late() = default;
        throws_late(const throws_late&) = delete;
        throws_late& operator=(const throws_late&) = delete;
        ~throws_late() noexcept(false) { throw std::runtime_error("destructor"); }
    };
    expect_run(
        []() -> muster::task<> {
            auto value = std::make_shared<int>(1);
            const auto f = [](std::shared_ptr<int> v) -> muster::task<std::shared_ptr<int>> {
                const throws_late local;
                co_return v;
            };
            auto ended = co_await muster::as_outcome(f(value));
            EXPECT_EQ(text_of<std::runtime_error>(ended), "destructor");
            EXPECT_EQ(value.use_count(), 1);
        },
        0ms);
}

TEST(regression, a_failure_at_the_end_that_somebody_handled_is_not_reported_as_well) {
    std::string handled;
    const auto body = [&handled]() -> muster::task<> {
        auto fails = muster::create_task(fail_cleaning_up(1h, 0ms), "fails");
        const auto handle = [](muster::task_handle<int> h, std::string& text) -> muster::task<> {
            try {
                co_await h;
            } catch (const std::runtime_error& e) {
                text = e.what();
            }
        };
        muster::create_task(handle(fails, handled), "handles");
        co_await muster::sleep_for(1ms);
    };
    EXPECT_EQ(reports_of(body), lines{});
    EXPECT_EQ(handled, "clean-up");
}

// ---- misuse that was not told ----

TEST(regression, a_generator_that_runs_is_not_resumed_for_another_task) {
    expect_run(
        []() -> muster::task<> {
            const auto numbers = []() -> muster::generator<int> {
                for (int i = 0; i != 3; ++i) {
                    co_await muster::sleep_for(5ms);
                    co_yield i;
                }
            };
            const auto take = [](muster::generator<int>& from) -> muster::task<int> {
                auto v = co_await from.next();
                co_return v.value();
            };
            auto source = numbers();
            auto a = muster::create_task(take(source));
            auto b = muster::create_task(take(source));
            co_await until_done(a);
            EXPECT_EQ(a.result(), 0);
            EXPECT_TRUE(b.ended_as().failed_with<muster::invalid_state_error>());
            auto next = co_await take(source);
            EXPECT_EQ(next, 1);
        },
        10ms);
}

TEST(regression, the_longest_time_there_is_is_no_time_in_the_past) {
    static constexpr auto for_ever = std::chrono::nanoseconds::max();
    const auto body = []() -> muster::task<> {
        co_await muster::sleep_for(1ms);
        std::vector<muster::task_handle<>> one{muster::create_task(nothing_after(1ms))};
        auto waiting = muster::wait(one, muster::wait_until::all_completed, for_ever);
        auto result = co_await std::move(waiting);
        EXPECT_EQ(result.done.size(), 1u);
        one = {muster::create_task(nothing_after(1ms))};
        muster::as_completed each(one, for_ever);
        auto h = co_await each.next();
        EXPECT_TRUE(h.has_value());
        auto left = muster::create_task(tidy_up(1h, 10ms), "left");
        co_await muster::sleep_for(1ms);
    };
    muster::testing::manual_loop loop;
    lines reports;
    loop.run(body(), muster::run_options().grace(for_ever).on_report(
                         [&reports](const muster::report& r) { reports.push_back(line_of(r)); }));
    EXPECT_EQ(reports, lines{});
    EXPECT_EQ(loop.elapsed(), 14ms);
}

// ---- time ----

TEST(regression, a_result_is_not_lost_to_a_time_limit_that_struck_while_the_loop_was_kept_busy) {
    muster::testing::manual_loop loop;
    const auto body = [&loop]() -> muster::task<int> {
        const auto slow = [&loop]() -> muster::task<int> {
            loop.skip(20ms);
            co_return 1;
        };
        auto h = muster::create_task(slow());
        auto in_time = muster::wait_for(h, 10ms);
        const auto value = co_await std::move(in_time);
        co_return value;
    };
    EXPECT_EQ(loop.run(body()), 1);
}

TEST(regression, many_handles_of_which_none_may_fail_end_in_linear_time) {
    // Each that ended after the first failure once looked through all of them: minutes for so many.
    expect_run(
        []() -> muster::task<> {
            constexpr int many = 100'000;
            std::vector<muster::task_handle<int>> handles;
            handles.push_back(muster::create_task(fail_now()));
            for (int i = 1; i != many; ++i)
                handles.push_back(muster::create_task(value_after(1h, i)));
            auto all = muster::gather(std::move(handles)).quorum(many);
            auto ended = co_await ending(std::move(all));
            EXPECT_TRUE(ended.failed_with<muster::exception_group>());
        },
        0ms);
}

TEST(regression, a_time_limit_that_is_taken_off_again_costs_nothing_of_what_is_ready) {
    // Each looked through all that was ready: minutes for so many.
    expect_run(
        []() -> muster::task<> {
            const auto in_time = []() -> muster::task<> {
                const auto body = [] { return value_now(1); };
                co_await muster::timeout(0s, body);
            };
            std::vector<muster::task_handle<>> handles;
            for (int i = 0; i != 100'000; ++i)
                handles.push_back(muster::create_task(in_time()));
            auto all = muster::gather(std::move(handles));
            co_await std::move(all);
        },
        0ms);
}

TEST(regression, cancelling_all_who_wait_behind_a_shield_costs_nothing_of_what_is_ready) {
    expect_run(
        []() -> muster::task<> {
            const auto waits = [](muster::task_handle<> h) -> muster::task<> { co_await muster::shield(h); };
            const auto cancels = [](muster::task_handle<> after,
                                     const std::vector<muster::task_handle<>>& all) -> muster::task<> {
                co_await after;
                for (const auto& h : all)
                    h.cancel();
            };
            std::vector<muster::task_handle<>> all;
            auto shielded = muster::create_task(nothing_after(1ms));
            // It watches first, and so is ready before what tells the others.
            auto canceller = muster::create_task(cancels(shielded, all));
            co_await muster::yield();
            for (int i = 0; i != 100'000; ++i)
                all.push_back(muster::create_task(waits(shielded)));
            auto waiting = muster::wait(all);
            auto ended = co_await std::move(waiting);
            EXPECT_EQ(ended.done.size(), all.size());
            EXPECT_TRUE(canceller.done());
            std::size_t cancelled = 0;
            for (const auto& h : all)
                cancelled += h.cancelled();
            EXPECT_EQ(cancelled, all.size());
        },
        1ms);
}

// ---- nothing lost, nothing told twice ----

TEST(regression, a_failure_at_shutdown_that_its_group_collects_is_not_reported_as_well) {
    const auto body = []() -> muster::task<> {
        const auto grouped = []() -> muster::task<> {
            const auto starts = [](muster::task_group& group) {
                group.create_task(fail_cleaning_up(1h, 1ms), "member");
            };
            co_await muster::with_task_group(starts);
        };
        muster::create_task(grouped(), "grouped");
        co_await muster::sleep_for(1ms);
    };
    const auto reports = reports_of(body);
    ASSERT_EQ(reports.size(), 1u) << ::testing::PrintToString(reports);
    EXPECT_EQ(reports[0].find("failed during shutdown: grouped: muster::exception_group"), 0u) << reports[0];
}

TEST(regression, the_failures_that_a_group_had_collected_are_reported_if_it_is_destroyed_with_its_loop) {
    const auto body = []() -> muster::task<> {
        const auto grouped = []() -> muster::task<> {
            const auto starts = [](muster::task_group& group) {
                group.create_task(deaf(), "deaf");
                group.create_task(fail_after(1ms), "failed");
            };
            co_await muster::with_task_group(starts);
        };
        muster::create_task(grouped(), "grouped");
        co_await muster::sleep_for(2ms);
    };
    const auto reports = reports_of(body);
    EXPECT_EQ(std::count(reports.begin(), reports.end(), "suppressed: task_group: std::runtime_error: bad"), 1)
        << ::testing::PrintToString(reports);
}

TEST(regression, the_failures_of_a_gathers_tasks_are_reported_if_it_is_destroyed_with_its_loop) {
    const auto body = []() -> muster::task<> {
        const auto gathers = []() -> muster::task<> { co_await muster::gather(fail_after(1ms), deaf()); };
        muster::create_task(gathers(), "gathers");
        co_await muster::sleep_for(2ms);
    };
    const auto reports = reports_of(body);
    EXPECT_EQ(std::count(reports.begin(), reports.end(), "suppressed: gather[0]: std::runtime_error: bad"), 1)
        << ::testing::PrintToString(reports);
}

TEST(regression, what_a_sink_threw_is_reported_if_its_map_is_destroyed_with_its_loop) {
    const auto body = []() -> muster::task<> {
        const auto streams = []() -> muster::task<> {
            std::vector<int> input{0, 1};
            const auto f = [](int i) -> muster::task<> {
                if (i == 0)
                    co_await deaf();
            };
            const auto sink = [](std::size_t, muster::outcome<>&&) { throw std::runtime_error("sink"); };
            auto total = co_await muster::map(input, f).for_each(sink);
            static_cast<void>(total);
        };
        muster::create_task(streams(), "streams");
        co_await muster::sleep_for(2ms);
    };
    const auto reports = reports_of(body);
    EXPECT_EQ(std::count(reports.begin(), reports.end(), "suppressed: map: std::runtime_error: sink"), 1)
        << ::testing::PrintToString(reports);
}

TEST(regression, a_bodys_failure_is_reported_if_its_clean_up_is_destroyed_with_its_loop) {
    const auto body = []() -> muster::task<> {
        const auto cleans = []() -> muster::task<> {
            const auto fails = []() -> muster::task<> { co_await fail_void_after(1ms); };
            const auto never = []() -> muster::task<> { co_await deaf(); };
            co_await muster::with_cleanup(fails, never);
        };
        muster::create_task(cleans(), "cleans");
        co_await muster::sleep_for(2ms);
    };
    const auto reports = reports_of(body);
    EXPECT_EQ(std::count(reports.begin(), reports.end(), "suppressed: with_cleanup: std::runtime_error: bad"), 1)
        << ::testing::PrintToString(reports);
}
