// SPDX-License-Identifier: MIT
// An 8-ary heap in an array: the children of entry i are entries 8i+1 to 8i+8, and each is due no earlier than its
// parent. Each timer knows where its entry is, so that it can be disarmed in O(log n).
#include <muster/detail/timer_heap.hpp>

namespace muster::detail {

void timer_heap::push(timer& t, nanoseconds when, std::uint64_t order) {
    entries_.push_back({when, order, &t});
    move_up(entries_.size() - 1, {when, order, &t});
}

void timer_heap::remove(timer& t) noexcept {
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

void timer_heap::fire_due(nanoseconds now, std::uint64_t last) noexcept {
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

void timer_heap::put(std::size_t place, const entry& e) noexcept {
    entries_[place] = e;
    e.what->place_ = static_cast<std::uint32_t>(place);
}

void timer_heap::move_up(std::size_t place, entry e) noexcept {
    while (place > 0 && before(e, entries_[parent(place)])) {
        put(place, entries_[parent(place)]);
        place = parent(place);
    }
    put(place, e);
}

void timer_heap::move_down(std::size_t place, entry e) noexcept {
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

} // namespace muster::detail
