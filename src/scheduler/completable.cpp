// SPDX-License-Identifier: MIT
#include <muster/detail/completable.hpp>

#include <muster/detail/mailbox.hpp>
#include <muster/detail/scheduler.hpp>
#include <muster/detail/task_locals.hpp>
#include <muster/report.hpp>

#include <utility>

namespace muster::detail {

void watcher::watch(completable& c) noexcept {
    on_ = &c;
    if (c.done_) {
        on_ = nullptr;
        told_(*this);
        return;
    }
    before_ = c.last_;
    after_ = nullptr;
    (c.last_ != nullptr ? c.last_->after_ : c.first_) = this;
    c.last_ = this;
}

void watcher::unwatch() noexcept {
    if (on_ == nullptr)
        return;
    (before_ != nullptr ? before_->after_ : on_->first_) = after_;
    (after_ != nullptr ? after_->before_ : on_->last_) = before_;
    on_ = nullptr;
}

std::string completable::name() const {
    return name_ ? *name_ : (kind_->what[0] == 't' ? "Task-" : "Future-") + std::to_string(number_);
}

void completable::try_set_name(std::string name) noexcept {
    try {
        set_name(std::move(name));
    } catch (const std::bad_alloc&) {
        return;
    }
}

void completable::complete() noexcept {
    done_ = true;
    while (watcher* w = first_) {
        first_ = w->after_;
        (first_ != nullptr ? first_->before_ : last_) = nullptr;
        w->on_ = nullptr;
        w->told_(*w);
    }
}

void completable::free_callbacks() noexcept {
    // Only users' callbacks can be left: every other watcher owns a share of what it watches.
    while (watcher* w = first_) {
        w->unwatch();
        w->call_(*w, false);
    }
}

void completable::report_if_unseen() noexcept {
    if (!done_ || retrieved_ || !outcome_->failed())
        return;
    report r(suppressed_ ? report_kind::suppressed : report_kind::never_retrieved);
    r.site = site_;
    r.error = outcome_->error();
    r.id = this;
    retrieved_ = true;
    send_report(r, [&] {
        r.name = name();
        if (suppressed_)
            r.detail = "its gather had thrown another failure";
    });
}

void completable::abandon() noexcept {
    report_if_unseen();
    if (letters_.load(std::memory_order_acquire) == 0)
        kind_->destroy(*this);
}

task_base::task_base(const completable_kind& k, outcome_base& o, scheduler& loop, std::source_location site) noexcept
    : completable(k, o, loop.link(), site, loop.next_number()),
      fiber(loop, *this),
      fiber_owner(&task_ended, &task_name) {
    loop.enlist(*this);
}

task_base::~task_base() { release_locals(locals_); }

std::string task_base::task_name(const fiber_owner& owner, const fiber&) {
    return static_cast<const task_base&>(owner).name();
}

bool task_base::cancel_task(completable& c, const cancel_request& request) noexcept {
    return static_cast<task_base&>(c).fiber::cancel(request);
}

void task_base::task_ended(fiber_owner& owner, fiber&) noexcept {
    auto& t = static_cast<task_base&>(owner);
    t.loop_->delist(t);
    t.complete();
    t.completable::release(); // the loop's
}

void task_base::end_as_destroyed() noexcept {
    detail_outcome_access::set_cancelled(
        const_cast<outcome_base&>(ended_as()), outcome_state::cancelled, cancel_reason::shutdown, {});
    loop_->delist(*this);
    complete();
    completable::release();
}

bool task_base::request_cancel_task(completable& c, std::string message) noexcept {
    return static_cast<task_base&>(c).send_cancel_letter(std::move(message));
}

bool request_cancel_future(completable& c, std::string message) noexcept {
    return c.send_cancel_letter(std::move(message));
}

bool completable::send_cancel_letter(std::string message) noexcept {
    struct request_letter final : letter {
        request_letter(completable& c, std::string m) : letter(&open), state(&c), message(std::move(m)) {}
        static void open(letter& l, scheduler&) noexcept {
            const std::unique_ptr<request_letter> self(static_cast<request_letter*>(&l));
            completable& c = *self->state;
            // Without memory for the text the request is carried out without it.
            cancel_text_ptr text;
            try {
                text = cancel_text_ptr::make(std::move(self->message), {});
            } catch (const std::bad_alloc&) {
                text = {};
            }
            c.cancel(cancel_request(cancel_reason::requested, std::move(text)));
            if (c.letters_.fetch_sub(1, std::memory_order_acq_rel) == 1 && c.owners_ == 0)
                c.kind_->destroy(c);
        }
        completable* state;
        std::string message;
    };
    if (link_ == nullptr)
        return false;
    try {
        auto l = std::make_unique<request_letter>(*this, std::move(message));
        // The caller's handle keeps the state while this runs, the letter until it is opened.
        letters_.fetch_add(1, std::memory_order_relaxed);
        if (!link_->inbox->post(*l)) {
            letters_.fetch_sub(1, std::memory_order_relaxed);
            return false;
        }
        static_cast<void>(l.release());
        return true;
    } catch (const std::bad_alloc&) {
        return false;
    }
}

} // namespace muster::detail
