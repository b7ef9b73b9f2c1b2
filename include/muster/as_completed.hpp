// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Gives the handles of a set one after the other, as they end: the original handles, so that you know which one it is.
///
///     muster::as_completed each(handles);
///     while (true) {
///         auto h = co_await each.next();
///         if (!h) break;
///         use(h->result());
///     }

#include <muster/config.hpp>
#include <muster/detail/intrusive_list.hpp>
#include <muster/detail/operation.hpp>
#include <muster/detail/scheduler.hpp>
#include <muster/sleep.hpp>
#include <muster/task.hpp>
#include <muster/task_handle.hpp>

#include <chrono>
#include <concepts>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <ranges>
#include <type_traits>
#include <utility>
#include <vector>

namespace muster {

namespace detail {

/// The untyped half of as_completed: which tasks have ended and were not given out, and which calls of next() wait.
class completion_order {
public:
    completion_order(std::size_t count, std::optional<nanoseconds> timeout);
    ~completion_order();
    completion_order(const completion_order&) = delete;
    completion_order& operator=(const completion_order&) = delete;

    void watch(std::size_t i, completable& c);

    /// One call of next(). It asks when it is made:
    ///
    ///     no_more                             nothing is left to ask for
    ///     waiting -> given | timed_out        at once, or when one ends or the time is up
    ///     waiting -> cancelled
    ///     waiting or given -> lost            the order is destroyed before the caller has gone on
    class next_wait : public suspension, public list_hook<next_wait> {
    public:
        explicit next_wait(completion_order& order) noexcept;
        ~next_wait();
        [[nodiscard]] bool ready() const noexcept { return state_ != state::waiting; }
        void begin(fiber& f, std::coroutine_handle<> h) noexcept;
        /// *Returns* the index of one that has ended; nothing at the end. *Errors*: timeout_error, cancelled_error,
        /// invalid_state_error if the order was destroyed.
        std::optional<std::size_t> finish();

    private:
        friend class completion_order;
        enum class state : std::uint8_t { no_more, waiting, given, timed_out, cancelled, lost };
        static cancel_effect cancel(suspension& s, const cancel_request&, fiber*&) noexcept;
        static const suspension_kind kind_of;
        void leave_list() noexcept;

        completion_order* order_; ///< null if it is lost
        std::size_t index_ = 0;   ///< of what was given
        state state_ = state::waiting;
    };

private:
    class watched : public watcher {
    public:
        watched() noexcept;

    private:
        friend class completion_order;
        completion_order* order_ = nullptr;
        std::size_t index_ = 0;
        std::size_t ended_as_ = 0; ///< how many had ended before it
        counted<completable> on_;
    };
    class limit_timer : public timer {
    public:
        explicit limit_timer(completion_order& o) noexcept;

    private:
        completion_order* order_;
    };

    void one_ended(std::size_t index) noexcept;
    void time_is_up() noexcept;
    void serve() noexcept;
    void settle(next_wait& w) noexcept;
    void take_back(std::size_t index) noexcept;
    [[nodiscard]] bool has_answer() const noexcept { return given_ != ended_.size() || timed_out_; }

    loop_link* link_; ///< shared: the order may outlive its loop
    std::unique_ptr<watched[]> watched_;
    std::size_t count_;
    std::size_t asked_ = 0;          ///< how many calls of next() were answered or wait
    std::size_t pending_;            ///< how many have not ended
    std::vector<std::size_t> ended_; ///< in order; room for all from the start
    std::size_t given_ = 0;
    intrusive_list<next_wait> waiting_;
    intrusive_list<next_wait> settled_; ///< answered, but the caller has yet to go on
    bool timed_out_ = false;
    limit_timer limit_;
};

/// *Returns* the indices of those that did not occur before, in order. *Complexity*: O(n log n).
[[nodiscard]] std::vector<std::size_t> first_occurrences(const std::vector<const void*>& ids);

} // namespace detail

/// Held by address: immovable. The tasks and futures are neither owned nor cancelled. *Lifetime*: if it is destroyed
/// while a task waits in next(), that throws invalid_state_error. *Thread safety*: the loop's thread. *Complexity*:
/// O(1) for each next(). *Source*: asyncio.as_completed.
template <std::derived_from<any_handle> Handle>
class as_completed {
public:
    /// A handle that occurs twice is given once. *Errors*: invalid_state_error outside a running loop.
    template <std::ranges::input_range Range>
        requires std::convertible_to < std::ranges::range_reference_t<Range>,
    const Handle& >
        explicit as_completed(Range&& handles, std::optional<std::chrono::nanoseconds> timeout = std::nullopt)
        : handles_(unique(handles)),
    order_(handles_.size(), timeout) {
        for (std::size_t i = 0; i != handles_.size(); ++i)
            order_.watch(i, handles_[i].required_state());
    }

    class next_awaiter final : public detail::library_awaitable {
    public:
        explicit next_awaiter(as_completed& all) noexcept : all_(&all), wait_(all.order_) {}
        [[nodiscard]] bool await_ready() const noexcept { return wait_.ready(); }
        template <std::derived_from<detail::promise_links> Promise>
        void await_suspend(std::coroutine_handle<Promise> h) noexcept {
            wait_.begin(*h.promise().fiber_, h);
        }
        std::optional<Handle> await_resume() {
            const auto index = wait_.finish();
            return index ? std::optional<Handle>(all_->handles_[*index]) : std::nullopt;
        }

    private:
        as_completed* all_;
        detail::completion_order::next_wait wait_;
    };

    /// *Returns*, awaited, the next that has ended, however it ended; nothing once all were given.
    /// *Errors*: timeout_error for each that had not ended when the time was up. *Cancellation*: ends the wait.
    [[nodiscard("nothing is waited for until it is awaited: co_await each.next()")]] detail::operation<next_awaiter,
        as_completed&>
    next() noexcept {
        return detail::operation<next_awaiter, as_completed&>(*this);
    }

private:
    template <class Range>
    static std::vector<Handle> unique(Range& handles) {
        std::vector<Handle> all;
        for (const Handle& h : handles)
            all.push_back(h);
        std::vector<const void*> ids;
        for (const auto& h : all)
            ids.push_back(h.id());
        const auto first = detail::first_occurrences(ids);
        if (first.size() == all.size())
            return all;
        std::vector<Handle> once;
        for (const std::size_t i : first)
            once.push_back(all[i]);
        return once;
    }

    std::vector<Handle> handles_;
    detail::completion_order order_;
};

template <std::ranges::input_range Range>
as_completed(Range&&) -> as_completed<std::ranges::range_value_t<Range>>;
template <std::ranges::input_range Range, class Timeout>
as_completed(Range&&, Timeout) -> as_completed<std::ranges::range_value_t<Range>>;

} // namespace muster
