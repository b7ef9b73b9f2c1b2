// SPDX-License-Identifier: MIT
// Operations that are handed something in the instant in which they are cancelled: it goes back, in order, whether a
// cancel() or a race decided against the operation.
#include "support/virtual_run.hpp"

#include <muster/as_completed.hpp>
#include <muster/event.hpp>
#include <muster/mutex.hpp>
#include <muster/queue.hpp>
#include <muster/race.hpp>
#include <muster/semaphore.hpp>

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

using namespace play;

namespace {

muster::task<int> stopped(muster::event& e) {
    co_await e.wait();
    co_return -1;
}
muster::task<int> acquired(muster::semaphore& s) {
    co_await s.acquire();
    co_return 1;
}
muster::task<int> locked(muster::mutex& m) {
    co_await m.lock();
    co_return 1;
}
template <class Queue>
muster::task<int> put_into(Queue& q, int item) {
    co_await q.put(item);
    co_return 1;
}
template <class Queue>
std::vector<int> left_in(Queue& q) {
    std::vector<int> items;
    while (!q.empty())
        items.push_back(q.get_nowait());
    return items;
}

/// One primitive: an operation that waits, the act that hands something to it, and how much can be had afterwards.
struct operation {
    operation(std::string said, std::function<muster::task<int>()> awaited, std::function<void()> given,
        std::function<bool()> back)
        : name(std::move(said)),
          wait(std::move(awaited)),
          hand_over(std::move(given)),
          is_back(std::move(back)) {}
    std::string name;
    std::function<muster::task<int>()> wait;
    std::function<void()> hand_over;
    std::function<bool()> is_back;
};

struct primitives {
    muster::queue<int> fifo;
    muster::lifo_queue<int> lifo;
    muster::priority_queue<int> smallest;
    muster::queue<int> full{1};
    muster::semaphore permits{0};
    muster::mutex mutex;

    template <class Queue>
    static muster::task<int> got(Queue& q) {
        auto item = co_await q.get();
        co_return item;
    }
    std::vector<operation> all() {
        full.put_nowait(0);
        EXPECT_TRUE(mutex.try_lock());
        std::vector<operation> made;
        made.emplace_back(
            "queue::get", [this] { return got(fifo); },
            [this] {
                fifo.put_nowait(1);
                fifo.put_nowait(2);
            },
            [this] {
                return left_in(fifo) == std::vector{1, 2};
            });
        made.emplace_back(
            "lifo_queue::get", [this] { return got(lifo); },
            [this] {
                lifo.put_nowait(1);
                lifo.put_nowait(2);
            },
            [this] {
                return left_in(lifo) == std::vector{2, 1};
            });
        made.emplace_back(
            "priority_queue::get", [this] { return got(smallest); },
            [this] {
                smallest.put_nowait(2);
                smallest.put_nowait(1);
            },
            [this] {
                return left_in(smallest) == std::vector{1, 2};
            });
        made.emplace_back(
            "queue::put", [this] { return put_into(full, 5); }, [this] { static_cast<void>(full.get_nowait()); },
            [this] { return full.empty(); });
        made.emplace_back(
            "semaphore::acquire", [this] { return acquired(permits); }, [this] { permits.release(); },
            [this] { return permits.available() == 1 && permits.try_acquire(); });
        made.emplace_back(
            "mutex::lock", [this] { return locked(mutex); }, [this] { mutex.unlock(); },
            [this] { return mutex.try_lock(); });
        return made;
    }
};

} // namespace

TEST(handed_back, an_operation_that_is_cancelled_in_the_instant_in_which_it_is_served_gives_back_what_it_got) {
    for (std::size_t i = 0; i != primitives().all().size(); ++i) {
        for (const bool cancelled_first : {false, true}) {
            expect_run(
                [i, cancelled_first]() -> muster::task<> {
                    primitives p;
                    const auto one = p.all().at(i);
                    auto h = muster::create_task(one.wait());
                    co_await muster::sleep_for(1ms);
                    if (cancelled_first)
                        h.cancel();
                    one.hand_over();
                    if (!cancelled_first)
                        h.cancel();
                    co_await muster::sleep_for(1ms);
                    EXPECT_TRUE(h.cancelled()) << one.name;
                    EXPECT_TRUE(one.is_back()) << one.name << (cancelled_first ? ", cancelled first" : "");
                },
                2ms);
        }
    }
}

TEST(handed_back, the_next_task_in_line_gets_what_a_cancelled_one_was_handed) {
    for (std::size_t i = 0; i != primitives().all().size(); ++i) {
        expect_run(
            [i]() -> muster::task<> {
                primitives p;
                const auto one = p.all().at(i);
                auto first = muster::create_task(one.wait());
                auto second = muster::create_task(one.wait());
                co_await muster::sleep_for(1ms);
                one.hand_over();
                first.cancel();
                co_await muster::sleep_for(1ms);
                EXPECT_TRUE(first.cancelled()) << one.name;
                EXPECT_TRUE(second.done()) << one.name;
                second.cancel();
            },
            2ms);
    }
}

TEST(handed_back, the_loser_of_a_race_gives_back_what_it_got_in_the_deciding_instant) {
    for (std::size_t i = 0; i != primitives().all().size(); ++i) {
        expect_run(
            [i]() -> muster::task<> {
                primitives p;
                const auto one = p.all().at(i);
                muster::event stop;
                auto races = [&]() -> muster::task<int> {
                    auto won = co_await muster::race(stopped(stop), one.wait());
                    co_return won.value();
                };
                auto h = muster::create_task(races());
                co_await muster::sleep_for(1ms);
                stop.set();
                one.hand_over();
                auto value = co_await h;
                EXPECT_EQ(value, -1) << one.name;
                EXPECT_TRUE(one.is_back()) << one.name;
            },
            1ms);
    }
}

TEST(handed_back, as_completed_gives_handles_in_order_after_two_cancelled_calls) {
    expect_run(
        []() -> muster::task<> {
            std::vector<muster::task_handle<int>> handles;
            for (int v = 0; v != 3; ++v)
                handles.push_back(muster::create_task(value_after(2ms, v)));
            muster::as_completed each(handles);
            auto next = [&each]() -> muster::task<int> {
                auto h = co_await each.next();
                co_return h ? h->result() : -1;
            };
            auto a = muster::create_task(next());
            auto b = muster::create_task(next());
            co_await muster::sleep_for(1ms);
            handles[1].add_done_callback([&](const auto&) {
                a.cancel();
                b.cancel();
            });
            co_await muster::sleep_for(2ms);
            EXPECT_TRUE(a.cancelled());
            EXPECT_TRUE(b.cancelled());
            for (int v = 0; v != 3; ++v) {
                auto got = co_await next();
                EXPECT_EQ(got, v);
            }
        },
        3ms);
}
