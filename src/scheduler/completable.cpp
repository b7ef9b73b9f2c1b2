// SPDX-License-Identifier: MIT
// The states behind handles and futures: ending, watchers, and requests from other threads.
//
// A completable has owners, counted on the loop's thread: the loop while a task runs, and handles and futures. When the
// last owner is gone a failure that nobody saw is reported and the state is destroyed - unless a request from another
// thread is on its way: the loop destroys the state then when it has opened the letter.
#include <muster/detail/completable.hpp>

#include <muster/detail/grouped_reports.hpp>
#include <muster/report.hpp>

#include <cctype>
#include <new>
#include <optional>
#include <utility>

namespace muster::detail {

void watcher::watch(completable& c) noexcept {
    MUSTER_ASSERT(on_ == nullptr);
    if (c.done_) {
        ended_(*this);
        return;
    }
    on_ = &c;
    c.watchers_.push_back(*this);
}

void watcher::unwatch() noexcept {
    if (on_ != nullptr)
        std::exchange(on_, nullptr)->watchers_.remove(*this);
}

std::string completable::name() const {
    if (name_)
        return *name_;
    std::string made = what();
    made[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(made[0])));
    return made + '-' + std::to_string(number_);
}

void completable::try_set_name(std::string name) noexcept {
    try {
        set_name(std::move(name));
    } catch (const std::bad_alloc&) {
        return;
    }
}

void completable::complete() noexcept {
    MUSTER_ASSERT(!done_);
    done_ = true;
    while (watcher* w = watchers_.pop_front()) {
        w->on_ = nullptr;
        w->ended_(*w);
    }
}

void completable::free_callbacks() noexcept {
    // Only users' callbacks can be left: every other watcher owns a share of what it watches.
    while (watcher* w = watchers_.pop_front()) {
        w->on_ = nullptr;
        w->call_(*w, false);
    }
}

/// Not inlined into abandon(), which would then make room for a report on the stack each time.
[[gnu::noinline, gnu::cold]] void completable::report_if_unseen() noexcept {
    if (!done_ || retrieved() || !outcome_->failed())
        return;
    const bool suppressed = failure_ == failure_notice::suppressed;
    report r(suppressed ? report_kind::suppressed : report_kind::never_retrieved);
    r.site = site_;
    r.error = outcome_->error();
    r.id = this;
    mark_retrieved();
    std::optional<locals_scope> in; // the handler finds the task's values
    if (const auto* const task = as_fiber())
        in.emplace(locals_share(retain_locals(task->locals())));
    try {
        r.name = name();
        if (suppressed)
            r.detail = "its combinator ended without delivering it";
    } catch (const std::bad_alloc&) {
        r.name.clear(); // the failure is reported with fewer words
    }
    if (!suppressed || !grouped_reports::collect(r))
        send_report(r);
}

void completable::check_awaitable() const {
    require_thread("co_await of a handle or future", "have its loop run what needs it, with loop_handle::submit");
    if (!done_ && loop() != nullptr)
        throw invalid_state_error("'" + name() +
                                  "' belongs to another loop: have that run what needs it, with "
                                  "loop_handle::submit");
}

void list_completable(completable& c, wait_lister& lister) {
    if (!c.done())
        lister.child(c.name(), c.site(), c.as_fiber(), c.combinator(), c.as_fiber() == nullptr);
}

void completable::abandon() noexcept {
    if (outcome_->failed()) [[unlikely]]
        report_if_unseen();
    if (letters_.load(std::memory_order_acquire) == 0)
        delete this;
}

/// A request to cancel, on its way from another thread to the loop's.
struct completable::cancel_letter final : letter {
    cancel_letter(completable& c, std::string m) : letter(&open), state(&c), message(std::move(m)) {}

    static void open(letter& l, fiber_loop&) noexcept {
        const std::unique_ptr<cancel_letter> self(static_cast<cancel_letter*>(&l));
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
            delete &c;
    }

    completable* state;
    std::string message;
};

bool completable::request_cancel(std::string message) noexcept {
    if (link_ == nullptr)
        return false;
    try {
        auto l = std::make_unique<cancel_letter>(*this, std::move(message));
        // The caller's handle keeps the state while this runs, the letter until it is opened.
        letters_.fetch_add(1, std::memory_order_relaxed);
        if (!link_->inbox().post(*l)) {
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
