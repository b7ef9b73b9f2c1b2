// SPDX-License-Identifier: MIT
// The fault drivers' own test, one half: bodies with a bug in them, each of which has to be a finding. Every kind of
// bug is planted in more than one form. clean_bodies_test.cpp has the other half, the same bodies done right.
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
using muster::testing::fail_at_each_point;
using muster::testing::fault_options;
using muster::testing::try_all;
using muster::testing::verdict;

// ---- permits ----

task<> takes_a_permit_and_forgets_it_when_cancelled(muster::semaphore& s) {
    co_await s.acquire();
    co_await muster::sleep_for(1ms);
    s.release();
}
task<> takes_a_permit_for_its_scope(muster::semaphore& s) {
    auto permit = co_await s.scoped_acquire();
    co_await muster::sleep_for(1ms);
}

// ---- locks ----

task<> locks_and_forgets_it_when_cancelled(muster::mutex& m) {
    co_await m.lock();
    co_await muster::sleep_for(1ms);
    m.unlock();
}
task<> locks_for_its_scope(muster::mutex& m) {
    auto guard = co_await m.scoped_lock();
    co_await muster::sleep_for(1ms);
}

// ---- cancellation ----

task<> swallows_everything() {
    try {
        co_await muster::sleep_for(1ms);
    } catch (...) { // NOLINT: the bug
    }
}

const std::vector<body_case>& planted() {
    static const std::vector<body_case> all{
        // ---- a permit that is not given back ----
        {"a permit of a semaphore outside",
            [] {
                muster::semaphore s(1);
                return cancelled([&s]() -> task<> { co_await takes_a_permit_and_forgets_it_when_cancelled(s); });
            },
            "a permit of a semaphore was not given back"},
        {"a permit of a semaphore of the body's own",
            [] {
                return cancelled([]() -> task<> {
                    muster::semaphore s(2);
                    co_await takes_a_permit_and_forgets_it_when_cancelled(s);
                });
            },
            "a permit of a semaphore was not given back"},
        {"a permit that one of three children forgets",
            [] {
                return cancelled([]() -> task<> {
                    muster::semaphore s(2);
                    co_await muster::gather(takes_a_permit_for_its_scope(s), takes_a_permit_for_its_scope(s),
                        takes_a_permit_and_forgets_it_when_cancelled(s));
                });
            },
            "a permit of a semaphore was not given back"},
        {"a permit that is never given back at all",
            [] {
                return cancelled([]() -> task<> {
                    muster::semaphore s(1);
                    co_await s.acquire();
                    co_await muster::sleep_for(1ms);
                });
            },
            "undisturbed: a permit"},
        {"a permit that is lost when a wait fails",
            [] {
                return try_all([]() -> task<> {
                    muster::semaphore s(3);
                    co_await s.acquire();
                    auto ended = co_await muster::as_outcome(nothing_after(1ms));
                    if (ended.succeeded())
                        s.release();
                    if (!ended.succeeded())
                        ended.rethrow();
                });
            },
            "a permit of a semaphore was not given back"},
        {"a permit that is given back twice when cancelled",
            [] {
                return cancelled([]() -> task<> {
                    muster::semaphore s(1);
                    bool over = false;
                    auto permit = co_await s.scoped_acquire();
                    try {
                        co_await muster::sleep_for(1ms);
                        over = true;
                    } catch (const muster::cancelled_error&) {
                        s.release();
                        throw;
                    }
                    EXPECT_TRUE(over);
                });
            },
            "given back that was not taken"},
        {"a permit of a bounded semaphore",
            [] {
                muster::bounded_semaphore s(2);
                return cancelled([&s]() -> task<> {
                    co_await s.acquire();
                    co_await muster::sleep_for(1ms);
                    s.release();
                });
            },
            "a permit of a semaphore was not given back"},
        // ---- a lock that stays held ----
        {"a mutex outside",
            [] {
                muster::mutex m;
                return cancelled([&m]() -> task<> { co_await locks_and_forgets_it_when_cancelled(m); });
            },
            "a mutex was left locked"},
        {"a mutex of the body's own",
            [] {
                return cancelled([]() -> task<> {
                    muster::mutex m;
                    co_await locks_and_forgets_it_when_cancelled(m);
                });
            },
            "a mutex was destroyed while it was locked"},
        {"a mutex that one of two children forgets",
            [] {
                muster::mutex m;
                return cancelled([&m]() -> task<> {
                    co_await muster::gather(locks_for_its_scope(m), locks_and_forgets_it_when_cancelled(m));
                });
            },
            "a mutex was left locked"},
        {"a mutex that is never unlocked",
            [] {
                muster::mutex m;
                return cancelled([&m]() -> task<> {
                    co_await m.lock();
                    co_await muster::sleep_for(1ms);
                });
            },
            "undisturbed: a mutex was left locked"},
        {"a mutex that stays locked when a wait fails",
            [] {
                return try_all([]() -> task<> {
                    muster::mutex m;
                    co_await m.lock();
                    try {
                        co_await muster::sleep_for(1ms);
                        m.unlock();
                    } catch (const muster::cancelled_error&) {
                        m.unlock();
                        throw;
                    }
                });
            },
            "a mutex was destroyed while it was locked"},
        {"the mutex of a condition",
            [] {
                muster::condition c;
                return cancelled([&c]() -> task<> {
                    co_await c.lock();
                    co_await muster::sleep_for(1ms);
                    c.unlock();
                });
            },
            "a mutex was left locked"},
        // ---- a cancellation that is swallowed ----
        {"catch (...) around a wait", [] { return cancelled([]() -> task<> { co_await swallows_everything(); }); },
            "swallowed the cancellation"},
        {"a cancellation that is caught as itself",
            [] {
                return cancelled([]() -> task<int> {
                    int n = 0;
                    try {
                        co_await muster::sleep_for(1ms);
                        n = 1;
                    } catch (const muster::cancelled_error&) {
                        n = 2;
                    }
                    co_return n;
                });
            },
            "swallowed the cancellation"},
        {"a cancellation that is swallowed and then waited on",
            [] {
                return cancelled([]() -> task<> {
                    co_await swallows_everything();
                    co_await muster::sleep_for(1ms);
                });
            },
            "swallowed the cancellation"},
        {"a child of a gather that swallows",
            [] {
                return cancelled(
                    []() -> task<> { co_await muster::gather(swallows_everything(), nothing_after(2ms)); });
            },
            "swallowed the cancellation"},
        {"a task of a group that swallows",
            [] {
                return cancelled([]() -> task<> {
                    auto body = [](muster::task_group& group) -> task<> {
                        group.create_task(swallows_everything());
                        co_await muster::sleep_for(2ms);
                    };
                    co_await muster::with_task_group(muster::take(body));
                });
            },
            "swallowed the cancellation"},
        {"a retry loop that takes a cancellation for a failure",
            [] {
                return cancelled([]() -> task<> {
                    for (int i = 0; i != 3; ++i) {
                        try {
                            co_await muster::sleep_for(1ms);
                            break;
                        } catch (...) { // NOLINT: the bug
                        }
                    }
                });
            },
            "swallowed the cancellation"},
        {"a body that waits for ever once its cancellation was swallowed",
            [] {
                muster::event go;
                return cancelled([&go]() -> task<> {
                    try {
                        co_await muster::sleep_for(1ms);
                    } catch (const muster::cancelled_error&) {
                        go.clear();
                    }
                    auto other = muster::create_task([](muster::event& e) -> task<> {
                        e.set();
                        co_return;
                    }(go));
                    co_await muster::hold_cancellation(nothing_after(1ms));
                    co_await std::move(other);
                });
            }},
        // ---- a stray child ----
        {"a task that nobody awaits",
            [] {
                return cancelled([]() -> task<> {
                    auto stray = muster::create_task(nothing_after(5ms));
                    co_await muster::sleep_for(1ms);
                });
            },
            "a task still ran when the body had ended"},
        {"a gather that is started and never awaited",
            [] {
                return cancelled([]() -> task<> {
                    auto both = muster::gather(nothing_after(5ms), nothing_after(6ms)).start();
                    co_await muster::sleep_for(1ms);
                });
            }},
        {"a task that is awaited only where nothing goes wrong",
            [] {
                return cancelled([]() -> task<> {
                    auto other = muster::create_task(nothing_after(3ms));
                    co_await muster::sleep_for(1ms);
                    co_await std::move(other);
                });
            },
            "a task still ran when the body had ended"},
        {"a task that a child leaves behind",
            [] {
                return cancelled([]() -> task<> {
                    auto starts = []() -> task<> {
                        auto stray = muster::create_task(nothing_after(9ms), "the stray");
                        co_await muster::sleep_for(1ms);
                    };
                    co_await muster::gather(starts(), nothing_after(2ms));
                });
            },
            "the stray"},
        // ---- task_done() that is missing ----
        {"task_done missing when the worker is cancelled",
            [] {
                muster::queue<int> q;
                return cancelled([&q]() -> task<> {
                    co_await q.put(1);
                    auto item = co_await q.get();
                    static_cast<void>(item);
                    co_await muster::sleep_for(1ms);
                    q.task_done();
                });
            },
            "task_done() was not called"},
        {"task_done missing in a queue of the body's own",
            [] {
                return cancelled([]() -> task<> {
                    muster::queue<int> q;
                    co_await q.put(1);
                    auto works = [&q]() -> task<> {
                        auto item = co_await q.get();
                        static_cast<void>(item);
                        co_await muster::sleep_for(1ms);
                        q.task_done();
                    };
                    auto waits = [&q]() -> task<> { co_await q.join(); };
                    co_await muster::gather(works(), waits());
                });
            },
            "task_done() was not called"},
        {"task_done missing for every second item",
            [] {
                return cancelled([]() -> task<> {
                    muster::queue<int> q;
                    for (int i = 0; i != 4; ++i)
                        co_await q.put(i);
                    for (int i = 0; i != 4; ++i) {
                        auto item = co_await q.get();
                        co_await muster::sleep_for(1ms);
                        if (item % 2 == 0)
                            q.task_done();
                    }
                });
            },
            "undisturbed: task_done() was not called for 2 items"},
        {"task_done missing altogether, and joined",
            [] {
                return cancelled([]() -> task<> {
                    muster::queue<int> q;
                    co_await q.put(1);
                    auto item = co_await q.get();
                    static_cast<void>(item);
                    co_await q.join();
                });
            },
            "it waits for ever"},
        {"an item that is left in a queue outside",
            [] {
                muster::queue<int> q;
                return cancelled([&q]() -> task<> {
                    q.put_nowait(1);
                    co_await muster::sleep_for(1ms);
                    static_cast<void>(q.get_nowait());
                });
            },
            "was left with 1 items instead of 0"},
        // ---- bodies that try nothing ----
        {"a body that throws before anything is disturbed",
            [] {
                return cancelled([]() -> task<> {
                    throw std::runtime_error("no such account");
                    co_await muster::sleep_for(1ms);
                });
            },
            "it fails: std::runtime_error: no such account"},
        {"a body that fails after a wait",
            [] {
                return cancelled([]() -> task<> {
                    co_await muster::sleep_for(1ms);
                    throw std::runtime_error("wrong sum");
                });
            },
            "it fails: std::runtime_error: wrong sum"},
        {"a body with no point", [] { return cancelled([]() -> task<> { co_return; }); }, "nothing was tried"},
        {"a body with no point but its own frame",
            [] {
                const auto r = fail_at_each_point([]() -> task<> { co_return; });
                return r.clean() ? verdict{} : verdict{true, r.findings.front()};
            },
            "nothing was tried"},
        {"a body that waits for ever by itself",
            [] {
                return cancelled([]() -> task<> {
                    muster::event never;
                    co_await never.wait();
                });
            },
            "it waits for ever: deadlock"},
        {"a promise that nobody keeps",
            [] {
                return cancelled([]() -> task<> {
                    auto [kept, reply] = muster::make_promise<int>();
                    auto value = co_await reply;
                    static_cast<void>(value);
                });
            },
            "it waits for ever"},
        {"a queue that nobody puts into",
            [] {
                return cancelled([]() -> task<> {
                    muster::queue<int> q;
                    auto item = co_await q.get();
                    static_cast<void>(item);
                });
            },
            "it waits for ever"},
        {"a condition that goes before the task that waits for it",
            [] {
                return cancelled(
                    []() -> task<> {
                        auto waits = [](muster::condition& c) -> task<> {
                            auto guard = co_await c.scoped_lock();
                            co_await c.wait();
                        };
                        muster::condition c;
                        auto other = muster::create_task(waits(c));
                        co_await muster::sleep_for(1ms);
                        auto guard = co_await c.scoped_lock();
                        c.notify_all();
                        guard.unlock();
                        co_await std::move(other);
                    },
                    fault_options().may_leave_tasks());
            },
            "a condition was destroyed while a task waited for it"},
        {"two children that wait for each other",
            [] {
                return cancelled([]() -> task<> {
                    muster::event a;
                    muster::event b;
                    auto waits = [](muster::event& first, muster::event& then) -> task<> {
                        co_await first.wait();
                        then.set();
                    };
                    co_await muster::gather(waits(a, b), waits(b, a));
                });
            },
            "it waits for ever"},
        {"a body without an end",
            [] {
                return cancelled(
                    []() -> task<> {
                        while (true)
                            co_await muster::sleep_for(1ms);
                    },
                    fault_options().at_most(100));
            },
            "it has no end"},
        // ---- a primitive that is destroyed in use ----
        {"an event that goes before the task that waits for it",
            [] {
                return cancelled(
                    []() -> task<> {
                        auto waits = [](muster::event& e) -> task<> { co_await e.wait(); };
                        muster::event e;
                        auto other = muster::create_task(waits(e));
                        co_await muster::sleep_for(1ms);
                    },
                    fault_options().may_leave_tasks());
            },
            "an event was destroyed while a task waited for it"},
        {"a semaphore that goes before the task that waits for it",
            [] {
                return cancelled(
                    []() -> task<> {
                        auto waits = [](muster::semaphore& s) -> task<> { auto permit = co_await s.scoped_acquire(); };
                        muster::semaphore s(0);
                        auto other = muster::create_task(waits(s));
                        co_await muster::sleep_for(1ms);
                        s.release();
                        co_await std::move(other);
                    },
                    fault_options().may_leave_tasks());
            },
            "a semaphore was destroyed while a task waited for it"},
        {"a queue that goes before the task that waits for it",
            [] {
                return cancelled(
                    []() -> task<> {
                        auto waits = [](muster::queue<int>& q) -> task<> {
                            auto item = co_await q.get();
                            static_cast<void>(item);
                        };
                        muster::queue<int> q;
                        auto other = muster::create_task(waits(q));
                        co_await muster::sleep_for(1ms);
                        co_await q.put(1);
                        co_await std::move(other);
                    },
                    fault_options().may_leave_tasks());
            },
            "a queue was destroyed while a task waited for it"},
        // ---- what an earlier run left behind ----
        {"a flag that is set in the first run",
            [] {
                bool was_here = false;
                return cancelled([&was_here]() -> task<> {
                    if (!was_here)
                        co_await muster::sleep_for(1ms);
                    was_here = true;
                    co_await muster::sleep_for(1ms);
                });
            },
            "an earlier run has left something behind"},
        {"an event outside that stays set",
            [] {
                muster::event ready;
                return cancelled([&ready]() -> task<> {
                    auto sets = [](muster::event& e) -> task<> {
                        co_await muster::sleep_for(1ms);
                        e.set();
                    };
                    auto waits = [](muster::event& e) -> task<> { co_await e.wait(); };
                    co_await muster::gather(sets(ready), waits(ready));
                });
            },
            "an earlier run has left something behind"},
        {"an event outside that a cancellation leaves set",
            [] {
                muster::event busy;
                return cancelled([&busy]() -> task<> {
                    busy.set();
                    co_await muster::sleep_for(1ms);
                    busy.clear();
                });
            },
            "an event that outlives the run was left set"},
        {"a queue outside that grows with each run",
            [] {
                muster::queue<int> results;
                return cancelled([&results]() -> task<> {
                    co_await muster::sleep_for(1ms);
                    co_await results.put(1);
                });
            },
            "a queue that outlives the run holds"},
        {"a pause that grows with each run",
            [] {
                int runs = 0;
                return cancelled([&runs]() -> task<> { co_await muster::sleep_for(milliseconds(++runs)); });
            },
            "took another time"},
        {"a counter that a cancellation leaves too high",
            [] {
                int inside = 0;
                return cancelled([&inside]() -> task<> {
                    ++inside;
                    if (inside > 1)
                        throw std::logic_error("two are inside");
                    co_await muster::sleep_for(1ms);
                    --inside;
                });
            },
            "an earlier run has left something behind"},
        // ---- of several kinds ----
        {"a permit that is moved to a place that lives longer",
            [] {
                muster::semaphore s(5);
                std::optional<muster::semaphore::permit> kept;
                return cancelled([&]() -> task<> {
                    auto permit = co_await s.scoped_acquire();
                    co_await muster::sleep_for(1ms);
                    kept.emplace(std::move(permit));
                });
            },
            "was not given back"},
        {"a barrier for one more than there are",
            [] {
                return cancelled([]() -> task<> {
                    muster::barrier b(3);
                    auto arrive = [](muster::barrier& at) -> task<> {
                        auto place = co_await at.wait();
                        static_cast<void>(place);
                    };
                    co_await muster::gather(arrive(b), arrive(b));
                });
            },
            "waits for ever"},
        {"a task that is started because of a cancellation",
            [] {
                return cancelled([]() -> task<> {
                    std::exception_ptr own;
                    try {
                        co_await muster::sleep_for(1ms);
                    } catch (const muster::cancelled_error&) {
                        own = std::current_exception();
                    }
                    if (own) {
                        muster::create_task(nothing_after(50ms));
                        std::rethrow_exception(own);
                    }
                });
            },
            "still ran"},
        {"a cancellation that is taken back by uncancel",
            [] {
                return cancelled([]() -> task<> {
                    try {
                        co_await muster::sleep_for(1ms);
                    } catch (const muster::cancelled_error&) {
                        static_cast<void>(muster::this_task::uncancel());
                    }
                    co_await muster::sleep_for(1ms);
                });
            },
            "swallowed"},
        {"a cancellation of a handle that becomes a value",
            [] {
                return cancelled([]() -> task<int> {
                    auto h = muster::create_task(value_after(1ms, 1));
                    int result = 0;
                    try {
                        result = co_await h;
                    } catch (const muster::cancelled_error&) {
                        result = -1;
                    }
                    co_return result;
                });
            },
            "swallowed"},
        {"a child of a settle that swallows",
            [] {
                return cancelled([]() -> task<> {
                    auto several = co_await muster::settle(swallows_everything(), value_after(1ms, 1));
                    static_cast<void>(several);
                });
            },
            "swallowed"},
        {"a permit of a map's child that failed",
            [] {
                muster::semaphore s(3);
                return try_all([&]() -> task<> {
                    const std::vector<int> input{1, 2};
                    auto child = [&s](int i) -> task<int> {
                        co_await s.acquire();
                        co_await muster::sleep_for(1ms);
                        s.release();
                        co_return i;
                    };
                    auto values = co_await muster::map(input, child);
                    static_cast<void>(values);
                });
            },
            "was not given back"},
        {"a future that is not set when its maker fails",
            [] {
                return try_all([]() -> task<> {
                    muster::future<int> later;
                    auto make = [](muster::future<int> to) -> task<> {
                        try {
                            co_await muster::sleep_for(1ms);
                        } catch (const std::exception&) {
                            co_return;
                        }
                        to.set_result(1);
                    };
                    auto body = [&](muster::task_group& group) -> task<> {
                        group.create_task(make(later));
                        auto value = co_await later;
                        static_cast<void>(value);
                    };
                    co_await muster::with_task_group(body);
                });
            }},
        {"two locks in two orders",
            [] {
                return cancelled([]() -> task<> {
                    muster::mutex a;
                    muster::mutex b;
                    auto both = [](muster::mutex& first, muster::mutex& second) -> task<> {
                        auto one = co_await first.scoped_lock();
                        co_await muster::sleep_for(1ms);
                        auto other = co_await second.scoped_lock();
                    };
                    co_await muster::gather(both(a, b), both(b, a));
                });
            },
            "waits for ever"},
        {"a lock that a helper takes and its caller gives back",
            [] {
                muster::mutex m;
                return cancelled([&m]() -> task<> {
                    auto take_it = [](muster::mutex& it) -> task<> {
                        co_await it.lock();
                        co_await muster::sleep_for(1ms);
                    };
                    co_await take_it(m);
                    m.unlock();
                });
            },
            "was left locked"},
        {"a notification before the wait for it",
            [] {
                return cancelled([]() -> task<> {
                    muster::condition changed;
                    auto guard = co_await changed.scoped_lock();
                    changed.notify_all();
                    co_await changed.wait();
                });
            },
            "waits for ever"},
        {"the first of several, and the others forgotten",
            [] {
                return cancelled([]() -> task<> {
                    const std::vector<muster::task_handle<int>> several{
                        muster::create_task(value_after(1ms, 1)), muster::create_task(value_after(50ms, 2))};
                    auto first = co_await muster::wait(several, muster::wait_until::first_completed);
                    static_cast<void>(first);
                });
            },
            "still ran"},
        {"as_completed that is left half way",
            [] {
                return cancelled([]() -> task<> {
                    const std::vector<muster::task_handle<int>> several{
                        muster::create_task(value_after(1ms, 1)), muster::create_task(value_after(50ms, 2))};
                    auto each = muster::as_completed(several);
                    auto first = co_await each.next();
                    static_cast<void>(first);
                });
            },
            "still ran"},
        {"task_done once too often",
            [] {
                return cancelled([]() -> task<> {
                    muster::queue<int> q;
                    q.put_nowait(1);
                    auto item = co_await q.get();
                    static_cast<void>(item);
                    q.task_done();
                    co_await muster::sleep_for(1ms);
                    q.task_done();
                });
            },
            "it fails"},
        {"an item that waits in a queue for who was cancelled",
            [] {
                muster::queue<int> q(1);
                return cancelled([&q]() -> task<> {
                    co_await q.put(1);
                    co_await muster::sleep_for(1ms);
                    auto item = co_await q.get();
                    static_cast<void>(item);
                });
            },
            "was left with 1 items"},
        // ---- an error in place of the cancellation ----
        {"a cancellation that becomes an error",
            [] {
                return cancelled([]() -> task<> {
                    try {
                        co_await muster::sleep_for(1ms);
                    } catch (const muster::cancelled_error&) {
                        throw std::runtime_error("the transfer was interrupted");
                    }
                });
            },
            "ended with an error instead"},
        {"a child that wraps all that it catches",
            [] {
                return cancelled([]() -> task<> {
                    auto wraps = []() -> task<> {
                        try {
                            co_await muster::sleep_for(1ms);
                        } catch (...) {
                            throw std::runtime_error("loading failed");
                        }
                    };
                    co_await muster::gather(nothing_after(2ms), wraps());
                });
            },
            "ended with an error instead"},
        {"a task of a group that gives its cancellation another type",
            [] {
                return cancelled([]() -> task<> {
                    auto waits = []() -> task<> {
                        try {
                            co_await muster::sleep_for(1ms);
                        } catch (const muster::cancelled_error&) {
                            throw muster::timeout_error();
                        }
                    };
                    auto body = [&waits](muster::task_group& group) -> task<> {
                        group.create_task(waits());
                        co_return;
                    };
                    co_await muster::with_task_group(body);
                });
            },
            "ended with an error instead"},
        {"a clean-up that fails when there is nothing to clean",
            [] {
                return cancelled([]() -> task<> {
                    bool opened = false;
                    auto body = [&opened]() -> task<> {
                        co_await muster::sleep_for(1ms);
                        opened = true;
                    };
                    auto close = [&opened]() -> task<> {
                        if (!opened)
                            throw std::logic_error("closed what was never open");
                        co_return;
                    };
                    co_await muster::with_cleanup(body, close);
                });
            },
            "ended with an error instead"},
        // ---- the same kinds in other forms ----
        {"a mutex that was tried for, and forgotten when cancelled",
            [] {
                muster::mutex m;
                return cancelled([&m]() -> task<> {
                    if (m.try_lock()) {
                        co_await muster::sleep_for(1ms);
                        m.unlock();
                    }
                });
            },
            "a mutex was left locked"},
        {"a permit that was tried for, and forgotten when cancelled",
            [] {
                muster::semaphore s(2);
                return cancelled([&s]() -> task<> {
                    if (s.try_acquire()) {
                        co_await muster::sleep_for(1ms);
                        s.release();
                    }
                });
            },
            "a permit of a semaphore was not given back"},
        {"a mutex that is unlocked by a task whose wait for it was cancelled",
            [] {
                return try_all([]() -> task<> {
                    muster::mutex m;
                    auto careless = [&m]() -> task<> {
                        std::exception_ptr failure;
                        try {
                            co_await m.lock();
                            co_await muster::sleep_for(1ms);
                        } catch (...) {
                            failure = std::current_exception();
                        }
                        if (m.locked())
                            m.unlock(); // also if it is another's
                        if (failure)
                            std::rethrow_exception(failure);
                    };
                    auto holds = [&m]() -> task<> {
                        auto guard = co_await m.scoped_lock();
                        co_await muster::sleep_for(2ms);
                    };
                    co_await muster::gather(holds(), careless());
                });
            },
            "a mutex was unlocked by a task that had not locked it"},
        {"a stray task beside one that was shielded",
            [] {
                return cancelled([]() -> task<> {
                    auto saved = muster::create_task(nothing_after(1ms));
                    co_await muster::shield(saved);
                    muster::create_task(nothing_after(50ms));
                    co_await muster::sleep_for(1ms);
                });
            },
            "a task still ran when the body had ended"},
        {"a generator outside that keeps a lock where it stands",
            [] {
                static muster::mutex m;
                static std::optional<muster::generator<int>> rows;
                return cancelled([]() -> task<> {
                    auto locked_rows = [](muster::mutex& table) -> muster::generator<int> {
                        auto guard = co_await table.scoped_lock();
                        for (int i = 0; i != 3; ++i) {
                            co_await muster::sleep_for(1ms);
                            co_yield i;
                        }
                    };
                    rows.emplace(locked_rows(m));
                    while (true) {
                        auto row = co_await rows->next();
                        if (!row)
                            break;
                        co_await muster::sleep_for(1ms);
                    }
                    rows.reset();
                });
            },
            "frames were not freed"},
        {"a queue outside that a cancellation shuts down",
            [] {
                static std::optional<muster::queue<int>> jobs;
                jobs.emplace();
                return cancelled([]() -> task<> {
                    jobs->put_nowait(1);
                    std::exception_ptr cancelled;
                    try {
                        co_await muster::sleep_for(1ms);
                    } catch (const muster::cancelled_error&) {
                        cancelled = std::current_exception();
                        jobs->shutdown(true);
                    }
                    if (cancelled)
                        std::rethrow_exception(cancelled);
                    static_cast<void>(jobs->get_nowait());
                });
            }},
    };
    return all;
}

TEST(planted_bugs, are_all_found) {
    std::size_t found = 0;
    for (const auto& c : planted()) {
        const auto v = c.run();
        EXPECT_TRUE(v.found) << c.name;
        EXPECT_NE(v.text.find(c.expected), std::string::npos) << c.name << ": " << v.text;
        found += v.found ? 1U : 0U;
    }
    std::printf("%zu of %zu planted bugs found\n", found, planted().size());
    EXPECT_GE(planted().size(), 30U);
}

} // namespace
