// SPDX-License-Identifier: MIT
// The fault drivers' own test, the other half: bodies without a bug, each of which has to be clean. Most are a body of
// planted_bugs_test.cpp done right.
#include "body_case.hpp"
#include "support/virtual_run.hpp"

#include <muster/muster.hpp>
#include <muster/testing/faults.hpp>

#include <gtest/gtest.h>

#include <cstdio>
#include <exception>
#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace {

using namespace play;
using muster::task;
using muster::testing::body_case;
using muster::testing::cancelled;
using muster::testing::dealt_with;
using muster::testing::fault_options;
using muster::testing::try_all;

// ---- permits ----

task<> takes_a_permit_for_its_scope(muster::semaphore& s) {
    auto permit = co_await s.scoped_acquire();
    co_await muster::sleep_for(1ms);
}

// ---- locks ----

task<> locks_for_its_scope(muster::mutex& m) {
    auto guard = co_await m.scoped_lock();
    co_await muster::sleep_for(1ms);
}

const std::vector<body_case>& correct() {
    static const std::vector<body_case> all{
        {"a permit for a scope, outside",
            [] {
                muster::semaphore s(1);
                return try_all([&s]() -> task<> { co_await takes_a_permit_for_its_scope(s); });
            }},
        {"a permit for a scope, of the body's own",
            [] {
                return try_all([]() -> task<> {
                    muster::semaphore s(2);
                    co_await muster::gather(takes_a_permit_for_its_scope(s), takes_a_permit_for_its_scope(s),
                        takes_a_permit_for_its_scope(s));
                });
            }},
        {"a permit that is given back by hand on every way out",
            [] {
                muster::semaphore s(1);
                return try_all([&s]() -> task<> {
                    co_await s.acquire();
                    auto ended = co_await muster::as_outcome(nothing_after(1ms));
                    s.release();
                    if (!ended.succeeded())
                        ended.rethrow();
                });
            }},
        {"a semaphore as a signal, of the body's own",
            [] {
                return try_all([]() -> task<> {
                    muster::semaphore ready(0);
                    auto produces = [&ready]() -> task<> {
                        for (int i = 0; i != 3; ++i) {
                            co_await muster::sleep_for(1ms);
                            ready.release();
                        }
                    };
                    auto consumes = [&ready]() -> task<> {
                        for (int i = 0; i != 3; ++i) {
                            co_await ready.acquire();
                            co_await muster::sleep_for(1ms);
                        }
                    };
                    co_await muster::gather(produces(), consumes());
                });
            }},
        {"a semaphore as a window: another task gives the permits",
            [] {
                return try_all([]() -> task<> {
                    muster::semaphore window(2);
                    muster::queue<int> sent;
                    auto sends = [&window, &sent]() -> task<> {
                        for (int i = 0; i != 4; ++i) {
                            co_await window.acquire();
                            co_await sent.put(i);
                        }
                        sent.shutdown();
                    };
                    auto acknowledges = [&window, &sent]() -> task<> {
                        while (true) {
                            auto item = co_await sent.next();
                            if (!item)
                                break;
                            co_await muster::sleep_for(1ms);
                            window.release();
                        }
                    };
                    co_await muster::gather(sends(), acknowledges());
                });
            }},
        {"a semaphore that is tried",
            [] {
                return try_all([]() -> task<> {
                    muster::semaphore s(1);
                    const bool first = s.try_acquire();
                    EXPECT_TRUE(first);
                    auto ended = co_await muster::as_outcome(nothing_after(1ms));
                    s.release();
                    if (!ended.succeeded())
                        ended.rethrow();
                });
            }},
        {"a mutex for a scope",
            [] {
                muster::mutex m;
                return try_all([&m]() -> task<> {
                    co_await muster::gather(locks_for_its_scope(m), locks_for_its_scope(m), locks_for_its_scope(m));
                });
            }},
        {"a mutex that is unlocked early",
            [] {
                return try_all([]() -> task<> {
                    muster::mutex m;
                    auto guard = co_await m.scoped_lock();
                    co_await muster::sleep_for(1ms);
                    guard.unlock();
                    co_await muster::sleep_for(1ms);
                });
            }},
        {"a cancellation that is cleaned up after and passed on",
            [] {
                return try_all([]() -> task<> {
                    try {
                        co_await muster::sleep_for(1ms);
                    } catch (...) {
                        throw;
                    }
                });
            }},
        {"a cancellation that waits for a clean-up",
            [] {
                return try_all([]() -> task<> {
                    auto body = []() -> task<> { co_await muster::sleep_for(1ms); };
                    auto cleanup = []() -> task<> { co_await muster::sleep_for(1ms); };
                    co_await muster::with_cleanup(muster::take(body), cleanup);
                });
            }},
        {"tidy children",
            [] { return try_all([]() -> task<> { co_await muster::gather(tidy_up(2ms, 1ms), tidy_up(3ms, 1ms)); }); }},
        {"a fallback when cancelled, which is meant",
            [] {
                return try_all(
                    []() -> task<int> {
                        int n = 0;
                        try {
                            co_await muster::sleep_for(1ms);
                            n = 1;
                        } catch (const muster::cancelled_error&) {
                            n = 2;
                        }
                        co_return n;
                    },
                    fault_options().may_end_with_a_value());
            }},
        {"a stretch that no cancellation interrupts",
            [] { return try_all([]() -> task<> { co_await muster::hold_cancellation(nothing_after(2ms)); }); }},
        {"a shielded task",
            [] {
                return try_all([]() -> task<> {
                    auto saved = muster::create_task(nothing_after(2ms));
                    co_await muster::shield(saved);
                });
            }},
        {"a task that is awaited",
            [] {
                return try_all([]() -> task<> {
                    auto other = muster::create_task(nothing_after(2ms));
                    co_await std::move(other);
                });
            }},
        {"tasks in a group",
            [] {
                return try_all([]() -> task<> {
                    auto body = [](muster::task_group& group) -> task<> {
                        group.create_task(nothing_after(2ms));
                        group.create_task(nothing_after(3ms));
                        co_await muster::sleep_for(1ms);
                    };
                    co_await muster::with_task_group(muster::take(body));
                });
            }},
        {"a task that is cancelled when its owner goes",
            [] {
                return try_all([]() -> task<> {
                    struct owner {
                        muster::task_handle<void> handle;
                        ~owner() { handle.cancel(); }
                    };
                    owner background{muster::create_task(nothing_after(9ms))};
                    co_await muster::sleep_for(1ms);
                });
            }},
        {"a task that may be left behind, which is meant",
            [] {
                return try_all(
                    []() -> task<> {
                        auto background = muster::create_task(nothing_after(9ms));
                        co_await muster::sleep_for(1ms);
                    },
                    fault_options().may_leave_tasks());
            }},
        {"task_done on every way out",
            [] {
                muster::queue<int> q;
                return try_all([&q]() -> task<> {
                    co_await q.put(1);
                    auto item = co_await q.get();
                    static_cast<void>(item);
                    const dealt_with done(q);
                    co_await muster::sleep_for(1ms);
                });
            }},
        {"workers, and a join",
            [] {
                return try_all([]() -> task<> {
                    muster::queue<int> q;
                    auto works = [&q]() -> task<> {
                        while (true) {
                            auto item = co_await q.next();
                            if (!item)
                                break;
                            const dealt_with done(q);
                            co_await muster::sleep_for(1ms);
                        }
                    };
                    auto feeds = [&q]() -> task<> {
                        for (int i = 0; i != 4; ++i)
                            co_await q.put(i);
                        co_await q.join();
                        q.shutdown();
                    };
                    co_await muster::gather(works(), works(), feeds());
                });
            }},
        {"a queue without task_done",
            [] {
                return try_all([]() -> task<> {
                    muster::queue<int> q(1);
                    auto puts = [&q]() -> task<> {
                        for (int i = 0; i != 3; ++i)
                            co_await q.put(i);
                        q.shutdown();
                    };
                    auto gets = [&q]() -> task<> {
                        while (true) {
                            auto item = co_await q.next();
                            if (!item)
                                break;
                            co_await muster::sleep_for(1ms);
                        }
                    };
                    co_await muster::gather(puts(), gets());
                });
            }},
        {"a queue of the body's own that a cancellation leaves full",
            [] {
                return try_all([]() -> task<> {
                    muster::queue<int> q;
                    q.put_nowait(1);
                    co_await muster::sleep_for(1ms);
                    static_cast<void>(q.get_nowait());
                });
            }},
        {"a failure that is meant",
            [] {
                return try_all(
                    []() -> task<> {
                        co_await muster::sleep_for(1ms);
                        throw std::runtime_error("as expected");
                    },
                    fault_options().may_fail());
            }},
        {"a failure that is caught",
            [] {
                return try_all([]() -> task<int> {
                    int n = 0;
                    try {
                        n = co_await fail_after(1ms);
                    } catch (const std::runtime_error&) {
                        n = 1;
                    }
                    co_return n;
                });
            }},
        {"an event of the body's own",
            [] {
                return try_all([]() -> task<> {
                    muster::event ready;
                    auto sets = [&ready]() -> task<> {
                        co_await muster::sleep_for(1ms);
                        ready.set();
                    };
                    auto waits = [&ready]() -> task<> { co_await ready.wait(); };
                    co_await muster::gather(waits(), sets());
                });
            }},
        {"an event outside that is cleared first",
            [] {
                muster::event ready;
                return try_all([&ready]() -> task<> {
                    ready.clear();
                    auto sets = [&ready]() -> task<> {
                        co_await muster::sleep_for(1ms);
                        ready.set();
                    };
                    auto waits = [&ready]() -> task<> { co_await ready.wait(); };
                    co_await muster::gather(waits(), sets());
                });
            }},
        {"a condition with a predicate",
            [] {
                return try_all([]() -> task<> {
                    muster::condition changed;
                    bool ready = false;
                    auto waits = [&changed, &ready]() -> task<> {
                        auto guard = co_await changed.scoped_lock();
                        while (!ready)
                            co_await changed.wait();
                    };
                    auto sets = [&changed, &ready]() -> task<> {
                        co_await muster::sleep_for(1ms);
                        auto guard = co_await changed.scoped_lock();
                        ready = true;
                        changed.notify_all();
                    };
                    co_await muster::gather(waits(), sets());
                });
            }},
        {"a barrier",
            [] {
                return try_all([]() -> task<> {
                    muster::barrier b(2);
                    auto comes = [&b](milliseconds after) -> task<> {
                        co_await muster::sleep_for(after);
                        auto place = co_await b.wait();
                        static_cast<void>(place);
                    };
                    co_await muster::gather(comes(1ms), comes(2ms));
                });
            }},
        {"a semaphore as a signal, outside",
            [] {
                muster::semaphore ready(0);
                return try_all([&ready]() -> task<> {
                    auto gives = [&ready]() -> task<> {
                        co_await muster::sleep_for(1ms);
                        ready.release();
                    };
                    auto takes = [&ready]() -> task<> { co_await ready.acquire(); };
                    co_await muster::gather(gives(), takes());
                });
            }},
        {"a background task that ends well when its owner cancels it",
            [] {
                return try_all([]() -> task<> {
                    auto beats = []() -> task<> {
                        try {
                            while (true)
                                co_await muster::sleep_for(1ms);
                        } catch (const muster::cancelled_error&) {}
                    };
                    struct owner {
                        muster::task_handle<void> handle;
                        ~owner() { handle.cancel(); }
                    };
                    owner background{muster::create_task(beats())};
                    co_await muster::sleep_for(3ms);
                });
            }},
        {"a group that fails and is caught",
            [] {
                return try_all([]() -> task<int> {
                    auto body = [](muster::task_group& group) -> task<> {
                        group.create_task(fail_void_after(1ms));
                        co_await muster::sleep_for(5ms);
                    };
                    int n = 0;
                    try {
                        co_await muster::with_task_group(muster::take(body));
                    } catch (const std::exception&) {
                        n = 1;
                    }
                    co_return n;
                });
            }},
        {"a gather that settles",
            [] {
                return try_all([]() -> task<int> {
                    auto all_of_them = co_await muster::settle(value_after(1ms, 1), fail_after(2ms));
                    int n = 0;
                    for (const auto& f : all_of_them.failures())
                        n += f.error() ? 1 : 0;
                    co_return n;
                });
            }},
        {"a promise that another thread keeps",
            [] {
                return try_all([]() -> task<int> {
                    auto [promised, reply] = muster::make_promise<int>();
                    std::thread keeper([p = std::move(promised)]() mutable { p.set_value(7); });
                    auto ended = co_await ending(std::move(reply));
                    keeper.join();
                    if (!ended.succeeded())
                        ended.rethrow();
                    co_return 7;
                });
            }},
        {"a time limit that strikes",
            [] {
                return try_all([]() -> task<int> {
                    int n = 0;
                    try {
                        n = co_await muster::wait_for(value_after(9ms, 1), 2ms);
                    } catch (const muster::timeout_error&) {
                        n = 2;
                    }
                    co_return n;
                });
            }},
        {"a race",
            [] {
                return try_all([]() -> task<int> {
                    auto won = co_await muster::race(value_after(1ms, 1), value_after(2ms, 2));
                    co_return won.value();
                });
            }},
        {"a map with a limit",
            [] {
                return try_all([]() -> task<int> {
                    std::vector<int> input{1, 2, 3, 4};
                    auto f = [](int i) { return value_after(1ms, i); };
                    auto values = co_await muster::map(input, f).limit(2);
                    co_return static_cast<int>(values.size());
                });
            }},
        {"a generator",
            [] {
                return try_all([]() -> task<int> {
                    auto counts = []() -> muster::generator<int> {
                        co_yield 1;
                        co_await muster::sleep_for(1ms);
                        co_yield 2;
                    };
                    auto all_of_them = counts();
                    int sum = 0;
                    while (true) {
                        auto v = co_await all_of_them.next();
                        if (!v)
                            break;
                        sum += *v;
                    }
                    co_return sum;
                });
            }},
        {"calls on a thread",
            [] {
                return try_all([]() -> task<int> {
                    auto v = co_await muster::to_thread([] { return 1; });
                    co_await muster::sleep_for(1ms);
                    co_return v;
                });
            }},
        // ---- of several kinds ----
        {"two locks in one order",
            [] {
                return try_all([]() -> task<> {
                    muster::mutex a;
                    muster::mutex b;
                    auto both = [](muster::mutex& first, muster::mutex& second) -> task<> {
                        auto one = co_await first.scoped_lock();
                        co_await muster::sleep_for(1ms);
                        auto other = co_await second.scoped_lock();
                    };
                    co_await muster::gather(both(a, b), both(a, b));
                });
            }},
        {"an outcome that is thrown on",
            [] {
                return try_all([]() -> task<> {
                    auto ended = co_await muster::as_outcome(value_after(1ms, 1));
                    if (ended.failed())
                        ended.rethrow();
                    co_await muster::sleep_for(1ms);
                });
            }},
        {"as_completed to its end, in a group",
            [] {
                return try_all([]() -> task<> {
                    auto body = [](muster::task_group& group) -> task<> {
                        const std::vector<muster::task_handle<int>> several{
                            group.create_task(value_after(1ms, 1)), group.create_task(value_after(2ms, 2))};
                        auto each = muster::as_completed(several);
                        while (true) {
                            auto next = co_await each.next();
                            if (!next)
                                break;
                            auto value = co_await *next;
                            static_cast<void>(value);
                        }
                    };
                    co_await muster::with_task_group(body);
                });
            }},
        {"the first of several, and the others cancelled with their group",
            [] {
                return try_all([]() -> task<> {
                    auto body = [](muster::task_group& group) -> task<> {
                        const std::vector<muster::task_handle<int>> several{
                            group.create_task(value_after(1ms, 1)), group.create_task(value_after(50ms, 2))};
                        auto first = co_await muster::wait(several, muster::wait_until::first_completed);
                        static_cast<void>(first);
                        group.cancel();
                    };
                    co_await muster::with_task_group(body);
                });
            }},
        {"time limits inside each other",
            [] {
                return try_all([]() -> task<> {
                    auto inner = []() -> task<int> {
                        auto value = co_await muster::wait_for(value_after(1ms, 1), 3ms);
                        co_return value;
                    };
                    auto value = co_await muster::wait_for(inner(), 10ms);
                    static_cast<void>(value);
                });
            }},
        {"a bounded semaphore for a scope",
            [] {
                muster::bounded_semaphore s(1);
                return try_all([&s]() -> task<> {
                    co_await muster::gather(takes_a_permit_for_its_scope(s), takes_a_permit_for_its_scope(s));
                });
            }},
        {"a queue that is shut down",
            [] {
                return try_all([]() -> task<> {
                    muster::queue<int> q(1);
                    auto produce = [](muster::queue<int>& to) -> task<> {
                        for (int i = 0; i != 3; ++i)
                            co_await to.put(i);
                        to.shutdown();
                    };
                    auto consume = [](muster::queue<int>& from) -> task<> {
                        try {
                            while (true) {
                                auto item = co_await from.get();
                                static_cast<void>(item);
                            }
                        } catch (const muster::queue_shut_down&) {
                            co_return;
                        }
                    };
                    co_await muster::gather(produce(q), consume(q));
                });
            }},
        {"a sink that throws what it is given",
            [] {
                return try_all([]() -> task<> {
                    const std::vector<int> input{1, 2, 3};
                    auto child = [](int i) { return value_after(1ms, i); };
                    auto sink = [](std::size_t, muster::outcome<int>&& o) {
                        if (o.failed())
                            o.rethrow();
                    };
                    auto several = co_await muster::map(input, child).limit(2).for_each(sink);
                    static_cast<void>(several);
                });
            }},
        {"retries",
            [] {
                return try_all([]() -> task<> {
                    const std::vector<int> input{1};
                    auto child = [](int i) { return value_after(1ms, i); };
                    auto several = co_await muster::map(input, child).retry(2);
                    static_cast<void>(several);
                });
            }},
        {"a race of time limits",
            [] {
                return try_all([]() -> task<int> {
                    auto won = co_await muster::race(muster::wait_for(value_after(1ms, 1), 5ms), value_after(2ms, 2));
                    co_return won.value();
                });
            }},
        {"a failure that a settle gives and that is looked at",
            [] {
                return try_all([]() -> task<> {
                    auto several = co_await muster::settle(fail_after(1ms), value_after(1ms, 1));
                    if (std::get<0>(several).failed())
                        static_cast<void>(std::get<0>(several).error());
                    if (std::get<1>(several).failed())
                        std::get<1>(several).rethrow();
                });
            }},
        {"a stretch that is held, and a wait after it",
            [] {
                return try_all([]() -> task<> {
                    co_await muster::hold_cancellation(nothing_after(1ms));
                    co_await muster::sleep_for(1ms);
                });
            }},
        {"a rate",
            [] {
                return try_all([]() -> task<> {
                    const std::vector<int> input{1, 2, 3};
                    auto child = [](int i) { return value_after(1ms, i); };
                    auto several = co_await muster::map(input, child).rate(1, 2ms);
                    static_cast<void>(several);
                });
            }},
        {"a time limit that strikes, and goes on",
            [] {
                return try_all([]() -> task<> {
                    muster::timeout_scope scope(1ms);
                    auto body = [] { return nothing_after(5ms); };
                    try {
                        co_await scope.run(body);
                    } catch (const muster::timeout_error&) {
                        EXPECT_TRUE(scope.expired());
                    }
                    co_await muster::sleep_for(1ms);
                });
            }},
        {"a group that ends itself",
            [] {
                return try_all([]() -> task<> {
                    auto body = [](muster::task_group& group) -> task<> {
                        group.create_task(nothing_after(50ms));
                        co_await muster::sleep_for(1ms);
                        group.cancel();
                    };
                    co_await muster::with_task_group(body);
                });
            }},
        {"a cancellation that becomes an error, which is meant",
            [] {
                return try_all(
                    []() -> task<> {
                        bool interrupted = false;
                        try {
                            co_await muster::sleep_for(1ms);
                        } catch (const muster::cancelled_error&) {
                            interrupted = true;
                        }
                        if (interrupted)
                            throw std::runtime_error("half of it was written");
                    },
                    fault_options().may_end_with_an_error());
            }},
        {"a failure that comes while it is cancelled, and is dealt with",
            [] {
                return try_all([]() -> task<> {
                    try {
                        co_await muster::gather(fail_after(1ms), tidy_up(10ms, 3ms));
                    } catch (const std::runtime_error&) {}
                    co_await muster::sleep_for(1ms);
                });
            }},
        {"a lock that is handed to a child",
            [] {
                return try_all([]() -> task<> {
                    muster::mutex m;
                    auto writes = [](muster::mutex::guard) -> task<> { co_await muster::sleep_for(1ms); };
                    auto guard = co_await m.scoped_lock();
                    auto h = muster::create_task(writes(std::move(guard)));
                    co_await h;
                    auto again = co_await m.scoped_lock();
                });
            }},
        {"a permit that is handed to a child",
            [] {
                return try_all([]() -> task<> {
                    muster::semaphore s(1);
                    auto works = [](muster::semaphore::permit) -> task<> { co_await muster::sleep_for(1ms); };
                    auto body = [&](muster::task_group& group) -> task<> {
                        for (int i = 0; i != 3; ++i) {
                            auto permit = co_await s.scoped_acquire();
                            group.create_task(works(std::move(permit)));
                        }
                    };
                    co_await muster::with_task_group(body);
                });
            }},
        {"a shielded task that has tasks of its own",
            [] {
                return try_all([]() -> task<> {
                    auto saves = []() -> task<> {
                        auto body = [](muster::task_group& group) -> task<> {
                            group.create_task(nothing_after(2ms));
                            group.create_task(nothing_after(3ms));
                            co_await muster::sleep_for(1ms);
                        };
                        co_await muster::with_task_group(body);
                    };
                    auto saved = muster::create_task(saves());
                    co_await muster::shield(saved);
                });
            }},
        {"two shields, one after the other",
            [] {
                return try_all([]() -> task<> {
                    auto save = [](std::chrono::milliseconds d) -> task<> {
                        auto saved = muster::create_task(nothing_after(d));
                        co_await muster::shield(saved);
                    };
                    co_await save(1ms);
                    co_await save(2ms);
                });
            }},
        {"two conditions that share a mutex",
            [] {
                return try_all([]() -> task<> {
                    muster::mutex m;
                    muster::condition not_empty(m);
                    muster::condition not_full(m);
                    std::vector<int> box;
                    auto gives = [&]() -> task<> {
                        for (int i = 0; i != 2; ++i) {
                            auto guard = co_await not_full.scoped_lock();
                            const auto has_room = [&box] { return box.empty(); };
                            auto ready = co_await not_full.wait(has_room);
                            static_cast<void>(ready);
                            box.push_back(i);
                            not_empty.notify();
                        }
                    };
                    auto takes = [&]() -> task<> {
                        for (int i = 0; i != 2; ++i) {
                            auto guard = co_await not_empty.scoped_lock();
                            const auto has_one = [&box] { return !box.empty(); };
                            auto ready = co_await not_empty.wait(has_one);
                            static_cast<void>(ready);
                            box.clear();
                            not_full.notify();
                        }
                    };
                    auto body = [&](muster::task_group& group) -> task<> {
                        group.create_task(gives());
                        group.create_task(takes());
                        co_return;
                    };
                    co_await muster::with_task_group(body);
                });
            }},
        {"a producer whose clean-up shuts the queue down",
            [] {
                return cancelled([]() -> task<> {
                    muster::queue<int> q(1);
                    auto produces = [&q]() -> task<> {
                        auto body = [&q]() -> task<> {
                            for (int i = 0; i != 3; ++i)
                                co_await q.put(i);
                        };
                        auto close = [&q]() -> task<> {
                            q.shutdown();
                            co_return;
                        };
                        co_await muster::with_cleanup(body, close);
                    };
                    auto consumes = [&q]() -> task<> {
                        while (true) {
                            auto next = co_await q.next();
                            if (!next)
                                break;
                            co_await muster::sleep_for(1ms);
                        }
                    };
                    auto body = [&](muster::task_group& group) -> task<> {
                        group.create_task(produces());
                        group.create_task(consumes());
                        co_return;
                    };
                    co_await muster::with_task_group(body);
                });
            }},
        {"a mutex that is unlocked, and locked again",
            [] {
                return try_all([]() -> task<> {
                    muster::mutex m;
                    auto works = [&m]() -> task<> {
                        auto guard = co_await m.scoped_lock();
                        guard.unlock();
                        co_await muster::sleep_for(1ms);
                        guard = co_await m.scoped_lock();
                    };
                    co_await muster::gather(works(), works());
                });
            }},
        {"a race inside a race, with locks",
            [] {
                return try_all([]() -> task<> {
                    muster::mutex m;
                    auto locked = [&m](std::chrono::milliseconds d) -> task<> {
                        auto guard = co_await m.scoped_lock();
                        co_await muster::sleep_for(d);
                    };
                    auto inner = [&]() -> task<> {
                        auto first = co_await muster::race(locked(1ms), locked(2ms));
                        static_cast<void>(first);
                    };
                    auto first = co_await muster::race(inner(), nothing_after(5ms));
                    static_cast<void>(first);
                    auto guard = co_await m.scoped_lock();
                });
            }},
        {"an outcome that is looked at, and a cancellation that comes next",
            [] {
                return try_all([]() -> task<> {
                    auto ended = co_await muster::as_outcome(nothing_after(1ms));
                    if (ended.succeeded())
                        co_await muster::sleep_for(1ms);
                });
            }},
    };
    return all;
}

TEST(clean_bodies, are_all_clean) {
    std::size_t clean = 0;
    for (const auto& c : correct()) {
        const auto v = c.run();
        EXPECT_FALSE(v.found) << c.name << ": " << v.text;
        clean += v.found ? 0U : 1U;
    }
    std::printf("%zu of %zu correct bodies clean\n", clean, correct().size());
    EXPECT_GE(correct().size(), 30U);
}

} // namespace
