// SPDX-License-Identifier: MIT
#include "faults/random_programs/interpreter.hpp"

#include <muster/muster.hpp>
#include <muster/testing/failure_book.hpp>
#include <muster/testing/join_audit.hpp>
#include <muster/testing/manual_loop.hpp>

#include <algorithm>
#include <chrono>
#include <exception>
#include <optional>
#include <set>
#include <stdexcept>
#include <utility>

namespace random_programs {

namespace {

using std::chrono::milliseconds;
using task = muster::task<int>;
using handle = muster::task_handle<int>;

struct planned_failure : std::runtime_error {
    explicit planned_failure(std::size_t n) : std::runtime_error("failure " + std::to_string(n)) {}
};

/// The state that the nodes of one run share.
struct world {
    muster::testing::failure_book book;
    std::vector<std::exception_ptr> thrown;
    std::vector<std::exception_ptr> superseded; ///< failures of attempts that were to be tried again
    std::vector<std::string> wrong;
    std::vector<handle> tasks;
    std::optional<muster::any_handle> main;
    int put = 0;
    int taken = 0;
    bool told = false;

    muster::mutex m;
    muster::semaphore s{2};
    muster::event e;
    muster::queue<int> q{2};
    muster::condition c{m};
    muster::barrier b{2};

    std::exception_ptr fail() {
        thrown.push_back(std::make_exception_ptr(planned_failure(thrown.size())));
        return thrown.back();
    }
    void consume(const std::exception_ptr& error) { book.delivered(error); }
    void consume(const muster::outcome_base& o) {
        if (o.failed())
            book.delivered(o.error());
    }
    template <class Ledger>
    void check_counts(const char* what, const Ledger& l, std::size_t submitted) {
        if (l.submitted() != submitted || l.succeeded() + l.failed() + l.cancelled() + l.not_started() != l.submitted())
            wrong.push_back(std::string(what) + ": " + std::to_string(l.succeeded()) + " succeeded, " +
                            std::to_string(l.failed()) + " failed, " + std::to_string(l.cancelled()) + " cancelled, " +
                            std::to_string(l.not_started()) + " not started of " + std::to_string(submitted));
    }
    /// A ledger is read, or left unread on purpose, or thrown.
    void read(const muster::outcomes_base& all, std::size_t submitted) {
        check_counts(all.name().c_str(), all, submitted);
        for (std::size_t i = 0; i != all.size(); ++i)
            consume(all.look(i));
    }
};

task make(world& w, const node& n);

muster::task<> pause(int ms) {
    if (ms < 0)
        co_await muster::yield();
    else if (ms > 0)
        co_await muster::sleep_for(milliseconds(ms));
}
milliseconds at_least_zero(int ms) { return milliseconds(std::max(ms, 0)); }
task value_after(int ms) {
    co_await pause(ms);
    co_return 1;
}
task kid(world& w, const node& n, std::size_t i) { return i < n.kids.size() ? make(w, n.kids[i]) : value_after(1); }
std::vector<task> kids(world& w, const node& n) {
    std::vector<task> all;
    for (std::size_t i = 0; i != n.kids.size(); ++i)
        all.push_back(kid(w, n, i));
    return all;
}
handle start(world& w, task t) {
    auto h = muster::create_task(std::move(t));
    w.tasks.push_back(h);
    return h;
}

// ---- leaves ----

task fail(world& w, const node& n) {
    co_await pause(n.a);
    std::rethrow_exception(w.fail());
}
task fail_quietly(world& w, const node& n) {
    co_await pause(n.a);
    auto error = w.fail();
    co_await muster::fail(std::move(error));
    co_return 0;
}
task stubborn(world&, const node& n) {
    const auto end = muster::loop_clock::now() + at_least_zero(n.a);
    while (muster::loop_clock::now() < end) {
        bool cancelled = false;
        try {
            co_await muster::sleep_until(end);
        } catch (const muster::cancelled_error&) {
            cancelled = true;
        }
        if (cancelled && n.c % 2 != 0)
            muster::this_task::uncancel();
    }
    co_return 1;
}
/// Hears nothing for an hour: if main has ended by then, it is destroyed with its loop.
task deaf(world&, const node&) {
    const auto end = muster::loop_clock::now() + std::chrono::hours(1);
    while (muster::loop_clock::now() < end) {
        try {
            co_await muster::sleep_until(end);
        } catch (const muster::cancelled_error&) {
            continue;
        }
    }
    co_return 1;
}
/// When it is cancelled it cleans up, then passes the cancellation on, fails, or gives a value.
task tidy(world& w, const node& n) {
    std::exception_ptr cancelled;
    try {
        co_await pause(n.a + 1);
    } catch (const muster::cancelled_error&) {
        cancelled = std::current_exception();
    }
    if (!cancelled)
        co_return 1;
    co_await pause(n.b % 4 - 1);
    if (n.c % 3 == 0)
        std::rethrow_exception(cancelled);
    if (n.c % 3 == 1)
        std::rethrow_exception(w.fail());
    co_return 2;
}
task raise_cancel(world&, const node& n) {
    co_await pause(n.a);
    throw muster::cancelled_error("of its own accord");
}
task cancel_self(world&, const node& n) {
    muster::this_task::cancel("by itself");
    if (n.c % 2 != 0)
        co_await pause(n.a);
    co_return 1;
}
task cancel_task(world& w, const node& n) {
    co_await pause(n.a);
    if (!w.tasks.empty())
        w.tasks[static_cast<std::size_t>(n.b) % w.tasks.size()].cancel("by another");
    co_return 1;
}
task event_set(world& w, const node& n) {
    co_await pause(n.a);
    w.e.set();
    if (n.c % 3 == 0)
        w.e.clear();
    co_return 1;
}
task event_wait(world& w, const node& n) {
    co_await muster::wait_for(w.e.wait(), milliseconds(1 + n.b % 8));
    co_return 1;
}
task put(world& w, const node& n) {
    co_await pause(n.a);
    auto putting = [](world& to, int item) -> task {
        co_await to.q.put(item);
        ++to.put;
        co_return 1;
    };
    auto v = co_await muster::wait_for(putting(w, n.b), milliseconds(1 + n.b % 8));
    co_return v;
}
task get(world& w, const node& n) {
    auto taking = [](world& from) -> task {
        auto item = co_await from.q.get();
        ++from.taken;
        from.q.task_done();
        co_return item;
    };
    auto item = co_await muster::wait_for(taking(w), milliseconds(1 + n.b % 8));
    co_return item;
}
task notify(world& w, const node& n) {
    co_await pause(n.a);
    auto lock = co_await w.m.scoped_lock();
    w.told = !w.told;
    if (n.c % 2 != 0)
        w.c.notify();
    else
        w.c.notify_all();
    co_return 1;
}
task condition_wait(world& w, const node& n) {
    auto waiting = [](world& on) -> task {
        auto lock = co_await on.m.scoped_lock();
        while (!on.told)
            co_await on.c.wait();
        co_return 1;
    };
    auto v = co_await muster::wait_for(waiting(w), milliseconds(1 + n.b % 8));
    co_return v;
}
task barrier_wait(world& w, const node& n) {
    auto place = co_await muster::wait_for(w.b.wait(), milliseconds(1 + n.b % 8));
    co_return static_cast<int>(place);
}
task future_wait(world& w, const node& n) {
    auto f = muster::make_future<int>();
    auto sets = [](world& in, muster::future<int> to, int after, int how) -> task {
        co_await pause(after);
        if (to.done())
            co_return 0;
        if (how % 3 == 0)
            to.set_exception(in.fail());
        else if (how % 3 == 1)
            to.cancel();
        else
            to.set_value(1);
        co_return 1;
    };
    start(w, sets(w, f, n.a, n.c));
    auto v = co_await muster::wait_for(f, milliseconds(1 + n.b % 8));
    co_return v;
}

// ---- around one ----

task attempt(world& w, const node& n) {
    auto child = kid(w, n, 0);
    auto ended = co_await muster::as_outcome(std::move(child));
    w.consume(ended);
    if (ended.was_cancelled() && n.c % 4 != 0)
        ended.rethrow();
    co_return 1;
}
task wait_for(world& w, const node& n) {
    if (n.c % 3 == 0) {
        auto h = start(w, kid(w, n, 0));
        auto v = co_await muster::wait_for(h, at_least_zero(n.a));
        co_return v;
    }
    auto v = co_await muster::wait_for(kid(w, n, 0), at_least_zero(n.a));
    co_return v;
}
task timeout(world& w, const node& n) {
    auto body = [&w, &n](muster::timeout_scope& scope) -> task {
        auto v = co_await kid(w, n, 0);
        if (!scope.expired() && n.c % 3 == 0)
            scope.reschedule(muster::loop_clock::now() + milliseconds(n.b % 8));
        co_await pause(n.b % 5);
        co_return v;
    };
    auto v = co_await muster::timeout(at_least_zero(n.a), muster::take(body));
    co_return v;
}
task shield(world& w, const node& n) {
    auto child = kid(w, n, 0);
    auto v = co_await muster::shield(std::move(child));
    co_return v;
}
task started_shield(world& w, const node& n) {
    auto h = start(w, kid(w, n, 0));
    auto f = muster::shield(h).start();
    co_await pause(n.a);
    if (n.c % 4 == 0)
        f.cancel();
    if (n.c % 4 == 1)
        co_return 1;
    auto v = co_await f;
    co_return v;
}
task hold(world& w, const node& n) {
    auto child = kid(w, n, 0);
    auto v = co_await muster::hold_cancellation(std::move(child));
    co_return v;
}
task spawn_await(world& w, const node& n) {
    auto h = start(w, kid(w, n, 0));
    co_await pause(n.a);
    auto v = co_await h;
    co_return v;
}
task spawn_drop(world& w, const node& n) {
    auto h = muster::create_task(kid(w, n, 0));
    if (n.c % 2 != 0)
        w.tasks.push_back(h);
    co_await pause(n.a);
    if (n.c % 5 == 0)
        h.cancel();
    co_return 1;
}
task mutex(world& w, const node& n) {
    if (n.c % 3 == 0) {
        auto lock = co_await w.m.scoped_lock();
        auto v = co_await kid(w, n, 0);
        co_return v;
    }
    auto lock = co_await muster::wait_for(w.m.scoped_lock(), milliseconds(1 + n.b % 8));
    auto v = co_await kid(w, n, 0);
    co_return v;
}
task semaphore(world& w, const node& n) {
    if (n.c % 3 == 0) {
        auto permit = co_await w.s.scoped_acquire();
        auto v = co_await kid(w, n, 0);
        co_return v;
    }
    auto permit = co_await muster::wait_for(w.s.scoped_acquire(), milliseconds(1 + n.b % 8));
    auto v = co_await kid(w, n, 0);
    co_return v;
}

// ---- around some ----

template <class Combinator>
Combinator worded(Combinator all, const node& n) {
    Combinator some = n.c / 3 == 1 ? std::move(all).depth_first() : std::move(all);
    if ((n.b & 1) != 0)
        return std::move(some).limit(static_cast<std::size_t>(1 + n.c % 3));
    if ((n.b & 2) != 0)
        return std::move(some).within(at_least_zero(n.a));
    if ((n.b & 4) != 0)
        return std::move(some).limit(2).each_within(milliseconds(1 + n.c % 4)).within(milliseconds(9));
    if ((n.b & 8) != 0)
        return std::move(some).rate(1, milliseconds(1 + n.c % 2));
    if ((n.b & 16) != 0)
        return std::move(some).stop_after_failures(static_cast<std::size_t>(1 + n.c % 3));
    return some;
}

task sequence(world& w, const node& n) {
    int sum = 0;
    for (std::size_t i = 0; i != n.kids.size(); ++i) {
        auto v = co_await kid(w, n, i);
        sum += v;
    }
    co_return sum;
}
task cleanup(world& w, const node& n) {
    auto body = [&w, &n]() { return kid(w, n, 0); };
    auto after = [&w, &n]() { return kid(w, n, 1); };
    auto v = co_await muster::with_cleanup(muster::take(body), muster::take(after));
    co_return v;
}
task gather(world& w, const node& n) {
    if (n.kids.size() == 2 && n.c % 2 == 0) {
        auto [x, y] = co_await muster::gather(kid(w, n, 0), kid(w, n, 1));
        co_return x + y;
    }
    if (n.c % 5 == 0) {
        std::vector<handle> handles;
        for (auto& t : kids(w, n))
            handles.push_back(start(w, std::move(t)));
        auto values = co_await muster::gather(handles);
        co_return static_cast<int>(values.size());
    }
    auto all = worded(muster::gather(kids(w, n)), n);
    auto values = co_await std::move(all);
    co_return static_cast<int>(values.size());
}
task finish(world& w, const node& n) {
    auto all = worded(muster::gather(kids(w, n)), n).finish_siblings();
    auto values = co_await std::move(all);
    co_return static_cast<int>(values.size());
}
task leave(world& w, const node& n) {
    std::vector<handle> handles;
    for (auto& t : kids(w, n))
        handles.push_back(start(w, std::move(t)));
    auto all = muster::gather(handles).leave_siblings();
    auto values = co_await std::move(all);
    co_return static_cast<int>(values.size());
}
task settle(world& w, const node& n) {
    auto some = worded(muster::settle(kids(w, n)), n);
    auto all = co_await std::move(some);
    if (n.c % 4 == 0) {
        w.check_counts("settle", all, n.kids.size());
        co_return 0; // unread
    }
    if (n.c % 4 == 1) {
        auto values = std::move(all).values();
        co_return static_cast<int>(values.size());
    }
    w.read(all, n.kids.size());
    co_return 1;
}
task settle_two(world& w, const node& n) {
    auto all = co_await muster::settle(kid(w, n, 0), kid(w, n, 1));
    if (n.c % 3 == 0)
        co_return 0;
    if (n.c % 3 == 1) {
        all.throw_if_any_failed();
        co_return 1;
    }
    w.read(all, 2);
    co_return 1;
}
task race(world& w, const node& n) {
    if (n.c % 3 == 0) {
        auto all = co_await muster::race(kids(w, n)).settle();
        w.read(all, n.kids.size());
        co_return 1;
    }
    auto won = co_await muster::race(kids(w, n));
    co_return won.value();
}
task quorum(world& w, const node& n) {
    auto some = worded(muster::gather(kids(w, n)), n).quorum(static_cast<std::size_t>(1 + n.c % 3));
    auto won = co_await std::move(some);
    co_return static_cast<int>(won.size());
}

std::vector<std::size_t> indices(const node& n) {
    std::vector<std::size_t> all(n.kids.size());
    for (std::size_t i = 0; i != all.size(); ++i)
        all[i] = i;
    return all;
}
auto child_maker(world& w, const node& n) {
    return [&w, &n](std::size_t i) -> task {
        if (n.c == 11 && i == 1)
            std::rethrow_exception(w.fail()); // the function throws when it is called
        return kid(w, n, i);
    };
}
template <class Map>
Map retried(Map all, world& w, const node& n) {
    auto some = std::move(all);
    if ((n.b & 96) == 0)
        return some;
    muster::retry_policy policy(static_cast<std::size_t>(1 + n.c % 2));
    policy.first_delay(milliseconds((n.b >> 5) & 3)).jitter(0.5);
    policy.when([&w](const std::exception_ptr& e) {
        w.superseded.push_back(e);
        return true;
    });
    return std::move(some).retry(policy);
}
task map(world& w, const node& n) {
    auto input = indices(n);
    auto f = child_maker(w, n);
    auto some = retried(worded(muster::map(input, f), n), w, n);
    if (n.c % 4 == 0) {
        auto values = co_await std::move(some).finish_siblings();
        co_return static_cast<int>(values.size());
    }
    auto values = co_await std::move(some);
    co_return static_cast<int>(values.size());
}
task map_settle(world& w, const node& n) {
    auto input = indices(n);
    auto f = child_maker(w, n);
    auto some = retried(worded(muster::map(input, f), n), w, n).settle();
    auto all = co_await std::move(some);
    if (n.c % 3 == 0) {
        w.check_counts("map", all, n.kids.size());
        co_return 0;
    }
    w.read(all, n.kids.size());
    co_return 1;
}
task stream(world& w, const node& n) {
    auto input = indices(n);
    auto f = child_maker(w, n);
    std::size_t streamed = 0;
    auto sink = [&w, &n, &streamed](std::size_t, muster::outcome<int>&& o) {
        ++streamed;
        w.consume(o);
        if (n.c == 10 && streamed == 2)
            std::rethrow_exception(w.fail());
    };
    auto some = retried(worded(muster::map(input, f), n), w, n).for_each(muster::take(sink));
    auto total = co_await std::move(some);
    w.check_counts("for_each", total, n.kids.size());
    if (total.succeeded() + total.failed() + total.cancelled() != streamed)
        w.wrong.push_back("for_each: the sink was called " + std::to_string(streamed) + " times");
    co_return 1;
}
/// A summary that nobody reads makes one report for all its failures.
task noted(world& w, task child) {
    auto ended = co_await muster::as_outcome(std::move(child));
    if (ended.failed())
        w.superseded.push_back(ended.error());
    auto v = std::move(ended).value();
    co_return v;
}
task summarize(world& w, const node& n) {
    auto input = indices(n);
    auto f = [&w, make_child = child_maker(w, n)](std::size_t i) {
        try {
            return noted(w, make_child(i));
        } catch (const planned_failure&) {
            w.superseded.push_back(std::current_exception());
            throw;
        }
    };
    auto some = retried(worded(muster::map(input, muster::take(f)), n), w, n).limit(2).summarize();
    auto total = co_await std::move(some);
    w.check_counts("summarize", total, n.kids.size());
    // It keeps the first few of each type: with at most five inputs the rest is few, and known to be dropped.
    std::size_t kept = 0;
    for (const auto& type : total.failures_by_type()) {
        for (const auto& example : type.examples) {
            ++kept;
            w.consume(example.error);
        }
    }
    if (kept < std::min(total.failed(), std::size_t(3)))
        w.wrong.push_back(
            "summarize: of " + std::to_string(total.failed()) + " failures " + std::to_string(kept) + " are kept");
    co_return 1;
}
task group(world& w, const node& n) {
    auto body = [&w, &n](muster::task_group& g) -> task {
        std::optional<handle> first;
        for (std::size_t i = 0; i != n.kids.size(); ++i) {
            if ((n.b & 1) != 0)
                co_await pause(n.a);
            auto h = g.create_task(kid(w, n, i));
            w.tasks.push_back(h);
            if (!first)
                first = h;
        }
        if (n.c % 6 == 0)
            std::rethrow_exception(w.fail());
        if (n.c % 6 == 1)
            g.cancel("enough");
        if (n.c % 6 == 2)
            co_await pause(n.a);
        if (n.c % 6 == 3 && first)
            co_await muster::sleep_for(milliseconds(4));
        co_return 1;
    };
    auto v = co_await muster::with_task_group(muster::take(body));
    co_return v;
}
std::vector<handle> started_kids(world& w, const node& n) {
    std::vector<handle> handles;
    for (auto& t : kids(w, n))
        handles.push_back(start(w, std::move(t)));
    if (handles.empty())
        handles.push_back(start(w, value_after(1)));
    return handles;
}
task wait(world& w, const node& n) {
    auto handles = started_kids(w, n);
    auto ended = co_await muster::wait(handles, static_cast<muster::wait_until>(n.c % 3), at_least_zero(n.a));
    if (ended.done.size() + ended.pending.size() != handles.size())
        w.wrong.push_back("wait: a handle is missing");
    for (const auto& h : ended.done)
        if (n.b % 2 == 0 && !h.cancelled())
            w.consume(h.ended_as());
    for (const auto& h : ended.pending)
        if (n.b % 3 == 0)
            h.cancel();
    co_return 1;
}
task as_completed(world& w, const node& n) {
    auto handles = started_kids(w, n);
    std::size_t given = 0;
    muster::as_completed each(handles, milliseconds(30));
    while (true) {
        auto h = co_await each.next();
        if (!h)
            break;
        ++given;
        if (!h->cancelled())
            w.consume(h->ended_as());
        co_await pause(n.a);
    }
    if (given != handles.size())
        w.wrong.push_back("as_completed: a handle is missing");
    co_return 1;
}
task started(world& w, const node& n) {
    if (n.c % 2 == 0) {
        auto f = muster::settle(kids(w, n)).start();
        co_await pause(n.a);
        if (n.c % 8 == 0)
            f.cancel();
        auto all = co_await std::move(f);
        w.read(all, n.kids.size());
        co_return 1;
    }
    auto f = n.c % 3 == 0 ? muster::gather(kids(w, n)).leave_siblings().start() : muster::gather(kids(w, n)).start();
    co_await pause(n.a);
    if (n.c % 5 == 0)
        f.cancel();
    if (n.c % 7 == 0)
        co_return 1; // dropped
    auto values = co_await std::move(f);
    co_return static_cast<int>(values.size());
}
task generator(world& w, const node& n) {
    auto values = [](world& in, const node& of) -> muster::generator<int> {
        for (std::size_t i = 0; i != of.kids.size(); ++i) {
            auto v = co_await kid(in, of, i);
            co_yield v;
        }
    };
    auto all = values(w, n);
    int sum = 0;
    while (true) {
        auto v = co_await all.next();
        if (!v || (n.c % 4 == 0 && sum > 1))
            break;
        sum += *v;
    }
    co_return sum;
}

task make(world& w, const node& n) {
    switch (n.what) {
    case op::value:
        return value_after(n.a);
    case op::fail:
        return fail(w, n);
    case op::fail_quietly:
        return fail_quietly(w, n);
    case op::stubborn:
        return stubborn(w, n);
    case op::tidy:
        return tidy(w, n);
    case op::raise_cancel:
        return raise_cancel(w, n);
    case op::cancel_self:
        return cancel_self(w, n);
    case op::cancel_task:
        return cancel_task(w, n);
    case op::deaf:
        return deaf(w, n);
    case op::event_set:
        return event_set(w, n);
    case op::event_wait:
        return event_wait(w, n);
    case op::put:
        return put(w, n);
    case op::get:
        return get(w, n);
    case op::notify:
        return notify(w, n);
    case op::condition_wait:
        return condition_wait(w, n);
    case op::barrier_wait:
        return barrier_wait(w, n);
    case op::future_wait:
        return future_wait(w, n);
    case op::attempt:
        return attempt(w, n);
    case op::wait_for:
        return wait_for(w, n);
    case op::timeout:
        return timeout(w, n);
    case op::shield:
        return shield(w, n);
    case op::started_shield:
        return started_shield(w, n);
    case op::hold:
        return hold(w, n);
    case op::spawn_await:
        return spawn_await(w, n);
    case op::spawn_drop:
        return spawn_drop(w, n);
    case op::mutex:
        return mutex(w, n);
    case op::semaphore:
        return semaphore(w, n);
    case op::sequence:
        return sequence(w, n);
    case op::cleanup:
        return cleanup(w, n);
    case op::gather:
        return gather(w, n);
    case op::finish:
        return finish(w, n);
    case op::leave:
        return leave(w, n);
    case op::settle:
        return settle(w, n);
    case op::settle_two:
        return settle_two(w, n);
    case op::race:
        return race(w, n);
    case op::quorum:
        return quorum(w, n);
    case op::map:
        return map(w, n);
    case op::map_settle:
        return map_settle(w, n);
    case op::stream:
        return stream(w, n);
    case op::summarize:
        return summarize(w, n);
    case op::group:
        return group(w, n);
    case op::wait:
        return wait(w, n);
    case op::as_completed:
        return as_completed(w, n);
    case op::started:
        return started(w, n);
    case op::generator:
        return generator(w, n);
    case op::count:
        break;
    }
    return value_after(0);
}

muster::task<> cancel_later(world& w, cancellation c) {
    co_await muster::sleep_for(milliseconds(c.at));
    if (c.target == 0)
        w.main->cancel("from outside");
    else if (static_cast<std::size_t>(c.target) <= w.tasks.size())
        w.tasks[static_cast<std::size_t>(c.target) - 1].cancel("from outside");
}

muster::task<> run_main(world& w, const program& p) {
    w.main = muster::all_tasks().front();
    for (const auto& c : p.cancels)
        muster::create_task(cancel_later(w, c));
    auto v = co_await make(w, p.root);
    static_cast<void>(v);
}

} // namespace

result run(const program& p) {
    result r;
    const auto frames = muster::testing::live_frames();
    std::size_t pending_destroyed = 0;
    std::size_t never_awaited = 0;
    {
        world w;
        const auto note = [&](const muster::report& report) {
            w.book.reported(report);
            pending_destroyed += report.kind == muster::report_kind::destroyed_pending;
            never_awaited += report.kind == muster::report_kind::never_awaited;
        };
        const auto before = muster::set_report_handler(note);
        muster::testing::join_audit audit;
        {
            muster::testing::manual_loop loop;
            loop.set_watch(&audit);
            loop.shuffle_ready(p.shuffle);
            try {
                loop.run(run_main(w, p), muster::run_options().on_report(note));
            } catch (const muster::deadlock_error&) {
                r.deadlock = true;
            } catch (...) {
                w.consume(std::current_exception());
            }
            // The handles go before the loop, or after it.
            if (p.shuffle % 3 == 0) {
                w.tasks.clear();
                w.main.reset();
            }
        }
        w.tasks.clear();
        w.main.reset();
        muster::set_report_handler(before);

        r.findings = w.wrong;
        for (const auto& mistake : w.book.mistakes())
            r.findings.push_back(mistake);
        for (const auto& mistake : audit.mistakes())
            r.findings.push_back(mistake);
        std::set<const void*> excused;
        const auto leaf_id = [](const std::exception_ptr& e) {
            return static_cast<const void*>(muster::detail::get_if<planned_failure>(e));
        };
        for (const auto& e : w.superseded) {
            const auto* g = muster::as_group(e);
            if (g != nullptr)
                g->for_each_leaf([&](const std::exception_ptr& leaf) { excused.insert(leaf_id(leaf)); });
            else
                excused.insert(leaf_id(e));
        }
        for (const auto& e : w.thrown)
            if (!w.book.was_delivered(e) && !w.book.was_reported(e) && !excused.contains(leaf_id(e)))
                r.findings.push_back("lost: " + muster::describe(e));
        if (pending_destroyed == 0) {
            if (never_awaited != 0)
                r.findings.push_back("something was never awaited");
            if (w.m.locked())
                r.findings.push_back("the mutex is still locked");
            if (!w.s.try_acquire() || !w.s.try_acquire())
                r.findings.push_back("a permit is missing");
            if (w.b.n_waiting() != 0)
                r.findings.push_back("somebody is still counted at the barrier");
            if (w.put > w.taken + static_cast<int>(w.q.size()))
                r.findings.push_back("an item is lost: " + std::to_string(w.put) + " put, " + std::to_string(w.taken) +
                                     " taken, " + std::to_string(w.q.size()) + " left");
        }
        r.failures = w.thrown.size();
        r.reports = w.book.reports();
        r.combinators = audit.audited();
        r.children = audit.children();
    }
    if (muster::testing::live_frames() != frames)
        r.findings.push_back(std::to_string(muster::testing::live_frames() - frames) + " frames were not freed");
    return r;
}

} // namespace random_programs
