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
            move_to(wait_state::idle); // the condition was destroyed
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
        if (state() == wait_state::idle)
            return std::nullopt;
        if (listed()) {
            if (end_wait())
                return std::nullopt;
        } else {
            move_to(wait_state::idle); // the mutex was destroyed
            if (!fiber_->cancellation_due())
                return std::nullopt;
        }
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

condition::condition() : mutex_(&own_.emplace()) { mutex_->conditions_.push_back(*this); }

condition::condition(mutex& shared) noexcept : mutex_(&shared) { mutex_->conditions_.push_back(*this); }

condition::~condition() {
    detail::about_to(detail::sync_act::destroyed, this, &state_of);
    if (mutex_ != nullptr)
        mutex_->conditions_.remove(*this);
}

void condition::lose_mutex() noexcept {
    mutex_ = nullptr;
    waiters_.grant_all();
}

detail::sync_state condition::state_of(const void* self) noexcept {
    const auto& c = *static_cast<const condition*>(self);
    return {.kind = "condition", .value = 0, .is_waited_for = !c.waiters_.empty() || c.waiters_.granted() != 0};
}

/// Condition and mutex may each be destroyed while it waits.
task<> condition::wait_in(detail::object_ref<condition> self) {
    condition& at_first = self.required("condition::wait");
    at_first.require_locked("wait");
    at_first.home_.join("condition::wait");
    const auto shared = at_first.mutex_->owner_.ref(at_first.mutex_);
    shared.get()->unlock();
    auto cancelled = co_await notification_wait(at_first.waiters_);
    while (mutex* const m = shared.get()) {
        auto again = co_await relock_wait(*m);
        if (!again)
            break;
        cancelled = std::move(again);
    }
    condition* const here = self.get();
    if (cancelled) {
        // The task may have been notified before it was cancelled. A wake-up too many is allowed, one too few is not.
        if (here != nullptr)
            here->waiters_.grant_first();
        throw cancelled_error(cancelled->reason, std::move(cancelled->text));
    }
    if (here == nullptr)
        throw invalid_state_error("the condition was destroyed while a task waited for it");
    if (shared.get() == nullptr)
        throw invalid_state_error("the mutex of the condition was destroyed while a task waited for the condition");
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

mutex& condition::its_mutex(const char* what) const {
    if (mutex_ == nullptr)
        throw invalid_state_error(std::string("condition::") + what + ": the condition's mutex was destroyed");
    return *mutex_;
}

void condition::require_locked(const char* what) const {
    home_.require_thread("condition::notify");
    if (!its_mutex(what).locked())
        throw invalid_state_error(std::string("condition::") + what + ": lock the condition's mutex first");
}

} // namespace muster
