// SPDX-License-Identifier: MIT
// A time limit cancels the task that its body runs in, and takes the request back by uncancel() when the body has
// ended:
//
//     created --run()--> entered --the limit strikes--> expiring --the body has ended--> expired
//                           \--the body has ended--> exited
//
// Only a cancellation that is the limit's own becomes a timeout_error; the counts of requests before and after tell.
#include <muster/timeout.hpp>

#include <muster/detail/assert.hpp>

#include <muster/wait.hpp>

#include <new>
#include <utility>
#include <vector>

namespace muster {

timeout_scope::~timeout_scope() {
    disarm();
    if (inside_ == nullptr)
        return;
    // The scope is destroyed while its run() still waits, which must not look at the scope again. If the limit had
    // struck, the scope has cancelled the body and would take that request back at its end: the request is taken back
    // here, and run() is told that a cancelled body was cancelled by the limit and by nobody else.
    inside_->scope_ = nullptr;
    inside_->was_expiring_ = state_ == state::expiring;
    if (state_ == state::expiring)
        fiber_->uncancel();
}

timeout_scope::stay::~stay() {
    if (scope_ == nullptr)
        return;
    // The scope may outlive the task that it was run in.
    scope_->disarm();
    scope_->fiber_ = nullptr;
    scope_->inside_ = nullptr;
}

void timeout_scope::stay::leave(const outcome_base& ended) {
    if (scope_ != nullptr)
        scope_->leave(ended);
    else if (ended.succeeded() || (was_expiring_ && ended.was_cancelled()))
        throw invalid_state_error("this timeout_scope was destroyed while it ran: keep it until run() has ended");
}

void timeout_scope::enter(stay& inside) {
    if (state_ != state::created)
        throw invalid_state_error("this timeout_scope was run before: make a new one for each scope");
    auto& loop = detail::scheduler::require("timeout_scope::run");
    fiber_ = loop.running();
    cancels_before_ = fiber_->cancels_here();
    hold_ = fiber_->hold();
    was_pending_ = fiber_->next_wait_is_cancelled();
    move_to(state::entered);
    inside_ = &inside;
    try {
        arm();
    } catch (...) {
        fiber_ = nullptr;
        inside_ = nullptr;
        throw;
    }
}

void timeout_scope::move_to(state to) noexcept {
    MUSTER_ASSERT(to == state::entered   ? state_ == state::created
                  : to == state::expired ? state_ == state::expiring
                                         : state_ == state::entered);
    state_ = to;
}

void timeout_scope::arm() {
    if (!when_)
        return;
    auto& loop = detail::scheduler::of(*fiber_);
    if (when_->time_since_epoch() <= loop.now())
        loop.post(static_cast<detail::call_entry&>(at_once_));
    else if (!loop.arm(timer_, when_->time_since_epoch()))
        throw std::bad_alloc();
}

void timeout_scope::disarm() noexcept {
    if (fiber_ == nullptr)
        return;
    detail::scheduler::of(*fiber_).disarm(timer_);
    fiber_->loop().unpost(at_once_);
}

void timeout_scope::reschedule(std::optional<loop_clock::time_point> when) {
    if (state_ == state::created)
        throw invalid_state_error("this timeout_scope has not been entered: reschedule it in the body given to run()");
    if (state_ != state::entered)
        throw invalid_state_error(expired() ? "this timeout_scope has struck: it can't be moved any more"
                                            : "this timeout_scope has ended: it can't be moved any more");
    when_ = when;
    disarm();
    arm();
}

void timeout_scope::strike() noexcept {
    move_to(state::expiring);
    fiber_->cancel(detail::cancel_request(cancel_reason::deadline), hold_);
}

void timeout_scope::leave(const outcome_base& ended) {
    disarm();
    if (state_ != state::expiring) {
        move_to(state::exited);
        return;
    }
    move_to(state::expired);
    fiber_->uncancel();
    const bool ours = fiber_->cancels_here() <= cancels_before_;
    if (!ours || !ended.was_cancelled())
        return;
    // A cancellation that was due before the scope began is not the limit's, although the limit struck as well.
    if (was_pending_ && ended.reason() != cancel_reason::deadline)
        return;
    throw timeout_error();
}

namespace detail {

task<> until_it_has_ended(any_handle handle) {
    std::vector<any_handle> one;
    one.push_back(std::move(handle));
    auto waiting = wait(std::move(one));
    co_await std::move(waiting);
}

} // namespace detail

} // namespace muster
