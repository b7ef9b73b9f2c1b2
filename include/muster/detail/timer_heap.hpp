// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The loop's timers: an indexed 8-ary heap of intrusive timers, earliest first, first armed first among equals.
/// A timer is part of whatever waits (an awaiter, a scope), so arming one allocates nothing but room in the heap's
/// array, and disarming is as cheap as arming because each timer knows its place.
///
///     heap.push(timer, when);
///     heap.remove(timer);

#include <muster/config.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace muster::detail {

using nanoseconds = std::chrono::nanoseconds;

/// Something that happens at a time. Held by address while armed: it is neither copied nor moved.
class timer {
public:
    using fire_function = void (*)(timer&) noexcept;

    explicit timer(fire_function fire) noexcept : fire_(fire) {}
    /// A timer that keeps a duration for its owner until call_when_due() is called. It must not be armed before that.
    explicit timer(nanoseconds kept) noexcept : kept_(kept) {}
    timer(const timer&) = delete;
    timer& operator=(const timer&) = delete;

    [[nodiscard]] bool armed() const noexcept { return place_ != nowhere; }

protected:
    [[nodiscard]] nanoseconds kept() const noexcept { return kept_; }
    void call_when_due(fire_function fire) noexcept { fire_ = fire; }

private:
    friend class timer_heap;
    static constexpr std::uint32_t nowhere = 0xffffffff;

    union {
        fire_function fire_;
        nanoseconds kept_;
    };
    std::uint32_t place_ = nowhere;
};

/// *Complexity*: push, remove and pop are O(log n) with a small constant; the earliest is O(1).
class timer_heap {
public:
    timer_heap() = default;
    timer_heap(const timer_heap&) = delete;
    timer_heap& operator=(const timer_heap&) = delete;

    [[nodiscard]] bool empty() const noexcept { return entries_.empty(); }
    [[nodiscard]] std::size_t size() const noexcept { return entries_.size(); }
    [[nodiscard]] nanoseconds earliest() const noexcept { return entries_.front().when; }

    /// *Errors*: std::bad_alloc if the array can't grow; the timer is then not armed.
    void push(timer& t, nanoseconds when) { push(t, when, take_order()); }
    /// The same with an order among equals that was taken before.
    void push(timer& t, nanoseconds when, std::uint64_t order);
    [[nodiscard]] std::uint64_t take_order() noexcept { return ++orders_; }

    void remove(timer& t) noexcept;

    /// The latest order that was taken.
    [[nodiscard]] std::uint64_t last_order() const noexcept { return orders_; }

    /// Fires the timers that are due at `now` and whose order is at most `last`. Timers that are armed meanwhile are
    /// left for the next iteration, or those that arm others without a delay would keep this one from ending.
    void fire_due(nanoseconds now, std::uint64_t last) noexcept;

private:
    /// An entry that moves writes its index into its timer, a cache miss if there are many timers. In a flat heap few
    /// entries move.
    static constexpr std::size_t arity = 8;
    /// Timers that are due at different times fire in portions that fit into a cache, because the fibers that they wake
    /// run soon after.
    static constexpr std::size_t most_at_once = 256;

    struct entry {
        nanoseconds when;
        std::uint64_t order; ///< when it was armed, as a count: breaks ties
        timer* what;
    };

    static bool before(const entry& a, const entry& b) noexcept {
        return a.when != b.when ? a.when < b.when : a.order < b.order;
    }
    static std::size_t parent(std::size_t place) noexcept { return (place - 1) / arity; }

    void put(std::size_t place, const entry& e) noexcept;
    void move_up(std::size_t place, entry e) noexcept;
    void move_down(std::size_t place, entry e) noexcept;

    std::vector<entry> entries_;
    std::uint64_t orders_ = 0;
};

} // namespace muster::detail
