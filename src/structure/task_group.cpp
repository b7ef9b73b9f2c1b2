// SPDX-License-Identifier: MIT
#include <muster/task_group.hpp>

#include <muster/report.hpp>

#include <new>
#include <string>
#include <utility>

namespace muster {

using detail::cancel_request;

const detail::suspension_kind task_group::child_wait::kind_of{"the tasks of its group", &child_wait::cancel};

detail::cancel_effect task_group::child_wait::cancel(suspension& s, const cancel_request&, detail::fiber*&) noexcept {
    static_cast<child_wait&>(s).group_->waiting_ = nullptr;
    return detail::cancel_effect::interrupted;
}

bool task_group::child_wait::await_resume() noexcept {
    if (fiber_ == nullptr || !fiber_->cancellation_due())
        return false;
    group_->waiting_ = nullptr;
    auto request = fiber_->take_cancellation();
    // After a failure conclude() goes by the count; a group that was cancelled as a whole has none to bring it up.
    const bool no_failure = !group_->cancelled_parent_ && !group_->body_error_ && group_->errors_.empty();
    if (!group_->aborting_ || (no_failure && !group_->has_own_cancellation_)) {
        group_->own_cancellation_ = std::move(request);
        group_->has_own_cancellation_ = true;
    }
    return true;
}

task_group::member::member(task_group& g, detail::completable& s) noexcept
    : watcher(
          [](watcher& w) noexcept {
              auto& self = static_cast<member&>(w);
              self.group->parent_->loop().post(static_cast<call_entry&>(self));
          },
          [](call_entry& c, bool run) noexcept {
              auto& self = static_cast<member&>(c);
              if (run)
                  self.group->member_ended(self);
          }),
      group(&g),
      state(&s) {}

task_group::task_group(std::source_location site) : site_(site) {}

task_group::~task_group() {
    report_undelivered(); // its frame was destroyed with the loop
    while (first_ != nullptr) {
        member* const m = std::exchange(first_, first_->after);
        m->unwatch();
        if (m->queued_)
            parent_->loop().unpost(*m);
        m->state->release();
    }
}

void task_group::enter() {
    if (entered_)
        throw invalid_state_error("this task_group was run before: make a new one for each scope");
    auto& loop = detail::scheduler::require("task_group::run");
    entered_ = true;
    parent_ = loop.running();
    hold_ = parent_->hold();
}

void task_group::check_open() const {
    if (!entered_)
        throw invalid_state_error("this task_group has not been entered: start tasks in the body given to run()");
    if (exiting_ && running_ == 0)
        throw invalid_state_error("this task_group has ended: its tasks must be started in its body, or by its tasks");
    if (aborting_)
        throw invalid_state_error("this task_group is shutting down: a failure or cancel() ended it");
}

void task_group::add(member& m) noexcept {
    m.state->retain();
    m.before = last_;
    (last_ != nullptr ? last_->after : first_) = &m;
    last_ = &m;
    ++running_;
    m.watch(*m.state);
}

namespace {

/// The tasks hear who asked, but not what the group's own task was told: as asyncio's.
/// Without memory for the name they hear only that they are to stop: they are stopped in any case.
cancel_request for_tasks(const cancel_request& own) noexcept {
    try {
        return cancel_request(
            cancel_reason::parent_cancelled, detail::cancel_text_ptr::make({}, std::string(own.text.requested_by())));
    } catch (const std::bad_alloc&) {
        return cancel_request(cancel_reason::parent_cancelled);
    }
}

/// The siblings hear whose failure it was; without memory for the name, only that there was one.
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
    exiting_ = true;
    if (ended.succeeded())
        return;
    if (ended.was_cancelled()) {
        has_own_cancellation_ = true;
        own_cancellation_ = cancel_request(ended.reason(), detail_outcome_access::text(ended));
        if (!aborting_)
            abort(for_tasks(own_cancellation_));
    } else {
        body_error_ = ended.error();
        if (!aborting_)
            abort(for_siblings([] { return detail::running_task_name(); }));
    }
}

void task_group::note_cancellation(bool cancelled) {
    if (cancelled && !aborting_)
        abort(for_tasks(own_cancellation_));
}

void task_group::abort(cancel_request request) {
    aborting_ = true;
    for (member* m = first_; m != nullptr; m = m->after)
        m->state->cancel(request);
}

void task_group::cancel(std::string message) {
    if (aborting_)
        return;
    abort(cancel_request(
        cancel_reason::requested, detail::cancel_text_ptr::make(std::move(message), detail::running_task_name())));
}

void task_group::member_ended(member& m) noexcept {
    const auto ended = detail::counted<detail::completable>::adopt(m.state); // the list's share
    (m.before != nullptr ? m.before->after : first_) = m.after;
    (m.after != nullptr ? m.after->before : last_) = m.before;
    if (--running_ == 0 && waiting_ != nullptr)
        std::exchange(waiting_, nullptr)->fiber_->wake();
    const auto& outcome = ended->ended_as();
    if (!outcome.failed())
        return;
    try {
        errors_.push_back(outcome.error());
        ended->mark_retrieved();
    } catch (const std::bad_alloc&) {
        // It stays unseen and is reported when its last handle goes.
        ended->mark_suppressed();
    }
    if (aborting_ || cancelled_parent_)
        return;
    const auto request = for_siblings([&] { return ended->name(); });
    abort(request);
    cancelled_parent_ = true;
    parent_->cancel(request, hold_);
}

void task_group::conclude() {
    if (cancelled_parent_) {
        parent_->uncancel();
        if (parent_->cancels_here() == 0)
            has_own_cancellation_ = false;
    }
    if (has_own_cancellation_ && errors_.empty() && !body_error_)
        throw cancelled_error(own_cancellation_.reason, own_cancellation_.text);
    if (errors_.empty() && !body_error_)
        return;
    // The caller was cancelled beside: the failures go first, and the cancellation comes at its next wait.
    if (parent_->cancels_here() != 0) {
        parent_->uncancel();
        parent_->cancel(own_cancellation_.reason == cancel_reason::none ? cancel_request(cancel_reason::requested)
                                                                        : own_cancellation_,
            hold_);
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
