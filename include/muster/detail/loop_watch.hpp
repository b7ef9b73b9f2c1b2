// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A loop under test calls these functions: at each suspension, when a fiber has ended, when an interrupted wait is
/// about to throw, when a combinator has ended, and when main has ended. testing/faults.hpp is made of it. A loop
/// without a watch, which is every loop but a test's, pays a comparison with null for each of these.
///
///     struct counts : loop_watch { void suspended(fiber&) noexcept override { ++n; } int n = 0; };
///     loop.set_watch(&counts);

#include <muster/config.hpp>

namespace muster {
class outcome_base;
} // namespace muster

namespace muster::detail {

class cancel_target;
class fiber;
class fiber_loop;

class loop_watch {
public:
    loop_watch() = default;
    loop_watch(const loop_watch&) = delete;
    loop_watch& operator=(const loop_watch&) = delete;

    /// A step has ended and its fiber has not: it waits, or is queued again.
    virtual void suspended(fiber&) noexcept {}
    /// A fiber has ended with this result, and its owner is about to be told.
    virtual void ended(const fiber&, const outcome_base&) noexcept {}
    /// An interrupted wait is about to throw. An exception that this throws takes its place.
    virtual void interrupted(fiber&) {}
    /// A combinator is over, and its caller is about to be woken. It is a detail::join, which a loop does not know.
    virtual void joined(const cancel_target&) noexcept {}
    /// A run's main task has ended; the loop's tasks that have not are about to be cancelled.
    virtual void main_ended(const fiber_loop&) noexcept {}

protected:
    ~loop_watch() = default;
};

} // namespace muster::detail
