// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The loop's timers, earliest first, first armed first among equals. One that is due no earlier than all in a row goes
/// to the end of that; any other one goes to a heap.
///
///     timers.push(timer, when, timers.take_order());
///     timers.remove(timer);

#include <muster/config.hpp>
#include <muster/detail/timer_heap.hpp>
#include <muster/detail/timer_row.hpp>

#include <cstddef>
#include <cstdint>

namespace muster::detail {

/// *Complexity*: push and remove are O(1) for timers that are armed in the order in which they are due, otherwise
/// O(log n) with a small constant; the earliest is O(1).
class timer_queue {
public:
    [[nodiscard]] bool empty() const noexcept { return row_.empty() && heap_.empty(); }
    [[nodiscard]] nanoseconds earliest() const noexcept { return front().when; }

    /// `order` decides among timers of the same time. *Errors*: std::bad_alloc; the timer is then not armed. A timer
    /// that has just been removed, or has just fired, can be armed without an error.
    void push(timer& t, nanoseconds when, std::uint64_t order);
    [[nodiscard]] std::uint64_t take_order() noexcept { return ++orders_; }

    void remove(timer& t) noexcept {
        if (timer_row::holds(t))
            row_.remove(t);
        else
            heap_.remove(t);
    }

    /// The latest order that was taken.
    [[nodiscard]] std::uint64_t last_order() const noexcept { return orders_; }

    /// Fires the timers that are due at `now` and whose order is at most `last`. Timers that are armed meanwhile are
    /// left for the next iteration, or those that arm others without a delay would keep this one from ending.
    void fire_due(nanoseconds now, std::uint64_t last) noexcept;

private:
    /// Timers that are due at different times fire in portions that fit into a cache, because the fibers that they wake
    /// run soon after.
    static constexpr std::size_t most_at_once = 256;

    [[nodiscard]] const timer_entry& front() const noexcept {
        if (row_.empty())
            return heap_.front();
        return heap_.empty() || row_.front().is_before(heap_.front()) ? row_.front() : heap_.front();
    }
    void push_to_heap(const timer_entry& e);

    timer_row row_;
    timer_heap heap_;
    std::uint64_t orders_ = 0;
};

} // namespace muster::detail
