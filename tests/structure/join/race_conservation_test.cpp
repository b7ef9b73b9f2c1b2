// SPDX-License-Identifier: MIT
// Races and quorums lose nothing: what went into a queue or a semaphore was received, is still there, or was reported.
#include "support/virtual_run.hpp"

#include <muster/condition.hpp>
#include <muster/event.hpp>
#include <muster/mutex.hpp>
#include <muster/queue.hpp>
#include <muster/race.hpp>
#include <muster/semaphore.hpp>
#include <muster/timeout.hpp>

#include <gtest/gtest.h>

using namespace play;

namespace {

using ints = muster::queue<int>;

muster::task<> put_after(ints& q, milliseconds d, int v) {
    co_await muster::sleep_for(d);
    q.put_nowait(int(v));
}
muster::task<int> take_permit(muster::semaphore& s, int v) {
    co_await s.acquire();
    co_return v;
}
muster::task<std::optional<int>> stop_when(muster::event& stop) {
    co_await stop.wait();
    co_return std::nullopt;
}

} // namespace

TEST(race_conservation, an_item_of_a_queue_that_was_ready_too_stays_in_it) {
    expect_run(
        []() -> muster::task<> {
            ints a;
            ints b;
            a.put_nowait(1);
            b.put_nowait(2);
            auto first = co_await muster::race(a.get(), b.get());
            EXPECT_EQ(first.value(), 1);
            EXPECT_EQ(a.size(), 0u);
            EXPECT_EQ(b.size(), 1u);
        },
        0ms);
}

TEST(race_conservation, an_item_that_was_handed_over_in_the_same_instant_goes_back_to_the_front) {
    expect_run(
        []() -> muster::task<> {
            ints a;
            ints b;
            auto putting_a = muster::create_task(put_after(a, 5ms, 1));
            auto putting_b = muster::create_task(put_after(b, 5ms, 2));
            auto first = co_await muster::race(a.get(), b.get());
            EXPECT_EQ(first.value(), 1);
            co_await std::move(putting_b);
            EXPECT_EQ(b.size(), 1u);
            EXPECT_EQ(b.get_nowait(), 2);
            co_await std::move(putting_a);
        },
        5ms);
}

TEST(race_conservation, an_item_that_the_losing_race_of_a_race_took_is_reported) {
    expect_run(
        []() -> muster::task<> {
            ints q[4];
            q[0].put_nowait(1);
            q[2].put_nowait(3);
            const auto inner = [](ints& a, ints& b) -> muster::task<int> {
                auto won = co_await muster::race(a.get(), b.get());
                co_return won.value();
            };
            auto first = co_await muster::race(inner(q[0], q[1]), inner(q[2], q[3]));
            EXPECT_EQ(first.value(), 1);
            EXPECT_EQ(q[2].size(), 0u); // the inner race had been decided in the same instant
        },
        0ms, {"suppressed: race[1]"});
}

TEST(race_conservation, a_permit_of_a_semaphore_that_was_free_too_stays_free) {
    expect_run(
        []() -> muster::task<> {
            muster::semaphore a(1);
            muster::semaphore b(1);
            auto first = co_await muster::race(take_permit(a, 1), take_permit(b, 2));
            EXPECT_EQ(first.value(), 1);
            EXPECT_TRUE(a.locked());
            EXPECT_FALSE(b.locked());
        },
        0ms);
}

TEST(race_conservation, a_permit_that_was_released_in_the_same_instant_goes_back) {
    expect_run(
        []() -> muster::task<> {
            muster::semaphore a(0);
            muster::semaphore b(0);
            auto releasing = muster::create_task([](muster::semaphore& x, muster::semaphore& y) -> muster::task<> {
                co_await muster::sleep_for(5ms);
                x.release();
                y.release();
            }(a, b));
            auto first = co_await muster::race(take_permit(a, 1), take_permit(b, 2));
            EXPECT_EQ(first.value(), 1);
            co_await std::move(releasing);
            EXPECT_FALSE(b.locked());
        },
        5ms);
}

TEST(race_conservation, a_stop_event_that_comes_with_an_item_loses_neither) {
    expect_run(
        []() -> muster::task<> {
            for (const bool stop_first : {true, false}) {
                muster::event stop;
                ints q;
                auto both = muster::create_task([](muster::event& s, ints& items, bool first_stop) -> muster::task<> {
                    co_await muster::sleep_for(5ms);
                    if (first_stop)
                        s.set();
                    items.put_nowait(7);
                    s.set();
                }(stop, q, stop_first));
                auto first = co_await muster::race(stop_when(stop), q.next());
                EXPECT_EQ(q.size() + first.value().has_value(), 1u) << "stop first: " << stop_first;
                co_await std::move(both);
            }
        },
        10ms);
}

TEST(race_conservation, a_quorum_takes_no_more_than_it_needs) {
    expect_run(
        []() -> muster::task<> {
            std::vector<std::unique_ptr<ints>> queues;
            for (int i = 0; i != 5; ++i) {
                queues.push_back(std::make_unique<ints>());
                queues.back()->put_nowait(int(i));
            }
            const auto take = [](ints* q) -> muster::task<int> {
                auto item = co_await q->get();
                co_return item;
            };
            std::vector<muster::task<int>> tasks;
            for (auto& q : queues)
                tasks.push_back(take(q.get()));
            auto won = co_await muster::gather(std::move(tasks)).quorum(2);
            EXPECT_EQ(won.size(), 2u);
            std::size_t left = 0;
            for (auto& q : queues)
                left += q->size();
            EXPECT_EQ(left, 3u);
        },
        0ms);
}

TEST(race_conservation, children_that_never_began_are_not_started_and_not_reported) {
    expect_run(
        []() -> muster::task<> {
            lines log;
            auto all = co_await muster::race(value_now(1), logged(log, "b", 1ms), logged(log, "c", 1ms)).settle();
            expect_adds_up(all, 3, 1, 0, 0, 2);
            EXPECT_EQ(all.get<1>().reason(), muster::cancel_reason::race_lost);
            EXPECT_EQ(log, lines());
        },
        0ms);
}

TEST(race_conservation, a_time_limit_that_strikes_with_the_item_loses_nothing) {
    for (const int when : {4, 5, 6}) {
        expect_run(
            [when]() -> muster::task<> {
                ints a;
                ints b;
                auto putting = muster::create_task(put_after(a, 5ms, 1));
                auto outcome = co_await ending(muster::race(a.get(), b.get()).within(milliseconds(when)));
                co_await std::move(putting);
                EXPECT_EQ(a.size() + outcome.succeeded(), 1u) << when;
            },
            5ms);
    }
}

TEST(race_conservation, a_settled_race_that_is_cancelled_reports_the_value_that_it_had) {
    expect_run(
        []() -> muster::task<> {
            auto settling = muster::create_task([]() -> muster::task<> {
                auto all = co_await muster::race(value_after(5ms, 1), tidy_up(50ms, 10ms)).settle();
                ADD_FAILURE() << "its outcomes were delivered: " << all.submitted();
            }());
            co_await muster::sleep_for(10ms);
            settling.cancel();
            auto outcome = co_await ending(std::move(settling));
            EXPECT_TRUE(outcome.was_cancelled());
        },
        10ms, {"suppressed: race[0]"});
}

TEST(race_conservation, many_random_races_give_out_what_was_put_in) {
    expect_run(
        []() -> muster::task<> {
            constexpr int rounds = 300;
            std::uint64_t state = 11;
            const auto random = [&state](std::uint64_t below) {
                state = state * 6364136223846793005u + 1442695040888963407u;
                return (state >> 33) % below;
            };
            ints queues[3];
            std::vector<muster::task_handle<>> putting;
            std::size_t put = 0;
            std::size_t received = 0;
            for (int round = 0; round != rounds; ++round) {
                const auto puts = random(4);
                for (std::uint64_t i = 0; i != puts; ++i, ++put)
                    putting.push_back(muster::create_task(
                        put_after(queues[random(3)], milliseconds(static_cast<int>(random(3))), round)));
                auto a = queues[0].get();
                auto b = queues[1].get();
                auto c = queues[2].get();
                auto race = muster::race(std::move(a), std::move(b), std::move(c))
                                .within(milliseconds(static_cast<int>(random(3))));
                auto limited = ending(std::move(race));
                auto outcome = co_await std::move(limited);
                received += outcome.succeeded();
                EXPECT_TRUE(outcome.succeeded() || outcome.failed_with<muster::timeout_error>())
                    << muster::to_string(outcome);
            }
            for (auto& h : putting)
                co_await std::move(h);
            std::size_t left = queues[0].size() + queues[1].size() + queues[2].size();
            EXPECT_EQ(received + left, put);
            const auto spent = muster::loop_clock::now().time_since_epoch();
            co_await muster::sleep_for(1s - spent);
        },
        1s);
}
