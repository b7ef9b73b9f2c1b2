// SPDX-License-Identifier: MIT
// A task group. run() goes through these phases, in the task of its caller:
//
//     made -> body_runs -> tasks_run -> over
//
// Beside the phase, `stop_` says how far the group was stopped, and never goes back:
//
//     none --- cancel(), a failed or cancelled body, a cancelled caller ---> tasks
//     none --- a task fails ----------------------------------------------> tasks_and_parent
//
// A failed task also cancels the caller, to end the body or the wait; conclude() takes that request back by uncancel().
// While run() waits for the tasks, a cancellation of the caller does not end it. child_wait::await_resume() says what
// becomes of such a request:
//
//     stop_             a failure   remembered   the request
//     none              -           -            is remembered, and the tasks are cancelled
//     tasks             no          no           is remembered
//     tasks             no          yes          is dropped: the first one is thrown
//     tasks             yes         -            is dropped: conclude() asks how often the caller was cancelled
//     tasks_and_parent  yes         -            is dropped, for the same reason
//
// A task that ends is looked at one iteration later, in the order of the ready queue, as by a done callback of
// asyncio's. One that has not failed only counts then, and its state is let go at once. If several end one right after
// the other, one entry of the ready queue stands for all of them (ends_); any other task that ends is an entry itself.
//
// At the end failures are thrown as one group. If the caller was cancelled too, that comes again at its next wait.
#include <muster/task_group.hpp>

#include <muster/detail/assert.hpp>
#include <muster/report.hpp>

#include <new>
#include <string>
#include <utility>

namespace muster {

using detail::cancel_request;

const detail::suspension_kind task_group::child_wait::kind_of{
    .what = "the tasks of its group",
    .cancel = &child_wait::cancel,
    .list =
        [](const suspension& s, detail::wait_lister& lister) {
            const task_group* const group = static_cast<const child_wait&>(s).here_->group_;
            if (group == nullptr)
                return;
            for (const member* m = group->members_.front(); m != nullptr; m = group->members_.after(*m))
                detail::list_completable(*m->task_, lister);
        },
    .waits_on = &child_wait::waits_on,
};

bool task_group::child_wait::waits_on(suspension& s, detail::fiber*&, detail::cancel_target*& combinator) noexcept {
    combinator = static_cast<child_wait&>(s).here_->group_;
    return false;
}

void task_group::wait_for_tasks(child_wait& wait, detail::fiber& f, std::coroutine_handle<> h) noexcept {
    waiting_ = &wait;
    f.wait(wait, h);
    // The tasks were asked to stop. If one of them waits, by way of others, for the group's own task, then that request
    // has gone round, and only an end to one of these waits ends the group.
    if (stop_ != stop::none)
        detail::scheduler::of(f).wave().cut_circles(*this);
}

bool task_group::child_at(std::uint32_t i, child& found) noexcept {
    if (stop_ == stop::none)
        return false;
    // A search goes from the front to the back, and may come back once to the child that it saw last.
    if (i == 0) {
        looked_at_ = members_.front();
        number_of_looked_at_ = 0;
    }
    for (; number_of_looked_at_ < i && looked_at_ != nullptr; ++number_of_looked_at_)
        looked_at_ = members_.after(*looked_at_);
    MUSTER_ASSERT(looked_at_ == nullptr || number_of_looked_at_ == i);
    if (looked_at_ == nullptr)
        return false;
    if (!looked_at_->task_->done())
        found.task = looked_at_->task_->as_fiber();
    return true;
}

/// Never called: a task of a group does not go on without it, so no child here can be cut off.
void task_group::cut(std::uint32_t) noexcept {
    constexpr bool a_task_of_a_group_is_never_cut_off = false;
    MUSTER_ASSERT(a_task_of_a_group_is_never_cut_off);
}

detail::cancel_effect task_group::child_wait::cancel(suspension& s, const cancel_request&, detail::fiber*&) noexcept {
    static_cast<child_wait&>(s).forget();
    return detail::cancel_effect::interrupted;
}

bool task_group::child_wait::await_resume() noexcept {
    // Without a group run() throws that it was destroyed; a cancellation that is due comes at the caller's next wait.
    task_group* const group = here_->group_;
    if (group == nullptr || fiber_ == nullptr || !fiber_->cancellation_due())
        return false;
    forget();
    auto request = fiber_->take_cancellation();
    const bool first_to_stop = group->stop_ == stop::none;
    const bool stopped_without_failure = group->stop_ == stop::tasks && !group->has_failure();
    if (first_to_stop || (stopped_without_failure && !group->own_cancellation_))
        group->own_cancellation_ = std::move(request);
    return true;
}

task_group::member::member(detail::completable& s) noexcept
    : call_entry([](call_entry& c, bool run) noexcept {
          auto& self = static_cast<member&>(c);
          if (run)
              self.group_->member_ended(self);
      }),
      task_(&s) {}

task_group::row_of_ends::row_of_ends(task_group& g) noexcept
    : call_entry([](call_entry& c, bool run) noexcept {
          auto& self = static_cast<row_of_ends&>(c);
          const std::size_t count = std::exchange(self.ended_, 0);
          if (run)
              self.group_->tasks_are_over(count);
      }),
      group_(&g) {}

task_group::task_group(std::source_location site) : site_(site) {}

task_group::~task_group() {
    if (inside_ == nullptr)
        return;
    // It is destroyed by somebody else while run() is on its way.
    inside_->group_ = nullptr;
    stop_tasks(cancel_request(cancel_reason::parent_cancelled));
    report_undelivered();
    let_tasks_go();
    if (waiting_ != nullptr)
        waiting_->fiber_->wake();
}

task_group::stay::stay(task_group& g) : group_(&g) { g.enter(*this); }

task_group::stay::~stay() {
    if (group_ == nullptr)
        return;
    // Without a conclusion the frame of run() is being destroyed, at the end of its loop.
    group_->report_undelivered();
    group_->let_tasks_go();
    group_->phase_ = phase::over;
    group_->inside_ = nullptr;
    group_->parent_ = nullptr;
}

void task_group::stay::throw_destroyed() {
    throw invalid_state_error("this task_group was destroyed while it ran: keep it until run() has ended");
}

void task_group::enter(stay& here) {
    if (phase_ != phase::made)
        throw invalid_state_error("this task_group was run before: make a new one for each scope");
    auto& loop = detail::scheduler::require("task_group::run");
    leave(phase::made, phase::body_runs);
    inside_ = &here;
    parent_ = loop.running();
    hold_ = parent_->hold();
}

void task_group::leave(phase from, phase to) noexcept {
    MUSTER_ASSERT(phase_ == from);
    phase_ = to;
}

void task_group::throw_not_open() const {
    MUSTER_ASSERT(!is_open());
    if (phase_ == phase::made)
        throw invalid_state_error("this task_group has not been entered: start tasks in the body given to run()");
    if (phase_ == phase::over || (phase_ == phase::tasks_run && running_ == 0))
        throw invalid_state_error("this task_group has ended: its tasks must be started in its body, or by its tasks");
    throw invalid_state_error("this task_group is shutting down: a failure or cancel() ended it");
}

void task_group::add(member& m) noexcept {
    m.task_->retain(); // given back when the member leaves the list
    m.group_ = this;
    members_.push_back(m);
    ++running_;
    if (m.task_->done()) [[unlikely]]
        task_ended(m); // there was no memory for its frame
}

/// Unlists the tasks that have not ended: they belong to the loop alone then.
void task_group::let_tasks_go() noexcept {
    auto& loop = parent_->loop();
    loop.unpost(ends_);
    ends_.forget();
    while (member* const m = members_.pop_front()) {
        m->group_ = nullptr;
        loop.unpost(*m);
        m->task_->release();
    }
    running_ = 0;
}

namespace {

/// The request for the tasks when the group's own task is cancelled: it names who asked and leaves out the message, as
/// asyncio does. Without memory for the name the request goes out without it.
cancel_request for_tasks(const cancel_request& own) noexcept {
    try {
        return cancel_request(
            cancel_reason::parent_cancelled, detail::cancel_text_ptr::make({}, std::string(own.text.requested_by())));
    } catch (const std::bad_alloc&) {
        return cancel_request(cancel_reason::parent_cancelled);
    }
}

/// The request for the siblings of a failure: it names what failed, or nothing without memory for the name.
template <class Name>
cancel_request for_siblings(Name name_of_failed) noexcept {
    try {
        return cancel_request(cancel_reason::sibling_failed, detail::cancel_text_ptr::make({}, name_of_failed()));
    } catch (const std::bad_alloc&) {
        return cancel_request(cancel_reason::sibling_failed);
    }
}

} // namespace

void task_group::leave_body(outcome_base& ended) {
    leave(phase::body_runs, phase::tasks_run);
    if (ended.succeeded())
        return;
    if (ended.was_cancelled()) {
        own_cancellation_.emplace(ended.reason(), detail_outcome_access::text(ended));
        if (stop_ == stop::none)
            stop_tasks(for_tasks(*own_cancellation_));
    } else {
        body_error_ = ended.error();
        if (stop_ == stop::none)
            stop_tasks(for_siblings([] { return detail::running_task_name(); }));
    }
}

void task_group::note_cancellation(bool cancelled) noexcept {
    if (cancelled && stop_ == stop::none)
        stop_tasks(for_tasks(*own_cancellation_));
}

void task_group::stop_tasks(const cancel_request& request) noexcept {
    if (stop_ == stop::none)
        stop_ = stop::tasks;
    stop_request_ = request;
    for (member* m = members_.front(); m != nullptr; m = members_.after(*m))
        m->task_->cancel(request);
}

void task_group::cancel(std::string message) {
    if (stop_ != stop::none)
        return;
    stop_tasks(cancel_request(
        cancel_reason::requested, detail::cancel_text_ptr::make(std::move(message), detail::running_task_name())));
}

void task_group::task_ended(member& m) noexcept {
    MUSTER_ASSERT(m.group_ == this && running_ != 0);
    auto& loop = parent_->loop();
    const bool counts_only = !m.task_->ended_as().failed() && (!ends_.queued_ || loop.is_last(ends_));
    if (!counts_only) {
        loop.post(m);
        return;
    }
    loop.post(ends_);
    ends_.count_one();
    members_.remove(m);
    m.task_->release(); // the share that add() took: the loop still has its own
}

void task_group::tasks_are_over(std::size_t count) noexcept {
    MUSTER_ASSERT((phase_ == phase::body_runs || phase_ == phase::tasks_run) && running_ >= count);
    running_ -= count;
    if (running_ == 0 && waiting_ != nullptr)
        std::exchange(waiting_, nullptr)->fiber_->wake();
}

void task_group::member_ended(member& m) noexcept {
    const auto ended = detail::counted<detail::completable>::adopt(m.task_); // the share that add() took
    members_.remove(m);
    tasks_are_over(1);
    const auto& outcome = ended->ended_as();
    if (!outcome.failed())
        return;
    try {
        errors_.push_back(outcome.error());
        ended->mark_retrieved();
    } catch (const std::bad_alloc&) {
        // Without memory for it the failure stays unseen, and is reported when the task's last handle goes.
        ended->mark_suppressed();
    }
    if (stop_ != stop::none)
        return;
    const auto request = for_siblings([&] { return ended->name(); });
    stop_tasks(request);
    stop_ = stop::tasks_and_parent;
    parent_->cancel(request, hold_);
}

void task_group::conclude() {
    MUSTER_ASSERT(running_ == 0 && members_.empty());
    leave(phase::tasks_run, phase::over);
    if (stop_ == stop::tasks_and_parent) {
        parent_->uncancel();
        if (parent_->cancels_here() == 0)
            own_cancellation_.reset();
    }
    if (!has_failure()) {
        if (own_cancellation_)
            throw cancelled_error(own_cancellation_->reason, own_cancellation_->text);
        return;
    }
    // If the caller was cancelled as well, the failures go first and the cancellation comes at its next wait.
    if (parent_->cancels_here() != 0) {
        parent_->uncancel();
        parent_->cancel(own_cancellation_.value_or(cancel_request(cancel_reason::requested)), hold_);
    }
    std::exception_ptr all;
    try {
        auto errors = errors_;
        if (body_error_)
            errors.push_back(body_error_);
        all = make_exception_group("unhandled errors in a task_group", std::move(errors));
    } catch (const std::bad_alloc&) {
        report_undelivered();
        throw;
    }
    errors_.clear();
    body_error_ = nullptr;
    std::rethrow_exception(all);
}

void task_group::report_undelivered() noexcept {
    const auto one = [this](const std::exception_ptr& error) {
        report r(report_kind::suppressed);
        r.site = site_;
        r.error = error;
        detail::send_report(r, [&] {
            r.name = "task_group";
            r.detail = "its group ended before it could be thrown";
        });
    };
    for (const auto& error : std::exchange(errors_, {}))
        one(error);
    if (body_error_)
        one(std::exchange(body_error_, nullptr));
}

} // namespace muster
