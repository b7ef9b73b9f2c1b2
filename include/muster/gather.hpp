// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Runs many at once and waits for all: tasks, handles, futures and other awaitables, several arguments or a range.
/// The policy says what the first failure does. By default the others are cancelled and waited for, and it is thrown
/// as itself: nothing outlives the call.
///
///     auto [user, cart] = co_await muster::gather(load_user(id), load_cart(id));
///     std::vector<page> pages = co_await muster::gather(std::move(tasks)).limit(10);
///     auto outcomes = co_await muster::gather(std::move(tasks)).settle();

#include <muster/config.hpp>
#include <muster/detail/join/options.hpp>
#include <muster/detail/join/range.hpp>
#include <muster/detail/join/started.hpp>
#include <muster/detail/join/tuple.hpp>
#include <muster/detail/range_traits.hpp>
#include <muster/outcomes.hpp>

#include <source_location>
#include <type_traits>
#include <utility>

namespace muster {

namespace detail {

/// One argument that is a range of children, and not itself awaitable.
template <class... As>
inline constexpr bool is_one_range = false;
template <class A>
inline constexpr bool is_one_range<A> = iterable<A>;

template <class... As>
struct gather_input {
    using type = tuple_input<As...>;
};
template <class... As>
    requires is_one_range<As...>
struct gather_input<As...> {
    using type = range_input<As...>;
};

} // namespace detail

/// How it runs is said in a chain: `.limit(n)`, `.each_within(d)`, `.within(d)`, `.rate(n, window)`,
/// `.stop_after_failures(k)`, `.depth_first()`, `.named(text)`.
/// *Returns*, awaited: a tuple of the values (`muster::nothing` for void) for several arguments; a vector of the
/// values for a range (nothing for a range of void); a map with the same keys for a map of tasks.
/// *Errors*: as the policy says; std::invalid_argument for a bad option. A failure that is not delivered is
/// reported (suppressed).
/// *Cancellation*: cancels every child, waits until all have ended, then throws cancelled_error. A child's failure
/// goes first; the cancellation then comes at the caller's next wait.
/// *Lifetime*: takes its arguments by value; handles that are passed are siblings and are cancelled like children.
/// Children start, in argument order, after the caller has suspended. A gather that is never awaited is reported.
/// *Complexity*: a slot for each child that is alive at once, in blocks; no other allocation per child beyond its
/// frame. *Source*: asyncio.gather, with a default that is safe in C++.
template <class... As>
class [[nodiscard("nothing runs until it is awaited: co_await muster::gather(...)")]] gather
    : public detail::join_words<gather<As...>> {
    using words = detail::join_words<gather<As...>>;
    using input_type = typename detail::gather_input<As...>::type;

public:
    gather(As && ... as, std::source_location site = std::source_location::current())
        : words(site, "gather"),
          input_(std::forward<As>(as)...) {}
    gather(gather &&) = default;
    gather& operator=(gather&&) = delete;
    ~gather() {
        if (guard_.armed()) {
            detail::report_never_awaited(this->options_);
            input_.discard();
        }
    }

    /// Let all run to the end, then throw an exception_group of all failures.
    gather finish_siblings()&& {
        this->options_.rules.policy = detail::on_failure::finish_siblings;
        return std::move(*this);
    }
    /// asyncio's own way: the first that ends without a value is thrown at once, and the others go on, owned by the
    /// loop. Only for tasks that own what they use.
    gather leave_siblings()&& {
        this->options_.rules.policy = detail::on_failure::leave_siblings;
        return std::move(*this);
    }
    /// Never throw for a child: awaited, it gives every outcome.
    [[nodiscard("nothing runs until it is awaited")]] auto settle()&& {
        guard_.disarm();
        return detail::pending_join<input_type, detail::as_outcomes>(std::move(input_), std::move(this->options_));
    }
    /// End when k have succeeded: the others are cancelled at once (race_lost), and no more begin. Gives the k, with
    /// their index; throws an exception_group if so many have failed that k can't be reached.
    [[nodiscard("nothing runs until it is awaited")]] auto quorum(std::size_t k)&& {
        static_assert(!(detail::ends_its_source<As> || ...),
            "a quorum would end the generators of those that are too late, and their values with them: start each "
            "next() "
            "as a task of its own with muster::create_task, and pass copies of the handles under muster::shield");
        guard_.disarm();
        this->options_.rules.quorum = detail::checked_quorum(k);
        this->options_.rules.policy = detail::on_failure::finish_siblings;
        return detail::pending_join<input_type, detail::as_winners>(std::move(input_), std::move(this->options_));
    }

    /// Runs without being awaited: this call gives the tasks to the loop, and counts the handles that have ended.
    /// *Returns* a future of the result that awaiting would give. If `then` is given, it is called with that result
    /// when the last child has ended, and the future has what `then` returns. Dropping the future stops nothing.
    /// *Errors*: invalid_state_error if no loop runs on this thread, or for a task that was awaited before;
    /// std::invalid_argument for limit, rate, each_within or depth_first, which need a caller that waits. The future
    /// fails as awaiting would, in the iteration of the loop in which the join counts the child that decides.
    /// *Cancellation*: cancel() asks all children and does not end the future; it gives false if all have ended. The
    /// future then fails with a cancelled_error, also if the children went on to values; it does not count as
    /// cancelled. *Source*: asyncio.gather that is not awaited yet, with leave_siblings().
    template <class Then = detail::as_it_is>
    auto start(Then then = {})&& {
        guard_.disarm();
        return detail::start_join<detail::as_values>(
            std::move(input_).spawned(this->options_), std::move(this->options_), std::move(then));
    }

    auto operator co_await()&& {
        guard_.disarm();
        return typename input_type::template awaiter<detail::as_values>(std::move(input_), std::move(this->options_));
    }

private:
    input_type input_;
    detail::await_guard guard_;
};

template <class... As>
gather(As&&...) -> gather<As...>;

/// gather(...).settle(): every outcome, in order; never throws for a child. *Source*: return_exceptions=True.
template <class... As>
class [[nodiscard("nothing runs until it is awaited: co_await muster::settle(...)")]] settle
    : public detail::join_words<settle<As...>> {
    using words = detail::join_words<settle<As...>>;
    using input_type = typename detail::gather_input<As...>::type;

public:
    settle(As && ... as, std::source_location site = std::source_location::current())
        : words(site, "settle"),
          input_(std::forward<As>(as)...) {
        this->options_.rules.policy = detail::on_failure::settle;
    }
    settle(settle &&) = default;
    settle& operator=(settle&&) = delete;
    ~settle() {
        if (guard_.armed()) {
            detail::report_never_awaited(this->options_);
            input_.discard();
        }
    }

    /// As gather's, of every outcome; fails only if it was cancelled.
    template <class Then = detail::as_it_is>
    auto start(Then then = {})&& {
        guard_.disarm();
        return detail::start_join<detail::as_outcomes>(
            std::move(input_).spawned(this->options_), std::move(this->options_), std::move(then));
    }

    auto operator co_await()&& {
        guard_.disarm();
        return typename input_type::template awaiter<detail::as_outcomes>(std::move(input_), std::move(this->options_));
    }

private:
    input_type input_;
    detail::await_guard guard_;
};

template <class... As>
settle(As&&...) -> settle<As...>;

} // namespace muster
