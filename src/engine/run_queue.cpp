// SPDX-License-Identifier: MIT
// The rare operations of the ready queue: shuffling it for tests, and dropping it when the loop ends.
#include <muster/detail/run_queue.hpp>

#include <muster/detail/random_sequence.hpp>

#include <cstddef>
#include <new>
#include <utility>
#include <vector>

namespace muster::detail {

void run_queue::shuffle_batch(random_sequence& random) noexcept {
    std::vector<runnable*> all;
    try {
        for (runnable* r = batch_; r != nullptr; r = r->next_)
            all.push_back(r);
    } catch (const std::bad_alloc&) {
        return; // the order in which they came is one of the possible orders
    }
    for (std::size_t i = all.size(); i > 1; --i)
        std::swap(all[i - 1], all[random.next() % i]);
    batch_ = nullptr;
    for (std::size_t i = all.size(); i != 0; --i) {
        all[i - 1]->next_ = std::exchange(batch_, all[i - 1]);
        all[i - 1]->before_ = i > 1 ? all[i - 2] : nullptr;
    }
}

void run_queue::drop_all() noexcept {
    // A dropped call may own objects whose destructors queue other entries, or take them off the queue.
    for (;;) {
        while (runnable* const dropped = take_next()) {
            if (dropped->kind_ == runnable::kind::call) {
                auto& c = static_cast<call_entry&>(*dropped);
                c.call_(c, false);
            }
        }
        if (empty())
            return;
        begin_batch();
    }
}

} // namespace muster::detail
