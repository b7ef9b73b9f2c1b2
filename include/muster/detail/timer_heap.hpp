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
    /// One that keeps a duration for its owner until it is told what to call. It must not be armed before.
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
    /// The same with a place among equals that was taken before.
    void push(timer& t, nanoseconds when, std::uint64_t order) {
        entries_.push_back({when, order, &t});
        move_up(entries_.size() - 1, {when, order, &t});
    }
    [[nodiscard]] std::uint64_t take_order() noexcept { return ++orders_; }

    void remove(timer& t) noexcept {
        const std::size_t place = t.place_;
        t.place_ = timer::nowhere;
        const entry last = entries_.back();
        entries_.pop_back();
        if (place == entries_.size())
            return;
        if (place > 0 && before(last, entries_[parent(place)]))
            move_up(place, last);
        else
            move_down(place, last);
    }

    /// Grows with each place that is taken.
    [[nodiscard]] std::uint64_t last_order() const noexcept { return orders_; }

    /// Lets happen what is due at `now` and was armed up to `last`. What is armed meanwhile is left for the next turn,
    /// or timers that arm others at no delay would keep this one from ending.
    void fire_due(nanoseconds now, std::uint64_t last) noexcept {
        std::size_t fired = 0;
        nanoseconds latest{};
        while (!entries_.empty() && entries_.front().when <= now && entries_.front().order <= last) {
            if (++fired > most_at_once && entries_.front().when != latest)
                return;
            latest = entries_.front().when;
            timer& t = *entries_.front().what;
            remove(t);
            t.fire_(t);
        }
    }

private:
    /// An entry that moves writes its place into its timer, which is in no cache if there are many: a flat heap moves few.
    static constexpr std::size_t arity = 8;
    /// What is due at different times is let happen in portions that a cache holds: what a timer wakes runs soon after.
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

    void put(std::size_t place, const entry& e) noexcept {
        entries_[place] = e;
        e.what->place_ = static_cast<std::uint32_t>(place);
    }

    void move_up(std::size_t place, entry e) noexcept {
        while (place > 0 && before(e, entries_[parent(place)])) {
            put(place, entries_[parent(place)]);
            place = parent(place);
        }
        put(place, e);
    }

    void move_down(std::size_t place, entry e) noexcept {
        const std::size_t size = entries_.size();
        for (;;) {
            const std::size_t first = arity * place + 1;
            if (first >= size)
                break;
            const std::size_t end = first + arity < size ? first + arity : size;
            std::size_t best = first;
            for (std::size_t child = first + 1; child < end; ++child)
                if (before(entries_[child], entries_[best]))
                    best = child;
            if (!before(entries_[best], e))
                break;
            put(place, entries_[best]);
            place = best;
        }
        put(place, e);
    }

    std::vector<entry> entries_;
    std::uint64_t orders_ = 0;
};

} // namespace muster::detail
