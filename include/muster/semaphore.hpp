// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A number of permits: a task that asks for one while none is left waits until one is given back. It is fair: permits
/// go out in the order in which they were asked for, and a task that is cancelled in the instant in which it is granted
/// one gives it back.
///
///     muster::semaphore connections(100);
///     auto permit = co_await connections.scoped_acquire();
///     co_await fetch(url);                 // at most 100 at a time

#include <muster/config.hpp>
#include <muster/detail/no_std_guard.hpp>
#include <muster/detail/operation.hpp>
#include <muster/detail/sync_watch.hpp>
#include <muster/detail/wait_list.hpp>

#include <cstddef>
#include <limits>
#include <utility>

namespace muster {

/// Immovable: it is held by address. *Lifetime*: if it is destroyed while tasks wait for it, their waits throw
/// invalid_state_error; permits that scoped_acquire() gave go with it.
/// *Thread safety*: one loop's thread. A semaphore belongs to the loop whose task first waits for it, until that loop
/// has ended; a call on another thread throws invalid_state_error. *Source*: asyncio.Semaphore.
class semaphore {
public:
    class permit;
    class acquire_awaiter;
    class scoped_acquire_awaiter;

    /// *Errors*: std::invalid_argument if `permits` is negative.
    explicit semaphore(std::ptrdiff_t permits = 1);
    ~semaphore() { detail::about_to(detail::sync_act::destroyed, this, &state_of); }
    semaphore(const semaphore&) = delete;
    semaphore& operator=(const semaphore&) = delete;

    /// Waits for a permit and takes it; release() gives it back. *Errors*: invalid_state_error if the semaphore is
    /// destroyed meanwhile. *Cancellation*: ends the wait, and a permit that was granted goes to the next task; no
    /// cancellation point if a permit can be had at once. *Complexity*: O(1), no allocation.
    [[nodiscard(
        "no permit is taken until it is awaited: co_await s.acquire()")]] detail::object_operation<acquire_awaiter,
        semaphore>
    acquire();
    /// The same. *Returns* an object that gives the permit back when it is destroyed.
    [[nodiscard("no permit is taken until it is awaited: co_await s.scoped_acquire()")]] detail::object_operation<
        scoped_acquire_awaiter, semaphore>
    scoped_acquire();
    /// Takes a permit if one is left and no task waits for one. *Returns* whether it did.
    [[nodiscard]] bool try_acquire() {
        home_.require_thread("semaphore::try_acquire");
        if (locked())
            return false;
        detail::about_to(detail::sync_act::tried, this, &state_of);
        --value_;
        return true;
    }
    /// Gives a permit back, or adds one: the task that has waited longest gets it.
    /// *Errors*: std::out_of_range, and nothing is changed, if a bounded_semaphore then had more than at first.
    void release() {
        home_.require_thread("semaphore::release");
        if (value_ >= bound_) [[unlikely]]
            throw_released_too_often();
        detail::about_to(detail::sync_act::given, this, &state_of);
        ++value_;
        if (waiters_.grant_first())
            --value_;
    }
    /// True if acquire() would have to wait: no permit is left, or other tasks come first.
    [[nodiscard]] bool locked() const noexcept { return value_ == 0 || !waiters_.empty() || waiters_.granted() != 0; }
    /// How many permits are left, not counting those that were granted to a waiter.
    [[nodiscard]] std::ptrdiff_t available() const noexcept { return value_; }

protected:
    semaphore(std::ptrdiff_t permits, std::ptrdiff_t bound);

private:
    [[nodiscard]] bool take_now() {
        if (!detail::ready_in(home_, !locked(), "semaphore::acquire"))
            return false;
        detail::about_to(detail::sync_act::taken, this, &state_of);
        --value_;
        return true;
    }
    static detail::sync_state state_of(const void* self) noexcept;
    /// Tasks that came while woken ones had yet to run may wait although permits are left.
    void grant_what_is_left() noexcept {
        while (value_ > 0 && waiters_.grant_first())
            --value_;
    }
    [[noreturn]] static void throw_released_too_often();

    detail::wait_list waiters_;
    detail::loop_home home_;
    std::ptrdiff_t value_;
    std::ptrdiff_t bound_ = std::numeric_limits<std::ptrdiff_t>::max();
    detail::object_owner owner_{this};
};

/// A semaphore that never has more permits than at first: giving one back that was not taken is an error.
/// *Source*: asyncio.BoundedSemaphore.
class bounded_semaphore : public semaphore {
public:
    /// *Errors*: std::invalid_argument if `permits` is negative.
    explicit bounded_semaphore(std::ptrdiff_t permits = 1) : semaphore(permits, permits) {}
};

/// The awaiter of `co_await s.acquire()`.
class semaphore::acquire_awaiter : public detail::list_waiter {
public:
    static constexpr const char* name = "semaphore::acquire";
    explicit acquire_awaiter(semaphore& s) noexcept : list_waiter(s.waiters_, kind_of), semaphore_(&s) {}
    /// A permit that was granted to a task which is destroyed before it has run goes back.
    ~acquire_awaiter() {
        if (state() == detail::wait_state::granted)
            ++semaphore_->value_;
    }

    [[nodiscard]] bool await_ready() const { return semaphore_->take_now(); }
    void await_resume() {
        if (state() == detail::wait_state::idle)
            return;
        if (!listed() || fiber_->cancellation_due()) [[unlikely]]
            fail();
        detail::about_to(detail::sync_act::taken, semaphore_, &state_of);
        list_->leave(*this);
        semaphore_->grant_what_is_left();
    }

protected:
    semaphore* semaphore_;

private:
    [[noreturn]] void fail();
    static const detail::suspension_kind kind_of;
};

/// Holds a permit. Movable; a moved-from object holds none. Destroying one of a bounded_semaphore that has all of its
/// permits back already ends the program. Destroying one on a thread that is not the loop's keeps the permit, and
/// reports that.
class [[nodiscard("the permit is given back at once if it is dropped: name it")]] semaphore::permit {
public:
    permit() = default;
    /// Takes over a permit that was acquired already.
    explicit permit(semaphore & of) noexcept : of_(of.owner_.ref(&of)) {}
    permit(permit && other) noexcept : of_(std::exchange(other.of_, {})) {}
    permit& operator=(permit&& other) noexcept {
        permit old(std::move(*this));
        of_ = std::exchange(other.of_, {});
        return *this;
    }
    ~permit() {
        if (!of_.empty())
            end();
    }

    [[nodiscard]] bool holds() const noexcept { return !of_.empty(); }
    /// Gives it back early. *Errors*: invalid_state_error if it holds none; std::out_of_range as release().
    void release();

private:
    void end() noexcept;
    detail::object_ref<semaphore> of_;
};

/// The awaiter of `co_await s.scoped_acquire()`.
class semaphore::scoped_acquire_awaiter final : public acquire_awaiter {
public:
    using acquire_awaiter::acquire_awaiter;
    permit await_resume() {
        acquire_awaiter::await_resume();
        return permit(*semaphore_);
    }
};

inline detail::object_operation<semaphore::acquire_awaiter, semaphore> semaphore::acquire() {
    home_.require_waiter(acquire_awaiter::name);
    return detail::object_operation<acquire_awaiter, semaphore>(owner_.ref(this));
}
inline detail::object_operation<semaphore::scoped_acquire_awaiter, semaphore> semaphore::scoped_acquire() {
    home_.require_waiter(acquire_awaiter::name);
    return detail::object_operation<scoped_acquire_awaiter, semaphore>(owner_.ref(this));
}

template <>
inline constexpr bool detail::is_locked_by_await<semaphore> = true;
template <>
inline constexpr bool detail::is_locked_by_await<bounded_semaphore> = true;

} // namespace muster
