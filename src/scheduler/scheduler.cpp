// SPDX-License-Identifier: MIT
#include <muster/detail/scheduler.hpp>

#include <muster/detail/completable.hpp>
#include <muster/detail/task_locals.hpp>
#include <muster/report.hpp>

#include <chrono>
#include <new>
#include <utility>

namespace muster::detail {

constinit thread_local scheduler* scheduler::current_ = nullptr;

scheduler::scheduler(mailbox::wake_function wake, void* context)
    : link_(new loop_link{this, std::make_shared<mailbox>(wake, context)}) {}

scheduler::~scheduler() {
    link_->loop = nullptr;
    link_->release();
}

scheduler& scheduler::require(const char* what) {
    if (current_ == nullptr)
        throw invalid_state_error(
            std::string(what) + " needs a running loop: call it from a task that muster::run runs");
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
    letter* l = link_->inbox->take_all();
    letters_came_ = l != nullptr;
    while (l != nullptr) {
        letter* opened = std::exchange(l, l->next_);
        opened->open_(*opened, *this);
    }
}

void scheduler::run_turn() noexcept {
    now_ = read_clock();
    drain_inbox();
    const auto began = now_;
    const auto last_order = timers_.last_order();
    batch_ = ready_.take_all();
    if (shuffle_state_ != 0) [[unlikely]]
        shuffle_batch();
    while (batch_ != nullptr) {
        runnable* r = std::exchange(batch_, batch_->next_);
        if (batch_ != nullptr)
            __builtin_prefetch(batch_->next_);
        if (r->kind_ == runnable::kind::fiber) {
            auto& f = static_cast<fiber&>(*r);
            if (slow_step_.count() == 0) [[likely]]
                f.step();
            else
                timed_step(f);
        } else {
            auto& c = static_cast<call_entry&>(*r);
            c.queued_ = false;
            c.call_(c, true);
        }
    }
    // After what was ready, as in asyncio: a result that is there when a time limit strikes goes first.
    timers_.fire_due(began, last_order);
}

void scheduler::shuffle_batch() noexcept {
    std::vector<runnable*> all;
    try {
        for (runnable* r = batch_; r != nullptr; r = r->next_)
            all.push_back(r);
    } catch (const std::bad_alloc&) {
        return; // the order in which they came is one of the possible orders
    }
    const auto before = std::exchange(random_state_, shuffle_state_);
    for (std::size_t i = all.size(); i > 1; --i)
        std::swap(all[i - 1], all[random() % i]);
    shuffle_state_ = std::exchange(random_state_, before);
    batch_ = nullptr;
    for (std::size_t i = all.size(); i != 0; --i) {
        all[i - 1]->next_ = std::exchange(batch_, all[i - 1]);
        all[i - 1]->before_ = i > 1 ? all[i - 2] : nullptr;
    }
}

void scheduler::timed_step(fiber& f) noexcept {
    const auto name = describe_fiber(f);
    const auto began = std::chrono::steady_clock::now();
    f.step();
    const auto took = std::chrono::steady_clock::now() - began;
    if (took < slow_step_)
        return;
    report r(report_kind::slow_step);
    r.name = name;
    r.detail = "kept the loop busy for " +
               std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(took).count()) + " ms";
    send_report(r);
}

bool scheduler::external_work_left() const noexcept {
    return external_work_ > 0 || link_->inbox->outside.load(std::memory_order_acquire) > 0 || !link_->inbox->empty();
}

/// Where letters come and go, the next one is a microsecond away more often than not: to sleep and to be woken would
/// cost several, the sender's among them.
bool scheduler::letter_is_there() const noexcept {
    const mailbox& box = *link_->inbox;
    if (!letters_came_ || external_work_ == 0)
        return !box.empty();
    constexpr int looks = 64;
    for (int i = 0; i != looks; ++i) {
        if (!box.empty())
            return true;
#if defined(__x86_64__) || defined(__i386__)
        __builtin_ia32_pause();
#endif
    }
    return false;
}

bool scheduler::run_until(bool (*done)(void*), void* context) {
    const current_loop_scope scope(*this);
    constexpr std::uint32_t turns_between_polls = 32;
    while (!done(context)) {
        if (ready_.empty() && !letter_is_there()) {
            turns_without_poll_ = 0;
            if (!poll(true, next_timer()))
                return false;
        } else if (++turns_without_poll_ >= turns_between_polls) {
            turns_without_poll_ = 0;
            static_cast<void>(poll(false, std::nullopt));
        }
        run_turn();
    }
    return true;
}

void scheduler::enlist(task_base& t) noexcept {
    t.before_ = last_task_;
    t.after_ = nullptr;
    (last_task_ != nullptr ? last_task_->after_ : first_task_) = &t;
    last_task_ = &t;
    ++live_tasks_;
}

void scheduler::delist(task_base& t) noexcept {
    (t.before_ != nullptr ? t.before_->after_ : first_task_) = t.after_;
    (t.after_ != nullptr ? t.after_->before_ : last_task_) = t.before_;
    --live_tasks_;
}

std::string scheduler::describe_fiber(const fiber& f) const {
    if (f.owner_ != nullptr && f.owner_->name_ != nullptr)
        return f.owner_->name_(*f.owner_, f);
    return "task";
}

std::vector<std::string> scheduler::describe_waiters() const {
    std::vector<std::string> lines;
    for (const task_base* t = first_task_; t != nullptr; t = t->after_) {
        std::string line = "'" + t->name() + "'";
        if (t->site().line() != 0) {
            line += " (created at ";
            line += t->site().file_name();
            line += ':';
            line += std::to_string(t->site().line());
            line += ')';
        }
        if (t->state_ == fiber_state::waiting) {
            line += " waits for ";
            line += t->op_->kind_->what;
        } else {
            line += " is ready to run";
        }
        lines.push_back(std::move(line));
    }
    return lines;
}

void destroy_fiber_tree(fiber& root) noexcept {
    // Children before the frames they were made in; the links of the ready queue, which is given up, lead back up.
    root.next_ = nullptr;
    fiber* f = &root;
    while (f != nullptr) {
        if (f->state_ == fiber_state::waiting && f->op_->kind_->last_child != nullptr) {
            if (fiber* child = f->op_->kind_->last_child(*f->op_)) {
                child->next_ = f;
                f = child;
                continue;
            }
        }
        fiber* const up = static_cast<fiber*>(f->next_);
        auto frame = std::exchange(f->leaf_, nullptr);
        f->state_ = fiber_state::ended;
        while (frame) {
            inline_link* link = promise_links::of(frame).link_;
            std::coroutine_handle<> parent;
            if (link != nullptr) {
                parent = link->parent();
                link->child_ = nullptr;
            }
            frame.destroy();
            // A destructor in the frame may have woken somebody, whose fiber may be part of a frame that goes next.
            f->loop_->drop_ready();
            frame = parent;
        }
        f = up;
    }
}

void scheduler::drop_ready() noexcept {
    // What a dropped callback held may make something else ready, or take it off, when it goes.
    do {
        while (batch_ != nullptr) {
            runnable* const dropped = std::exchange(batch_, batch_->next_);
            if (dropped->kind_ == runnable::kind::call) {
                auto& c = static_cast<call_entry&>(*dropped);
                c.queued_ = false;
                c.call_(c, false);
            }
        }
        batch_ = ready_.take_all();
    } while (batch_ != nullptr);
}

void scheduler::destroy_tasks() noexcept {
    const current_loop_scope scope(*this);
    // What is queued is part of what is destroyed. Newest first: a task's children are younger than it is.
    drop_ready();
    letter* late = link_->inbox->close();
    while (late != nullptr) {
        letter* opened = std::exchange(late, late->next_);
        opened->open_(*opened, *this);
    }
    drop_ready(); // what the letters made ready
    const auto last_number = numbered_;
    while (last_task_ != nullptr) {
        task_base& t = *last_task_;
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
        const char* const waited_for = t.state_ == fiber_state::waiting ? t.op_->kind_->what : nullptr;
        destroy_fiber_tree(t);
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
      sink_before_(std::exchange(current_sink, &s.reports_)) {}

current_loop_scope::~current_loop_scope() {
    scheduler::current_ = loop_before_;
    current_sink = sink_before_;
}

} // namespace muster::detail
