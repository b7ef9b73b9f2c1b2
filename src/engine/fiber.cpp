// SPDX-License-Identifier: MIT
#include <muster/detail/fiber.hpp>

#include <muster/detail/loop_watch.hpp>
#include <muster/detail/scheduler.hpp>
#include <muster/report.hpp>
#include <muster/task.hpp>

#include <utility>

namespace muster::detail {

void fiber::step() noexcept {
    loop_->running_ = this;
    // Asked to stop before its body began: it is cancelled, and nothing of it ever runs.
    if (cancellation_due() && (state_ == fiber_state::unstarted || dropped_)) [[unlikely]]
        end_cancelled();
    else
        state_ = fiber_state::running;
    while (state_ == fiber_state::running)
        leaf_.resume();
    if (state_ != fiber_state::ended) {
        loop_->running_ = nullptr;
        if (loop_->watch_ != nullptr) [[unlikely]]
            loop_->watch_->suspended(*this);
        return;
    }
    std::exchange(leaf_, nullptr).destroy();
    loop_->running_ = nullptr;
    owner_->ended_(*owner_, *this);
}

/// The leaf ends where it is, cancelled, and so do those that await it and allow it.
void fiber::end_cancelled() noexcept {
    const auto request = take_cancellation();
    droppable_ = dropped_ = false;
    state_ = fiber_state::running;
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
            return; // it goes on, and finds a child that was cancelled
        // Innermost first, so that a chain of any length is destroyed without recursion.
        link->child_ = nullptr;
        child.destroy();
    }
}

void fiber::wait(suspension& op, std::coroutine_handle<> h) noexcept {
    leaf_ = h;
    op_ = &op;
    op.fiber_ = this;
    state_ = fiber_state::waiting;
    if (must_cancel_) [[unlikely]] {
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
    // A loop, because tasks that wait for tasks may form a chain of any length; or a circle, which is found by looking
    // out for a task that was passed, taken anew whenever twice as many have been passed.
    fiber* at = this;
    fiber* passed = this;
    std::size_t lap = 1;
    std::size_t left = lap;
    fiber* next = deliver_here(request, inside);
    while (next != nullptr) {
        if (next->ended()) {
            // It is just being torn down, and wakes the one that waits for it: that one hears of it then.
            at->set_request(request);
            at->must_cancel_ = true;
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
    interrupted_ = true;
    wake();
}

fiber* fiber::deliver_here(const cancel_request& request, const cancel_hold* inside) noexcept {
    if (hold_ != inside) [[unlikely]] {
        // It waits for the end of the outermost hold that is not around the one who asks.
        cancel_hold* h = hold_;
        while (h->outer_ != nullptr && h->outer_ != inside)
            h = h->outer_;
        h->request_ = request;
        h->pending_ = true;
        ++h->count_;
        return nullptr;
    }
    if (state_ != fiber_state::waiting) {
        // It runs, or is about to: the cancellation waits for the next wait. One on its way already keeps its text.
        must_cancel_ = true;
        if (!interrupted_)
            set_request(request);
        return nullptr;
    }
    fiber* goes_on_to = nullptr;
    switch (op_->kind_->cancel(*op_, request, goes_on_to)) {
    case cancel_effect::interrupted:
        set_request(request);
        interrupted_ = true;
        dropped_ = droppable_ && op_->kind_->can_be_dropped;
        wake();
        break;
    case cancel_effect::passed_on:
        break;
    case cancel_effect::held:
        set_request(request);
        must_cancel_ = true;
        break;
    }
    return goes_on_to;
}

cancel_request fiber::take_cancellation() noexcept {
    cancel_request request(reason_, cancel_text_ptr::adopt(std::exchange(text_, nullptr)));
    interrupted_ = must_cancel_ = false;
    return request;
}

bool fiber::interrupt_wait() noexcept {
    if (state_ != fiber_state::waiting || !op_->kind_->can_fail)
        return false;
    fiber* goes_on_to = nullptr;
    if (op_->kind_->cancel(*op_, cancel_request(cancel_reason::requested), goes_on_to) != cancel_effect::interrupted)
        return false;
    set_request(cancel_request(cancel_reason::requested));
    interrupted_ = true;
    wake();
    return true;
}

cancel_request fiber::take_for_throw() {
    const bool asked = must_cancel_;
    auto request = take_cancellation();
    if (loop_->watch_ != nullptr) [[unlikely]] {
        try {
            loop_->watch_->interrupted(*this);
        } catch (...) {
            // It was no cancellation that ended the wait; one that came meanwhile waits for the next.
            if (asked)
                put_back(request);
            throw;
        }
    }
    return request;
}

void fiber::put_back(const cancel_request& request) noexcept {
    set_request(request);
    must_cancel_ = true;
}

int fiber::uncancel() noexcept {
    if (cancels_ == 0)
        return 0;
    --cancels_;
    if (cancels_here() == 0)
        must_cancel_ = false;
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
    if (must_cancel_) {
        h.request_ = take_cancellation();
        h.pending_ = true;
    }
}

void fiber::end_hold(cancel_hold& h) noexcept {
    hold_ = h.outer_;
    if (h.pending_)
        put_back(h.request_);
}

namespace {

/// Tasks that were given tasks that were given tasks: destroying the outermost destroys them all. Beyond a depth the
/// frames wait in a list, so that no length of such a chain needs more stack.
constexpr int frames_nested = 64;
constinit thread_local int destroying = 0;
constinit thread_local void* dropped = nullptr;

void destroy_unstarted_now(std::coroutine_handle<> frame) noexcept {
    if (std::uncaught_exceptions() == 0) {
        const auto function = promise_links::of(frame).function_;
        report r(report_kind::never_awaited);
        r.site = function;
        r.id = frame.address();
        frame.destroy();
        send_report(r, [&] {
            r.name = function.function_name();
            r.detail = "coroutine function at";
        });
    } else {
        frame.destroy();
    }
}

} // namespace

void destroy_unstarted(std::coroutine_handle<> frame) noexcept {
    if (destroying == frames_nested) {
        promise_links::of(frame).next_dropped_ = std::exchange(dropped, frame.address());
        return;
    }
    ++destroying;
    destroy_unstarted_now(frame);
    if (destroying == frames_nested) {
        while (dropped != nullptr) {
            const auto next = std::coroutine_handle<>::from_address(dropped);
            dropped = promise_links::of(next).next_dropped_;
            destroy_unstarted_now(next);
        }
    }
    --destroying;
}

} // namespace muster::detail
