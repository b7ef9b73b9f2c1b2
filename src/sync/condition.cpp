// SPDX-License-Identifier: MIT
#include <muster/condition.hpp>

#include <optional>
#include <string>
#include <utility>

namespace muster {
namespace {

using detail::cancel_request;
using detail::turn;

/// Waits for a notification. Its cancellation is a result, because the mutex has to be had again before it is thrown.
class notification_wait final : public detail::list_waiter {
public:
    explicit notification_wait(detail::wait_list& waiters) noexcept : list_waiter(waiters, kind_of) {}

    std::optional<cancel_request> await_resume() {
        if (!linked()) {
            set_where(turn::none);
            fiber_->throw_if_cancelled();
            detail::throw_destroyed_while_waited_for("condition");
        }
        list_->leave(*this);
        if (fiber_->cancellation_due())
            return fiber_->take_cancellation();
        return std::nullopt;
    }

private:
    static const detail::suspension_kind kind_of;
};

const detail::suspension_kind notification_wait::kind_of{"condition::wait", &notification_wait::interrupt};

/// Waits for the mutex again. A cancellation ends it, and is a result.
class relock_wait final : public mutex::lock_awaiter {
public:
    explicit relock_wait(mutex& m) noexcept : lock_awaiter(m) { kind_ = &kind_of; }

    std::optional<cancel_request> await_resume() {
        if (where() == turn::none || end_wait())
            return std::nullopt;
        return fiber_->take_cancellation();
    }

private:
    static const detail::suspension_kind kind_of;
};

const detail::suspension_kind relock_wait::kind_of{"mutex::lock", &relock_wait::interrupt};

} // namespace

detail::sync_state condition::state_of(const void* self) noexcept {
    const auto& c = *static_cast<const condition*>(self);
    return {.kind = "condition", .value = 0, .is_waited_for = !c.waiters_.empty() || c.waiters_.granted() != 0};
}

task<> condition::wait() {
    require_locked("wait");
    mutex_->unlock();
    auto cancelled = co_await notification_wait(waiters_);
    while (true) {
        auto again = co_await relock_wait(*mutex_);
        if (!again)
            break;
        cancelled = std::move(again);
    }
    if (cancelled) {
        // It may have been notified before it was cancelled. A wake-up too many is allowed, one too few is not.
        waiters_.grant_first();
        throw cancelled_error(cancelled->reason, std::move(cancelled->text));
    }
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
    if (!mutex_->locked())
        throw invalid_state_error(std::string("condition::") + what + ": lock the condition's mutex first");
}

} // namespace muster
