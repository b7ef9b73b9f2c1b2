// SPDX-License-Identifier: MIT
// The rare operations of a row of timers: closing its gaps when its array is full, and an insertion in the middle.
#include <muster/detail/timer_row.hpp>

#include <new>

namespace muster::detail {

bool timer_row::make_room_in_full_array() noexcept {
    // If half of the array is gaps, closing them pays for itself with as many that are appended afterwards.
    if (armed_ <= entries_.size() / 2 && !entries_.empty()) {
        close_gaps();
        return true;
    }
    try {
        if (entries_.size() < most) {
            entries_.reserve(entries_.empty() ? 16 : entries_.size() * 2);
            return true;
        }
    } catch (const std::bad_alloc&) { // a single gap is room, too
    }
    close_gaps();
    return entries_.size() != entries_.capacity();
}

void timer_row::close_gaps() noexcept {
    std::size_t to = 0;
    for (const timer_entry& e : entries_) {
        if (e.what == nullptr)
            continue;
        e.what->place_ = place_of(to);
        entries_[to++] = e;
    }
    MUSTER_ASSERT(to == armed_);
    entries_.resize(to, timer_entry{});
    first_ = 0;
}

void timer_row::insert(const timer_entry& e) noexcept {
    MUSTER_ASSERT(entries_.size() != entries_.capacity());
    close_gaps();
    entries_.push_back(e);
    std::size_t at = entries_.size() - 1;
    for (; at != 0 && e.is_before(entries_[at - 1]); --at) {
        entries_[at] = entries_[at - 1];
        entries_[at].what->place_ = place_of(at);
    }
    entries_[at] = e;
    e.what->place_ = place_of(at);
    ++armed_;
}

} // namespace muster::detail
