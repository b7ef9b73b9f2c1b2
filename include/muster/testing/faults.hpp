// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Runs a coroutine of yours once as it is, then again and again, and disturbs each run at another point, until a run
/// is over before its point is reached: a cancellation at the n-th suspension, or a failure of the n-th frame or wait.
/// It finds the clean-up that is skipped, the lock that stays held, the child that is left running: see fault_result.
///
///     auto body = []() -> muster::task<> { co_await transfer(accounts, 100); EXPECT_EQ(sum(accounts), 1000); };
///     const auto result = muster::testing::cancel_at_each_suspension(body);
///     EXPECT_TRUE(result.clean()) << muster::testing::to_string(result);

#include <muster/config.hpp>
#include <muster/testing/failure_book.hpp>
#include <muster/testing/manual_loop.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace muster::testing {

/// The failure of a wait that fail_at_each_point disturbs. A frame fails with std::bad_alloc.
class injected_fault : public std::runtime_error {
public:
    explicit injected_fault(std::size_t point);
    [[nodiscard]] std::size_t point() const noexcept { return point_; }

private:
    std::size_t point_;
};

/// Each may be set in a chain: `fault_options().shuffle(7)`.
class fault_options {
public:
    fault_options() {}

    /// Cancel the task or child that is about to wait. Otherwise the body as a whole is cancelled, as a caller would.
    fault_options& cancel_who_waits(bool on = true) {
        who_waits_ = on;
        return *this;
    }
    /// Tasks that are ready at once run in an order that the seed decides: see manual_loop::shuffle_ready.
    fault_options& shuffle(std::uint64_t seed) {
        shuffle_ = seed;
        return *this;
    }
    /// The body hands every failure that it does not throw to failure_book::delivered: then an injected failure that
    /// was neither thrown by the body, nor written down, nor reported is a finding. A body that takes a
    /// `failure_book&` sets this by itself.
    fault_options& body_keeps_the_book(bool on = true) {
        keeps_book_ = on;
        return *this;
    }
    /// The undisturbed body fails, and that is meant: its failure is no finding.
    fault_options& may_fail(bool on = true) {
        may_fail_ = on;
        return *this;
    }
    /// The body that is cancelled as a whole may end with a value all the same, and that is meant: it has a fallback,
    /// or what it does must not be cut short.
    fault_options& may_end_with_a_value(bool on = true) {
        may_end_with_value_ = on;
        return *this;
    }
    /// The body that is cancelled as a whole may end with an error of its own, and that is meant: it throws what it
    /// could not undo, or gives the cancellation another type.
    fault_options& may_end_with_an_error(bool on = true) {
        may_end_with_error_ = on;
        return *this;
    }
    /// Tasks may go on when the body has ended, and that is meant: siblings that a gather leaves, a task whose handle
    /// is dropped so that the run cancels it. A shielded task may without this.
    fault_options& may_leave_tasks(bool on = true) {
        may_leave_tasks_ = on;
        return *this;
    }
    /// Give up after so many runs, or after so many points of one run.
    fault_options& at_most(std::size_t runs) {
        at_most_ = runs;
        return *this;
    }

    [[nodiscard]] bool cancels_who_waits() const noexcept { return who_waits_; }
    [[nodiscard]] std::uint64_t shuffle_seed() const noexcept { return shuffle_; }
    [[nodiscard]] bool keeps_the_book() const noexcept { return keeps_book_; }
    [[nodiscard]] bool failure_is_meant() const noexcept { return may_fail_; }
    [[nodiscard]] bool value_is_meant() const noexcept { return may_end_with_value_; }
    [[nodiscard]] bool error_is_meant() const noexcept { return may_end_with_error_ || may_fail_; }
    [[nodiscard]] bool left_tasks_are_meant() const noexcept { return may_leave_tasks_; }
    [[nodiscard]] std::size_t most_runs() const noexcept { return at_most_; }

private:
    bool who_waits_ = false;
    bool keeps_book_ = false;
    bool may_fail_ = false;
    bool may_end_with_value_ = false;
    bool may_end_with_error_ = false;
    bool may_leave_tasks_ = false;
    std::uint64_t shuffle_ = 0;
    std::size_t at_most_ = 100'000;
};

/// The outcome of all runs. A finding is:
///  - of the undisturbed run: it fails, waits for ever, has no end after fault_options::at_most points, or has no point
///    at which it could be disturbed, so that nothing was tried;
///  - of any run: a coroutine frame that was not freed; a combinator whose counts do not add up; a failure that was
///    delivered twice, or reported and delivered; a task that still ran when the body had ended; a mutex that is left
///    locked; a permit that was not given back; an item for which task_done() was not called, where the body calls it;
///    a primitive that was destroyed while a task waited for it;
///  - of a run that was cancelled as a whole: it ended with a value, or with an error instead of the cancellation, or
///    waited for ever;
///  - of a run beside the undisturbed one: it went another way before its disturbance, or left an item in a queue that
///    outlives it - an earlier run has left something behind.
///
/// A semaphore whose permits are given by other tasks than take them is a signal: its permits need not come back.
struct fault_result {
    fault_result() = default;

    [[nodiscard]] bool clean() const noexcept { return findings.empty(); }

    std::size_t points = 0;            ///< the number of points at which the body was disturbed
    std::size_t combinators = 0;       ///< the number of gathers, maps, races, waits that were audited, in all runs
    std::size_t deadlocks = 0;         ///< runs in which the others then waited for ever; they were cancelled
    std::vector<std::string> findings; ///< "at point 3: ..."; empty if every run was right
};

/// *Returns* the counts, then one finding a line.
[[nodiscard]] std::string to_string(const fault_result& result);

/// For the functions below.
class fault_driver {
public:
    enum class disturbance : std::uint8_t { cancellation, failure };

    template <class Body>
    static fault_result disturb(disturbance how, Body& body, fault_options options) {
        if constexpr (std::is_invocable_v<Body&, failure_book&>) {
            static_assert(
                detail::is_task<std::invoke_result_t<Body&, failure_book&>>, "the body must return a muster::task");
            options.body_keeps_the_book();
            return disturb_each_point(
                how,
                [&](manual_loop& loop, const run_options& how_to_run, failure_book& book) {
                    static_cast<void>(loop.run(body(book), how_to_run));
                },
                options);
        } else {
            static_assert(std::is_invocable_v<Body&>, "the body is a callable that takes nothing, or a failure_book&");
            static_assert(detail::is_task<std::invoke_result_t<Body&>>, "the body must return a muster::task");
            return disturb_each_point(
                how,
                [&](manual_loop& loop, const run_options& how_to_run, failure_book&) {
                    static_cast<void>(loop.run(body(), how_to_run));
                },
                options);
        }
    }

private:
    using run_function = std::function<void(manual_loop&, const run_options&, failure_book&)>;
    static fault_result disturb_each_point(disturbance how, const run_function& run, const fault_options& options);
};

/// Calls `body()`, or `body(failure_book&)`, for each run, and runs the task that it returns on a virtual clock. In run
/// n the body is cancelled when any of its tasks and children suspends for the n-th time; with cancel_who_waits() the
/// one that suspends is. *Returns* the findings.
/// *Lifetime*: what a run leaves behind must not matter to the next; where it does, that is a finding. *Thread safety*:
/// one thread; no loop runs on it. *Complexity*: as many runs as there are suspensions. *Source*: the model checkers of
/// files that fail at each write.
template <class Body>
[[nodiscard]] fault_result cancel_at_each_suspension(Body body, fault_options options = {}) {
    return fault_driver::disturb(fault_driver::disturbance::cancellation, body, options);
}

/// The same, but in run n the n-th point fails: the allocation of a coroutine's frame, with std::bad_alloc; or a wait
/// for time, an event, a lock, a permit, a queue or the next of as_completed, with injected_fault. A wait for other
/// tasks is no point: it fails when they do.
template <class Body>
[[nodiscard]] fault_result fail_at_each_point(Body body, fault_options options = {}) {
    return fault_driver::disturb(fault_driver::disturbance::failure, body, options);
}

} // namespace muster::testing
