// SPDX-License-Identifier: MIT
// An 8-ary heap in an array: the children of entry i are entries 8i+1 to 8i+8, and each is due no earlier than its
// parent. Each timer knows where its entry is, so that it can be disarmed in O(log n).
#include <muster/detail/timer_heap.hpp>

namespace muster::detail {

void timer_heap::push(const timer_entry& e) {
    entries_.push_back(e);
    move_up(entries_.size() - 1, e);
}

void timer_heap::remove(timer& t) noexcept {
    const std::size_t place = t.place_;
    t.place_ = timer::nowhere;
    const timer_entry last = entries_.back();
    entries_.pop_back();
    if (place == entries_.size())
        return;
    if (place > 0 && last.is_before(entries_[parent(place)]))
        move_up(place, last);
    else
        move_down(place, last);
}

void timer_heap::put(std::size_t place, const timer_entry& e) noexcept {
    entries_[place] = e;
    e.what->place_ = static_cast<std::uint32_t>(place);
}

void timer_heap::move_up(std::size_t place, timer_entry e) noexcept {
    while (place > 0 && e.is_before(entries_[parent(place)])) {
        put(place, entries_[parent(place)]);
        place = parent(place);
    }
    put(place, e);
}

void timer_heap::move_down(std::size_t place, timer_entry e) noexcept {
    const std::size_t size = entries_.size();
    for (;;) {
        const std::size_t first = arity * place + 1;
        if (first >= size)
            break;
        const std::size_t end = first + arity < size ? first + arity : size;
        std::size_t best = first;
        for (std::size_t child = first + 1; child < end; ++child)
            if (entries_[child].is_before(entries_[best]))
                best = child;
        if (!entries_[best].is_before(e))
            break;
        put(place, entries_[best]);
        place = best;
    }
    put(place, e);
}

} // namespace muster::detail
