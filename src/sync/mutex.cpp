// SPDX-License-Identifier: MIT
// The mutex keeps one line of waiters. Unlike a wait_list it leaves a woken and a cancelled waiter at its position
// until the waiter's task runs, because asyncio's Lock does, and with it the order in which tasks get the lock. A woken
// waiter locks the mutex only when its task runs; until then try_lock() and lock() see from `wanted_` that others come
// first.
#include <muster/mutex.hpp>

#include <muster/condition.hpp>

namespace muster {

using detail::wait_state;

const detail::suspension_kind mutex::lock_awaiter::kind_of{
    .what = name,
    .cancel = &lock_awaiter::interrupt,
    .can_fail = true,
};

detail::sync_state mutex::state_of(const void* self) noexcept {
    const auto& m = *static_cast<const mutex*>(self);
    return {.kind = "mutex", .value = m.locked_ ? 1 : 0, .is_waited_for = !m.line_.empty()};
}

mutex::~mutex() {
    detail::about_to(detail::sync_act::destroyed, this, &state_of);
    while (condition* const c = conditions_.pop_front())
        c->lose_mutex();
}

void mutex::unlock() {
    home_.require_thread("mutex::unlock");
    if (!locked_)
        throw invalid_state_error("mutex::unlock: the mutex is not locked");
    detail::about_to(detail::sync_act::given, this, &state_of);
    locked_ = false;
    wake_first();
}

void mutex::guard::end() noexcept {
    mutex* const m = std::exchange(of_, {}).get();
    if (m == nullptr)
        return; // it was destroyed
    if (!detail::is_loop_thread(m->home_.id())) {
        detail::report_wrong_thread("mutex::guard::~guard", "the mutex stays locked");
        return;
    }
    if (m->locked_)
        m->unlock();
}

void mutex::guard::unlock() {
    if (of_.empty())
        throw invalid_state_error("mutex::guard::unlock: the guard holds no mutex");
    const mutex* const m = of_.get();
    if (m == nullptr)
        throw invalid_state_error("mutex::guard::unlock: the mutex was destroyed");
    m->home_.require_thread("mutex::guard::unlock");
    if (!m->locked_)
        throw invalid_state_error("mutex::guard::unlock: the mutex is not locked");
    end();
}

void mutex::lock_awaiter::leave() noexcept {
    mutex_->line_.remove(*this);
    if (state() != wait_state::interrupted)
        --mutex_->wanted_;
    if (state() == wait_state::waiting)
        move_to(wait_state::interrupted); // its frame is destroyed while it waits
    move_to(wait_state::idle);
}

bool mutex::lock_awaiter::end_wait() {
    if (!listed())
        detail::throw_lost(*this);
    leave();
    if (fiber_->cancellation_due()) {
        // The mutex may have been handed to this task, which does not take it: the next in line has to run then.
        if (!mutex_->locked_)
            mutex_->wake_first();
        return false;
    }
    mutex_->take();
    return true;
}

void mutex::lock_awaiter::finish_wait() {
    if (!end_wait())
        fiber_->throw_cancelled();
}

detail::cancel_effect mutex::lock_awaiter::interrupt(
    detail::suspension& s, const detail::cancel_request&, detail::fiber*&) noexcept {
    auto& self = static_cast<lock_awaiter&>(s);
    --self.mutex_->wanted_;
    self.move_to(wait_state::interrupted);
    return detail::cancel_effect::interrupted;
}

} // namespace muster
