// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A point that a number of tasks reach together: each waits there until all have come, then all go on. It can be
/// used again as soon as the last of them has left.
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

/// Immovable: it is held by address. *Lifetime*: it must outlive the waits for it.
/// *Thread safety*: one loop's thread. *Source*: asyncio.Barrier.
class barrier {
public:
    /// *Errors*: std::invalid_argument if `parties` is less than one.
    explicit barrier(std::ptrdiff_t parties);
    barrier(const barrier&) = delete;
    barrier& operator=(const barrier&) = delete;

    /// Waits until as many tasks wait as there are parties. While the tasks of one round leave, those of the next
    /// are held up. *Returns* how many had come before it. *Errors*: broken_barrier_error if the barrier is or
    /// becomes broken, or is reset meanwhile. *Cancellation*: ends the wait; the task no longer counts.
    [[nodiscard]] task<std::size_t> wait();
    /// Those that wait get a broken_barrier_error; afterwards the barrier is as new, also if it was broken.
    [[nodiscard]] task<> reset();
    /// Breaks it until it is reset: those that wait, and those that come, get a broken_barrier_error.
    [[nodiscard]] task<> abort();

    [[nodiscard]] std::size_t parties() const noexcept { return parties_; }
    /// How many wait for the others. Zero while a round leaves.
    [[nodiscard]] std::size_t n_waiting() const noexcept { return phase_ == phase::filling ? inside_ : 0; }
    [[nodiscard]] bool broken() const noexcept { return phase_ == phase::broken; }

private:
    enum class phase : std::uint8_t { filling, draining, resetting, broken };
    class visit;

    condition changed_;
    std::size_t parties_;
    std::size_t inside_ = 0; ///< how many have come and not left
    phase phase_ = phase::filling;
};

} // namespace muster
