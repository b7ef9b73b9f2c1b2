// SPDX-License-Identifier: MIT
// Every combinator, synchronisation primitive and policy is cancelled at each suspension and failed at each point,
// alone and nested three deep.
#include <muster/muster.hpp>
#include <muster/testing/faults.hpp>
#include <muster/testing/join_audit.hpp>

#include "support/virtual_run.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace {

using namespace play;
using muster::testing::cancel_at_each_suspension;
using muster::testing::fail_at_each_point;
using muster::testing::failure_book;
using muster::testing::fault_options;
using muster::testing::fault_result;

/// Makes what is nested inside; may be called more than once.
using maker = std::function<muster::task<int>()>;

struct layer {
    const char* name;
    muster::task<int> (*around)(maker inner, failure_book& book);
};

// Whatever a layer does not throw it writes down in the book.

muster::task<int> alone(maker inner, failure_book&) {
    auto v = co_await inner();
    co_await muster::sleep_for(1ms);
    co_return v;
}

muster::task<int> in_gather(maker inner, failure_book&) {
    auto [a, b, c] = co_await muster::gather(inner(), tidy_up(3ms, 1ms), muster::sleep_for(1ms));
    static_cast<void>(c);
    co_return a + b;
}

muster::task<int> beside_failures(maker inner, failure_book&) {
    auto [a, b, c] = co_await muster::gather(fail_cleaning_up(9ms, 1ms), inner(), fail_after(2ms));
    co_return a + b + c;
}

muster::task<int> in_range_gather(maker inner, failure_book&) {
    std::vector<muster::task<int>> children;
    for (int i = 0; i != 3; ++i)
        children.push_back(i == 1 ? inner() : value_after(2ms, i));
    auto values = co_await muster::gather(std::move(children)).limit(2).each_within(50ms).named("a name that is long");
    co_return values[1];
}

muster::task<int> in_finish_siblings(maker inner, failure_book&) {
    auto [a, b] = co_await muster::gather(inner(), fail_after(2ms)).finish_siblings();
    co_return a + b;
}

muster::task<int> in_leave_siblings(maker inner, failure_book&) {
    auto first = muster::create_task(inner());
    auto second = muster::create_task(fail_after(2ms));
    auto [a, b] = co_await muster::gather(first, second).leave_siblings();
    co_return a + b;
}

muster::task<int> in_settle(maker inner, failure_book& book) {
    auto all = co_await muster::settle(inner(), fail_after(1ms), value_after(2ms, 3));
    EXPECT_EQ(all.succeeded() + all.failed() + all.cancelled() + all.not_started(), all.submitted());
    EXPECT_EQ(all.submitted(), 3u);
    for (const auto& f : all.failures())
        book.delivered(f.error());
    co_return 1;
}

muster::task<int> in_unread_settle(maker inner, failure_book&) {
    auto all = co_await muster::settle(inner(), fail_after(1ms));
    co_return static_cast<int>(all.submitted());
}

muster::task<int> in_race(maker inner, failure_book&) {
    auto won = co_await muster::race(inner(), fail_after(1ms), value_after(9ms, 1));
    co_return won.value();
}

muster::task<int> in_quorum(maker inner, failure_book&) {
    auto won = co_await muster::gather(inner(), value_after(1ms, 1), stubborn_for(4ms, 2)).quorum(2);
    co_return static_cast<int>(won.size());
}

muster::task<int> in_deadline(maker inner, failure_book& book) {
    auto all = co_await muster::gather(inner(), stubborn_for(8ms, 1), value_after(30ms, 2)).within(6ms).settle();
    for (const auto& f : all.failures())
        book.delivered(f.error());
    EXPECT_EQ(all.succeeded() + all.failed() + all.cancelled() + all.not_started(), all.submitted());
    co_return 1;
}

muster::task<int> in_map(maker inner, failure_book&) {
    std::vector<int> input{0, 1, 2, 3};
    auto f = [&inner](int i) { return i == 1 ? inner() : value_after(1ms, i); };
    auto values = co_await muster::map(input, f).limit(2);
    co_return values[1];
}

/// The failures of attempts that were tried again: they were given to the predicate, and to nobody else. One whose
/// further attempt was called off stands, and is somebody else's.
struct superseded {
    explicit superseded(failure_book& b) noexcept : book(b) {}
    superseded(const superseded&) = delete;
    superseded& operator=(const superseded&) = delete;
    ~superseded() {
        const auto one = [this](const std::exception_ptr& leaf) {
            if (!book.was_reported(leaf))
                book.delivered(leaf);
        };
        for (const auto& e : errors) {
            if (const auto* group = muster::as_group(e))
                group->for_each_leaf(one);
            else
                one(e);
        }
    }
    failure_book& book;
    std::vector<std::exception_ptr> errors;
};

muster::task<int> in_map_with_retries(maker inner, failure_book& book) {
    std::vector<int> input{0, 1, 2};
    auto f = [&inner](int i) { return i == 1 ? inner() : value_after(1ms, i); };
    superseded given(book);
    auto note = [&given](const std::exception_ptr& e) {
        given.errors.push_back(e);
        return true;
    };
    auto policy = muster::retry_policy(1).first_delay(1ms);
    policy.when(note);
    auto all = co_await muster::map(input, f).limit(2).each_within(40ms).retry(policy).settle();
    for (const auto& e : all.failures())
        book.delivered(e.error());
    EXPECT_EQ(all.succeeded() + all.failed() + all.cancelled() + all.not_started(), all.submitted());
    co_return 1;
}

muster::task<int> in_streamed_map(maker inner, failure_book& book) {
    std::vector<int> input{0, 1, 2, 3, 4};
    std::size_t streamed = 0;
    auto f = [&inner](int i) { return i == 1 ? inner() : (i == 3 ? fail_after(1ms) : value_after(1ms, i)); };
    auto sink = [&book, &streamed](std::size_t, muster::outcome<int>&& o) {
        ++streamed;
        if (o.failed())
            book.delivered(o.error());
    };
    auto total = co_await muster::map(input, f).limit(2).stop_after_failures(2).for_each(muster::take(sink));
    EXPECT_EQ(total.succeeded() + total.failed() + total.cancelled() + total.not_started(), total.submitted());
    EXPECT_EQ(total.succeeded() + total.failed() + total.cancelled(), streamed);
    co_return 1;
}

muster::task<int> in_group(maker inner, failure_book&) {
    auto body = [&inner](muster::task_group& group) -> muster::task<int> {
        auto first = group.create_task(inner());
        group.create_task(tidy_up(4ms, 1ms));
        co_await muster::sleep_for(1ms);
        auto v = co_await first;
        co_return v;
    };
    auto v = co_await muster::with_task_group(muster::take(body));
    co_return v;
}

muster::task<int> in_failing_group(maker inner, failure_book&) {
    auto body = [&inner](muster::task_group& group) -> muster::task<> {
        group.create_task(inner());
        group.create_task(fail_cleaning_up(9ms, 1ms));
        group.create_task(fail_after(2ms));
        co_return;
    };
    co_await muster::with_task_group(muster::take(body));
    co_return 0;
}

muster::task<int> in_timeout(maker inner, failure_book&) {
    auto v = co_await muster::wait_for(inner(), 20ms);
    co_return v;
}

muster::task<int> in_short_timeout(maker inner, failure_book&) {
    auto body = [&inner]() -> muster::task<int> {
        auto v = co_await inner();
        auto w = co_await tidy_up(9ms, 1ms);
        co_return v + w;
    };
    auto v = co_await muster::timeout(3ms, muster::take(body));
    co_return v;
}

muster::task<int> in_shield(maker inner, failure_book&) {
    auto v = co_await muster::shield(inner());
    co_return v;
}

muster::task<int> in_hold(maker inner, failure_book&) {
    auto v = co_await muster::hold_cancellation(inner());
    co_return v;
}

muster::task<int> in_cleanup(maker inner, failure_book&) {
    auto body = [&inner]() -> muster::task<int> {
        auto v = co_await inner();
        co_return v;
    };
    auto cleanup = []() -> muster::task<> { co_await muster::sleep_for(1ms); };
    auto v = co_await muster::with_cleanup(muster::take(body), cleanup);
    co_return v;
}

muster::task<int> in_failing_cleanup(maker inner, failure_book&) {
    auto body = [&inner]() -> muster::task<int> {
        auto v = co_await inner();
        auto w = co_await fail_after(1ms);
        co_return v + w;
    };
    auto cleanup = []() -> muster::task<> { co_await fail_void_after(1ms, "clean-up"); };
    auto v = co_await muster::with_cleanup(muster::take(body), cleanup);
    co_return v;
}

muster::task<int> in_handle(maker inner, failure_book&) {
    auto h = muster::create_task(inner());
    auto other = muster::create_task(fail_after(1ms));
    auto v = co_await std::move(h);
    co_return v;
}

muster::task<int> in_wait(maker inner, failure_book& book) {
    std::vector<muster::task_handle<int>> handles{muster::create_task(inner()), muster::create_task(fail_after(2ms))};
    auto result = co_await muster::wait(handles, muster::wait_until::first_completed, 9ms);
    EXPECT_EQ(result.done.size() + result.pending.size(), handles.size());
    for (const auto& h : result.done)
        if (!h.cancelled())
            if (auto e = h.exception())
                book.delivered(e);
    co_return 1;
}

muster::task<int> in_as_completed(maker inner, failure_book& book) {
    std::vector<muster::task_handle<int>> handles{muster::create_task(inner()), muster::create_task(fail_after(2ms))};
    muster::as_completed each(handles);
    while (true) {
        auto h = co_await each.next();
        if (!h)
            break;
        if (!h->cancelled())
            if (auto e = h->exception())
                book.delivered(e);
    }
    co_return 1;
}

muster::task<int> in_started_gather(maker inner, failure_book&) {
    auto both = muster::gather(inner(), fail_after(6ms)).start();
    auto [a, b] = co_await std::move(both);
    co_return a + b;
}

muster::task<int> in_generator(maker inner, failure_book&) {
    auto counts = [&inner]() -> muster::generator<int> {
        co_yield 1;
        auto v = co_await inner();
        co_yield v;
    };
    auto all = counts();
    int sum = 0;
    while (true) {
        auto v = co_await all.next();
        if (!v)
            break;
        sum += *v;
    }
    co_return sum;
}

// ---- synchronisation: what must hold again at the end is looked at by all ways out ----

muster::task<int> with_mutex(maker inner, failure_book&) {
    muster::mutex m;
    auto user = [&m, &inner](bool nested) -> muster::task<int> {
        auto lock = co_await m.scoped_lock();
        EXPECT_TRUE(m.locked());
        if (nested) {
            auto v = co_await inner();
            co_return v;
        }
        co_await muster::sleep_for(1ms);
        co_return 0;
    };
    auto ended = co_await ending(muster::gather(user(false), user(true), user(false)));
    EXPECT_FALSE(m.locked());
    if (!ended.succeeded())
        ended.rethrow();
    co_return 1;
}

muster::task<int> with_semaphore(maker inner, failure_book&) {
    muster::semaphore s(2);
    auto user = [&s, &inner](bool nested) -> muster::task<int> {
        auto permit = co_await s.scoped_acquire();
        if (nested) {
            auto v = co_await inner();
            co_return v;
        }
        co_await muster::sleep_for(1ms);
        co_return 0;
    };
    auto ended = co_await ending(muster::gather(user(false), user(true), user(false), user(false)));
    EXPECT_FALSE(s.locked());
    EXPECT_EQ(s.available(), 2);
    if (!ended.succeeded())
        ended.rethrow();
    co_return 1;
}

muster::task<int> with_event(maker inner, failure_book&) {
    muster::event e;
    auto waits = [&e]() -> muster::task<int> {
        co_await e.wait();
        co_return 1;
    };
    auto sets = [&e, &inner]() -> muster::task<int> {
        auto v = co_await inner();
        e.set();
        co_return v;
    };
    auto [a, b, c] = co_await muster::gather(waits(), sets(), waits());
    co_return a + b + c;
}

muster::task<int> with_condition(maker inner, failure_book&) {
    muster::mutex m;
    muster::condition c(m);
    bool ready = false;
    auto waits = [&m, &c, &ready]() -> muster::task<int> {
        auto lock = co_await m.scoped_lock();
        while (!ready)
            co_await c.wait();
        co_return 1;
    };
    auto sets = [&m, &c, &ready, &inner]() -> muster::task<int> {
        auto v = co_await inner();
        auto lock = co_await m.scoped_lock();
        ready = true;
        c.notify_all();
        co_return v;
    };
    auto ended = co_await ending(muster::gather(waits(), sets(), waits()));
    EXPECT_FALSE(m.locked());
    if (!ended.succeeded())
        ended.rethrow();
    co_return 1;
}

muster::task<int> with_barrier(maker inner, failure_book&) {
    muster::barrier b(2);
    auto comes = [&b, &inner](bool nested) -> muster::task<int> {
        if (nested) {
            auto v = co_await inner();
            static_cast<void>(v);
        }
        auto place = co_await b.wait();
        co_return static_cast<int>(place);
    };
    auto ended = co_await ending(muster::gather(comes(false), comes(true)));
    EXPECT_EQ(b.n_waiting(), 0u);
    if (!ended.succeeded())
        ended.rethrow();
    co_return 1;
}

muster::task<int> with_queue(maker inner, failure_book&) {
    muster::queue<int> q(1);
    int put = 0;
    int got = 0;
    auto puts = [&q, &put, &inner]() -> muster::task<int> {
        for (int i = 0; i != 3; ++i) {
            if (i == 1) {
                auto v = co_await inner();
                static_cast<void>(v);
            }
            co_await q.put(i);
            ++put;
        }
        q.shutdown();
        co_return 0;
    };
    auto gets = [&q, &got]() -> muster::task<int> {
        while (true) {
            auto item = co_await q.next();
            if (!item)
                break;
            ++got;
            q.task_done();
            co_await muster::sleep_for(1ms);
        }
        co_return 0;
    };
    auto ended = co_await ending(muster::gather(puts(), gets(), gets()));
    EXPECT_EQ(static_cast<std::size_t>(put), static_cast<std::size_t>(got) + q.size()) << "no item is lost";
    if (!ended.succeeded())
        ended.rethrow();
    co_return 1;
}

constexpr layer layers[] = {
    {"alone", alone},
    {"gather", in_gather},
    {"gather beside failures", beside_failures},
    {"gather of a range", in_range_gather},
    {"finish_siblings", in_finish_siblings},
    {"leave_siblings", in_leave_siblings},
    {"settle", in_settle},
    {"settle, unread", in_unread_settle},
    {"race", in_race},
    {"quorum", in_quorum},
    {"deadline", in_deadline},
    {"map", in_map},
    {"map with retries", in_map_with_retries},
    {"streamed map", in_streamed_map},
    {"task_group", in_group},
    {"task_group that fails", in_failing_group},
    {"wait_for", in_timeout},
    {"timeout that strikes", in_short_timeout},
    {"shield", in_shield},
    {"hold_cancellation", in_hold},
    {"with_cleanup", in_cleanup},
    {"with_cleanup that fails", in_failing_cleanup},
    {"handle", in_handle},
    {"wait", in_wait},
    {"as_completed", in_as_completed},
    {"started gather", in_started_gather},
    {"generator", in_generator},
    {"mutex", with_mutex},
    {"semaphore", with_semaphore},
    {"event", with_event},
    {"condition", with_condition},
    {"barrier", with_barrier},
    {"queue", with_queue},
};
constexpr std::size_t layer_count = std::size(layers);

struct totals {
    std::size_t bodies = 0;
    std::size_t points = 0;
    std::size_t combinators = 0;
    std::size_t findings = 0;

    void add(const std::string& what, const fault_result& result) {
        ++bodies;
        points += result.points;
        combinators += result.combinators;
        findings += result.findings.size();
        EXPECT_TRUE(result.clean()) << what << ": " << muster::testing::to_string(result);
    }
    ~totals() {
        ::testing::Test::RecordProperty("bodies", static_cast<int>(bodies));
        ::testing::Test::RecordProperty("points", static_cast<int>(points));
        std::printf("%zu bodies, %zu points, %zu combinators audited\n", bodies, points, combinators);
    }
};

/// Each stack of layers, outermost first.
template <class Visit>
void for_each_stack(Visit&& visit) {
    for (std::size_t a = 0; a != layer_count; ++a)
        visit(std::array{a, std::size_t(0), std::size_t(0)});
    for (std::size_t a = 1; a != layer_count; ++a)
        for (std::size_t b = 1; b != layer_count; ++b)
            visit(std::array{a, b, 1 + (a + 2 * b) % (layer_count - 1)});
}

std::string name_of(const std::array<std::size_t, 3>& stack) {
    return std::string(layers[stack[0]].name) + " > " + layers[stack[1]].name + " > " + layers[stack[2]].name;
}

auto body_of(const std::array<std::size_t, 3>& stack) {
    return [stack](failure_book& book) {
        const maker leaf = [] { return value_after(1ms, 7); };
        const maker inner = [stack, leaf, &book] { return layers[stack[2]].around(leaf, book); };
        const maker middle = [stack, inner, &book] { return layers[stack[1]].around(inner, book); };
        return layers[stack[0]].around(middle, book);
    };
}

/// Many layers fail by themselves, have a fallback, or leave tasks to the loop; that is what they try.
fault_options as_meant() { return fault_options().may_fail().may_end_with_a_value().may_leave_tasks(); }

TEST(faults, whoever_is_cancelled_at_any_suspension_of_any_nesting_nothing_is_lost) {
    totals all;
    for_each_stack(
        [&](const auto& stack) { all.add(name_of(stack), cancel_at_each_suspension(body_of(stack), as_meant())); });
}

TEST(faults, a_single_task_or_child_cancelled_at_its_own_suspension_loses_nothing) {
    totals all;
    for_each_stack([&](const auto& stack) {
        all.add(name_of(stack), cancel_at_each_suspension(body_of(stack), as_meant().cancel_who_waits()));
    });
}

TEST(faults, whichever_frame_or_wait_of_any_nesting_fails_the_failure_is_delivered_or_reported_once) {
    totals all;
    for_each_stack([&](const auto& stack) { all.add(name_of(stack), fail_at_each_point(body_of(stack), as_meant())); });
}

TEST(faults, the_order_of_what_is_ready_matters_to_none) {
    totals all;
    std::uint64_t seed = 0;
    for_each_stack([&](const auto& stack) {
        if (++seed % 8 == 0)
            all.add(name_of(stack), cancel_at_each_suspension(body_of(stack), as_meant().shuffle(seed)));
    });
}

TEST(faults, a_permit_is_given_back_whenever_its_owner_is_cancelled) {
    // [example]
    muster::semaphore seats(1);
    const auto guest = [&seats]() -> muster::task<> {
        auto seat = co_await seats.scoped_acquire();
        co_await muster::sleep_for(1ms);
    };
    const auto dinner = [&guest]() -> muster::task<> { co_await muster::gather(guest(), guest()); };
    const auto result = muster::testing::cancel_at_each_suspension(dinner);
    EXPECT_TRUE(result.clean()) << muster::testing::to_string(result);
    EXPECT_FALSE(seats.locked());
    // [/example]
    EXPECT_GT(result.points, 2u);
}

TEST(faults, a_failure_that_the_body_swallows_is_found) {
    const auto swallows = [](failure_book&) -> muster::task<> {
        auto ended = co_await muster::as_outcome(nothing_after(1ms));
        static_cast<void>(ended);
    };
    const auto result = fail_at_each_point(swallows);
    EXPECT_FALSE(result.clean());
    EXPECT_EQ(result.findings.size(), 2u) << "the child's frame, and its wait";
}

} // namespace
