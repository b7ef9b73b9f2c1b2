// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Runs a function that gives a task over a range of inputs, a generator or a queue, pulled lazily: at most `limit`
/// children run at once, whatever the length of the input; with retry up to four times as many more wait for their next
/// attempt. Retries, rate and time limits, early stops; every
/// outcome collected, or streamed with memory that does not grow.
///
///     auto outcomes = co_await muster::map(urls, call).limit(100).each_within(2s).retry(3).settle();
///     auto summary  = co_await muster::map(lines, call).limit(100).for_each(sink);

#include <muster/config.hpp>
#include <muster/detail/callable.hpp>
#include <muster/detail/join/map.hpp>
#include <muster/detail/join/map_on.hpp>
#include <muster/detail/join/options.hpp>
#include <muster/detail/range_traits.hpp>
#include <muster/executor.hpp>
#include <muster/retry.hpp>
#include <muster/summary.hpp>

#include <concepts>
#include <cstddef>
#include <memory>
#include <source_location>
#include <type_traits>
#include <utility>

namespace muster {

/// The input is a range, or something whose `next()` is awaited and gives an optional: a generator, a queue until it is
/// shut down. Such an input needs `.limit(n)`; its next element is asked for when there is room for a child, one at a
/// time, and what stops the map cancels that wait. A queue then keeps its element; an element that a generator yields
/// all the same is counted as not started.
///
/// How it runs is said in a chain, each word once: `.limit(n)` at most n at once, `.each_within(d)` a child's own
/// limit, `.within(d)` everybody's, `.rate(n, window)` attempts in a stretch of time, `.retry(policy)`,
/// `.stop_after_failures(k)`, `.depth_first()`, `.named(text)`.
/// *Returns*, awaited: the vector of values in input order (nothing for void).
/// *Errors*: the first failure, as itself, after the others were cancelled and have ended; other forms as they say.
/// An error of the input ends the map with that error. std::invalid_argument for a bad option.
/// *Cancellation*: cancels the children, waits for them; what was not pulled is not started.
/// *Lifetime*: an input given as an lvalue is referred to and must outlive the await; an rvalue is kept. The function
/// is taken by value. *Complexity*: memory in the limit for the streamed forms, in the results for the others.
/// *Source*: none in asyncio; a pool that keeps the ledger.
template <class Range, class F>
class [[nodiscard("nothing runs until it is awaited: co_await muster::map(...)")]] map
    : public detail::join_words<map<Range, F>> {
    using words = detail::join_words<map<Range, F>>;
    using elements_type = typename detail::elements_of<Range>::type;
    using input_type = detail::map_input<elements_type, std::decay_t<F>>;
    using value_type = typename detail::map_types<elements_type, std::decay_t<F>>::value_type;

public:
    map(Range range, F f, std::source_location site = std::source_location::current())
        : words(site, "map"),
          input_(elements_type(std::forward<Range>(range)), std::forward<F>(f)) {
        detail::refuse_lambda_in_co_await<F>();
    }
    map(map &&) = default;
    map& operator=(map&&) = delete;
    ~map() {
        if (guard_.armed())
            detail::report_never_awaited(this->options_);
    }

    /// Up to n further attempts for a child that fails, at once.
    map retry(std::size_t n)&& { return std::move(*this).retry(retry_policy(n)); }
    /// Further attempts as the policy says. The function is called again with the same element.
    map retry(const retry_policy& policy)&& {
        static_assert(elements_type::repeatable,
            "retry reads an element again: the input must be a forward range, for example a container");
        this->options_.rarely().retry = std::make_unique<detail::retry_rule>(policy.rule());
        return std::move(*this);
    }
    /// Let all run to the end, then throw an exception_group of all failures.
    map finish_siblings()&& {
        this->options_.rules.policy = detail::on_failure::finish_siblings;
        return std::move(*this);
    }
    /// Never throw for a child: awaited, it gives every outcome. Memory in the length of the input.
    [[nodiscard("nothing runs until it is awaited")]] auto settle()&& {
        guard_.disarm();
        return detail::pending_join<input_type, detail::as_outcomes>(std::move(input_), std::move(this->options_));
    }
    /// End when k have succeeded: the others are cancelled (race_lost), no more are pulled.
    [[nodiscard("nothing runs until it is awaited")]] auto quorum(std::size_t k)&& {
        guard_.disarm();
        this->options_.rules.quorum = detail::checked_quorum(k);
        this->options_.rules.policy = detail::on_failure::finish_siblings;
        return detail::pending_join<input_type, detail::as_winners>(std::move(input_), std::move(this->options_));
    }
    /// quorum(1).
    [[nodiscard("nothing runs until it is awaited")]] auto first_success()&& { return std::move(*this).quorum(1); }

    /// The streamed form: `sink(index, outcome<T>&&)` is called as each child ends; awaited, it gives a summary.
    /// Failures count as delivered to the sink. *Errors*: what the sink throws ends the map with that error.
    template <detail::outcome_sink<value_type> Sink>
    [[nodiscard("nothing runs until it is awaited")]] auto for_each(Sink && sink)&& {
        static_assert(
            !detail::can_be_awaited<std::invoke_result_t<std::decay_t<Sink>&, std::size_t, outcome<value_type>&&>>,
            "the sink of for_each is called and not awaited: write a plain function, and wait in the function of the "
            "map");
        detail::refuse_lambda_in_co_await<Sink>();
        guard_.disarm();
        using streamed = detail::streamed_input<elements_type, std::decay_t<F>, std::decay_t<Sink>>;
        return detail::pending_join<streamed, detail::as_outcomes>(
            streamed(std::move(input_), std::forward<Sink>(sink)), std::move(this->options_));
    }
    /// The streamed form without a sink: only the summary. Failures count as looked at once they are read in it.
    [[nodiscard("nothing runs until it is awaited")]] auto summarize()&& {
        guard_.disarm();
        using streamed = detail::streamed_input<elements_type, std::decay_t<F>, detail::no_sink>;
        return detail::pending_join<streamed, detail::as_outcomes>(
            streamed(std::move(input_), detail::no_sink()), std::move(this->options_));
    }

    /// The bulk form for a *plain* function, which `ex`, a thread_pool for example, calls for every element. Many calls
    /// in a row are one call of the executor, and none of them costs a coroutine. Awaited, it gives the values in input
    /// order; `.settle()` gives every outcome; `.as_task()` is for whatever takes tasks. `in_a_row` is how many calls
    /// one thread makes before another may have the next; 0 leaves that to the library, 1 suits long calls.
    /// *Errors*: the first failure, as itself; calls that have not begun by then are not made, and a further failure is
    /// reported. If the executor does not take the calls, its error is that of each of them.
    /// std::invalid_argument for other words of the chain than `named`. *Cancellation*: takes back what has not begun,
    /// and waits for the calls that are being made. *Lifetime*: as above; the executor must outlive the await.
    /// *Thread safety*: several threads call the same function object and read the input, a random access range, at the
    /// same time. *Complexity*: memory in the results.
    template <executor Ex>
    [[nodiscard("nothing is called until it is awaited")]] auto on(Ex & ex, std::size_t in_a_row = 0)&& {
        static_assert(detail::iterable<Range>, "a map on an executor needs a range: collect the input first");
        guard_.disarm();
        detail::refuse_words_of_tasks(this->options_);
        auto view = std::move(input_.elements()).take_view();
        return detail::map_on<Ex, decltype(view), std::decay_t<F>>(ex, std::move(view), std::move(input_.function()),
            in_a_row, this->options_.shown_name(), this->options_.site);
    }

    auto operator co_await()&& {
        guard_.disarm();
        return typename input_type::template awaiter<detail::as_values>(std::move(input_), std::move(this->options_));
    }

private:
    input_type input_;
    detail::await_guard guard_;
};

template <class Range, class F>
map(Range&&, F&&) -> map<Range, F>;

} // namespace muster
