// SPDX-License-Identifier: MIT
// The queues' waits. Putting an item wakes the first task that waits to get, and taking one wakes the first that waits
// to put; the item itself stays in the queue until a task takes it, so that a woken task which is cancelled has nothing
// to give back but the wake-up.
#include <muster/queue.hpp>

#include <stdexcept>

namespace muster {

using detail::wait_state;

const detail::suspension_kind queue_base::get_wait::kind_of{
    .what = "queue::get",
    .cancel = &get_wait::interrupt,
    .can_fail = true,
};
const detail::suspension_kind queue_base::put_wait::kind_of{
    .what = "queue::put",
    .cancel = &put_wait::interrupt,
    .can_fail = true,
};
const detail::suspension_kind queue_base::join_kind{
    .what = join_awaiter::name,
    .cancel = &detail::event_wait::interrupt,
    .can_fail = true,
    .can_be_dropped = true,
};

void queue_base::get_wait::await_resume() {
    if (!listed())
        detail::throw_lost(*this);
    const wait_state was = list_->leave(*this);
    if (!fiber_->cancellation_due())
        return;
    // The task was woken because there was an item, and does not take it: the next one may.
    if (was == wait_state::granted && !queue_->empty())
        list_->grant_first();
    fiber_->throw_cancelled();
}

void queue_base::put_wait::await_resume() {
    if (!listed())
        detail::throw_lost(*this);
    const wait_state was = list_->leave(*this);
    if (!fiber_->cancellation_due())
        return;
    if (was == wait_state::granted && !queue_->full())
        list_->grant_first();
    fiber_->throw_cancelled();
}

detail::sync_state queue_base::state_of(const void* self) noexcept {
    const auto& q = *static_cast<const queue_base*>(self);
    const auto is_used = [](const detail::wait_list& l) { return !l.empty() || l.granted() != 0; };
    return {.kind = "queue",
        .value = static_cast<std::ptrdiff_t>(q.size_),
        .unfinished = q.unfinished_,
        .is_waited_for = is_used(q.getters_) || is_used(q.putters_) || !q.finished_.empty()};
}

void queue_base::task_done() {
    finished_.home.require_thread("queue::task_done");
    if (unfinished_ == 0)
        throw std::out_of_range("task_done() called too many times");
    detail::about_to(detail::sync_act::task_done, this, &state_of);
    --unfinished_;
    finish_if_done();
}

void queue_base::finish_if_done() noexcept {
    if (unfinished_ == 0 && !finished_.set) {
        finished_.set = true;
        finished_.grant_all();
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
