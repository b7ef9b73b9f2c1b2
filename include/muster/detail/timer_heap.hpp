// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A timer, and an indexed 8-ary heap of them, earliest first, first armed first among equals. A timer is part of
/// whatever waits (an awaiter, a scope), so arming one allocates nothing but room in the heap's array, and disarming is
/// as cheap as arming because each timer knows its place. A loop has a timer_queue, which is a heap and a row.
///
///     heap.push({when, order, &timer});
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
    friend class timer_row;
    friend class timer_queue;
    static constexpr std::uint32_t nowhere = 0xffffffff;

    union {
        fire_function fire_;
        nanoseconds kept_;
    };
    std::uint32_t place_ = nowhere; ///< in the heap, or, from timer_row::first_place on, in the row
};

/// A timer that is armed.
struct timer_entry {
    nanoseconds when;
    std::uint64_t order; ///< when it was armed, as a count: breaks ties
    timer* what;

    [[nodiscard]] bool is_before(const timer_entry& other) const noexcept {
        return when != other.when ? when < other.when : order < other.order;
    }
};

/// *Complexity*: push and remove are O(log n) with a small constant; the earliest is O(1).
class timer_heap {
public:
    timer_heap() = default;
    timer_heap(const timer_heap&) = delete;
    timer_heap& operator=(const timer_heap&) = delete;

    [[nodiscard]] bool empty() const noexcept { return entries_.empty(); }
    [[nodiscard]] const timer_entry& front() const noexcept { return entries_.front(); }
    /// *Errors*: std::bad_alloc if the array can't grow; the timer is then not armed.
    void push(const timer_entry& e);
    void remove(timer& t) noexcept;

private:
    /// An entry that moves writes its index into its timer, a cache miss if there are many timers. In a flat heap few
    /// entries move.
    static constexpr std::size_t arity = 8;

    static std::size_t parent(std::size_t place) noexcept { return (place - 1) / arity; }
    void put(std::size_t place, const timer_entry& e) noexcept;
    void move_up(std::size_t place, timer_entry e) noexcept;
    void move_down(std::size_t place, timer_entry e) noexcept;

    std::vector<timer_entry> entries_;
};

} // namespace muster::detail
