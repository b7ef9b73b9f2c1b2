// SPDX-License-Identifier: MIT
// This file steps fibers and cancels them.
//
// step() resumes the fiber's innermost coroutine, again and again, until that waits, yields or ends. A coroutine that
// awaits a child names the child as the innermost one and suspends; a child that ends names its parent. So no
// coroutine ever resumes another.
//
// A cancellation finds a fiber in one of three situations. If a stretch of its code holds cancellation back, the
// request waits at that hold. If the fiber runs, the request is kept for its next wait; if it was woken and is queued,
// the awaiter throws the cancellation when the fiber runs, after it has given back the permit or item that
// it had received. If the fiber
// waits, the wait decides (cancel_effect): it ends, it passes the request on to what it waits for, or it can't stop.
#include <muster/detail/fiber.hpp>

#include <muster/detail/loop_watch.hpp>

#include <utility>

namespace muster::detail {

bool fiber::may_go_to(fiber_state to) const noexcept {
    switch (to) {
    case fiber_state::unstarted:
        return state_ == fiber_state::ended || state_ == fiber_state::unstarted;
    case fiber_state::queued:
        return state_ == fiber_state::waiting || state_ == fiber_state::running;
    case fiber_state::running:
        return state_ == fiber_state::queued || state_ == fiber_state::unstarted;
    case fiber_state::waiting:
        return state_ == fiber_state::running;
    case fiber_state::ended:
        return true;
    }
    return false;
}

std::string fiber::owners_name() const {
    return owner_ != nullptr ? owner_->owner_kind_->name(*owner_, *this) : std::string("task");
}

std::source_location fiber::owners_site() const noexcept {
    return owner_ != nullptr && owner_->owner_kind_->site != nullptr ? owner_->owner_kind_->site(*owner_)
                                                                     : std::source_location();
}

void fiber::step() noexcept {
    // The two kinds are functions of their own because a step is short, and almost all of them are plain.
    if (loop_->steps_are_plain()) [[likely]]
        step_as<step_kind::plain>();
    else if (!left_behind())
        step_as<step_kind::checked>();
}

template <fiber::step_kind Kind>
void fiber::step_as() noexcept {
    loop_->running_ = this;
    if (cancellation_due()) [[unlikely]] {
        // A task that was asked to stop before its body began is cancelled, and nothing of it ever runs.
        const bool never_began = state_ == fiber_state::unstarted;
        go_to(fiber_state::running);
        if (never_began || is_dropped())
            end_cancelled();
    } else {
        go_to(fiber_state::running);
    }
    while (state_ == fiber_state::running)
        leaf_.resume();
    if (state_ != fiber_state::ended) {
        loop_->running_ = nullptr;
        if constexpr (Kind == step_kind::checked)
            if (loop_->watch_ != nullptr)
                loop_->watch_->suspended(*this);
        return;
    }
    if constexpr (Kind == step_kind::checked)
        if (loop_->watch_ != nullptr)
            loop_->watch_->ended(*this, *promise_links::of(leaf_).out_);
    const auto frame = std::exchange(leaf_, nullptr);
    if (promise_links::of(frame).out_->succeeded()) [[likely]]
        frame.destroy();
    else
        destroy_quietly(frame);
    loop_->running_ = nullptr;
    owner_->owner_kind_->ended(*owner_, *this);
}

/// The innermost coroutine ends where it is, cancelled, and so does each that awaits it and allows that.
void fiber::end_cancelled() noexcept {
    const auto request = take_cancellation();
    drop_ = drop_stage::not_allowed;
    for (;;) {
        auto& links = promise_links::of(leaf_);
        detail_outcome_access::set_cancelled(*links.out_, outcome_state::cancelled, request.reason, request.text);
        inline_link* const link = links.link_;
        if (link == nullptr) {
            set_ended();
            return;
        }
        const auto child = std::exchange(leaf_, link->parent());
        if (!link->drops_parent())
            return; // the parent goes on, and finds that its child was cancelled
        // Innermost first, so that a chain of any length is destroyed without recursion.
        link->child_ = nullptr;
        destroy_quietly(child);
    }
}

void fiber::wait(suspension& op, std::coroutine_handle<> h) noexcept {
    leaf_ = h;
    op_ = &op;
    op.fiber_ = this;
    go_to(fiber_state::waiting);
    if (next_wait_is_cancelled()) [[unlikely]] {
        const auto request = take_cancellation();
        deliver(request, hold_);
    }
}

bool fiber::cancel(const cancel_request& request, const cancel_hold* inside) noexcept {
    if (ended())
        return false;
    ++cancels_;
    return deliver(request, inside);
}

bool fiber::deliver(const cancel_request& request, const cancel_hold* inside) noexcept {
    // A loop and not a recursion, because tasks that wait for tasks may form a chain of any length. They may also form
    // a circle: the loop remembers one task that it passed, and another one whenever it has passed twice as many since;
    // when it meets that task again it has gone round (Brent's algorithm).
    fiber* at = this;
    fiber* passed = this;
    std::size_t lap = 1;
    std::size_t left = lap;
    fiber* next = deliver_here(request, inside);
    while (next != nullptr) {
        if (next->ended()) {
            // `next` has ended, and its frames are being destroyed. It wakes `at` afterwards, which then finds the
            // request.
            at->put_back(request);
            break;
        }
        if (next == passed) {
            at->cut_circle(request);
            break;
        }
        if (--left == 0) {
            passed = next;
            left = lap *= 2;
        }
        at = next;
        ++at->cancels_;
        next = at->deliver_here(request, nullptr);
    }
    return true;
}

void fiber::cut_circle(const cancel_request& request) noexcept {
    fiber* itself = this;
    static_cast<void>(op_->kind_->cancel(*op_, request, itself));
    set_request(request);
    interrupted_wait();
    wake();
}

fiber* fiber::deliver_here(const cancel_request& request, const cancel_hold* inside) noexcept {
    if (hold_ != inside) [[unlikely]] {
        // The request waits for the end of the outermost hold that is not around the one who asks.
        cancel_hold* h = hold_;
        while (h->outer_ != nullptr && h->outer_ != inside)
            h = h->outer_;
        h->request_ = request;
        h->pending_ = true;
        ++h->count_;
        return nullptr;
    }
    if (state_ != fiber_state::waiting) {
        // The fiber runs, or is about to. A cancellation that has ended its wait already keeps its own text.
        if (!wait_was_interrupted())
            set_request(request);
        keep_for_next_wait();
        return nullptr;
    }
    fiber* goes_on_to = nullptr;
    switch (op_->kind_->cancel(*op_, request, goes_on_to)) {
    case cancel_effect::interrupted:
        set_request(request);
        interrupted_wait();
        if (drop_ == drop_stage::allowed && op_->kind_->can_be_dropped)
            drop_ = drop_stage::dropped;
        wake();
        break;
    case cancel_effect::passed_on:
        break;
    case cancel_effect::held:
        put_back(request);
        break;
    }
    return goes_on_to;
}

cancel_request fiber::take_cancellation() noexcept {
    cancel_request request(reason_, cancel_text_ptr::adopt(std::exchange(text_, nullptr)));
    stage_ = cancel_stage::none;
    return request;
}

bool fiber::interrupt_wait() noexcept {
    if (state_ != fiber_state::waiting || !op_->kind_->can_fail)
        return false;
    fiber* goes_on_to = nullptr;
    if (op_->kind_->cancel(*op_, cancel_request(cancel_reason::requested), goes_on_to) != cancel_effect::interrupted)
        return false;
    set_request(cancel_request(cancel_reason::requested));
    interrupted_wait();
    wake();
    return true;
}

cancel_request fiber::take_for_throw() {
    const bool asked = next_wait_is_cancelled();
    auto request = take_cancellation();
    if (loop_->watch_ != nullptr) [[unlikely]] {
        try {
            loop_->watch_->interrupted(*this);
        } catch (...) {
            // The test ended the wait, and no cancellation. One that came meanwhile is kept for the next wait.
            if (asked)
                put_back(request);
            throw;
        }
    }
    return request;
}

void fiber::put_back(const cancel_request& request) noexcept {
    set_request(request);
    keep_for_next_wait();
}

int fiber::uncancel() noexcept {
    if (cancels_ == 0)
        return 0;
    --cancels_;
    if (cancels_here() == 0)
        stage_ = wait_was_interrupted() ? cancel_stage::interrupted : cancel_stage::none;
    if (cancels_ == 0)
        for (cancel_hold* h = hold_; h != nullptr; h = h->outer_)
            h->pending_ = false;
    return static_cast<int>(cancels_);
}

std::uint32_t fiber::cancels_here() const noexcept {
    std::uint32_t held = 0;
    for (const cancel_hold* h = hold_; h != nullptr; h = h->outer_)
        held += h->count_;
    return cancels_ > held ? cancels_ - held : 0;
}

void fiber::begin_hold(cancel_hold& h) noexcept {
    h.outer_ = std::exchange(hold_, &h);
    if (next_wait_is_cancelled()) {
        h.request_ = take_cancellation();
        h.pending_ = true;
    }
}

void fiber::end_hold(cancel_hold& h) noexcept {
    MUSTER_ASSERT(hold_ == &h);
    hold_ = h.outer_;
    if (h.pending_)
        put_back(h.request_);
}

} // namespace muster::detail
