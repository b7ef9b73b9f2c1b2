// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A map whose function is called on an executor. The elements are cut into chunks, and each chunk is one call of the
/// executor: one hand-over there and one back for many calls of the function, and no coroutine for any of them. All
/// chunks write into one row of outcomes, each into its own part, and read it no more when their call is over.
///
///     auto sums = co_await muster::map(blocks, checksum).on(pool);

#include <muster/config.hpp>
#include <muster/detail/join/options.hpp>
#include <muster/detail/range_traits.hpp>
#include <muster/executor.hpp>
#include <muster/gather.hpp>
#include <muster/outcomes.hpp>
#include <muster/task.hpp>

#include <atomic>
#include <concepts>
#include <cstddef>
#include <exception>
#include <functional>
#include <iterator>
#include <source_location>
#include <stop_token>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace muster::detail {

/// Whether a failure keeps the calls that have not begun from being made.
enum class after_failure : bool { goes_on, stops };

/// The elements, the function and the outcomes. *Thread safety*: run() on any thread, at the same time for different
/// parts; all else when no run() is under way.
template <class View, class F>
class chunked_calls {
    using element = reference_of<View>;
    static_assert(std::random_access_iterator<iterator_of<View>> && countable<View>,
        "a map on an executor hands its elements out in parts: its input must be a random access range with a size; "
        "collect it into a std::vector first");
    static_assert(std::invocable<const F&, element>,
        "a map on an executor calls its function on several threads at once: it must take an element, and be const (a "
        "lambda without `mutable`)");
    using returned = std::invoke_result_t<const F&, element>;

public:
    using value_type =
        std::conditional_t<std::is_lvalue_reference_v<returned>, returned, std::remove_cvref_t<returned>>;
    static_assert(!is_task<value_type>,
        "the function of a map on an executor is called there and can't be a coroutine: leave out .on(), or give a "
        "function that returns its value");

    chunked_calls(View view, F f, after_failure rule)
        : view_(std::move(view)),
          function_(std::move(f)),
          rule_(rule),
          outcomes_(count_of(view_)) {}

    [[nodiscard]] std::size_t size() const noexcept { return outcomes_.size(); }

    /// Calls the function for the elements from `begin` to `end`, unless it is to stop before that.
    void run(std::size_t begin, std::size_t end, const std::stop_token& stop) noexcept {
        for (std::size_t i = begin; i != end; ++i) {
            if (stop.stop_requested() ||
                (rule_ == after_failure::stops && first_failure_.load(std::memory_order_relaxed) != none))
                return;
            call(i);
        }
    }

    /// Says of the calls in this part that were not made why that is.
    void close(std::size_t begin, std::size_t end, const outcome_base& chunk) noexcept {
        for (std::size_t i = begin; i != end; ++i) {
            if (!outcomes_[i].was_not_started())
                continue;
            if (chunk.failed())
                detail_outcome_access::set_error(outcomes_[i], chunk.error());
            else
                leave_out(i, chunk.succeeded() ? cancel_reason::sibling_failed : chunk.reason());
        }
        if (chunk.failed() && first_failure_.load(std::memory_order_relaxed) == none)
            first_failure_.store(begin, std::memory_order_relaxed);
    }
    /// The same for all, when the task that waits was cancelled.
    void close_cancelled() noexcept {
        for (std::size_t i = 0; i != outcomes_.size(); ++i)
            if (outcomes_[i].was_not_started())
                leave_out(i, cancel_reason::parent_cancelled);
    }

    /// The index of the call that failed first; `none` if none did.
    [[nodiscard]] std::size_t first_failure() const noexcept { return first_failure_.load(std::memory_order_relaxed); }
    static constexpr std::size_t none = static_cast<std::size_t>(-1);

    /// *Returns* all outcomes, once.
    [[nodiscard]] outcomes<value_type> take(std::string name, std::source_location site) {
        outcomes_info info;
        info.counts.submit(outcomes_.size());
        for (const auto& o : outcomes_)
            info.counts.count(o.state());
        info.name = std::move(name);
        info.site = site;
        return outcomes<value_type>(std::move(info), std::move(outcomes_));
    }

private:
    void call(std::size_t i) noexcept {
        auto& out = outcomes_[i];
        try {
            decltype(auto) at =
                range_access::begin_of(view_)[static_cast<std::iter_difference_t<iterator_of<View>>>(i)];
            if constexpr (std::is_void_v<value_type>) {
                std::invoke(std::as_const(function_), std::forward<decltype(at)>(at));
                out.emplace();
            } else {
                out.emplace(std::invoke(std::as_const(function_), std::forward<decltype(at)>(at)));
            }
        } catch (...) {
            detail_outcome_access::set_thrown(out, std::current_exception());
            std::size_t before = none;
            if (out.failed())
                first_failure_.compare_exchange_strong(before, i, std::memory_order_relaxed);
        }
    }
    void leave_out(std::size_t i, cancel_reason why) noexcept {
        detail_outcome_access::set_cancelled(outcomes_[i], outcome_state::not_started, why, {});
    }

    View view_;
    const F function_;
    const after_failure rule_;
    std::atomic<std::size_t> first_failure_{none};
    std::vector<outcome<value_type>> outcomes_;
};

/// A part of the elements: what the executor calls.
template <class Calls>
class chunk {
public:
    chunk(Calls& of, std::size_t begin, std::size_t end) noexcept : of_(&of), begin_(begin), end_(end) {}
    void operator()(const std::stop_token& stop) && noexcept { of_->run(begin_, end_, stop); }

private:
    Calls* of_;
    std::size_t begin_;
    std::size_t end_;
};

/// *Returns* how many calls one chunk makes. 64 chunks are enough to keep a pool's threads equally busy until the last
/// call; more than 1,024 calls in a chunk would save nothing, because the cost of its hand-over is then spread thin.
[[nodiscard]] constexpr std::size_t chunk_size(std::size_t calls, std::size_t wanted) noexcept {
    return wanted != 0 ? wanted : std::clamp<std::size_t>((calls + 63) / 64, 1, 1024);
}

/// *Errors*: std::invalid_argument for what a call that is no task can't have.
void refuse_words_of_tasks(const join_options& chosen);

/// The result of `map(...).on(executor)`.
template <executor Ex, class View, class F>
class [[nodiscard("nothing is called until it is awaited")]] map_on {
    using calls_type = chunked_calls<View, F>;

public:
    using value_type = typename calls_type::value_type;

    map_on(Ex & ex, View view, F f, std::size_t wanted, std::string name, std::source_location site)
        : executor_(ex),
          view_(std::move(view)),
          function_(std::move(f)),
          wanted_(wanted),
          name_(std::move(name)),
          site_(site) {}

    /// Never throw for a call: awaited, it gives every outcome.
    [[nodiscard("nothing runs until it is awaited")]] task<outcomes<value_type>> settle()&& {
        return collect(std::move(executor_), std::move(view_), std::move(function_), wanted_, std::move(name_), site_);
    }
    /// The same as a task: for wait_for, create_task and whatever else takes tasks.
    [[nodiscard("nothing runs until it is awaited")]] auto as_task()&& {
        return values(std::move(executor_), std::move(view_), std::move(function_), wanted_, std::move(name_), site_);
    }
    auto operator co_await()&& { return std::move(*this).as_task().operator co_await(); }

private:
    using values_type = decltype(std::declval<outcomes<value_type>&&>().values());

    static task<> make(const executor_reference<Ex>& ex, calls_type& calls, std::size_t wanted, const std::string& name,
        std::source_location site) {
        const std::size_t size = chunk_size(calls.size(), wanted);
        using part = chunk<calls_type>;
        std::vector<decltype(call_as_task<executor_call>(ex, std::declval<part>(), site))> chunks;
        chunks.reserve(calls.size() / size + 1);
        const auto end_of = [&](std::size_t begin) {
            return calls.size() - begin < size ? calls.size() : begin + size;
        };
        for (std::size_t begin = 0; begin < calls.size(); begin += size)
            chunks.push_back(call_as_task<executor_call>(ex, part(calls, begin, end_of(begin)), site));
        std::exception_ptr cancelled;
        try {
            auto ended = co_await muster::settle(std::move(chunks));
            ended.mark_all_looked_at(); // each outcome of a chunk becomes the outcome of its calls
            for (std::size_t i = 0; i != ended.size(); ++i)
                calls.close(i * size, end_of(i * size), ended[i]);
        } catch (...) {
            cancelled = std::current_exception();
        }
        if (cancelled) {
            // The outcomes that nobody looks at report the failures before it.
            calls.close_cancelled();
            static_cast<void>(calls.take(name, site));
            std::rethrow_exception(cancelled);
        }
    }
    static task<outcomes<value_type>> collect(
        executor_reference<Ex> ex, View view, F f, std::size_t wanted, std::string name, std::source_location site) {
        calls_type calls(std::move(view), std::move(f), after_failure::goes_on);
        co_await make(ex, calls, wanted, name, site);
        co_return calls.take(std::move(name), site);
    }
    static task<values_type> values(
        executor_reference<Ex> ex, View view, F f, std::size_t wanted, std::string name, std::source_location site) {
        calls_type calls(std::move(view), std::move(f), after_failure::stops);
        co_await make(ex, calls, wanted, name, site);
        const std::size_t first = calls.first_failure();
        auto all = calls.take(std::move(name), site);
        if (first != calls_type::none)
            all.at(first).rethrow(); // the failures beside it are reported
        if constexpr (std::is_void_v<values_type>)
            std::move(all).values();
        else
            co_return std::move(all).values();
    }

    executor_reference<Ex> executor_;
    View view_;
    F function_;
    std::size_t wanted_;
    std::string name_;
    std::source_location site_;
};

} // namespace muster::detail
