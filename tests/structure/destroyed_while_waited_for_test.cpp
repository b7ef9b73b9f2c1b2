// SPDX-License-Identifier: MIT
// Objects that are destroyed, moved or assigned to while tasks wait on them: each task gets an error, and nothing that
// is gone is touched. The table is meant to run under AddressSanitizer, too.
#include "support/virtual_run.hpp"

#include <muster/as_completed.hpp>
#include <muster/barrier.hpp>
#include <muster/condition.hpp>
#include <muster/error.hpp>
#include <muster/event.hpp>
#include <muster/generator.hpp>
#include <muster/mutex.hpp>
#include <muster/queue.hpp>
#include <muster/semaphore.hpp>
#include <muster/shield.hpp>
#include <muster/task_group.hpp>
#include <muster/timeout.hpp>

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

using namespace play;

namespace {

/// A task that waits, and the act that takes what it waits for away. The object lives in what both of them share.
struct situation {
    situation(std::string said, std::function<muster::task<>(std::shared_ptr<void>&)> make_wait,
        std::function<void(std::shared_ptr<void>&)> make_gone)
        : name(std::move(said)),
          wait(std::move(make_wait)),
          act(std::move(make_gone)) {}
    std::string name;
    std::function<muster::task<>(std::shared_ptr<void>&)> wait; ///< fills in the object
    std::function<void(std::shared_ptr<void>&)> act;
};

template <class T, class... Args>
T& made(std::shared_ptr<void>& object, Args&&... args) {
    auto fresh = std::make_shared<T>(std::forward<Args>(args)...);
    T& subject = *fresh;
    object = std::move(fresh);
    return subject;
}
void destroy(std::shared_ptr<void>& object) { object.reset(); }

template <class Wait>
muster::task<> after(Wait wait) {
    static_cast<void>(co_await std::move(wait));
}
muster::task<> locks(muster::mutex& m) {
    auto guard = co_await m.scoped_lock();
    co_await muster::sleep_for(1h);
}
muster::task<> waits_for_change(muster::condition& c) {
    auto guard = co_await c.scoped_lock();
    co_await c.wait();
}
muster::task<> wants_a_change(muster::condition& c, bool& changed) {
    auto guard = co_await c.scoped_lock();
    auto result = co_await c.wait([&changed] { return changed; });
    EXPECT_TRUE(result);
}
muster::task<> puts(muster::queue<int>& q) { co_await q.put(2); }
muster::task<> comes(muster::barrier& b) {
    auto place = co_await b.wait();
    static_cast<void>(place);
}
muster::task<> runs_group(muster::task_group& g) {
    auto body = [](muster::task_group& group) -> muster::task<> {
        group.create_task(nothing_after(1h));
        co_return;
    };
    co_await g.run(body);
}
muster::task<> runs_group_body(muster::task_group& g) {
    auto body = [](muster::task_group& group) -> muster::task<> {
        group.create_task(nothing_after(1h));
        co_await muster::sleep_for(5ms);
    };
    co_await g.run(body);
}
muster::task<> runs_limited(muster::timeout_scope& s) {
    auto body = []() -> muster::task<> { co_await muster::sleep_for(5ms); };
    co_await s.run(body);
}
muster::generator<int> slow_numbers() {
    for (int i = 0;; ++i) {
        co_await muster::sleep_for(1h);
        co_yield i;
    }
}
muster::task<> pulls(muster::generator<int>& g) {
    auto n = co_await g.next();
    static_cast<void>(n);
}
muster::task<> takes_next(muster::as_completed<muster::task_handle<void>>& all) {
    auto h = co_await all.next();
    static_cast<void>(h);
}

std::vector<situation> situations() {
    using object = std::shared_ptr<void>;
    std::vector<situation> all;
    const auto add = [&all](std::string name, std::function<muster::task<>(object&)> wait,
                         std::function<void(object&)> act = destroy) {
        all.emplace_back(std::move(name), std::move(wait), std::move(act));
    };
    add("event", [](object& o) { return after(made<muster::event>(o).wait()); });
    add("mutex", [](object& o) {
        auto& m = made<muster::mutex>(o);
        EXPECT_TRUE(m.try_lock());
        return after(m.lock());
    });
    add("mutex, a guard's wait", [](object& o) {
        auto& m = made<muster::mutex>(o);
        EXPECT_TRUE(m.try_lock());
        return locks(m);
    });
    add("semaphore", [](object& o) { return after(made<muster::semaphore>(o, 0).acquire()); });
    add("semaphore, a permit's wait", [](object& o) { return after(made<muster::semaphore>(o, 0).scoped_acquire()); });
    add("condition", [](object& o) { return waits_for_change(made<muster::condition>(o)); });
    add("condition with a predicate", [](object& o) {
        static bool never = false;
        return wants_a_change(made<muster::condition>(o), never);
    });
    add("barrier", [](object& o) { return comes(made<muster::barrier>(o, 2)); });
    add("queue, get", [](object& o) { return after(made<muster::queue<int>>(o).get()); });
    add("queue, next", [](object& o) { return after(made<muster::lifo_queue<int>>(o).next()); });
    add("queue, put", [](object& o) {
        auto& q = made<muster::queue<int>>(o, 1);
        q.put_nowait(1);
        return puts(q);
    });
    add("queue, join", [](object& o) {
        auto& q = made<muster::priority_queue<int>>(o);
        q.put_nowait(1);
        return after(q.join());
    });
    add("task_group that waits for its tasks", [](object& o) { return runs_group(made<muster::task_group>(o)); });
    add("task_group whose body runs", [](object& o) { return runs_group_body(made<muster::task_group>(o)); });
    add("timeout_scope", [](object& o) { return runs_limited(made<muster::timeout_scope>(o, 1h)); });
    add("generator", [](object& o) { return pulls(made<muster::generator<int>>(o, slow_numbers())); });
    add(
        "generator that is assigned to",
        [](object& o) { return pulls(made<muster::generator<int>>(o, slow_numbers())); },
        [](object& o) { *static_cast<muster::generator<int>*>(o.get()) = slow_numbers(); });
    add("as_completed", [](object& o) {
        std::vector<muster::task_handle<void>> handles{muster::create_task(nothing_after(20ms))};
        return takes_next(made<muster::as_completed<muster::task_handle<void>>>(o, handles));
    });
    return all;
}

} // namespace

TEST(destroyed_while_waited_for, gives_an_error_to_each_task_that_waits) {
    for (const auto& s : situations()) {
        SCOPED_TRACE(s.name);
        expect_run(
            [&s]() -> muster::task<> {
                std::shared_ptr<void> object;
                auto waiting = muster::create_task(s.wait(object));
                co_await muster::sleep_for(1ms);
                EXPECT_FALSE(waiting.done());
                s.act(object);
                co_await muster::sleep_for(29ms);
                EXPECT_TRUE(waiting.done());
                if (waiting.done()) {
                    EXPECT_TRUE(waiting.ended_as().failed_with<muster::invalid_state_error>())
                        << to_string(waiting.ended_as());
                } else {
                    waiting.cancel();
                }
            },
            30ms);
    }
}

TEST(destroyed_while_waited_for, and_cancelled_in_the_same_instant_is_cancelled) {
    for (const auto& s : situations()) {
        SCOPED_TRACE(s.name);
        expect_run(
            [&s]() -> muster::task<> {
                std::shared_ptr<void> object;
                auto waiting = muster::create_task(s.wait(object));
                co_await muster::sleep_for(1ms);
                s.act(object);
                waiting.cancel("stop");
                co_await muster::sleep_for(29ms);
                EXPECT_TRUE(waiting.done());
                // A generator's waiting task sees which of the two requests came first.
                if (waiting.done()) {
                    EXPECT_TRUE(waiting.cancelled() || waiting.ended_as().failed_with<muster::invalid_state_error>())
                        << to_string(waiting.ended_as());
                }
            },
            30ms);
    }
}

TEST(destroyed_while_waited_for, after_a_cancellation_in_the_same_instant_is_cancelled) {
    for (const auto& s : situations()) {
        SCOPED_TRACE(s.name);
        expect_run(
            [&s]() -> muster::task<> {
                std::shared_ptr<void> object;
                auto waiting = muster::create_task(s.wait(object));
                co_await muster::sleep_for(1ms);
                waiting.cancel("stop");
                s.act(object);
                co_await muster::sleep_for(29ms);
                EXPECT_TRUE(waiting.done());
                if (waiting.done()) {
                    EXPECT_TRUE(waiting.cancelled() || waiting.ended_as().failed_with<muster::invalid_state_error>())
                        << to_string(waiting.ended_as());
                }
            },
            30ms);
    }
}

TEST(destroyed_while_waited_for, is_survived_by_a_loop_that_ends_first) {
    for (const auto& s : situations()) {
        SCOPED_TRACE(s.name);
        const auto before = muster::set_report_handler([](const muster::report&) {});
        std::shared_ptr<void> object;
        {
            muster::testing::manual_loop loop;
            auto outer = [&]() -> muster::task<> {
                auto waiting = muster::create_task(s.wait(object));
                co_await muster::sleep_for(1h);
            };
            auto h = loop.start(outer(), "outer");
            loop.run_ready();
        }
        object.reset();
        static_cast<void>(muster::set_report_handler(before));
    }
}

TEST(destroyed_while_waited_for, condition_gives_a_mutex_of_somebody_else_back_to_the_task_that_waited) {
    expect_run(
        []() -> muster::task<> {
            muster::mutex m;
            auto c = std::make_unique<muster::condition>(m);
            auto waits = [](muster::condition& on, muster::mutex& shared) -> muster::task<bool> {
                auto guard = co_await on.scoped_lock();
                auto ended = co_await ending(on.wait());
                co_return ended.failed_with<muster::invalid_state_error>() && shared.locked();
            };
            auto h = muster::create_task(waits(*c, m));
            co_await muster::sleep_for(1ms);
            {
                auto guard = co_await m.scoped_lock();
                c.reset();
                co_await muster::sleep_for(1ms);
                EXPECT_FALSE(h.done());
            }
            auto held = co_await h;
            EXPECT_TRUE(held);
            EXPECT_FALSE(m.locked());
        },
        2ms);
}

TEST(destroyed_while_waited_for, condition_of_a_notified_task_that_wants_the_mutex_ends_its_wait_with_an_error) {
    expect_run(
        []() -> muster::task<> {
            muster::mutex m;
            auto c = std::make_unique<muster::condition>(m);
            auto h = muster::create_task(waits_for_change(*c));
            co_await muster::sleep_for(1ms);
            {
                auto guard = co_await m.scoped_lock();
                c->notify();
                co_await muster::sleep_for(1ms);
                c.reset();
            }
            auto ended = co_await ending(h);
            EXPECT_TRUE(ended.failed_with<muster::invalid_state_error>());
            EXPECT_FALSE(m.locked());
        },
        2ms);
}

TEST(destroyed_while_waited_for, mutex_of_a_condition_ends_the_waits_for_a_notification) {
    expect_run(
        []() -> muster::task<> {
            auto m = std::make_unique<muster::mutex>();
            muster::condition c(*m);
            auto first = muster::create_task(waits_for_change(c));
            auto second = muster::create_task(waits_for_change(c));
            co_await muster::sleep_for(1ms);
            m.reset();
            auto one = co_await ending(first);
            auto two = co_await ending(second);
            for (const auto* ended : {&one, &two})
                EXPECT_EQ(text_of<muster::invalid_state_error>(*ended),
                    "the mutex of the condition was destroyed while a task waited for the condition");
            EXPECT_FALSE(c.locked());
            EXPECT_THROW(c.notify(), muster::invalid_state_error);
            EXPECT_THROW(c.unlock(), muster::invalid_state_error);
            EXPECT_THROW(static_cast<void>(c.lock()), muster::invalid_state_error);
            auto late = co_await ending(c.wait());
            EXPECT_TRUE(late.failed_with<muster::invalid_state_error>());
        },
        1ms);
}

TEST(destroyed_while_waited_for, mutex_of_a_notified_condition_ends_the_waits_for_the_mutex) {
    expect_run(
        []() -> muster::task<> {
            auto m = std::make_unique<muster::mutex>();
            muster::condition c(*m);
            auto waiting = muster::create_task(waits_for_change(c));
            auto cancelled = muster::create_task(waits_for_change(c));
            co_await muster::sleep_for(1ms);
            {
                auto guard = co_await m->scoped_lock();
                c.notify();
                cancelled.cancel();
                co_await muster::sleep_for(1ms);
                EXPECT_FALSE(waiting.done());
                m.reset();
            }
            auto ended = co_await ending(waiting);
            EXPECT_TRUE(ended.failed_with<muster::invalid_state_error>()) << to_string(ended);
            auto other = co_await ending(cancelled);
            EXPECT_TRUE(cancelled.cancelled());
        },
        2ms);
}

TEST(destroyed_while_waited_for, mutex_and_condition_may_go_in_either_order) {
    for (const bool mutex_first : {true, false}) {
        expect_run(
            [mutex_first]() -> muster::task<> {
                auto m = std::make_unique<muster::mutex>();
                auto c = std::make_unique<muster::condition>(*m);
                auto waiting = muster::create_task(waits_for_change(*c));
                co_await muster::sleep_for(1ms);
                if (mutex_first)
                    m.reset();
                c.reset();
                m.reset();
                auto ended = co_await ending(waiting);
                EXPECT_TRUE(ended.failed_with<muster::invalid_state_error>());
            },
            1ms);
    }
}

TEST(destroyed_while_waited_for, barrier_is_what_the_error_names) {
    expect_run(
        []() -> muster::task<> {
            constexpr auto text = "the barrier was destroyed while a task waited for it";
            auto filling = std::make_unique<muster::barrier>(2);
            auto alone = muster::create_task(comes(*filling));
            co_await muster::sleep_for(1ms);
            filling.reset();
            auto of_filling = co_await ending(alone);
            EXPECT_EQ(text_of<muster::invalid_state_error>(of_filling), text);
            // The barrier is full, and its first task was woken and has not run yet.
            auto full = std::make_unique<muster::barrier>(2);
            auto first = muster::create_task(comes(*full));
            co_await muster::sleep_for(1ms);
            auto place = co_await full->wait();
            EXPECT_EQ(place, 1u);
            full.reset();
            auto of_full = co_await ending(first);
            EXPECT_EQ(text_of<muster::invalid_state_error>(of_full), text);
        },
        2ms);
}

TEST(destroyed_while_waited_for, task_group_cancels_its_tasks_and_reports_their_failures) {
    expect_run(
        []() -> muster::task<> {
            auto g = std::make_unique<muster::task_group>();
            muster::task_handle<void> child;
            auto runs = [&]() -> muster::task<> {
                auto body = [&child](muster::task_group& group) -> muster::task<> {
                    child = group.create_task(nothing_after(1h));
                    co_return;
                };
                co_await g->run(body);
            };
            auto h = muster::create_task(runs());
            co_await muster::sleep_for(1ms);
            g.reset();
            auto ended = co_await ending(h);
            EXPECT_TRUE(ended.failed_with<muster::invalid_state_error>());
            co_await muster::sleep_for(1ms);
            EXPECT_TRUE(child.cancelled());
        },
        2ms);
}

TEST(moved_while_waited_for, generator_gives_its_value_to_the_task_that_waits) {
    expect_run(
        []() -> muster::task<> {
            auto numbers = []() -> muster::generator<int> {
                co_await muster::sleep_for(2ms);
                co_yield 7;
            };
            auto g = numbers();
            auto pull = [](muster::generator<int>& from) -> muster::task<int> {
                auto n = co_await from.next();
                co_return n.value_or(0);
            };
            auto h = muster::create_task(pull(g));
            co_await muster::sleep_for(1ms);
            auto moved = std::move(g);
            auto seven = co_await h;
            EXPECT_EQ(seven, 7);
            auto none = co_await moved.next();
            EXPECT_FALSE(none.has_value());
            auto of_moved = co_await ending(g.next()); // NOLINT: a use after the move is what is tested
            EXPECT_TRUE(of_moved.failed_with<muster::invalid_state_error>());
        },
        2ms);
}
