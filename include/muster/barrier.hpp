// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A point that a number of tasks reach together: each waits there until all have come, then all go on. The barrier can
/// be used again as soon as the last of them has left.
///
///     muster::barrier ready(3);
///     auto place = co_await ready.wait();      // 0, 1 and 2, in order of arrival
///     if (place == 0) print_header();

#include <muster/condition.hpp>
#include <muster/config.hpp>
#include <muster/task.hpp>

#include <cstddef>
#include <cstdint>

namespace muster {

/// Immovable: it is held by address. *Lifetime*: if it is destroyed while tasks wait for it, their waits throw
/// invalid_state_error.
/// *Thread safety*: one loop's thread. *Source*: asyncio.Barrier.
class barrier {
public:
    /// *Errors*: std::invalid_argument if `parties` is less than one.
    explicit barrier(std::ptrdiff_t parties);
    ~barrier();
    barrier(const barrier&) = delete;
    barrier& operator=(const barrier&) = delete;

    /// Waits until as many tasks wait as there are parties. While the tasks of one round leave, tasks that
    /// arrive for the next round are held up. *Returns* its place in the round: how many had come before it and still
    /// wait. Each of 0 to n-1 is given once. *Errors*: broken_barrier_error if the barrier is or
    /// becomes broken, or is reset meanwhile. *Cancellation*: ends the wait; the task no longer counts.
    [[nodiscard]] task<std::size_t> wait() { return wait_in(owner_.ref(this)); }
    /// Those that wait get a broken_barrier_error; afterwards the barrier is as new, also if it was broken.
    [[nodiscard]] task<> reset() { return change(owner_.ref(this), &barrier::begin_reset, "barrier::reset"); }
    /// Breaks it until it is reset: those that wait, and those that come, get a broken_barrier_error.
    [[nodiscard]] task<> abort() { return change(owner_.ref(this), &barrier::break_it, "barrier::abort"); }

    [[nodiscard]] std::size_t parties() const noexcept { return parties_; }
    /// How many tasks wait for the others. Zero while the tasks of a round leave.
    [[nodiscard]] std::size_t n_waiting() const noexcept { return phase_ == phase::filling ? inside_ : 0; }
    [[nodiscard]] bool broken() const noexcept { return phase_ == phase::broken; }

private:
    enum class phase : std::uint8_t { filling, draining, resetting, broken };
    class visit;

    static task<std::size_t> wait_in(detail::object_ref<barrier> self);
    static task<> change(detail::object_ref<barrier> self, void (barrier::*act)() noexcept, const char* what);
    void begin_reset() noexcept { phase_ = inside_ > 0 ? phase::resetting : phase::filling; }
    void break_it() noexcept { phase_ = phase::broken; }

    condition changed_;
    std::size_t parties_;
    detail::intrusive_list<visit> visits_; ///< of the tasks that have come and not left, in order of arrival
    std::size_t inside_ = 0;               ///< how many these are
    phase phase_ = phase::filling;
    detail::object_owner owner_;
};

} // namespace muster
