// SPDX-License-Identifier: MIT
#include <muster/queue.hpp>

#include <muster/sleep.hpp>
#include <muster/task_handle.hpp>
#include <muster/testing/manual_loop.hpp>

#include "support/stage.hpp"

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

using namespace std::chrono_literals;
using muster::task;

namespace {

using lines = std::vector<std::string>;

template <class Queue>
struct basic_stage : play::stage<basic_stage<Queue>, Queue> {
    explicit basic_stage(std::ptrdiff_t maxsize = 0) : play::stage<basic_stage<Queue>, Queue>(maxsize) {}

    Queue& q = this->subject;
    muster::task_handle<void> putter(const std::string& name, int item) {
        return muster::create_task(
            [](basic_stage& s, int n) -> task<> {
                co_await s.q.put(n);
                s.say("put " + std::to_string(n));
            }(*this, item),
            name);
    }
    muster::task_handle<void> getter(const std::string& name, int times = 1) {
        return muster::create_task(
            [](basic_stage& s, int n) -> task<> {
                for (int i = 0; i < n; ++i) {
                    auto item = co_await s.q.get();
                    s.say("got " + std::to_string(item));
                }
            }(*this, times),
            name);
    }
    muster::task_handle<void> joiner(const std::string& name) {
        return muster::create_task(
            [](basic_stage& s) -> task<> {
                co_await s.q.join();
                s.say("joined");
            }(*this),
            name);
    }
};

using stage = basic_stage<muster::queue<int>>;

template <class Queue>
lines order_out_of(Queue& q) {
    lines order;
    while (!q.empty())
        order.push_back(std::to_string(q.get_nowait()));
    return order;
}

#define EXPECT_QUEUE(queue_, size_, full_)                                                                             \
    EXPECT_EQ((queue_).size(), (size_));                                                                               \
    EXPECT_EQ((queue_).empty(), (size_) == 0);                                                                         \
    EXPECT_EQ((queue_).full(), (full_))

} // namespace

TEST(queue, is_full_when_it_has_its_maxsize_and_never_without_one) {
    muster::queue<int> any;
    any.put_nowait(0);
    EXPECT_QUEUE(any, 1u, false);
    EXPECT_EQ(any.maxsize(), 0u);
    muster::queue<int> negative(-3);
    EXPECT_EQ(negative.maxsize(), 0u);
    muster::queue<int> one(1);
    EXPECT_QUEUE(one, 0u, false);
    one.put_nowait(1);
    EXPECT_QUEUE(one, 1u, true);
    EXPECT_EQ(one.maxsize(), 1u);
}

TEST(queue, gives_items_out_in_the_order_in_which_they_were_put) {
    stage s;
    s.run([](stage& st) -> task<> {
        muster::this_task::cancel(); // neither put nor get waits here: no cancellation point
        co_await st.q.put(1);
        co_await st.q.put(3);
        co_await st.q.put(2);
        auto a = co_await st.q.get();
        auto b = co_await st.q.get();
        auto c = co_await st.q.next();
        muster::this_task::uncancel();
        EXPECT_EQ(a, 1);
        EXPECT_EQ(b, 3);
        EXPECT_EQ(c, 2);
        EXPECT_TRUE(st.q.empty());
    });
    EXPECT_EQ(s.loop->elapsed(), 0ms);
}

TEST(lifo_queue, gives_out_the_item_that_was_put_last) {
    muster::lifo_queue<int> q;
    for (int i : {1, 3, 2})
        q.put_nowait(i);
    EXPECT_EQ(order_out_of(q), (lines{"2", "3", "1"}));
}

TEST(priority_queue, gives_out_the_smallest_item) {
    muster::priority_queue<int> q;
    for (int i : {5, 1, 4, 1, 3, 2, 9, 0})
        q.put_nowait(i);
    EXPECT_EQ(order_out_of(q), (lines{"0", "1", "1", "2", "3", "4", "5", "9"}));
    muster::priority_queue<int, std::greater<>> largest;
    for (int i : {1, 3, 2})
        largest.put_nowait(i);
    EXPECT_EQ(order_out_of(largest), (lines{"3", "2", "1"}));
}

TEST(priority_queue, gives_out_items_that_can_only_be_moved) {
    struct smaller {
        bool operator()(const std::unique_ptr<int>& a, const std::unique_ptr<int>& b) const { return *a < *b; }
    };
    muster::priority_queue<std::unique_ptr<int>, smaller> q;
    for (int i : {5, 1, 4, 2, 3})
        q.put_nowait(std::make_unique<int>(i));
    for (int i = 1; i <= 5; ++i)
        EXPECT_EQ(*q.get_nowait(), i);
}

TEST(queue, without_waiting_is_full_or_empty) {
    muster::queue<std::unique_ptr<int>> q(1);
    EXPECT_THROW(static_cast<void>(q.get_nowait()), muster::queue_empty);
    q.put_nowait(std::make_unique<int>(1));
    auto kept = std::make_unique<int>(2);
    EXPECT_THROW(q.put_nowait(std::move(kept)), muster::queue_full);
    EXPECT_TRUE(kept);
    EXPECT_EQ(*q.get_nowait(), 1);
    muster::queue<std::string> copies;
    const std::string text = "text";
    copies.put_nowait(text);
    EXPECT_EQ(copies.get_nowait(), "text");
}

TEST(queue, get_waits_for_an_item) {
    stage s;
    s.run([](stage& st) -> task<> {
        auto g = st.getter("g");
        co_await muster::sleep_for(10ms);
        EXPECT_FALSE(g.done());
        st.q.put_nowait(1);
        EXPECT_QUEUE(st.q, 1u, false);
        co_await g;
        EXPECT_QUEUE(st.q, 0u, false);
    });
    EXPECT_EQ(s.said, (lines{"10 g got 1"}));
}

TEST(queue, put_does_not_wait_for_the_one_it_wakes) {
    stage s;
    s.run([](stage& st) -> task<> {
        auto t = st.getter("t");
        co_await muster::sleep_for(1ms);
        co_await st.q.put(7);
        st.say("put 7");
        co_await t;
        EXPECT_QUEUE(st.q, 0u, false);
    });
    EXPECT_EQ(s.said, (lines{"1 main put 7", "1 t got 7"}));
}

TEST(queue, puts_that_wait_go_on_in_order_as_items_are_taken) {
    stage s(1);
    s.run([](stage& st) -> task<> {
        auto p1 = st.putter("p1", 1);
        auto p2 = st.putter("p2", 2);
        auto p3 = st.putter("p3", 3);
        for (int i = 1; i <= 3; ++i) {
            auto item = co_await st.q.get();
            EXPECT_EQ(item, i);
        }
        co_await p3;
        EXPECT_TRUE(p1.done());
        EXPECT_TRUE(p2.done());
    });
    EXPECT_EQ(s.said, (lines{"0 p1 put 1", "0 p2 put 2", "0 p3 put 3"}));
}

TEST(queue, several_puts_go_on_when_several_items_were_taken_in_one_instant) {
    stage s(2);
    s.run([](stage& st) -> task<> {
        auto takes_two = [](stage& on) -> task<> {
            co_await muster::sleep_for(1ms);
            EXPECT_QUEUE(on.q, 2u, true);
            EXPECT_EQ(on.q.get_nowait(), 0);
            EXPECT_EQ(on.q.get_nowait(), 1);
        };
        auto g = muster::create_task(takes_two(st), "g");
        std::vector<muster::task_handle<void>> puts;
        for (int i = 0; i < 4; ++i)
            puts.push_back(st.putter("p" + std::to_string(i), i));
        co_await g;
        for (const auto& p : puts)
            co_await p;
        EXPECT_QUEUE(st.q, 2u, true);
    });
    EXPECT_EQ(s.said, (lines{"0 p0 put 0", "0 p1 put 1", "1 p2 put 2", "1 p3 put 3"}));
}

TEST(queue, of_one_takes_a_producer_and_a_consumer_through_in_turns) {
    stage s(1);
    s.run([](stage& st) -> task<> {
        auto produce = [](stage& on) -> task<> {
            for (int i = 0; i < 5; ++i)
                co_await on.q.put(i);
        };
        auto p = muster::create_task(produce(st), "p");
        auto c = st.getter("c", 5);
        co_await p;
        co_await c;
        EXPECT_QUEUE(st.q, 0u, false);
    });
    EXPECT_EQ(s.said, (lines{"0 c got 0", "0 c got 1", "0 c got 2", "0 c got 3", "0 c got 4"}));
}

TEST(queue, item_may_be_taken_before_the_one_that_was_woken_for_it_which_then_waits_again) {
    stage s;
    s.run([](stage& st) -> task<> {
        auto g1 = st.getter("g1");
        auto g2 = st.getter("g2");
        co_await muster::sleep_for(1ms);
        st.q.put_nowait(1);
        EXPECT_EQ(st.q.get_nowait(), 1);
        co_await muster::sleep_for(1ms);
        EXPECT_FALSE(g1.done());
        st.q.put_nowait(2);
        st.q.put_nowait(3);
        co_await g1;
        co_await g2;
    });
    // As in asyncio, g1 is behind g2 now.
    EXPECT_EQ(s.said, (lines{"2 g2 got 2", "2 g1 got 3"}));
}

TEST(queue, get_that_was_cancelled_is_not_kept_in_line) {
    stage s(5);
    s.run([](stage& st) -> task<> {
        auto g = st.getter("g");
        co_await muster::sleep_for(100ms);
        g.cancel();
        co_await muster::yield();
        EXPECT_TRUE(g.cancelled());
        co_await st.q.put(1);
        EXPECT_QUEUE(st.q, 1u, false);
        auto item = co_await st.q.get();
        EXPECT_EQ(item, 1);
    });
}

TEST(queue, get_that_is_woken_and_cancelled_in_one_instant_passes_its_turn_on_and_no_item_is_lost) {
    stage s;
    s.run([](stage& st) -> task<> {
        auto r1 = st.getter("r1");
        auto r2 = st.getter("r2");
        auto r3 = st.getter("r3");
        co_await muster::sleep_for(1ms);
        st.q.put_nowait(1);
        st.q.put_nowait(2);
        r1.cancel();
        co_await r3;
        EXPECT_TRUE(r1.cancelled());
        EXPECT_TRUE(r2.done());
        EXPECT_QUEUE(st.q, 0u, false);
    });
    EXPECT_EQ(s.said, (lines{"1 r2 got 1", "1 r3 got 2"}));
}

TEST(queue, put_that_is_woken_and_cancelled_in_one_instant_puts_nothing) {
    stage s(1);
    s.run([](stage& st) -> task<> {
        st.q.put_nowait(1);
        auto p = st.putter("p", 2);
        co_await muster::sleep_for(1ms);
        EXPECT_EQ(st.q.get_nowait(), 1);
        p.cancel();
        co_await muster::yield();
        EXPECT_TRUE(p.cancelled());
        EXPECT_QUEUE(st.q, 0u, false);
        co_await st.q.put(2);
        EXPECT_EQ(st.q.get_nowait(), 2);
        EXPECT_QUEUE(st.q, 0u, false);
    });
    EXPECT_TRUE(s.said.empty());
}

TEST(queue, put_that_is_woken_and_cancelled_in_one_instant_passes_its_turn_on) {
    stage s(1);
    s.run([](stage& st) -> task<> {
        st.q.put_nowait(0);
        auto p1 = st.putter("p1", 1);
        auto p2 = st.putter("p2", 2);
        co_await muster::sleep_for(1ms);
        EXPECT_EQ(st.q.get_nowait(), 0);
        p1.cancel();
        co_await p2;
        EXPECT_TRUE(p1.cancelled());
        EXPECT_QUEUE(st.q, 1u, true);
    });
    EXPECT_EQ(s.said, (lines{"1 p2 put 2"}));
}

TEST(queue, put_that_is_cancelled_while_it_waits_leaves_the_line) {
    stage s(1);
    s.run([](stage& st) -> task<> {
        st.q.put_nowait(0);
        auto p1 = st.putter("p1", 1);
        auto p2 = st.putter("p2", 2);
        co_await muster::sleep_for(1ms);
        p1.cancel();
        co_await muster::sleep_for(1ms);
        EXPECT_TRUE(p1.cancelled());
        EXPECT_EQ(st.q.get_nowait(), 0);
        co_await p2;
    });
    EXPECT_EQ(s.said, (lines{"2 p2 put 2"}));
}

TEST(queue, put_that_is_cancelled_still_has_its_item_and_can_be_done_again) {
    basic_stage<muster::queue<std::unique_ptr<int>>> s(1);
    s.run([](auto& st) -> task<> {
        st.q.put_nowait(std::make_unique<int>(0));
        auto puts_twice = [](auto& on) -> task<> {
            auto putting = on.q.put(std::make_unique<int>(1));
            bool cancelled = false;
            try {
                co_await putting;
            } catch (const muster::cancelled_error&) {
                cancelled = true;
            }
            EXPECT_TRUE(cancelled);
            EXPECT_EQ(*putting.item(), 1);
            co_await putting;
            EXPECT_FALSE(putting.item());
        };
        auto p = muster::create_task(puts_twice(st), "p");
        co_await muster::sleep_for(1ms);
        p.cancel();
        co_await muster::sleep_for(1ms);
        EXPECT_EQ(*st.q.get_nowait(), 0);
        co_await p;
        EXPECT_EQ(*st.q.get_nowait(), 1);
    });
}

TEST(queue, of_move_only_items_moves_them_through_waits) {
    basic_stage<muster::queue<std::unique_ptr<int>>> s(1);
    s.run([](auto& st) -> task<> {
        auto produce = [](auto& on) -> task<> {
            for (int i = 0; i < 3; ++i)
                co_await on.q.put(std::make_unique<int>(i));
            on.q.shutdown();
        };
        auto p = muster::create_task(produce(st), "p");
        std::vector<int> got;
        while (true) {
            auto item = co_await st.q.next();
            if (!item)
                break;
            got.push_back(**item);
        }
        EXPECT_EQ(got, (std::vector<int>{0, 1, 2}));
        co_await p;
    });
}

TEST(queue, without_items_is_joined_at_once) {
    stage s;
    s.run([](stage& st) -> task<> {
        co_await st.q.join();
        co_await st.q.join();
    });
    EXPECT_EQ(s.loop->elapsed(), 0ms);
    basic_stage<muster::priority_queue<int>> p;
    p.run([](auto& st) -> task<> { co_await st.q.join(); });
    EXPECT_EQ(p.loop->elapsed(), 0ms);
}

TEST(queue, join_waits_until_items_were_dealt_with_and_not_only_taken) {
    stage s;
    s.run([](stage& st) -> task<> {
        st.q.put_nowait(1);
        auto j = st.joiner("j");
        auto impatient = st.joiner("impatient");
        auto item = co_await st.q.get();
        EXPECT_EQ(item, 1);
        EXPECT_QUEUE(st.q, 0u, false);
        co_await muster::sleep_for(10ms);
        EXPECT_FALSE(j.done());
        impatient.cancel();
        st.q.task_done();
        co_await j;
        EXPECT_TRUE(impatient.cancelled());
    });
    EXPECT_EQ(s.said, (lines{"10 j joined"}));
}

template <class Queue>
class any_queue : public testing::Test {};
using queues = testing::Types<muster::queue<int>, muster::priority_queue<int>>;
TYPED_TEST_SUITE(any_queue, queues);

TYPED_TEST(any_queue, is_joined_when_its_workers_are_done) {
    basic_stage<TypeParam> s;
    s.run([](auto& st) -> task<> {
        for (int i = 0; i < 6; ++i)
            st.q.put_nowait(i);
        auto work = [](auto& on, std::chrono::milliseconds each) -> task<> {
            for (int i = 0; i < 3; ++i) {
                auto item = co_await on.q.get();
                on.say("got " + std::to_string(item));
                co_await muster::sleep_for(each);
                on.q.task_done();
            }
            auto last = co_await on.q.get();
            on.say("got " + std::to_string(last));
        };
        auto w1 = muster::create_task(work(st, 10ms), "w1");
        auto w2 = muster::create_task(work(st, 14ms), "w2");
        co_await st.q.join();
        st.say("joined");
        EXPECT_QUEUE(st.q, 0u, false);
        st.q.put_nowait(90);
        st.q.put_nowait(91);
        co_await w1;
        co_await w2;
    });
    EXPECT_EQ(s.said, (lines{"0 w1 got 0", "0 w2 got 1", "10 w1 got 2", "14 w2 got 3", "20 w1 got 4", "28 w2 got 5",
                          "42 main joined", "42 w1 got 90", "42 w2 got 91"}));
}

template <class Queue>
class every_queue : public testing::Test {};
using all_queues = testing::Types<muster::queue<int>, muster::lifo_queue<int>, muster::priority_queue<int>>;
TYPED_TEST_SUITE(every_queue, all_queues);

TYPED_TEST(every_queue, refuses_to_hear_of_more_done_than_was_put) {
    TypeParam q;
    EXPECT_THROW(q.task_done(), std::out_of_range);
    q.put_nowait(1);
    q.task_done();
    EXPECT_THROW(q.task_done(), std::out_of_range);
    EXPECT_QUEUE(q, 1u, false);
}

TYPED_TEST(every_queue, that_is_shut_down_gives_out_what_it_has_and_takes_no_more) {
    basic_stage<TypeParam> s;
    s.run([](auto& st) -> task<> {
        st.q.put_nowait(1);
        EXPECT_FALSE(st.q.is_shut_down());
        st.q.shutdown();
        EXPECT_TRUE(st.q.is_shut_down());
        EXPECT_THROW(st.q.put_nowait(2), muster::queue_shut_down);
        auto put = [](auto& on) -> task<> { co_await on.q.put(2); };
        auto get = [](auto& on) -> task<int> { co_return co_await on.q.get(); };
        auto refused = co_await muster::as_outcome(put(st));
        EXPECT_TRUE(refused.template failed_with<muster::queue_shut_down>());
        auto first = co_await muster::as_outcome(get(st));
        EXPECT_EQ(first.value(), 1);
        auto second = co_await muster::as_outcome(get(st));
        EXPECT_TRUE(second.template failed_with<muster::queue_shut_down>());
        EXPECT_THROW(static_cast<void>(st.q.get_nowait()), muster::queue_shut_down);
        auto next = co_await st.q.next();
        EXPECT_FALSE(next);
        st.q.task_done();
        co_await st.q.join();
    });
}

TYPED_TEST(every_queue, that_is_shut_down_immediately_drops_its_items_which_count_as_dealt_with) {
    basic_stage<TypeParam> s;
    s.run([](auto& st) -> task<> {
        for (int i = 0; i < 3; ++i)
            st.q.put_nowait(i);
        auto j = st.joiner("j");
        auto item = co_await st.q.get();
        static_cast<void>(item);
        co_await muster::sleep_for(1ms);
        st.q.shutdown(true);
        EXPECT_QUEUE(st.q, 0u, false);
        co_await muster::sleep_for(1ms);
        EXPECT_FALSE(j.done());
        st.q.task_done();
        co_await j;
        EXPECT_THROW(st.q.task_done(), std::out_of_range);
    });
    EXPECT_EQ(s.said, (lines{"2 j joined"}));
}

TEST(queue, shut_down_ends_gets_and_puts_that_wait) {
    stage s(1);
    s.run([](stage& st) -> task<> {
        auto g1 = st.getter("g1");
        auto g2 = st.getter("g2");
        auto ends = [](stage& on) -> task<bool> {
            auto item = co_await on.q.next();
            co_return item.has_value();
        };
        auto g3 = muster::create_task(ends(st), "g3");
        co_await muster::sleep_for(1ms);
        st.q.put_nowait(1);
        st.q.shutdown();
        co_await g1; // there was an item for it
        EXPECT_TRUE(g2.ended_as().failed_with<muster::queue_shut_down>());
        EXPECT_FALSE(g3.result());
    });
    stage full(1);
    full.run([](stage& st) -> task<> {
        st.q.put_nowait(0);
        auto p1 = st.putter("p1", 1);
        auto p2 = st.putter("p2", 2);
        co_await muster::sleep_for(1ms);
        st.q.shutdown();
        co_await muster::yield();
        EXPECT_TRUE(p1.ended_as().failed_with<muster::queue_shut_down>());
        EXPECT_TRUE(p2.ended_as().failed_with<muster::queue_shut_down>());
        EXPECT_EQ(st.q.get_nowait(), 0);
    });
}

TEST(queue, destroyed_while_tasks_wait_for_it_ends_their_waits_with_an_error) {
    stage s;
    auto q = std::make_unique<muster::queue<int>>(1);
    auto full = std::make_unique<muster::queue<int>>(1);
    full->put_nowait(0);
    auto get = [](muster::queue<int>& from) -> task<> { static_cast<void>(co_await from.get()); };
    auto put = [](muster::queue<int>& to) -> task<> { co_await to.put(1); };
    auto woken = s.loop->start(get(*q), "woken");
    auto gets = s.loop->start(get(*q), "gets");
    auto puts = s.loop->start(put(*full), "puts");
    auto joins = s.loop->start([](muster::queue<int>& on) -> task<> { co_await on.join(); }(*full), "joins");
    s.loop->run_ready();
    q->put_nowait(1);
    q.reset();
    full.reset();
    s.loop->run_ready();
    EXPECT_TRUE(woken.ended_as().failed_with<muster::invalid_state_error>());
    for (const auto& h : {gets, puts, joins}) {
        const auto* e = h.ended_as().error_as<muster::invalid_state_error>();
        EXPECT_EQ(
            std::string(e != nullptr ? e->what() : "").substr(0, 41), "the queue was destroyed while a task wait");
    }
}

TEST(queue, waits_of_a_loop_that_is_destroyed_are_gone_and_its_items_stay) {
    stage s(1);
    const auto before = muster::set_report_handler([](const muster::report&) {});
    s.q.put_nowait(1);
    auto put = [](muster::queue<int>& to) -> task<> { co_await to.put(2); };
    auto join = [](muster::queue<int>& on) -> task<> { co_await on.join(); };
    auto p1 = s.loop->start(put(s.q), "p1");
    auto p2 = s.loop->start(put(s.q), "p2");
    auto j = s.loop->start(join(s.q), "j");
    s.loop->run_ready();
    EXPECT_NE(s.loop->waiters().at(0).find("waits for queue::put"), std::string::npos);
    EXPECT_NE(s.loop->waiters().at(2).find("waits for queue::join"), std::string::npos);
    EXPECT_EQ(s.q.get_nowait(), 1); // p1 is woken, and never runs
    s.loop.reset();
    EXPECT_QUEUE(s.q, 0u, false);
    s.q.put_nowait(3);
    EXPECT_EQ(s.q.get_nowait(), 3);
    static_cast<void>(muster::set_report_handler(before));
}

TEST(queue, wait_for_which_there_is_no_memory_fails_and_the_item_is_kept) {
    basic_stage<muster::queue<std::unique_ptr<int>>> s(1);
    s.run([](auto& st) -> task<> {
        bool refused_get = false;
        muster::detail::set_frame_fault_hook([](void*) noexcept { return false; }, nullptr);
        try {
            auto item = co_await st.q.get();
        } catch (const std::bad_alloc&) {
            refused_get = true;
        }
        EXPECT_TRUE(refused_get);
        st.q.put_nowait(std::make_unique<int>(0));
        auto putting = st.q.put(std::make_unique<int>(1));
        bool refused_put = false;
        try {
            co_await putting;
        } catch (const std::bad_alloc&) {
            refused_put = true;
        }
        muster::detail::set_frame_fault_hook(nullptr, nullptr);
        EXPECT_TRUE(refused_put);
        EXPECT_EQ(*putting.item(), 1);
        EXPECT_EQ(*st.q.get_nowait(), 0);
        co_await putting;
        EXPECT_EQ(*st.q.get_nowait(), 1);
    });
}

TEST(queue, passes_a_hundred_thousand_items_through_a_small_room) {
    stage s(3);
    s.run([](stage& st) -> task<> {
        auto produce = [](stage& on, int from) -> task<> {
            for (int i = 0; i < 50'000; ++i)
                co_await on.q.put(from + i);
        };
        auto p1 = muster::create_task(produce(st, 0), "p1");
        auto p2 = muster::create_task(produce(st, 50'000), "p2");
        std::int64_t sum = 0;
        for (int i = 0; i < 100'000; ++i) {
            auto item = co_await st.q.get();
            sum += item;
        }
        EXPECT_EQ(sum, std::int64_t{100'000} * 99'999 / 2);
        co_await p1;
        co_await p2;
    });
    EXPECT_EQ(s.loop->elapsed(), 0ms);
}
