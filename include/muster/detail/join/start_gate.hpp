// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Whether another attempt may begin now: how many run at once (limit), how many begin in a stretch of time (rate), and
/// how many begin in one entry of the loop. It knows no loop: the join tells it the time, and does the waiting.
///
///     if (gate.ask(now) == start_gate::answer::now) { gate.begin(now); ... }

#include <muster/detail/assert.hpp>
#include <muster/detail/join/policy.hpp>
#include <muster/detail/rate_window.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace muster::detail {

class start_gate {
public:
    using nanoseconds = std::chrono::nanoseconds;
    enum class answer : std::uint8_t {
        now,
        when_one_ends, ///< as many as may run do
        next_entry,    ///< enough have begun in this entry: timers and others come first
        later,         ///< at opens_at(): the rate allows no more before
    };

    /// `rate` is null if any number of attempts may begin; otherwise it lives longer than this.
    start_gate(std::size_t limit, rate_window* rate) noexcept : limit_(limit), rate_(rate) {}

    /// True if nothing bounds how many begin.
    [[nodiscard]] bool is_open() const noexcept { return limit_ == unlimited && rate_ == nullptr; }

    /// False if the time that it is told does not matter.
    [[nodiscard]] bool looks_at_clock() const noexcept { return rate_ != nullptr; }

    /// An entry of the loop begins, in which children may be started. A limit also bounds how many begin in it, so that
    /// children that end at once leave the loop room for its timers.
    void begin_entry() noexcept { left_in_entry_ = limit_; }
    [[nodiscard]] answer ask(nanoseconds now) const noexcept {
        if (running_ >= limit_)
            return answer::when_one_ends;
        if (left_in_entry_ == 0)
            return answer::next_entry;
        return opens_at(now) > now ? answer::later : answer::now;
    }
    [[nodiscard]] nanoseconds opens_at(nanoseconds now) const noexcept {
        return rate_ != nullptr ? rate_->earliest(now) : now;
    }

    /// To be called before begin(). *Errors*: std::bad_alloc.
    void make_room() {
        if (rate_ != nullptr)
            rate_->make_room();
    }
    /// An attempt begins, which ask() has allowed.
    void begin(nanoseconds now) noexcept {
        MUSTER_ASSERT(ask(now) == answer::now);
        if (rate_ != nullptr)
            rate_->take(now);
        --left_in_entry_;
        ++running_;
    }
    /// The same for a gate that is open.
    void begin_freely() noexcept {
        MUSTER_ASSERT(is_open());
        --left_in_entry_;
        ++running_;
    }
    void end() noexcept {
        MUSTER_ASSERT(running_ != 0);
        --running_;
    }
    [[nodiscard]] std::size_t running() const noexcept { return running_; }

    /// A child that waits for its next attempt does not count as running. So that the memory stays bounded, no new
    /// child begins while as many wait as this.
    [[nodiscard]] std::size_t most_waiting() const noexcept {
        return limit_ > unlimited / waiting_per_running ? unlimited : limit_ * waiting_per_running;
    }
    /// *Returns* how many children can be alive at once, of `children`.
    [[nodiscard]] std::size_t most_alive(std::size_t children, bool may_wait) const noexcept {
        const std::size_t waiting = may_wait ? most_waiting() : 0;
        const std::size_t alive = limit_ > unlimited - waiting ? unlimited : limit_ + waiting;
        return alive < children ? alive : children;
    }

private:
    static constexpr std::size_t waiting_per_running = 4;

    std::size_t limit_;
    std::size_t left_in_entry_ = 0;
    std::size_t running_ = 0;
    rate_window* rate_;
};

} // namespace muster::detail
