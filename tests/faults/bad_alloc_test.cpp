// SPDX-License-Identifier: MIT
// Every allocation fails once: a frame's, a handle's, an item's, a name's. What needed it fails with std::bad_alloc, in
// its own outcome; the rest goes on; nothing is leaked, and no failure is lost.
#include <muster/muster.hpp>
#include <muster/testing/failure_book.hpp>
#include <muster/testing/join_audit.hpp>

#include <muster/detail/frame_allocator.hpp>

#include "support/replaced_new.hpp"
#include "support/virtual_run.hpp"

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdlib>
#include <new>
#include <string>
#include <vector>

namespace {

/// Which allocation fails. Counts only while it is on, and not while something of the test itself runs.
struct allocations {
    bool counting = false;
    std::size_t seen = 0;
    std::size_t fails_at = 0;
    bool failed = false;
    std::ptrdiff_t live = 0; ///< made less freed, of all

    bool next_fails() noexcept {
        if (!counting || ++seen != fails_at)
            return false;
        return failed = true;
    }
};
constinit thread_local allocations here{};

struct not_counted {
    not_counted() noexcept : before(std::exchange(here.counting, false)) {}
    ~not_counted() { here.counting = before; }
    not_counted(const not_counted&) = delete;
    not_counted& operator=(const not_counted&) = delete;
    bool before;
};

} // namespace

void* replaced_new::take(std::size_t bytes) noexcept {
    if (here.next_fails())
        return nullptr;
    void* block = std::malloc(bytes);
    if (block != nullptr)
        ++here.live;
    return block;
}
void replaced_new::give_back(void* block) noexcept {
    if (block != nullptr)
        --here.live;
    std::free(block);
}

namespace {

using namespace play;
using muster::testing::failure_book;

/// A body says here that it got to its end, and what it was given on the way.
struct witness {
    failure_book book;
    /// A failure that the body dealt with.
    void saw(const std::exception_ptr& e) {
        const not_counted ours;
        book.delivered(e);
    }
    /// A failure that the body made: it must be seen or reported.
    std::exception_ptr make(const char* text) {
        const not_counted ours;
        thrown.push_back(std::make_exception_ptr(std::runtime_error(text)));
        return thrown.back();
    }
    std::vector<std::exception_ptr> thrown;
    void saw_all(const muster::outcomes_base& all) {
        EXPECT_EQ(all.succeeded() + all.failed() + all.cancelled() + all.not_started(), all.submitted());
        for (std::size_t i = 0; i != all.size(); ++i)
            if (const auto& o = all.look(i); o.failed())
                saw(o.error());
    }
};

/// fail_after and fail_cleaning_up, whose failures are looked for.
muster::task<int> fails(witness& w, milliseconds d) {
    co_await muster::sleep_for(d);
    std::rethrow_exception(w.make("bad"));
}
muster::task<int> fails_cleaning_up(witness& w, milliseconds d) {
    bool cancelled = false;
    try {
        co_await muster::sleep_for(d);
    } catch (const muster::cancelled_error&) {
        cancelled = true;
    }
    if (cancelled)
        co_await muster::sleep_for(1ms);
    std::rethrow_exception(w.make("clean-up"));
}

/// Runs `body(witness&)` with the first, the second, ... allocation failing, until none is left to fail.
template <class Body>
void fail_each_allocation(Body body, std::source_location at = std::source_location::current()) {
    const ::testing::ScopedTrace trace(at.file_name(), static_cast<int>(at.line()), "fail_each_allocation");
    // Frames are not kept between the runs, so that each is an allocation.
    muster::detail::set_frame_fault_hook([](void*) noexcept { return true; }, nullptr);
    // The program's handler is made once and stays.
    static_cast<void>(muster::set_report_handler(muster::set_report_handler({})));
    // So is the table of living loops, by the first loop of the program.
    { const muster::testing::manual_loop first; }
    // And the memory for links, by the first object that needs one.
    { const muster::event first; }
    std::size_t n = 1;
    std::size_t unseen = 0;
    for (;; ++n) {
        const auto frames = muster::testing::live_frames();
        const auto live = here.live;
        bool failed = false;
        {
            witness w;
            muster::testing::join_audit audit;
            const auto note = [&w](const muster::report& r) {
                const not_counted ours;
                w.book.reported(r);
            };
            const auto before = muster::set_report_handler(note);
            {
                muster::testing::manual_loop loop;
                loop.set_watch(&audit);
                auto options = muster::run_options().on_report(note);
                here = allocations{true, 0, n, false, here.live};
                try {
                    loop.run(body(w), options);
                } catch (...) {
                    const not_counted ours;
                    w.book.delivered(std::current_exception());
                }
                // Destroying the loop is part of it.
            }
            here.counting = false;
            failed = here.failed;
            muster::set_report_handler(before);
            EXPECT_EQ(w.book.mistakes(), lines()) << "allocation " << n;
            EXPECT_EQ(audit.mistakes(), lines()) << "allocation " << n;
            bool found = false;
            w.book.for_each([&](const std::exception_ptr& e, std::size_t, std::size_t) {
                found = found || muster::detail::get_if<std::bad_alloc>(e) != nullptr;
            });
            unseen += failed && !found;
            for (const auto& e : w.thrown)
                EXPECT_TRUE(w.book.was_delivered(e) || w.book.was_reported(e))
                    << "a failure was lost after allocation " << n << ": " << muster::describe(e);
        }
        EXPECT_EQ(muster::testing::live_frames(), frames) << "frames are left after allocation " << n;
        EXPECT_EQ(here.live, live) << "memory is left after allocation " << n;
        if (!failed || ::testing::Test::HasFailure())
            break;
    }
    muster::detail::set_frame_fault_hook(nullptr, nullptr);
    std::printf("%zu allocations failed, %zu of them without anybody having to know\n", n - 1, unseen);
}

template <class A>
muster::task<> observed(A awaitable, witness& w) {
    auto ended = co_await ending(std::move(awaitable));
    if (ended.failed())
        w.saw(ended.error());
    if (ended.was_cancelled())
        ended.rethrow();
}

} // namespace

TEST(bad_alloc, a_task_that_awaits_tasks) {
    fail_each_allocation([](witness&) -> muster::task<> {
        const auto outer = [](int v) -> muster::task<int> {
            auto x = co_await value_after(1ms, v);
            co_return x;
        };
        auto a = co_await outer(1);
        auto b = co_await outer(2);
        EXPECT_EQ(a + b, 3);
    });
}

TEST(bad_alloc, a_frame_that_cannot_be_made_is_that_childs_failure_and_the_rest_go_on) {
    fail_each_allocation([](witness& w) -> muster::task<> {
        auto all = co_await muster::settle(value_after(1ms, 1), value_after(2ms, 2), value_after(3ms, 3));
        w.saw_all(all);
        EXPECT_GE(all.succeeded(), 2u);
        EXPECT_EQ(all.succeeded() + all.failed(), 3u);
    });
}

TEST(bad_alloc, timeouts_shields_and_clean_ups) {
    fail_each_allocation([](witness& w) -> muster::task<> {
        co_await observed(muster::wait_for(value_after(9ms, 1), 2ms), w);
        co_await observed(muster::shield(fails(w, 2ms)), w);
        co_await observed(muster::hold_cancellation(value_after(1ms, 1)), w);
        const auto body = [&w]() -> muster::task<> { co_await fails(w, 1ms); };
        const auto cleanup = [&w]() -> muster::task<> { co_await fails_cleaning_up(w, 1ms); };
        co_await observed(muster::with_cleanup(body, cleanup), w);
    });
}

TEST(bad_alloc, handles_that_nobody_looks_at) {
    fail_each_allocation([](witness& w) -> muster::task<> {
        muster::create_task(fails(w, 1ms), "a task whose name is too long for the small string");
        muster::create_task(nothing_after(2ms));
        auto kept = muster::create_task(value_after(1h, 1));
        co_await muster::sleep_for(3ms);
        kept.cancel("a message that is too long for the small string");
        co_await muster::sleep_for(1ms);
        // Its frame may have been the one for which there was no memory.
        EXPECT_TRUE(kept.done());
        if (!kept.cancelled())
            w.saw(kept.exception());
    });
}

TEST(bad_alloc, what_tasks_share) {
    fail_each_allocation([](witness& w) -> muster::task<> {
        muster::queue<std::string> q(1);
        muster::mutex m;
        muster::condition c(m);
        muster::semaphore s(1);
        muster::barrier b(2);
        bool told = false;
        const auto puts = [&]() -> muster::task<> {
            for (int i = 0; i != 3; ++i)
                co_await q.put("an item that is too long for the small string");
            auto permit = co_await s.scoped_acquire();
            auto lock = co_await m.scoped_lock();
            told = true;
            c.notify_all();
            q.shutdown();
        };
        const auto gets = [&]() -> muster::task<> {
            while (true) {
                auto item = co_await q.next();
                if (!item)
                    break;
                auto permit = co_await s.scoped_acquire();
                co_await muster::sleep_for(1ms);
            }
        };
        const auto meets = [&]() -> muster::task<> {
            auto place = co_await b.wait();
            static_cast<void>(place);
        };
        const auto waits = [&]() -> muster::task<> {
            auto lock = co_await m.scoped_lock();
            while (!told)
                co_await c.wait();
        };
        co_await observed(muster::gather(puts(), gets(), waits()), w);
        co_await observed(muster::gather(meets(), meets()), w);
        EXPECT_FALSE(m.locked());
        EXPECT_FALSE(s.locked());
    });
}

TEST(bad_alloc, a_suppressed_failure_is_reported_even_without_memory_for_the_reports_words) {
    fail_each_allocation([](witness& w) -> muster::task<> {
        co_await observed(muster::gather(value_after(1ms, 1), tidy_up(2ms, 1ms), nothing_after(3ms)), w);
        co_await observed(muster::gather(fails_cleaning_up(w, 9ms), fails(w, 2ms))
                              .named("a combinator whose name is too long for the small string"),
            w);
        co_await observed(muster::gather(fails(w, 1ms), fails(w, 2ms)).finish_siblings(), w);
        auto left = muster::create_task(fails(w, 5ms), "a task whose name is too long for the small string");
        auto right = muster::create_task(fails(w, 4ms));
        co_await observed(muster::gather(left, right).leave_siblings(), w);
    });
}

TEST(bad_alloc, a_streamed_failure_reaches_the_sink_even_without_memory_for_the_summarys_example) {
    fail_each_allocation([](witness& w) -> muster::task<> {
        std::vector<int> input{0, 1, 2, 3, 4};
        auto f = [&w](int i) { return i == 3 ? fails(w, 1ms) : value_after(1ms, i); };
        auto collected = co_await muster::map(input, f).limit(2).each_within(9ms).settle();
        w.saw_all(collected);
        std::size_t given = 0;
        auto sink = [&w, &given](std::size_t, muster::outcome<int>&& o) {
            ++given;
            if (o.failed())
                w.saw(o.error());
        };
        auto total = co_await muster::map(input, f).limit(2).for_each(muster::take(sink));
        EXPECT_EQ(total.succeeded() + total.failed() + total.cancelled() + total.not_started(), total.submitted());
        auto alone = co_await muster::map(input, f).limit(3).summarize();
        EXPECT_EQ(alone.submitted(), 5u);
        for (const auto& type : alone.failures_by_type())
            for (const auto& example : type.examples)
                w.saw(example.error);
    });
}

TEST(bad_alloc, a_group_without_memory_for_a_name_or_a_place_leaves_no_task_behind) {
    fail_each_allocation([](witness& w) -> muster::task<> {
        const auto starts = [&w](muster::task_group& group) -> muster::task<> {
            group.create_task(tidy_up(9ms, 1ms), "a task whose name is too long for the small string");
            group.create_task(fails(w, 2ms), "another task whose name is too long for the small string");
            co_await muster::sleep_for(1ms);
        };
        co_await observed(muster::with_task_group(starts), w);
        const auto cancelled = [](muster::task_group& group) -> muster::task<> {
            group.create_task(tidy_up(9ms, 1ms));
            co_await muster::sleep_for(1ms);
            group.cancel("a message that is too long for the small string");
        };
        co_await observed(muster::with_task_group(cancelled), w);
    });
}

TEST(bad_alloc, a_group_whose_caller_is_cancelled) {
    fail_each_allocation([](witness& w) -> muster::task<> {
        const auto grouped = [&w]() -> muster::task<> {
            const auto starts = [&w](muster::task_group& group) {
                group.create_task(tidy_up(9ms, 1ms));
                group.create_task(fails_cleaning_up(w, 9ms));
            };
            co_await muster::with_task_group(starts);
        };
        auto h = muster::create_task(grouped(), "a task whose name is too long for the small string");
        co_await muster::sleep_for(1ms);
        h.cancel("a message that is too long for the small string");
        co_await observed(h, w);
    });
}

TEST(bad_alloc, failures_are_reported_where_there_is_no_memory_for_the_group_that_would_deliver_them) {
    fail_each_allocation([](witness& w) -> muster::task<> {
        co_await observed(muster::race(value_after(2ms, 1), fails(w, 1ms), tidy_up(9ms, 1ms)), w);
        co_await observed(muster::gather(value_after(1ms, 1), value_after(2ms, 2), value_after(3ms, 3)).quorum(2), w);
        co_await observed(muster::race(fails(w, 1ms), fails(w, 2ms)), w);
    });
}

TEST(bad_alloc, gathers_and_shields_that_are_started) {
    fail_each_allocation([](witness& w) -> muster::task<> {
        auto both = muster::gather(value_after(1ms, 1), fails(w, 2ms)).start();
        co_await observed(both, w);
        auto two = muster::gather(fails(w, 1ms), fails(w, 2ms)).start();
        auto shielded = muster::shield(muster::create_task(fails(w, 1ms))).start();
        co_await observed(shielded, w);
        two.cancel();
        co_await muster::sleep_for(5ms);
    });
}

TEST(bad_alloc, a_generator_without_memory_for_its_link_leaves_no_frame_behind) {
    fail_each_allocation([](witness& w) -> muster::task<> {
        const auto counts = []() -> muster::generator<int> {
            co_yield 1;
            co_await muster::sleep_for(1ms);
            co_yield 2;
        };
        auto all = counts();
        while (true) {
            auto v = co_await all.next();
            if (!v)
                break;
        }
        auto f = muster::make_future<int>("a future whose name is too long for the small string");
        int called = 0;
        f.add_done_callback([&called](const muster::any_handle&) { ++called; });
        const auto sets = [&w](muster::future<int> to) -> muster::task<> {
            co_await muster::sleep_for(1ms);
            to.set_exception(w.make("bad"));
        };
        auto setter = muster::create_task(sets(f));
        co_await observed(f, w);
        co_await observed(setter, w);
    });
}

TEST(bad_alloc, gathers_of_a_range_with_every_word) {
    fail_each_allocation([](witness& w) -> muster::task<> {
        std::vector<muster::task<int>> children;
        for (int i = 0; i != 4; ++i)
            children.push_back(i == 2 ? fails(w, 1ms) : value_after(1ms, i));
        auto gathered = muster::gather(std::move(children))
                            .limit(2)
                            .each_within(9ms)
                            .within(50ms)
                            .rate(2, 3ms)
                            .stop_after_failures(2)
                            .named("a combinator whose name is too long for the small string");
        auto all = co_await std::move(gathered).settle();
        w.saw_all(all);
    });
}

TEST(bad_alloc, waits_and_completions) {
    fail_each_allocation([](witness& w) -> muster::task<> {
        std::vector<muster::task_handle<int>> handles;
        handles.push_back(muster::create_task(value_after(1ms, 1)));
        handles.push_back(muster::create_task(fails(w, 2ms)));
        auto some = co_await muster::wait(handles, muster::wait_until::first_completed, 5ms);
        EXPECT_EQ(some.done.size() + some.pending.size(), 2u);
        muster::as_completed each(handles);
        while (true) {
            auto h = co_await each.next();
            if (!h)
                break;
            EXPECT_FALSE(h->cancelled()) << "a wait without memory leaves the tasks alone";
            if (auto e = h->exception())
                w.saw(e);
        }
    });
}

TEST(bad_alloc, outcomes_without_memory_for_their_ledger_are_reported) {
    fail_each_allocation([](witness& w) -> muster::task<> {
        {
            auto unread = co_await muster::settle(fails(w, 1ms), value_after(1ms, 1));
            EXPECT_EQ(unread.submitted(), 2u);
        }
        auto read = co_await muster::settle(fails(w, 1ms), fails(w, 2ms));
        try {
            read.throw_if_any_failed("a message that is too long for the small string");
        } catch (...) {
            w.saw(std::current_exception());
        }
    });
}
