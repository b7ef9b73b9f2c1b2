// SPDX-License-Identifier: MIT
// What belongs to a loop and is used on another thread: an error that names the thread-safe way.
#include <muster/detail/loop_thread.hpp>

#include <muster/event_loop.hpp>
#include <muster/future.hpp>
#include <muster/promise.hpp>
#include <muster/run.hpp>
#include <muster/task_handle.hpp>
#include <muster/testing/manual_loop.hpp>
#include <muster/to_thread.hpp>

#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace {

/// *Returns* what the error says that `call` throws on a thread of its own; "no error" if there is none.
std::string on_another_thread(const std::function<void()>& call) {
    std::string said = "no error";
    std::thread([&] {
        try {
            call();
        } catch (const muster::invalid_state_error& e) {
            said = e.what();
        }
    }).join();
    return said;
}

TEST(a_handle_on_another_thread, names_the_way_that_is_safe_there) {
    muster::run([]() -> muster::task<> {
        auto f = muster::make_future<int>("f");
        auto waiter = muster::create_task([](muster::future<int> awaited) -> muster::task<int> {
            auto value = co_await awaited;
            co_return value;
        }(f));
        const std::vector<std::function<void()>> calls{
            [&] { static_cast<void>(f.done()); },
            [&] { static_cast<void>(f.name()); },
            [&] { f.set_name("x"); },
            [&] { f.add_done_callback([](const muster::any_handle&) {}); },
            [&] { static_cast<void>(waiter.result()); },
            [&] { static_cast<void>(waiter.cancelling()); },
        };
        for (const auto& call : calls) {
            const auto said = on_another_thread(call);
            EXPECT_NE(said.find("was called on a thread that is not its loop's"), std::string::npos) << said;
            EXPECT_NE(said.find("loop_handle::post"), std::string::npos) << said;
        }
        EXPECT_NE(on_another_thread([&] { waiter.cancel(); }).find("request_cancel()"), std::string::npos);
        EXPECT_NE(on_another_thread([&] { f.set_value(1); }).find("muster::promise"), std::string::npos);
        f.set_value(2);
        auto got = co_await waiter;
        EXPECT_EQ(got, 2);
    }());
}

TEST(a_handle_of_another_loop, is_not_awaited_and_does_not_hang) {
    muster::run([]() -> muster::task<> {
        auto f = muster::make_future<int>("f");
        auto other_loop = [&f] {
            return on_another_thread(
                [&f] { muster::run([](muster::future<int>& foreign) -> muster::task<> { co_await foreign; }(f)); });
        };
        auto said = co_await muster::to_thread(other_loop);
        EXPECT_NE(said.find("loop_handle::submit"), std::string::npos) << said;
        f.cancel();
    }());
}

TEST(a_handle_of_a_loop_that_has_ended, may_be_read_on_any_thread) {
    auto h = muster::run([]() -> muster::task<muster::task_handle<int>> {
        auto made = muster::create_task([]() -> muster::task<int> { co_return 7; }());
        co_await made;
        co_return made;
    }());
    EXPECT_EQ(on_another_thread([&] { EXPECT_EQ(h.result(), 7); }), "no error");
}

TEST(a_handle_of_a_loop_that_does_not_run, is_used_on_its_thread) {
    muster::testing::manual_loop loop;
    auto h = loop.start([]() -> muster::task<> {
        auto never = muster::make_future<void>();
        co_await never;
    }());
    loop.run_ready();
    EXPECT_NE(on_another_thread([&] { h.cancel(); }), "no error");
    EXPECT_TRUE(h.cancel());
    loop.run_ready();
    EXPECT_TRUE(h.cancelled());
}

TEST(a_loop, belongs_to_the_thread_that_runs_it) {
    muster::testing::manual_loop loop;
    std::optional<muster::task_handle<>> h;
    std::thread([&] {
        h = loop.start([]() -> muster::task<> { co_return; }());
        loop.run_ready();
    }).join();
    EXPECT_THROW(static_cast<void>(h->done()), muster::invalid_state_error);
    loop.run_ready();
    EXPECT_TRUE(h->done());
}

TEST(loop_home, belongs_to_the_first_loop_until_that_has_ended) {
    muster::detail::loop_home home;
    home.require_thread("event::set");
    {
        muster::testing::manual_loop first;
        muster::testing::manual_loop second;
        const auto join = [&home]() -> muster::task<> {
            home.join("event::wait");
            co_return;
        };
        first.run(join());
        EXPECT_EQ(home.id(), first.id());
        EXPECT_THROW(second.run(join()), muster::invalid_state_error);
        home.require_thread("event::set");
        EXPECT_NE(
            on_another_thread([&] { home.require_thread("event::set"); }).find("event::set was called on a thread"),
            std::string::npos);
    }
    EXPECT_EQ(on_another_thread([&] { home.require_thread("event::set"); }), "no error");
    muster::testing::manual_loop third;
    third.run([&home]() -> muster::task<> {
        home.join("event::wait");
        co_return;
    }());
    EXPECT_EQ(home.id(), third.id());
}

} // namespace
