// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Shared by the tests of combinators: children that behave in a known way, and expect_run, which runs a body on a
/// virtual clock and says what must be true of every run: the time it took, the reports, and that no frame is left.
///
///     expect_run([]() -> muster::task<> { co_await value_after(5ms, 1); }, 5ms);

#include <muster/gather.hpp>
#include <muster/run_options.hpp>
#include <muster/sleep.hpp>
#include <muster/task.hpp>
#include <muster/task_handle.hpp>
#include <muster/testing/manual_loop.hpp>

#include <gtest/gtest.h>

#include <chrono>
#include <exception>
#include <memory>
#include <source_location>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace play {

using namespace std::chrono_literals;
using std::chrono::milliseconds;
using lines = std::vector<std::string>;

struct http_error : std::runtime_error {
    explicit http_error(int s) : std::runtime_error("status " + std::to_string(s)), status(s) {}
    int status;
};

// ---- children ----

inline muster::task<int> value_after(milliseconds d, int v) {
    co_await muster::sleep_for(d);
    co_return v;
}
inline muster::task<> nothing_after(milliseconds d) { co_await muster::sleep_for(d); }
inline muster::task<int&> reference_after(milliseconds d, int& v) {
    co_await muster::sleep_for(d);
    co_return v;
}
inline muster::task<std::unique_ptr<int>> pointer_after(milliseconds d, int v) {
    co_await muster::sleep_for(d);
    co_return std::make_unique<int>(v);
}
inline muster::task<int> value_now(int v) { co_return v; }
inline muster::task<int> fail_after(milliseconds d, std::string text = "bad") {
    co_await muster::sleep_for(d);
    throw std::runtime_error(text);
}
inline muster::task<> fail_void_after(milliseconds d, std::string text = "bad") {
    co_await muster::sleep_for(d);
    throw std::runtime_error(text);
}
inline muster::task<int> fail_now(std::string text = "bad") {
    throw std::runtime_error(text);
    co_return 0;
}
inline muster::task<int> status_after(milliseconds d, int status) {
    co_await muster::sleep_for(d);
    throw http_error(status);
}
/// Catches every cancellation and gives its value at its time all the same.
inline muster::task<int> stubborn_for(milliseconds d, int v) {
    const auto end = muster::loop_clock::now() + d;
    while (muster::loop_clock::now() < end) {
        try {
            co_await muster::sleep_until(end);
        } catch (const muster::cancelled_error&) {
            continue;
        }
    }
    co_return v;
}
/// Ends well after `d`; once cancelled, cleans up for `cleaning` and then fails.
inline muster::task<int> fail_cleaning_up(milliseconds d, milliseconds cleaning, std::string text = "clean-up") {
    bool cancelled = false;
    try {
        co_await muster::sleep_for(d);
    } catch (const muster::cancelled_error&) {
        cancelled = true;
    }
    if (cancelled) {
        co_await muster::sleep_for(cleaning);
        throw std::runtime_error(text);
    }
    co_return 0;
}
/// Once cancelled, cleans up for `cleaning`, then passes the cancellation on.
inline muster::task<int> tidy_up(milliseconds d, milliseconds cleaning) {
    std::exception_ptr cancelled;
    try {
        co_await muster::sleep_for(d);
    } catch (const muster::cancelled_error&) {
        cancelled = std::current_exception();
    }
    if (cancelled) {
        co_await muster::sleep_for(cleaning);
        std::rethrow_exception(cancelled);
    }
    co_return 0;
}
inline muster::task<int> cancels_itself_after(milliseconds d) {
    co_await muster::sleep_for(d);
    throw muster::cancelled_error("of its own accord");
}
/// Writes down that it began and how it ended.
inline muster::task<int> logged(lines& log, std::string name, milliseconds d) {
    log.push_back(name + " begins");
    try {
        co_await muster::sleep_for(d);
    } catch (const muster::cancelled_error& e) {
        log.push_back(name + " " + e.what());
        throw;
    }
    log.push_back(name + " ends");
    co_return 0;
}

// ---- looking at an end without a try block ----

template <class A>
muster::task<> only_await(A awaitable) {
    if constexpr (std::is_void_v<muster::detail::awaited_t<A>>) {
        co_await std::move(awaitable);
    } else {
        auto&& given = co_await std::move(awaitable);
        static_cast<void>(given);
    }
}
/// co_await ending(a): how awaiting `a` ends, with its value thrown away.
template <class A>
auto ending(A awaitable) {
    return muster::detail::outcome_of_body(only_await(std::move(awaitable)));
}

template <class E>
std::string text_of(const muster::outcome_base& o) {
    const auto* e = o.error_as<E>();
    return e != nullptr ? e->what() : "not this error: " + muster::to_string(o);
}

// ---- the run ----

/// "suppressed: gather[1]: std::runtime_error: bad"
inline std::string line_of(const muster::report& r) {
    std::string line(muster::to_string(r.kind));
    line += ": " + r.name;
    if (r.index)
        line += '[' + std::to_string(*r.index) + ']';
    if (r.error)
        line += ": " + muster::describe(r.error);
    return line;
}

template <class Body>
void expect_run(Body body, std::chrono::nanoseconds elapsed, const lines& reports = {},
    std::source_location at = std::source_location::current()) {
    const ::testing::ScopedTrace trace(at.file_name(), static_cast<int>(at.line()), "expect_run");
    const auto frames = muster::testing::live_frames();
    lines seen;
    const auto note = [&seen](const muster::report& r) { seen.push_back(line_of(r)); };
    const auto before = muster::set_report_handler(note);
    try {
        muster::testing::manual_loop loop;
        try {
            loop.run(body(), muster::run_options().on_report(note));
        } catch (const muster::cancelled_error& e) {
            ADD_FAILURE() << "the body ended with a cancellation: " << e.what();
        }
        EXPECT_EQ(loop.elapsed().count(), elapsed.count());
    } catch (...) {
        ADD_FAILURE() << "the body threw " << muster::describe(std::current_exception());
    }
    muster::set_report_handler(before);
    EXPECT_EQ(seen, reports);
    EXPECT_EQ(muster::testing::live_frames(), frames);
}

/// The ledger's promise.
template <class Ledger>
void expect_adds_up(const Ledger& l, std::size_t submitted, std::size_t succeeded, std::size_t failed,
    std::size_t cancelled, std::size_t not_started, std::source_location at = std::source_location::current()) {
    const ::testing::ScopedTrace trace(at.file_name(), static_cast<int>(at.line()), "expect_adds_up");
    EXPECT_EQ(l.submitted(), submitted);
    EXPECT_EQ(l.succeeded(), succeeded);
    EXPECT_EQ(l.failed(), failed);
    EXPECT_EQ(l.cancelled(), cancelled);
    EXPECT_EQ(l.not_started(), not_started);
    EXPECT_EQ(l.succeeded() + l.failed() + l.cancelled() + l.not_started(), l.submitted());
}

} // namespace play
