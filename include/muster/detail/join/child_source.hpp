// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Where a join gets its children from and where their outcomes lie: the one side of a combinator that knows the types
/// of the values. Tuples, ranges and maps implement it.
///
///     while (source.next(slot) == child_source::pulled::child) ...

#include <muster/detail/join/policy.hpp>
#include <muster/detail/join/slots.hpp>

#include <cstddef>
#include <cstdint>

namespace muster::detail {

class join;

class child_source {
public:
    enum class pulled : std::uint8_t {
        child, ///< the next child is in the slot
        end,   ///< there are no more
        later, ///< the input is being waited for: join::input_came() says when to ask again
    };
    /// Without a limit and a rate all children that are given begin, unless the join is cancelled. With one, and if
    /// they are pulled from an input, children begin as there is room for them, and not once the join stops. The
    /// input's elements may be awaited.
    enum class kind : std::uint8_t { given, pulled, pulled_and_awaited };

    child_source(const child_source&) = delete;
    child_source& operator=(const child_source&) = delete;

    [[nodiscard]] bool is_pulled() const noexcept { return kind_ != kind::given; }
    /// How many children there are, handles among them; `unlimited` if that is not known.
    [[nodiscard]] std::size_t total() const noexcept { return total_; }
    /// How many of them are tasks.
    [[nodiscard]] std::size_t tasks() const noexcept { return tasks_; }
    [[nodiscard]] bool is_sized() const noexcept { return total_ != unlimited; }

    /// Puts the next child that is a task into a slot: adopts it, sets out_, and index_, where handles are counted too.
    /// *Errors*: what the input throws, which ends the join.
    [[nodiscard]] virtual pulled next(join_slot& s) = 0;
    /// Whether next() would give a child, as far as that can be told without waiting. *Errors*: as next().
    [[nodiscard]] virtual bool has_next() { return true; }
    /// True if an element has been taken from an input of unknown length, and its child has not begun.
    [[nodiscard]] virtual bool looked_ahead() const noexcept { return false; }
    /// Makes a slot's task anew for another attempt.
    virtual void again(join_slot&) {}
    /// A child that was pulled has ended; its slot is used again. *Errors*: what a sink throws, which ends the join.
    virtual void harvest(join_slot&) {}
    /// How child i ended; null if it has not, or if a sink has already taken its outcome.
    [[nodiscard]] virtual const outcome_base* outcome_at(std::size_t i) const noexcept = 0;
    /// Records `cancelled` as the outcome of child i, a handle for which the join no longer waits.
    virtual void give_up_on(std::size_t, const cancel_request&) noexcept {}
    /// Whether the value of a child that succeeded would be lost if it were not delivered.
    [[nodiscard]] virtual bool has_value_to_lose(std::size_t) const noexcept { return false; }

    /// The fiber that waits for the input's next element; null if none does.
    [[nodiscard]] fiber* waiting_for_input() noexcept {
        return kind_ == kind::pulled_and_awaited ? waiting_puller() : nullptr;
    }

protected:
    child_source() = default;
    ~child_source() = default;
    void give_children(std::size_t total, std::size_t tasks) noexcept {
        total_ = total;
        tasks_ = tasks;
    }
    void pull_children(std::size_t total, kind how) noexcept {
        total_ = tasks_ = total;
        kind_ = how;
    }

private:
    /// The answer of waiting_for_input() where the elements of the input are awaited.
    [[nodiscard]] virtual fiber* waiting_puller() noexcept { return nullptr; }

    std::size_t total_ = 0;
    std::size_t tasks_ = 0;
    kind kind_ = kind::given;
};

} // namespace muster::detail
