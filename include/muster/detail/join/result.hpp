// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The results of a combinator when it is awaited: values, outcomes, or the winners of a race. And the awaiter that all
/// of them share: it wires an input's children to a join, waits, and hands the result over.

#include <muster/config.hpp>
#include <muster/detail/join/losses.hpp>
#include <muster/detail/join/options.hpp>
#include <muster/outcomes.hpp>
#include <muster/task.hpp>

#include <concepts>
#include <coroutine>
#include <cstddef>
#include <type_traits>
#include <utility>

namespace muster {

/// The value of a child that won a race, with the index of the child.
template <class T>
class winner {
public:
    winner(std::size_t index, T value) : index_(index), value_(std::forward<T>(value)) {}
    /// The child's index among the arguments or elements, from 0.
    [[nodiscard]] std::size_t index() const noexcept { return index_; }
    [[nodiscard]] const T& value() const& noexcept { return value_; }
    [[nodiscard]] T value() && { return std::forward<T>(value_); }

private:
    std::size_t index_;
    T value_;
};

namespace detail {

struct as_values {};   ///< the values, or a throw
struct as_outcomes {}; ///< every outcome
struct as_winners {};  ///< those that succeeded, as many as were wanted
struct as_first {};    ///< the first of these

/// *Returns* `k`. *Errors*: std::invalid_argument if it is 0.
std::size_t checked_quorum(std::size_t k);
/// *Errors*: std::invalid_argument if the join has fewer children than its quorum wants.
void check_quorum_of(const join& j);

/// Called for a join with children that are handles. *Errors*: std::invalid_argument for a word that says how tasks are
/// started.
void refuse_words_of_tasks_for_handles(const join_options& chosen);

/// The facts that `outcomes` keep of a join that has ended.
outcomes_info info_of(join& j);

/// Joins a `Joined` object, which holds the children and their join, with the kind of result that was asked for.
template <class Joined, class Result>
class joined_input {
public:
    template <class Input>
    joined_input(Input&& input, join_options&& options) : joined_(std::forward<Input>(input), with_policy(options)) {
        joined_.attach_children();
        if constexpr (std::same_as<Result, as_outcomes> && Joined::wants_durations)
            get_join().record_durations();
        if constexpr (std::same_as<Result, as_winners>)
            check_quorum_of(get_join());
    }

    joined_input(const joined_input&) = delete;
    joined_input& operator=(const joined_input&) = delete;
    ~joined_input() {
        get_join().report_undelivered();
        if constexpr (std::same_as<Result, as_outcomes>)
            if (const char* const why = get_join().handles_lost())
                lost_.collect(get_join(), why);
    }

    [[nodiscard]] bool empty() const noexcept { return joined_.empty(); }
    [[nodiscard]] join& get_join() noexcept { return joined_.get_join(); }
    [[nodiscard]] const join& get_join() const noexcept { return joined_.get_join(); }

    /// Called once the join is over. *Errors*: what the policy says is to be thrown.
    auto result() {
        if (get_join().begun()) {
            if constexpr (std::same_as<Result, as_outcomes>)
                get_join().conclude_settled();
            else
                get_join().conclude();
        }
        if constexpr (std::same_as<Result, as_first>) {
            auto winners = joined_.give(as_winners());
            if (winners.empty())
                throw_bad_option("a race needs somebody who runs: it was given nothing");
            return std::move(winners.front());
        } else {
            return joined_.give(Result());
        }
    }

private:
    static join_options&& with_policy(join_options& options) noexcept {
        if constexpr (std::same_as<Result, as_outcomes>)
            options.rules.policy = on_failure::settle;
        return std::move(options);
    }

    struct nothing_lost {};
    /// Made in the destructor, so that it collects the failures of the handles that go with joined_.
    [[no_unique_address]] std::conditional_t<std::same_as<Result, as_outcomes>, lost_handles, nothing_lost> lost_;
    Joined joined_;
};

/// The awaiter of a combinator. `Joined` holds the children and their join, and is the child_source from which the join
/// takes the children.
template <class Joined, class Result>
class join_awaiter final : public library_awaitable {
public:
    template <class Input>
    join_awaiter(Input&& input, join_options&& options) : joined_(std::forward<Input>(input), std::move(options)) {
        joined_.get_join().refuse_own_task();
    }

    [[nodiscard]] bool await_ready() const noexcept { return joined_.empty(); }
    template <std::derived_from<promise_links> Promise>
    void await_suspend(std::coroutine_handle<Promise> h) noexcept {
        joined_.get_join().begin(*h.promise().fiber_, h);
    }
    auto await_resume() { return joined_.result(); }

private:
    joined_input<Joined, Result> joined_;
};

/// A combinator whose result has been chosen, not yet awaited.
template <class Input, class Result>
class [[nodiscard("nothing runs until it is awaited")]] pending_join : public join_words<pending_join<Input, Result>> {
    using words = join_words<pending_join<Input, Result>>;

public:
    pending_join(Input && input, join_options && options) : words(std::move(options)), input_(std::move(input)) {}
    pending_join(pending_join &&) = default;
    pending_join& operator=(pending_join&&) = delete;
    ~pending_join() {
        if (guard_.armed()) {
            report_never_awaited(this->options_);
            input_.discard();
        }
    }

    auto operator co_await()&& {
        guard_.disarm();
        return typename Input::template awaiter<Result>(std::move(input_), std::move(this->options_));
    }

private:
    Input input_;
    await_guard guard_;
};

} // namespace detail
} // namespace muster
