// SPDX-License-Identifier: MIT
// Every public function of what refers to nothing, because it was default-made or moved from, throws
// invalid_state_error: it neither crashes nor hangs.
#include <muster/as_completed.hpp>
#include <muster/future.hpp>
#include <muster/gather.hpp>
#include <muster/loop_handle.hpp>
#include <muster/promise.hpp>
#include <muster/race.hpp>
#include <muster/shield.hpp>
#include <muster/stop_token.hpp>
#include <muster/task_handle.hpp>
#include <muster/testing/manual_loop.hpp>
#include <muster/timeout.hpp>
#include <muster/wait.hpp>

#include <chrono>
#include <functional>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace {

using namespace std::chrono_literals;
using muster::testing::manual_loop;

struct call {
    const char* name;
    std::function<void()> make;
};

void expect_all_refused(const std::vector<call>& calls) {
    for (const auto& c : calls) {
        std::string ended = "no error";
        try {
            c.make();
        } catch (const muster::invalid_state_error&) {
            ended = "invalid_state_error";
        } catch (const std::exception& e) {
            ended = e.what();
        }
        EXPECT_EQ(ended, "invalid_state_error") << c.name;
    }
}

template <class H>
std::vector<call> calls_of_any(const H& h) {
    return {
        {"done", [&] { static_cast<void>(h.done()); }},
        {"cancelled", [&] { static_cast<void>(h.cancelled()); }},
        {"exception", [&] { static_cast<void>(h.exception()); }},
        {"cancel", [&] { h.cancel(); }},
        {"request_cancel", [&] { h.request_cancel(); }},
        {"cancelling", [&] { static_cast<void>(h.cancelling()); }},
        {"uncancel", [&] { h.uncancel(); }},
        {"name", [&] { static_cast<void>(h.name()); }},
        {"set_name", [&] { h.set_name("x"); }},
        {"site", [&] { static_cast<void>(h.site()); }},
        {"add_done_callback", [&] { h.add_done_callback([](const muster::any_handle&) {}); }},
        {"remove_done_callback", [&] { h.remove_done_callback(muster::callback_id{1}); }},
        {"cancel_on", [&] { static_cast<void>(muster::cancel_on(std::stop_token(), h)); }},
        {"result", [&] { static_cast<void>(h.result()); }},
        {"ended_as", [&] { static_cast<void>(h.ended_as()); }},
    };
}

TEST(an_empty_handle, is_refused_by_every_function) {
    const muster::task_handle<int> h;
    expect_all_refused(calls_of_any(h));
    EXPECT_FALSE(h.valid());
    EXPECT_EQ(h.id(), nullptr);
    EXPECT_EQ(h, muster::task_handle<int>());
}

TEST(an_empty_future, is_refused_by_every_function) {
    const muster::future<int> f;
    auto calls = calls_of_any(f);
    calls.push_back({"set_value", [&] { f.set_value(1); }});
    calls.push_back({"set_result", [&] { f.set_result(1); }});
    calls.push_back({"set_exception", [&] { f.set_exception(std::runtime_error("x")); }});
    expect_all_refused(calls);
}

TEST(an_empty_promise, is_refused_by_every_function) {
    muster::promise<int> p;
    expect_all_refused({
        {"set_value", [&] { p.set_value(1); }},
        {"set_exception", [&] { p.set_exception(std::runtime_error("x")); }},
    });
    EXPECT_FALSE(p.valid());
    EXPECT_FALSE(p.wanted());
}

TEST(a_loop_handle_that_was_moved_from, is_refused_by_every_function) {
    manual_loop loop;
    loop.run([]() -> muster::task<> {
        auto h = muster::loop_handle::current();
        auto taken = std::move(h);
        auto copy = h;
        expect_all_refused({
            {"post", [&] { h.post([] {}); }},
            {"submit", [&] { static_cast<void>(h.submit([]() -> muster::task<> { co_return; })); }},
            {"alive", [&] { static_cast<void>(h.alive()); }},
            {"post of a copy", [&] { copy.post([] {}); }},
        });
        EXPECT_TRUE(taken.alive());
        co_return;
    }());
}

TEST(a_remote_task_that_was_moved_from, is_refused_by_every_function) {
    manual_loop loop;
    loop.run([]() -> muster::task<> {
        auto t = muster::loop_handle::current().submit([]() -> muster::task<> { co_return; });
        auto taken = std::move(t);
        expect_all_refused({
            {"done", [&] { static_cast<void>(t.done()); }},
            {"wait", [&] { t.wait(); }},
            {"wait_for", [&] { static_cast<void>(t.wait_for(1s)); }},
            {"get", [&] { t.get(); }},
            {"cancel", [&] { t.cancel(); }},
        });
        co_await muster::sleep_for(1ms);
        EXPECT_TRUE(taken.done());
    }());
}

/// Awaits what `make` makes. *Returns* how that ended.
template <class Make>
muster::task<std::string> ending_of(Make make) {
    std::string ended = "no error";
    try {
        auto made = make();
        co_await std::move(made);
    } catch (const muster::invalid_state_error&) {
        ended = "invalid_state_error";
    } catch (const std::exception& e) {
        ended = e.what();
    }
    co_return ended;
}

template <class H>
muster::task<> expect_not_awaited() {
    auto itself = co_await ending_of([] { return H(); });
    auto waited_for = co_await ending_of([] { return muster::wait_for(H(), 1s); });
    auto gathered = co_await ending_of([] { return muster::gather(H(), H()); });
    auto of_range = co_await ending_of([] { return muster::gather(std::vector<H>(2)); });
    auto raced = co_await ending_of([] { return muster::race(H(), H()); });
    auto shielded = co_await ending_of([] { return muster::shield(H()); });
    auto waited = co_await ending_of([] { return muster::wait(std::vector<H>(2)); });
    EXPECT_EQ(itself, "invalid_state_error");
    EXPECT_EQ(waited_for, "invalid_state_error");
    EXPECT_EQ(gathered, "invalid_state_error");
    EXPECT_EQ(of_range, "invalid_state_error");
    EXPECT_EQ(raced, "invalid_state_error");
    EXPECT_EQ(shielded, "invalid_state_error");
    EXPECT_EQ(waited, "invalid_state_error");
}

TEST(an_empty_handle, is_refused_by_all_that_awaits_it) {
    manual_loop loop;
    loop.run(expect_not_awaited<muster::task_handle<int>>());
    loop.run(expect_not_awaited<muster::task_handle<>>());
}

TEST(an_empty_future, is_refused_by_all_that_awaits_it) {
    manual_loop loop;
    loop.run(expect_not_awaited<muster::future<int>>());
}

} // namespace
