// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The part of a child that only time limits and retries need, beside its slot: when its attempt's time is up, how
/// often it was tried, and the pause before it is tried again.
///
///     if (!attempts.begin(slot)) ...           // an attempt begins
///     attempts.end(slot);                      // it has ended
///     // After a pause next_due() gives the slot back.
///     if (attempts.worth_another(slot) && attempts.plan_another(slot)) ...

#include <muster/config.hpp>
#include <muster/detail/intrusive_list.hpp>
#include <muster/detail/join/retry_rule.hpp>
#include <muster/detail/join/slots.hpp>
#include <muster/detail/scheduler.hpp>
#include <muster/detail/timer_heap.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>

namespace muster::detail {

class attempts;

/// The clock of one slot. Its timer is for the pause before another attempt; the time limits of a join's children come
/// in the order in which they began, so a list and one timer serve them all.
///
///     idle --begin()--> limited --its time is up--> expired
///      ^                  |                            |
///      |              end() of the attempt         end() of the attempt
///      +------------------+----------------------------+
///     idle --plan_another()--> pausing --the pause is over--> due --next_due()--> idle
/// A hundred thousand of them are touched in the order in which the children begin and end, so they are small.
struct child_clock : list_hook<child_clock>, timer {
    enum class state : std::uint8_t {
        idle,
        limited, ///< in the list of the limits that run
        expired, ///< its time was up, and its cancellation is this clock's
        pausing, ///< its timer runs, until the next attempt
        due,     ///< in the list of those whose next attempt may begin
    };

    child_clock(attempts& all, join_slot& slot) noexcept;

    state state_ = state::idle;
    std::uint32_t number_;      ///< its slot's
    std::uint32_t retries_ = 0; ///< attempts after the first
    attempts* all_;
    nanoseconds limit_{0};    ///< when its time is up
    std::uint64_t order_ = 0; ///< its place among timers of that time
};
static_assert(sizeof(void*) != 8 || sizeof(child_clock) == 64);

class attempts {
public:
    /// Of the children in `all`. `ready` is posted when the next attempt of one is due.
    attempts(
        std::optional<nanoseconds> each_within, const retry_rule* rule, const slots& all, call_entry& ready) noexcept;

    /// Disarms all timers. Before the loop's own end.
    void disarm(scheduler& loop) noexcept;

    /// A new slot gets its clock. *Returns* false without memory.
    [[nodiscard]] bool add_clock(join_slot& s, std::size_t most) noexcept;
    /// A child begins: it has not been tried before.
    void begin_child(join_slot& s) noexcept { clock_of(s).retries_ = 0; }
    /// An attempt begins. *Returns* false without memory for its limit.
    [[nodiscard]] bool begin(join_slot& s) noexcept { return !each_within_ || begin_limit(s); }
    /// The attempt has ended: what its limit cancelled has failed with timeout_error.
    void end(join_slot& s) noexcept {
        if (clock_of(s).state_ != child_clock::state::idle)
            end_with_limit(s);
    }
    /// False if each attempt of a child is its only one.
    [[nodiscard]] bool may_be_tried_again() const noexcept { return rule_ != nullptr; }
    /// *Returns* whether the attempt failed in a way that is worth another one. *Errors*: what the rule's function
    /// throws.
    [[nodiscard]] bool worth_another(const join_slot& s) const;
    /// Another attempt is due after a pause. *Returns* false without memory for the timer.
    [[nodiscard]] bool plan_another(join_slot& s) noexcept;

    [[nodiscard]] bool has_due() const noexcept { return !due_.empty(); }
    /// *Returns* the child whose next attempt has been due longest, and which begins now.
    [[nodiscard]] join_slot& next_due() noexcept;
    /// There will be no other attempt of a child that waits for one. *Returns* false if it does not wait.
    [[nodiscard]] bool give_up(join_slot& s) noexcept;
    /// True if its last failure is not its end yet.
    [[nodiscard]] bool waits(const join_slot& s) const noexcept;
    /// How many children wait for their next attempt.
    [[nodiscard]] std::size_t waiting() const noexcept { return waiting_; }

private:
    friend struct child_clock;

    /// The time limit that is up next, of those that run.
    struct limit_timer : timer {
        explicit limit_timer(attempts& a) noexcept;
        attempts* all;
    };

    [[nodiscard]] child_clock& clock_of(const join_slot& s) const noexcept { return clocks_[s.number_]; }
    [[nodiscard]] join_slot& slot_of(const child_clock& c) const noexcept { return (*slots_)[c.number_]; }
    [[nodiscard]] bool begin_limit(join_slot& s) noexcept;
    void end_with_limit(join_slot& s) noexcept;
    void strike_limit() noexcept;
    void end_limit(join_slot& s, child_clock::state then) noexcept;
    void pause_is_over(child_clock& c) noexcept;

    std::optional<nanoseconds> each_within_;
    const retry_rule* rule_;
    const slots* slots_;
    call_entry* ready_;
    chunks<child_clock> clocks_; ///< by the slots' numbers
    intrusive_list<child_clock> limited_;
    intrusive_list<child_clock> due_;
    std::size_t waiting_ = 0;
    limit_timer next_limit_{*this};
};

} // namespace muster::detail
