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
#include <muster/detail/completion_order.hpp>
#include <muster/detail/operation.hpp>
#include <muster/detail/range_traits.hpp>
#include <muster/sleep.hpp>
#include <muster/task.hpp>
#include <muster/task_handle.hpp>

#include <chrono>
#include <concepts>
#include <coroutine>
#include <cstddef>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

namespace muster {

/// Held by address: immovable. The tasks and futures are neither owned nor cancelled. *Lifetime*: if it is destroyed
/// while a task waits in next(), that throws invalid_state_error. *Thread safety*: the loop's thread. *Complexity*:
/// O(1) for each next(). *Source*: asyncio.as_completed.
template <std::derived_from<any_handle> Handle>
class as_completed {
public:
    /// A handle that occurs twice is given once. *Errors*: invalid_state_error outside a running loop.
    template <detail::iterable Range>
        requires std::convertible_to < detail::reference_of<Range>,
    const Handle& >
        explicit as_completed(Range&& handles, std::optional<std::chrono::nanoseconds> timeout = std::nullopt)
        : handles_(unique(handles)),
    order_(handles_.size(), timeout) {
        for (std::size_t i = 0; i != handles_.size(); ++i)
            order_.watch(i, handles_[i].required_state());
    }

    class next_awaiter final : public detail::library_awaitable {
    public:
        static constexpr const char* name = "as_completed::next";
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
    [[nodiscard(
        "nothing is waited for until it is awaited: co_await each.next()")]] detail::object_operation<next_awaiter,
        as_completed>
    next() {
        return detail::object_operation<next_awaiter, as_completed>(owner_.ref(this));
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
    detail::object_owner owner_;
};

template <detail::iterable Range>
as_completed(Range&&) -> as_completed<detail::element_of<Range>>;
template <detail::iterable Range, class Timeout>
as_completed(Range&&, Timeout) -> as_completed<detail::element_of<Range>>;

} // namespace muster
