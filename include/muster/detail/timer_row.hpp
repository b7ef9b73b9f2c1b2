// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Timers that were armed in the order in which they are due: the time limits of many like things, which mostly are
/// disarmed before they strike. A new one goes to the end, and one that is disarmed leaves a gap, so that neither moves
/// another timer.
///
///     if (row.belongs_behind(e) && row.has_room())
///         row.append(e);
///     row.remove(timer);

#include <muster/config.hpp>
#include <muster/detail/assert.hpp>
#include <muster/detail/timer_heap.hpp>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace muster::detail {

/// *Complexity*: append and remove are O(1), amortised over the gaps that are closed; the earliest is O(1).
class timer_row {
public:
    /// A timer with such a place, or a higher one, is in a row and not in a heap.
    static constexpr std::uint32_t first_place = 0x80000000;

    timer_row() = default;
    timer_row(const timer_row&) = delete;
    timer_row& operator=(const timer_row&) = delete;

    [[nodiscard]] static bool holds(const timer& t) noexcept { return t.place_ >= first_place && t.armed(); }
    [[nodiscard]] bool empty() const noexcept { return armed_ == 0; }
    [[nodiscard]] std::size_t size() const noexcept { return armed_; }
    /// The earliest.
    [[nodiscard]] const timer_entry& front() const noexcept { return entries_[first_]; }
    /// Whether the timer is due no earlier than all that are in the row.
    [[nodiscard]] bool belongs_behind(const timer_entry& e) const noexcept {
        return armed_ == 0 || entries_.back().is_before(e);
    }
    /// Sees to it that one more has room. Closes the gaps if that makes enough, or if there is no memory.
    /// *Returns* false if there is no room.
    [[nodiscard]] bool make_room() noexcept {
        return entries_.size() != entries_.capacity() || make_room_in_full_array();
    }
    /// Needs room, and belongs_behind(e).
    void append(const timer_entry& e) noexcept {
        MUSTER_ASSERT(belongs_behind(e) && entries_.size() != entries_.capacity());
        e.what->place_ = place_of(entries_.size());
        entries_.push_back(e);
        ++armed_;
    }
    /// The same for one that is due before others. *Complexity*: O(n).
    void insert(const timer_entry& e) noexcept;
    void remove(timer& t) noexcept {
        const std::size_t at = t.place_ - first_place;
        MUSTER_ASSERT(holds(t) && entries_[at].what == &t);
        t.place_ = timer::nowhere;
        entries_[at].what = nullptr;
        if (--armed_ == 0) {
            entries_.clear();
            first_ = 0;
            return;
        }
        while (entries_[first_].what == nullptr)
            ++first_;
        while (entries_.back().what == nullptr)
            entries_.pop_back();
    }

private:
    static constexpr std::size_t most = 1u << 30;
    static std::uint32_t place_of(std::size_t at) noexcept { return first_place + static_cast<std::uint32_t>(at); }
    bool make_room_in_full_array() noexcept;
    void close_gaps() noexcept;

    // The first armed one, first_, and the last entry are no gaps.
    std::vector<timer_entry> entries_; ///< earliest first; a gap is an entry without a timer
    std::size_t first_ = 0;
    std::size_t armed_ = 0;
};

} // namespace muster::detail
