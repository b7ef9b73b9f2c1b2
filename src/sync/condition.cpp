// SPDX-License-Identifier: MIT
// A wait for a condition is two waits in a row: for the notification, and then for the mutex. A cancellation that ends
// either is kept until the mutex is held again, and thrown then.
#include <muster/condition.hpp>

#include <optional>
#include <string>
#include <utility>

namespace muster {
namespace {

using detail::cancel_request;
using detail::wait_state;

/// Waits for a notification. Gives the cancellation that ended the wait, because wait() must have the mutex again
/// before it throws.
class notification_wait final : public detail::list_waiter {
public:
    explicit notification_wait(detail::wait_list& waiters) noexcept : list_waiter(waiters, kind_of) {}

    std::optional<cancel_request> await_resume() {
        if (listed())
            list_->leave(*this);
        else
            move_to(wait_state::idle); // the condition was destroyed, as its stay says
        if (fiber_->cancellation_due())
            return fiber_->take_cancellation();
        return std::nullopt;
    }

private:
    static const detail::suspension_kind kind_of;
};

const detail::suspension_kind notification_wait::kind_of{
    .what = "condition::wait",
    .cancel = &notification_wait::interrupt,
};

/// Waits for the mutex again. Gives the cancellation that ended the wait.
class relock_wait final : public mutex::lock_awaiter {
public:
    explicit relock_wait(mutex& m) noexcept : lock_awaiter(m) { kind_ = &kind_of; }

    std::optional<cancel_request> await_resume() {
        if (state() == wait_state::idle || end_wait())
            return std::nullopt;
        return fiber_->take_cancellation();
    }

private:
    static const detail::suspension_kind kind_of;
};

const detail::suspension_kind relock_wait::kind_of{
    .what = "mutex::lock",
    .cancel = &relock_wait::interrupt,
};

} // namespace

/// The stretch of one wait(), as an object in its frame. Condition and frame may each be destroyed first.
class condition::stay : public detail::list_hook<stay> {
public:
    explicit stay(condition& c) noexcept : condition_(&c), own_mutex_(c.own_ != nullptr) { c.stays_.push_back(*this); }
    stay(const stay&) = delete;
    stay& operator=(const stay&) = delete;
    ~stay() {
        if (condition_ != nullptr)
            condition_->stays_.remove(*this);
    }
    [[nodiscard]] condition* here() const noexcept { return condition_; }
    [[nodiscard]] bool mutex_is_gone() const noexcept { return condition_ == nullptr && own_mutex_; }

private:
    friend class condition;
    condition* condition_; ///< null once it was destroyed
    bool own_mutex_;
};

condition::~condition() {
    detail::about_to(detail::sync_act::destroyed, this, &state_of);
    while (stay* const s = stays_.pop_front())
        s->condition_ = nullptr;
    if (own_ != nullptr)
        own_->abandon();
}

detail::sync_state condition::state_of(const void* self) noexcept {
    const auto& c = *static_cast<const condition*>(self);
    return {.kind = "condition", .value = 0, .is_waited_for = !c.waiters_.empty() || c.waiters_.granted() != 0};
}

task<> condition::wait() {
    require_locked("wait");
    home_.join("condition::wait");
    mutex& m = *mutex_;
    const stay inside(*this);
    m.unlock();
    auto cancelled = co_await notification_wait(waiters_);
    while (!inside.mutex_is_gone()) {
        auto again = co_await relock_wait(m);
        if (!again)
            break;
        cancelled = std::move(again);
    }
    condition* const here = inside.here();
    if (cancelled) {
        // The task may have been notified before it was cancelled. A wake-up too many is allowed, one too few is not.
        if (here != nullptr)
            here->waiters_.grant_first();
        throw cancelled_error(cancelled->reason, std::move(cancelled->text));
    }
    if (here == nullptr)
        throw invalid_state_error("the condition was destroyed while a task waited for it");
}

void condition::notify(std::size_t n) {
    require_locked("notify");
    while (n != 0 && waiters_.grant_first())
        --n;
}

void condition::notify_all() {
    require_locked("notify_all");
    waiters_.grant_all();
}

void condition::require_locked(const char* what) const {
    home_.require_thread("condition::notify");
    if (!mutex_->locked())
        throw invalid_state_error(std::string("condition::") + what + ": lock the condition's mutex first");
}

} // namespace muster
