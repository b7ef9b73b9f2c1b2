// SPDX-License-Identifier: MIT
// One thread's loop, without a clock and without I/O.
//
// run_until() alternates between the backend's poll(), which may sleep, and run_iteration(). An iteration opens the
// letters from other threads, reads the clock if there are timers, runs the batch of what was ready, and last fires the
// timers that were due when it began. So a result that is there when a time limit strikes is delivered first, as in
// asyncio.
//
// When the backend is destroyed, destroy_tasks() destroys what never ended, the newest task first.
#include <muster/detail/scheduler.hpp>

#include "posix/short_spin.hpp"

#include <muster/detail/loop_link.hpp>
#include <muster/detail/prefetch.hpp>
#include <muster/detail/task_state.hpp>
#include <muster/report.hpp>

#include <chrono>
#include <new>
#include <utility>

namespace muster::detail {

constinit thread_local scheduler* scheduler::current_ = nullptr;

scheduler::scheduler(mailbox::wake_function wake, void* context)
    : fiber_loop(std::make_shared<mailbox>(wake, context)),
      link_(new loop_link(*this, identity_.id(), inbox())),
      spin_time_(spin_time()) {}

scheduler::~scheduler() { link_->loop_ended(); }

namespace {

/// A function of its own, so that scheduler::require() makes no room for the text on the stack.
[[noreturn, gnu::noinline, gnu::cold]] void throw_no_loop(const char* what) {
    throw invalid_state_error(std::string(what) + " needs a running loop: call it from a task that muster::run runs");
}

} // namespace

scheduler& scheduler::require(const char* what) {
    if (current_ == nullptr) [[unlikely]]
        throw_no_loop(what);
    return *current_;
}

bool scheduler::arm(timer& t, nanoseconds when, std::uint64_t order) noexcept {
    try {
        timers_.push(t, when, order);
        return true;
    } catch (const std::bad_alloc&) {
        return false;
    }
}

void scheduler::drain_inbox() noexcept {
    letter* l = inbox()->take_all();
    letters_came_ |= l != nullptr;
    while (l != nullptr) {
        letter* opened = std::exchange(l, l->next_);
        prefetch_along(opened, l);
        opened->open_(*opened, *this);
    }
}

void scheduler::run_iteration() noexcept {
    // Without timers the clock is read when the time is first asked for; in most iterations it is not.
    clock_is_stale_ = true;
    drain_inbox();
    const bool may_fire = !timers_.empty();
    const auto began = may_fire ? now() : nanoseconds(0);
    const auto last_order = timers_.last_order();
    ready().begin_batch();
    if (order_ == iteration_order::shuffled) [[unlikely]]
        ready().shuffle_batch(shuffle_);
    while (runnable* const r = ready().take_next()) {
        if (r->kind_ == runnable::kind::fiber) {
            auto& f = static_cast<fiber&>(*r);
            if (slow_step_.count() == 0) [[likely]]
                f.step();
            else
                timed_step(f);
        } else {
            auto& c = static_cast<call_entry&>(*r);
            c.call_(c, true);
        }
    }
    // Timers fire after the batch: a result that is there when a time limit strikes is delivered first.
    if (may_fire)
        timers_.fire_due(began, last_order);
}

void scheduler::timed_step(fiber& f) noexcept {
    const auto name = f.owners_name();
    const auto site = f.owners_site();
    const locals_share locals(retain_locals(f.locals()));
    const auto began = std::chrono::steady_clock::now();
    f.step();
    const auto took = std::chrono::steady_clock::now() - began;
    if (took < slow_step_)
        return;
    report r(report_kind::slow_step);
    r.name = name;
    r.site = site;
    r.detail = "kept the loop busy for " +
               std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(took).count()) + " ms";
    const locals_scope in(locals_share(retain_locals(locals.get())));
    send_report(r);
}

bool scheduler::external_work_left() const noexcept {
    return external_work_in_progress() || inbox()->anyone_outside() || !inbox()->empty();
}

/// Looks for letters before the loop sleeps, and a little longer if some came since it did so the last time and more
/// may come: threads that answer each other then need not wake each other.
bool scheduler::letter_is_there() noexcept {
    const bool more_may_come =
        std::exchange(letters_came_, false) && (external_work_in_progress() || inbox()->anyone_outside());
    return spin_until([this] { return !inbox()->empty(); }, more_may_come ? spin_time_ : nanoseconds(0));
}

bool scheduler::run_until(bool (*done)(void*), void* context) {
    const current_loop_scope scope(*this);
    constexpr std::uint32_t iterations_between_polls = 32;
    while (!done(context)) {
        if (!has_ready() && !letter_is_there()) {
            iterations_without_poll_ = 0;
            if (!poll(true, next_timer()))
                return false;
        } else if (++iterations_without_poll_ >= iterations_between_polls) {
            iterations_without_poll_ = 0;
            static_cast<void>(poll(false, std::nullopt));
        }
        run_iteration();
    }
    return true;
}

void scheduler::enlist(task_base& t) noexcept {
    tasks_.push_back(t);
    ++live_tasks_;
}

void scheduler::delist(task_base& t) noexcept {
    tasks_.remove(t);
    --live_tasks_;
}

task_base* scheduler::first_task() const noexcept {
    task_base* t = tasks_.front();
    while (t != nullptr && t->left_behind())
        t = tasks_.after(*t);
    return t;
}

task_base* scheduler::next_task(const task_base& t) const noexcept {
    task_base* next = tasks_.after(t);
    while (next != nullptr && next->left_behind())
        next = tasks_.after(*next);
    return next;
}

void scheduler::destroy_tasks() noexcept {
    const current_loop_scope scope(*this);
    // Queued fibers belong to tasks that are destroyed here. The newest tasks go first: a task's children are younger
    // than it is.
    drop_ready();
    letter* late = inbox()->close();
    while (late != nullptr) {
        letter* opened = std::exchange(late, late->next_);
        opened->open_(*opened, *this);
    }
    drop_ready(); // the letters may have made something ready
    const auto last_number = numbered_;
    while (!tasks_.empty()) {
        task_base& t = *tasks_.back();
        if (t.number() > last_number) {
            // Made by a destructor or a report's handler just now: a report of it might make another.
            destroy_fiber_tree(t);
            t.end_as_destroyed();
            drop_ready();
            continue;
        }
        report r(report_kind::destroyed_pending);
        r.site = t.site();
        r.id = &t;
        const suspension* const wait = t.waits_for();
        const char* const waited_for = wait != nullptr ? wait->kind_->what : nullptr;
        destroy_fiber_tree(t);
        const locals_scope in(locals_share(retain_locals(t.locals())));
        send_report(r, [&] {
            r.name = t.name();
            if (waited_for != nullptr)
                r.detail = std::string("waited for ") + waited_for;
        });
        t.end_as_destroyed();
        drop_ready();
    }
}

current_loop_scope::current_loop_scope(scheduler& s) noexcept
    : loop_before_(std::exchange(scheduler::current_, &s)),
      id_before_(std::exchange(current_loop_id, s.id())),
      locals_before_(locals_scope::hide()),
      sink_before_(std::exchange(current_sink, &s.reports_)) {
    s.identity_.belongs_here();
}

current_loop_scope::~current_loop_scope() {
    scheduler::current_ = loop_before_;
    current_loop_id = id_before_;
    locals_scope::show(locals_before_);
    current_sink = sink_before_;
}

} // namespace muster::detail
