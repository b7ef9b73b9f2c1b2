// SPDX-License-Identifier: MIT
#include "support/collected.hpp"

#include <muster/future.hpp>

#include <muster/run.hpp>
#include <muster/sleep.hpp>
#include <muster/testing/manual_loop.hpp>

#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

using namespace std::chrono_literals;
using muster::testing::live_frames;
using muster::testing::manual_loop;

namespace {

muster::task<int> doubled(muster::future<int> f) {
    auto& n = co_await f;
    co_return 2 * n;
}

muster::task<> set_later(muster::future<int> f, int n) {
    co_await muster::sleep_for(10ms);
    f.set_value(n);
}

/// Collects the reports of one run.
template <class E, class F>
bool throws(F f) {
    try {
        f();
    } catch (const E&) {
        return true;
    }
    return false;
}

} // namespace

TEST(future, wakes_all_who_wait_when_it_is_set) {
    const auto frames = live_frames();
    manual_loop loop;
    loop.run([]() -> muster::task<> {
        auto f = muster::make_future<int>("answer");
        auto first = muster::create_task(doubled(f));
        auto second = muster::create_task(doubled(f));
        auto setter = muster::create_task(set_later(f, 21));
        auto a = co_await first;
        auto b = co_await second;
        EXPECT_EQ(a, 42);
        EXPECT_EQ(b, 42);
        EXPECT_TRUE(f.done());
        EXPECT_EQ(f.result(), 21);
        auto again = co_await f;
        EXPECT_EQ(again, 21);
        co_await setter;
    }());
    EXPECT_EQ(loop.elapsed(), 10ms);
    EXPECT_EQ(live_frames(), frames);
}

TEST(future, an_await_of_one_that_is_set_does_not_suspend) {
    manual_loop loop;
    loop.run([]() -> muster::task<> {
        auto f = muster::make_future<int>();
        f.set_result(1);
        bool other_ran = false;
        auto other = muster::create_task([](bool& ran) -> muster::task<> {
            ran = true;
            co_return;
        }(other_ran));
        auto n = co_await f;
        EXPECT_EQ(n, 1);
        EXPECT_FALSE(other_ran);
        co_await other;
    }());
}

TEST(future, gives_void_references_and_move_only_values) {
    manual_loop loop;
    loop.run([]() -> muster::task<> {
        auto nothing = muster::make_future<void>();
        nothing.set_value();
        co_await nothing;
        nothing.result();

        int n = 1;
        auto reference = muster::make_future<int&>();
        reference.set_value(n);
        auto& same = co_await reference;
        EXPECT_EQ(&same, &n);
        EXPECT_EQ(&reference.result(), &n);

        auto owner = muster::make_future<std::unique_ptr<int>>();
        owner.set_value(new int(5));
        auto& kept = co_await owner;
        EXPECT_EQ(*kept, 5);
        auto moved = co_await std::move(owner);
        EXPECT_EQ(*moved, 5);
    }());
}

TEST(future, an_exception_object_that_it_was_set_to_is_a_value) {
    manual_loop loop;
    loop.run([]() -> muster::task<> {
        auto f = muster::make_future<std::runtime_error>();
        f.set_value("a value");
        auto& e = co_await f;
        EXPECT_EQ(std::string_view(e.what()), "a value");
        EXPECT_EQ(f.exception(), nullptr);
    }());
}

TEST(future, is_set_once) {
    manual_loop loop;
    loop.run([]() -> muster::task<> {
        auto f = muster::make_future<int>();
        f.set_value(1);
        EXPECT_TRUE(throws<muster::invalid_state_error>([&] { f.set_value(2); }));
        EXPECT_TRUE(throws<muster::invalid_state_error>([&] { f.set_exception(std::runtime_error("late")); }));
        EXPECT_EQ(f.result(), 1);
        EXPECT_FALSE(f.cancel());

        auto cancelled = muster::make_future<int>();
        EXPECT_TRUE(cancelled.cancel("no longer needed"));
        EXPECT_TRUE(throws<muster::invalid_state_error>([&] { cancelled.set_value(2); }));
        EXPECT_FALSE(cancelled.cancel());
        co_return;
    }());
}

TEST(future, cannot_be_read_before_it_is_set) {
    manual_loop loop;
    loop.run([]() -> muster::task<> {
        auto f = muster::make_future<int>();
        EXPECT_TRUE(throws<muster::invalid_state_error>([&] { static_cast<void>(f.result()); }));
        EXPECT_TRUE(throws<muster::invalid_state_error>([&] { static_cast<void>(f.exception()); }));
        EXPECT_TRUE(throws<muster::invalid_state_error>([&] { static_cast<void>(f.ended_as()); }));
        f.set_value(0);
        co_return;
    }());
}

TEST(future, throws_its_exception_as_itself_to_everybody) {
    manual_loop loop;
    loop.run([]() -> muster::task<> {
        auto f = muster::make_future<int>();
        auto first = muster::create_task(doubled(f));
        auto second = muster::create_task(doubled(f));
        co_await muster::yield();
        f.set_exception(std::out_of_range("too far"));
        for (auto h : {first, second}) {
            bool caught = false;
            try {
                co_await h;
            } catch (const std::out_of_range& e) {
                caught = std::string_view(e.what()) == "too far";
            }
            EXPECT_TRUE(caught);
        }
        EXPECT_TRUE(f.ended_as().failed_with<std::logic_error>());
    }());
}

TEST(future, refuses_a_cancellation_or_nothing_as_its_exception) {
    manual_loop loop;
    loop.run([]() -> muster::task<> {
        auto f = muster::make_future<int>();
        EXPECT_TRUE(throws<std::invalid_argument>([&] { f.set_exception(muster::cancelled_error()); }));
        EXPECT_TRUE(throws<std::invalid_argument>([&] { f.set_exception(std::exception_ptr()); }));
        EXPECT_FALSE(f.done());
        co_return;
    }());
}

TEST(future, is_not_set_when_making_the_value_throws) {
    struct fragile {
        explicit fragile(bool breaks) {
            if (breaks)
                throw std::runtime_error("broken");
        }
    };
    manual_loop loop;
    loop.run([]() -> muster::task<> {
        auto f = muster::make_future<fragile>();
        EXPECT_TRUE(throws<std::runtime_error>([&] { f.set_value(true); }));
        EXPECT_FALSE(f.done());
        f.set_value(false);
        EXPECT_TRUE(f.done());
        co_return;
    }());
}

TEST(future, is_cancelled_with_the_task_that_waits_for_it) {
    manual_loop loop;
    loop.run([]() -> muster::task<> {
        auto f = muster::make_future<int>();
        auto waiter = muster::create_task(doubled(f));
        auto other = muster::create_task(doubled(f));
        co_await muster::yield();
        waiter.cancel("enough");
        EXPECT_TRUE(f.cancelled());
        for (auto h : {waiter, other}) {
            bool caught = false;
            try {
                co_await h;
            } catch (const muster::cancelled_error& e) {
                caught = e.message() == "enough";
            }
            EXPECT_TRUE(caught);
            EXPECT_TRUE(h.cancelled());
        }
    }());
}

TEST(future, calls_its_callbacks_in_order_in_a_turn_of_their_own) {
    manual_loop loop;
    loop.run([]() -> muster::task<> {
        auto f = muster::make_future<int>();
        std::vector<int> called;
        f.add_done_callback([&](const muster::any_handle& h) {
            EXPECT_TRUE(h == f);
            called.push_back(1);
        });
        const auto removed = f.add_done_callback([&](const muster::any_handle&) { called.push_back(2); });
        f.add_done_callback([&](const muster::any_handle&) { called.push_back(3); });
        EXPECT_TRUE(f.remove_done_callback(removed));
        f.set_value(1);
        EXPECT_TRUE(called.empty());
        co_await muster::yield();
        EXPECT_EQ(called, (std::vector<int>{1, 3}));
    }());
}

TEST(future, that_failed_and_was_never_looked_at_is_reported) {
    manual_loop loop;
    collected c;
    std::uint_least32_t line = 0;
    loop.run(
        [](std::uint_least32_t& made_at) -> muster::task<> {
            {
                made_at = std::source_location::current().line() + 1;
                auto f = muster::make_future<int>("forgotten");
                f.set_exception(std::runtime_error("nobody knows"));
            }
            {
                auto f = muster::make_future<int>("seen");
                f.set_exception(std::runtime_error("somebody knows"));
                static_cast<void>(f.exception());
            }
            { auto f = muster::make_future<int>("pending"); }
            co_return;
        }(line),
        c.options());
    ASSERT_EQ(c.reports.size(), 1u);
    EXPECT_EQ(c.reports[0].kind, muster::report_kind::never_retrieved);
    EXPECT_EQ(c.reports[0].name, "forgotten");
    EXPECT_EQ(c.reports[0].site.line(), line);
}

TEST(future, can_be_read_and_set_after_its_loop_has_ended) {
    auto f = muster::run([]() -> muster::task<muster::future<int>> {
        auto made = muster::make_future<int>();
        co_return made;
    }());
    EXPECT_FALSE(f.done());
    f.set_value(3);
    EXPECT_EQ(f.result(), 3);
    EXPECT_FALSE(f.request_cancel());
}

TEST(future, needs_a_loop_to_be_made) {
    EXPECT_THROW(static_cast<void>(muster::make_future<int>()), muster::invalid_state_error);
}

TEST(future, that_refers_to_nothing_cannot_be_awaited) {
    manual_loop loop;
    loop.run([]() -> muster::task<> {
        muster::future<int> none;
        EXPECT_FALSE(none.valid());
        bool refused = false;
        try {
            co_await none;
        } catch (const muster::invalid_state_error&) {
            refused = true;
        }
        EXPECT_TRUE(refused);
    }());
}

TEST(future, that_nobody_sets_is_a_deadlock) {
    manual_loop loop;
    bool found = false;
    try {
        loop.run([]() -> muster::task<> {
            auto f = muster::make_future<int>();
            co_await f;
        }());
    } catch (const muster::deadlock_error& e) {
        found = e.waiters().size() == 1 && e.waiters()[0].find("waits for") != std::string::npos;
    }
    EXPECT_TRUE(found);
}
