// SPDX-License-Identifier: MIT
// Handles: done callbacks, cancelling, and the wait for a task or future.
//
// A wait for a task passes a cancellation on: the task is asked to stop, and the wait ends when the task has. If the
// request comes back to the waiting fiber in a circle of tasks that wait for each other, the wait itself is
// interrupted.
#include <muster/task_handle.hpp>

#include <muster/report.hpp>

#include <utility>

namespace muster {

namespace {

/// One done callback: owned by the state it watches, then by the ready queue, then gone.
class user_callback final : public detail::watcher {
public:
    user_callback(detail::completable& state, std::function<void(const any_handle&)> f, std::uint64_t number) noexcept
        : watcher(&ended, &call),
          state_(&state),
          function_(std::move(f)),
          locals_(detail::locals_share::of_current()),
          number_(number) {}

    static bool remove(detail::completable& state, std::uint64_t number) noexcept {
        detail::watcher* const found = state.find_watcher([number](const detail::watcher& w) {
            return w.call_ == &call && static_cast<const user_callback&>(w).number_ == number;
        });
        if (found == nullptr)
            return false;
        found->unwatch();
        delete static_cast<user_callback*>(found);
        return true;
    }

private:
    static void ended(watcher& w) noexcept {
        auto& self = static_cast<user_callback&>(w);
        if (auto* loop = self.state_->loop()) {
            self.held_ = detail_handle_access::make(*self.state_);
            loop->post(self);
        } else {
            delete &self;
        }
    }

    static void call(call_entry& c, bool run) noexcept {
        const std::unique_ptr<user_callback> self(static_cast<user_callback*>(&c));
        if (!run)
            return;
        const detail::locals_scope in(std::move(self->locals_));
        try {
            self->function_(self->held_);
        } catch (...) {
            report r(report_kind::callback_failed);
            r.site = self->held_.site();
            r.error = std::current_exception();
            r.id = self->held_.id();
            detail::send_report(r, [&] { r.name = self->held_.name(); });
        }
    }

    detail::completable* state_;
    any_handle held_;
    std::function<void(const any_handle&)> function_;
    detail::locals_share locals_; ///< the values of the task that added it
    std::uint64_t number_;
};

} // namespace

namespace detail {

std::string running_task_name() {
    const auto* loop = scheduler::current();
    return loop != nullptr && loop->running() != nullptr ? loop->running()->owners_name() : std::string();
}

} // namespace detail

void any_handle::refers_to_nothing() {
    throw invalid_state_error("this handle refers to nothing: it was default-made or moved from");
}

std::exception_ptr any_handle::exception() const {
    if (!done())
        throw invalid_state_error("'" + name() + "' has not ended: there is no exception to ask for yet");
    const auto& ended = state_->ended_as();
    if (ended.was_cancelled())
        ended.rethrow();
    state_->mark_retrieved();
    return ended.error();
}

void any_handle::require_value() const {
    if (!done())
        throw invalid_state_error("'" + name() + "' has not ended: await it, or ask done() first");
    state_->mark_retrieved();
    if (!state_->ended_as().succeeded())
        state_->ended_as().rethrow();
}

bool any_handle::cancel(std::string message) const {
    auto& s = state_here("cancel()", "call request_cancel(), which any thread may");
    if (s.done())
        return false;
    return s.cancel(detail::cancel_request(
        cancel_reason::requested, detail::cancel_text_ptr::make(std::move(message), detail::running_task_name())));
}

bool any_handle::request_cancel(std::string message) const {
    return required_state().request_cancel(std::move(message));
}

int any_handle::cancelling() const {
    const auto* f = state_here("cancelling()").as_fiber();
    return f != nullptr ? static_cast<int>(f->cancels()) : 0;
}

int any_handle::uncancel() const {
    auto* f = state_here("uncancel()").as_fiber();
    return f != nullptr ? f->uncancel() : 0;
}

callback_id any_handle::add_done_callback(std::function<void(const any_handle&)> callback) const {
    if (!callback)
        throw std::invalid_argument("add_done_callback needs a function to call: this one is empty");
    auto& s = state_here("add_done_callback()");
    static constinit thread_local std::uint64_t last_number = 0;
    const auto number = ++last_number;
    auto* added = new user_callback(s, std::move(callback), number);
    added->watch(s);
    return callback_id{number};
}

bool any_handle::remove_done_callback(callback_id id) const {
    return user_callback::remove(state_here("remove_done_callback()"), static_cast<std::uint64_t>(id));
}

namespace detail {

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

} // namespace detail

namespace this_task {

namespace {
detail::fiber& running(const char* what) {
    auto& loop = detail::scheduler::require(what);
    if (loop.running() == nullptr)
        throw invalid_state_error(std::string(what) + " needs a running task");
    return *loop.running();
}
} // namespace

std::string name() { return detail::running_task_name(); }

int cancelling() {
    const auto* loop = detail::scheduler::current();
    return loop != nullptr && loop->running() != nullptr ? static_cast<int>(loop->running()->cancels()) : 0;
}

int uncancel() { return running("this_task::uncancel").uncancel(); }

void cancel(std::string message) {
    auto& f = running("this_task::cancel");
    f.cancel(detail::cancel_request(
        cancel_reason::requested, detail::cancel_text_ptr::make(std::move(message), detail::running_task_name())));
}

} // namespace this_task

std::vector<any_handle> all_tasks() {
    std::vector<any_handle> all;
    const auto& loop = detail::scheduler::require("all_tasks");
    all.reserve(loop.live_tasks());
    for (auto* t = loop.first_task(); t != nullptr; t = loop.next_task(*t))
        all.push_back(detail_handle_access::make(*t));
    return all;
}

} // namespace muster
