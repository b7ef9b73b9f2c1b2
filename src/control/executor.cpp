// SPDX-License-Identifier: MIT
// This file takes a call to an executor, and its outcome back.
//
// The task's side is a job_wait, the executor's side an executor_job, which is also the letter that brings the outcome
// back to the task's loop. The wait goes through these stages, all on the loop's thread:
//
//     made --await--> outstanding --the letter is opened--> arrived
//      |  \               |  |
//      |   not_taken      |  +--cancelled, not begun--> withdrawn
//      |   (submit threw) +--cancelled, may be left behind, or destroyed with its loop--> left_behind
//      +--> given_away (as_task, abandon)     made --cancelled already--> withdrawn
//
// A job may come back after its loop has ended. If the frame that holds the job is being destroyed just then, its
// destructor waits for the job (late_jobs).
#include <muster/executor.hpp>

#include <muster/detail/scheduler.hpp>
#include <muster/report.hpp>

#include <condition_variable>
#include <mutex>
#include <new>
#include <utility>

namespace muster {

namespace {

/// For destructors that wait for a job whose loop has ended: the job can't be posted any more and says here that it is
/// over.
struct late_jobs {
    std::mutex lock;
    std::condition_variable over;
};

late_jobs& late() {
    // Never destroyed: executors may end after static objects have.
    static auto* the = new late_jobs;
    return *the;
}

constinit thread_local bool kept_box_gone = false; ///< has no destructor, so it may be read until the thread ends

struct kept_box {
    ~kept_box() { kept_box_gone = true; }
    std::shared_ptr<detail::mailbox> box;
};

constexpr const char* never_ran = "the call had not begun, and was never made";

} // namespace

void executor_job::set_error(std::exception_ptr error) noexcept {
    detail_outcome_access::set_error(*result_, std::move(error));
}

void executor_job::set_cancelled(cancel_reason reason, const char* text) noexcept {
    const auto set = [&](auto message) {
        detail_outcome_access::set_cancelled(*result_, outcome_state::cancelled, reason, std::move(message));
    };
    try {
        set(detail::cancel_text_ptr::make(text, {}));
    } catch (const std::bad_alloc&) {
        set(detail::cancel_text_ptr()); // it says less, but it is a cancellation
    }
}

void executor_job::finish() noexcept { send(); }

void executor_job::refuse(cancel_reason why) noexcept {
    begin();
    detail_outcome_access::set_cancelled(*result_, outcome_state::not_started, why, {});
    send();
}

void executor_job::send() noexcept {
    // Hold the mailbox: posting may free the job and the loop. It is cached per thread, so that the jobs of one loop do
    // not all change one shared count.
    const auto post = [this] {
        if (kept_box_gone) { // the thread is ending, and its cache was destroyed already
            const auto box = inbox_->shared_from_this();
            return box->post(*this);
        }
        thread_local kept_box kept;
        if (kept.box.get() != inbox_)
            kept.box = inbox_->shared_from_this();
        return kept.box->post(*this);
    };
    if (post())
        return;
    if (afterlife_) {
        // The call was left behind, or the frame that waited is being destroyed: its failure is reported here.
        report_dropped_failure();
        drop();
        return;
    }
    auto& l = late();
    const std::lock_guard lock(l.lock);
    undelivered_ = true;
    l.over.notify_all();
}

void executor_job::drop() noexcept {
    if (afterlife_->owners.fetch_sub(1, std::memory_order_acq_rel) == 1)
        afterlife_->free(*this);
}

void executor_job::report_dropped_failure() const noexcept {
    if (!result_->failed())
        return;
    report r(report_kind::suppressed);
    r.error = result_->error();
    if (afterlife_)
        r.site = afterlife_->site;
    detail::send_report(r, [&] {
        if (afterlife_)
            r.name = afterlife_->name;
        r.detail = "the call had been left behind when it failed";
    });
}

void executor_job::arrived(detail::letter& l, detail::fiber_loop& loop) noexcept {
    auto& job = static_cast<executor_job&>(l);
    if (job.waiter_ != nullptr)
        job.waiter_->arrived(loop);
    else
        job.report_dropped_failure();
    if (job.afterlife_)
        job.drop();
}

namespace detail {

const suspension_kind job_wait::kind_of{.what = "a call on an executor", .cancel = &job_wait::cancel};

void job_wait::may_be_left_behind(executor_job& job, void (*free)(executor_job&) noexcept) {
    try {
        job.afterlife_ = std::make_unique<executor_job::afterlife>(free);
    } catch (...) {
        free(job);
        throw;
    }
}

void job_wait::begin(executor_job& job, fiber& f, std::coroutine_handle<> h) noexcept {
    fiber_loop& loop = f.loop();
    if (stage_ != stage::made) {
        // An await_suspend that throws breaks g++ 12: errors are kept for await_resume.
        error_ = std::make_exception_ptr(invalid_state_error("this call was awaited or given away before"));
        f.transfer(h);
        return;
    }
    job_ = &job;
    if (f.cancellation_due()) [[unlikely]] {
        stage_ = stage::withdrawn;
        f.wait(*this, h);
        return;
    }
    try {
        job.locals_ = locals_share::copy_of_current();
        job.inbox_ = loop.inbox().get();
        job.waiter_ = this;
        if (job.afterlife_) {
            job.afterlife_->inbox = loop.inbox();
            job.afterlife_->owners.fetch_add(1, std::memory_order_relaxed);
        }
        operations_->submit(*this);
    } catch (...) {
        if (job.afterlife_)
            job.afterlife_->owners.fetch_sub(1, std::memory_order_relaxed);
        error_ = std::current_exception();
        stage_ = stage::not_taken;
        f.transfer(h);
        return;
    }
    stage_ = stage::outstanding;
    loop.begin_external_work();
    f.wait(*this, h);
}

void job_wait::arrived(fiber_loop& loop) noexcept {
    stage_ = stage::arrived;
    loop.end_external_work();
    // A loop that is being destroyed runs nobody any more.
    if (!loop.inbox()->was_closed_here())
        fiber_->wake();
}

bool job_wait::withdraw() noexcept {
    // The job is asked before the executor: once the call has begun, the executor may already be destroyed although
    // the loop has not taken the job out of its mailbox.
    if (job_->progress_.load(std::memory_order_acquire) != executor_job::progress::waiting ||
        !operations_->withdraw(*this))
        return false;
    stage_ = stage::withdrawn;
    if (job_->afterlife_)
        job_->drop();
    fiber_->loop().end_external_work();
    return true;
}

cancel_effect job_wait::cancel(suspension& s, const cancel_request&, fiber*&) noexcept {
    auto& self = static_cast<job_wait&>(s);
    if (self.stage_ == stage::withdrawn || self.withdraw())
        return cancel_effect::interrupted;
    self.operations_->request_stop(self);
    auto* after = self.job_->afterlife_.get();
    if (after == nullptr)
        return cancel_effect::held;
    try {
        after->name = self.fiber_->owners_name();
    } catch (const std::bad_alloc&) {
        after->name.clear(); // a report without the name is better than none
    }
    after->site = self.site_;
    self.job_->waiter_ = nullptr;
    self.job_->progress_.store(executor_job::progress::left_behind, std::memory_order_release);
    self.operations_->leave_behind(self);
    self.stage_ = stage::left_behind;
    self.fiber_->loop().end_external_work();
    return cancel_effect::interrupted;
}

void job_wait::throw_cancelled() {
    auto request = fiber_->take_cancellation();
    if (stage_ == stage::arrived && job_->result_->failed()) {
        report r(report_kind::suppressed);
        r.site = site_;
        r.error = job_->result_->error();
        send_report(r, [&] {
            r.name = fiber_->owners_name();
            r.detail = "the task that waited for this call had been cancelled";
        });
    }
    // A message that was given with the cancellation is delivered as it is. Without one, say that the call was not
    // made.
    if (stage_ == stage::withdrawn && request.text.message().empty()) {
        try {
            request.text = cancel_text_ptr::make(never_ran, std::string(request.text.requested_by()));
        } catch (const std::bad_alloc&) {
            // Without memory the cancellation says less, but it is delivered.
            throw cancelled_error(request.reason, std::move(request.text));
        }
    }
    throw cancelled_error(request.reason, std::move(request.text));
}

void job_wait::finish() {
    if (error_)
        std::rethrow_exception(std::exchange(error_, nullptr));
    if (fiber_->cancellation_due()) [[unlikely]]
        throw_cancelled();
    if (!job_->result_->succeeded())
        job_->result_->rethrow();
}

void job_wait::give_away() {
    if (stage_ != stage::made)
        throw invalid_state_error("this call was awaited or given away before");
    stage_ = stage::given_away;
}

void job_wait::part_with_job() noexcept {
    if (stage_ == stage::made) {
        if (reports_unawaited()) {
            report r(report_kind::never_awaited);
            r.site = site_;
            send_report(r, [&] {
                r.name = "call on an executor";
                r.detail = "made at";
            });
        }
        return;
    }
    if (stage_ != stage::outstanding || withdraw())
        return;
    // The frame is destroyed with its loop while the call is being made.
    operations_->request_stop(*this);
    job_->waiter_ = nullptr;
    fiber_->loop().end_external_work();
    stage_ = stage::left_behind;
    if (job_->afterlife_)
        return;
    auto& l = late();
    std::unique_lock lock(l.lock);
    l.over.wait(lock, [this] { return job_->undelivered_; });
    lock.unlock();
    job_->report_dropped_failure();
}

} // namespace detail
} // namespace muster
