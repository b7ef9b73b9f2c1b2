// SPDX-License-Identifier: MIT
// Which timers go to the row and which to the heap.
//
// Time limits of one length come in the order in which they strike, and so do most that differ little; they belong into
// the row. A single timer of the row that is due late, an hour's limit, would send all that are armed meanwhile to the
// heap: it goes to the heap itself when one comes that is due before it.
#include <muster/detail/timer_queue.hpp>

#include <muster/detail/assert.hpp>

#include <new>

namespace muster::detail {

void timer_queue::push(timer& t, nanoseconds when, std::uint64_t order) {
    MUSTER_ASSERT(!t.armed());
    const timer_entry e{when, order, &t};
    if (!row_.belongs_behind(e) && row_.size() == 1) {
        const timer_entry late = row_.front();
        row_.remove(*late.what);
        // The row has room for the one or the other, so that `late` stays armed whatever happens.
        try {
            heap_.push(late);
        } catch (const std::bad_alloc&) {
            row_.append(late);
        }
    }
    if (row_.belongs_behind(e) && row_.make_room())
        row_.append(e);
    else
        push_to_heap(e);
}

void timer_queue::push_to_heap(const timer_entry& e) {
    try {
        heap_.push(e);
    } catch (const std::bad_alloc&) {
        // A timer that has just been removed may have left its room in the row.
        if (!row_.make_room())
            throw;
        row_.insert(e);
    }
}

void timer_queue::fire_due(nanoseconds now, std::uint64_t last) noexcept {
    std::size_t fired = 0;
    nanoseconds latest{};
    while (!empty()) {
        const timer_entry& e = front();
        if (e.when > now || e.order > last || (++fired > most_at_once && e.when != latest))
            return;
        latest = e.when;
        timer& t = *e.what;
        remove(t);
        t.fire_(t);
    }
}

} // namespace muster::detail
