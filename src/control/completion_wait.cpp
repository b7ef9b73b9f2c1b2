// SPDX-License-Identifier: MIT
// This file defines the wait for a task or future.
//
// A wait passes a cancellation on: the task, future or started combinator is asked to stop, and the wait ends when that
// has ended. If the
// request comes back to the waiting fiber in a circle of tasks that wait for each other, the wait itself is
// interrupted.
#include <muster/detail/completion_wait.hpp>

#include <muster/error.hpp>

#include <string>
#include <utility>

namespace muster::detail {

const suspension_kind completion_wait::kind_of{
    .what = "a task or future", .cancel = &pass_on, .list = &list, .waits_on = &waits_on};

completion_wait::waker::waker(completion_wait& w) noexcept : watcher(&ended, nullptr), wait(w) {}

completion_wait::completion_wait(counted<completable> c) : suspension(kind_of), on_(std::move(c)), watch_(*this) {
    if (!on_)
        throw invalid_state_error("this handle refers to nothing: it was default-made or moved from");
    on_->require_awaitable();
    const auto* f = on_->as_fiber();
    if (f != nullptr && f->running() && !on_->done())
        throw invalid_state_error("task '" + on_->name() + "' can't await itself: it would wait for ever");
}

void completion_wait::list(const suspension& s, wait_lister& lister) {
    list_completable(*static_cast<const completion_wait&>(s).on_, lister);
}

void completion_wait::ended(watcher& w) noexcept { static_cast<waker&>(w).wait.fiber_->wake(); }

cancel_effect completion_wait::pass_on(suspension& s, const cancel_request& request, fiber*& goes_on_to) noexcept {
    auto& self = static_cast<completion_wait&>(s);
    if (goes_on_to == self.fiber_) {
        self.watch_.unwatch();
        return cancel_effect::interrupted;
    }
    goes_on_to = self.on_->as_fiber();
    // A started combinator all of whose children have ended can't be cancelled any more.
    if (goes_on_to == nullptr && !self.on_->cancel(request))
        return cancel_effect::held;
    return cancel_effect::passed_on;
}

bool completion_wait::waits_on(suspension& s, fiber*& task, cancel_target*& combinator) noexcept {
    auto& self = static_cast<completion_wait&>(s);
    task = self.on_->as_fiber();
    combinator = self.on_->as_target();
    return true;
}

void completion_wait::finish() {
    if (fiber_ != nullptr && fiber_->cancellation_due()) {
        // If the awaited task had been cancelled before this one was, then, as in asyncio, the two cancellations are
        // delivered as one, with the text of the first.
        const bool was_cancelled =
            on_->done() && (on_->ended_as().was_cancelled() || on_->ended_as().failed_with<cancelled_error>());
        if (fiber_->wait_was_interrupted() || !was_cancelled)
            fiber_->throw_cancelled();
        static_cast<void>(fiber_->take_cancellation());
    }
    on_->mark_retrieved();
    if (!on_->ended_as().succeeded())
        on_->ended_as().rethrow();
}

} // namespace muster::detail
