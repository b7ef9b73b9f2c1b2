// SPDX-License-Identifier: MIT
#include <muster/queue.hpp>

#include <stdexcept>

namespace muster {

using detail::turn;

const detail::suspension_kind queue_base::turn_to_get::kind_of{"queue::get", &turn_to_get::interrupt, nullptr, true};
const detail::suspension_kind queue_base::turn_to_put::kind_of{"queue::put", &turn_to_put::interrupt, nullptr, true};
const detail::suspension_kind queue_base::join_kind{"queue::join", &detail::event_wait::interrupt, nullptr, true, true};

void queue_base::turn_to_get::await_resume() {
    if (!linked()) {
        set_where(turn::none);
        fiber_->throw_if_cancelled();
        detail::throw_destroyed_while_waited_for("queue");
    }
    const turn was = list_->leave(*this);
    if (!fiber_->cancellation_due())
        return;
    // It was woken because there is an item, and will not take it.
    if (was == turn::granted && !queue_->empty())
        list_->grant_first();
    fiber_->throw_cancelled();
}

void queue_base::turn_to_put::await_resume() {
    if (!linked()) {
        set_where(turn::none);
        fiber_->throw_if_cancelled();
        detail::throw_destroyed_while_waited_for("queue");
    }
    const turn was = list_->leave(*this);
    if (!fiber_->cancellation_due())
        return;
    if (was == turn::granted && !queue_->full())
        list_->grant_first();
    fiber_->throw_cancelled();
}

detail::sync_state queue_base::state_of(const void* self) noexcept {
    const auto& q = *static_cast<const queue_base*>(self);
    const auto is_used = [](const detail::wait_list& l) { return !l.empty() || l.granted() != 0; };
    return {.kind = "queue",
        .value = static_cast<std::ptrdiff_t>(q.size_),
        .unfinished = q.unfinished_,
        .is_waited_for = is_used(q.getters_) || is_used(q.putters_) || !q.joiners_.empty()};
}

void queue_base::task_done() {
    if (unfinished_ == 0)
        throw std::out_of_range("task_done() called too many times");
    detail::about_to(detail::sync_act::task_done, this, &state_of);
    --unfinished_;
    finish_if_done();
}

void queue_base::finish_if_done() noexcept {
    if (unfinished_ == 0 && !all_done_) {
        all_done_ = true;
        joiners_.grant_all();
    }
}

void queue_base::end_all_waits(bool immediate) noexcept {
    if (immediate)
        finish_if_done();
    getters_.grant_all();
    putters_.grant_all();
}

void queue_base::throw_full() { throw queue_full(); }
void queue_base::throw_empty() { throw queue_empty(); }
void queue_base::throw_shut_down() { throw queue_shut_down(); }

} // namespace muster
