// SPDX-License-Identifier: MIT
// Calls from other threads. A posted call travels as a letter, becomes an entry of the ready queue when the loop opens
// the letter, and is freed when it has been called or the loop has ended.
#include <muster/loop_handle.hpp>

#include <muster/report.hpp>

namespace muster {

external_work_guard::external_work_guard() : inbox_(detail::scheduler::require("external_work_guard").inbox()) {
    inbox_->enter();
}

external_work_guard::external_work_guard(const external_work_guard& other) noexcept : inbox_(other.inbox_) {
    if (inbox_)
        inbox_->enter();
}

external_work_guard::~external_work_guard() {
    if (inbox_)
        inbox_->leave();
}

namespace detail {

bool posted_call::post(mailbox& box, std::unique_ptr<posted_call> call) noexcept {
    if (!box.post(*call))
        return false;
    static_cast<void>(call.release());
    return true;
}

void posted_call::arrived(letter& l, fiber_loop& loop) noexcept {
    std::unique_ptr<posted_call> self(static_cast<posted_call*>(&l));
    // A loop that is being destroyed calls nothing any more.
    if (!loop.inbox()->was_closed_here())
        loop.post(static_cast<call_entry&>(*self.release()));
}

void posted_call::called(call_entry& c, bool run) noexcept {
    const std::unique_ptr<posted_call> self(static_cast<posted_call*>(&c));
    if (!run)
        return;
    const locals_scope in(std::move(self->locals_));
    try {
        self->run();
    } catch (...) {
        report r(report_kind::callback_failed);
        r.name = "posted call";
        r.site = self->site_;
        r.error = std::current_exception();
        send_report(r);
    }
}

void remote_state::require_other_thread() const {
    const auto* here = scheduler::current();
    if (here != nullptr && here->inbox() == inbox_)
        throw invalid_state_error("the loop's own thread can't block until its loop has run a task: await it instead");
}

bool remote_state::done() const noexcept {
    const std::lock_guard lock(lock_);
    return done_;
}

void remote_state::set_done() noexcept {
    const std::lock_guard lock(lock_);
    done_ = true;
    ended_.notify_all();
}

void remote_state::wait() const {
    std::unique_lock lock(lock_);
    if (!done_)
        require_other_thread();
    ended_.wait(lock, [this] { return done_; });
}

bool remote_state::wait_for(std::chrono::nanoseconds time) const {
    std::unique_lock lock(lock_);
    if (!done_)
        require_other_thread();
    return ended_.wait_for(lock, time, [this] { return done_; });
}

void remote_state::report_if_unseen(const outcome_base& result) const noexcept {
    if (taken_ || !result.failed())
        return;
    report r(report_kind::never_retrieved);
    r.site = site_;
    r.error = result.error();
    send_report(r, [&] { r.name = name_.empty() ? "task submitted from another thread" : name_; });
}

} // namespace detail
} // namespace muster
