// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Waits for some or all of a set of handles and says which have ended. It never throws for them and cancels none.
///
///     auto result = co_await muster::wait(handles, muster::wait_until::first_completed, 2s);
///     for (const auto& h : result.done) ...

#include <muster/config.hpp>
#include <muster/detail/join/join.hpp>
#include <muster/detail/operation.hpp>
#include <muster/detail/range_traits.hpp>
#include <muster/sleep.hpp>
#include <muster/task.hpp>
#include <muster/task_handle.hpp>

#include <chrono>
#include <concepts>
#include <coroutine>
#include <cstdint>
#include <memory>
#include <optional>
#include <source_location>
#include <type_traits>
#include <utility>
#include <vector>

namespace muster {

enum class wait_until : std::uint8_t {
    all_completed,
    first_completed, ///< ended in any way
    first_exception, ///< ended with an error; a cancellation is none
};

/// Both in the order in which they were given.
template <class Handle>
struct wait_result {
    wait_result() = default;
    std::vector<Handle> done;
    std::vector<Handle> pending;
};

namespace detail {

/// The untyped half: a join that watches, and owns nothing.
class wait_core {
public:
    wait_core(std::size_t count, wait_until until, std::optional<nanoseconds> timeout, std::source_location site);
    void watch(std::size_t i, completable& c) noexcept;
    [[nodiscard]] bool ended(std::size_t i) const noexcept { return watches_[i].child().done(); }
    void begin(fiber& f, std::coroutine_handle<> h) noexcept {
        fiber_ = &f;
        join_.begin(f, h);
    }
    void finish() { fiber_->throw_if_cancelled(); }

private:
    fiber* fiber_ = nullptr;
    std::unique_ptr<join_watch[]> watches_;
    join join_; // last, so that it goes before what it refers to
};

template <class Handle>
class wait_awaiter final : public library_awaitable {
public:
    wait_awaiter(
        std::vector<Handle> handles, wait_until until, std::optional<nanoseconds> timeout, std::source_location site)
        : core_(handles.size(), until, timeout, site),
          handles_(std::move(handles)) {
        for (std::size_t i = 0; i != handles_.size(); ++i)
            core_.watch(i, handles_[i].required_state());
    }
    [[nodiscard]] bool await_ready() const noexcept { return false; }
    template <std::derived_from<promise_links> Promise>
    void await_suspend(std::coroutine_handle<Promise> h) noexcept {
        core_.begin(*h.promise().fiber_, h);
    }
    wait_result<Handle> await_resume() {
        core_.finish();
        wait_result<Handle> result;
        for (std::size_t i = 0; i != handles_.size(); ++i)
            (core_.ended(i) ? result.done : result.pending).push_back(std::move(handles_[i]));
        return result;
    }

private:
    wait_core core_;
    std::vector<Handle> handles_;
};

} // namespace detail

/// *Returns*, awaited, which handles have ended and which have not. *Errors*: std::invalid_argument for an empty
/// set. *Cancellation*: ends the wait; the handles are left alone. *Complexity*: O(n). *Source*: asyncio.wait.
template <detail::iterable Range>
    requires std::derived_from<detail::element_of<Range>, any_handle>
[[nodiscard("nothing is waited for until it is awaited: co_await wait(...)")]] auto wait(Range&& handles,
    wait_until until = wait_until::all_completed, std::optional<std::chrono::nanoseconds> timeout = std::nullopt,
    std::source_location site = std::source_location::current()) {
    using handle = detail::element_of<Range>;
    std::vector<handle> all;
    for (auto&& h : handles)
        all.push_back(static_cast<std::conditional_t<std::is_lvalue_reference_v<Range>, const handle&, handle&&>>(h));
    return detail::operation<detail::wait_awaiter<handle>, std::vector<handle>, wait_until,
        std::optional<std::chrono::nanoseconds>, std::source_location>(std::move(all), until, timeout, site);
}

/// Tasks have no handles to give back.
template <detail::iterable Range>
    requires detail::is_task<detail::element_of<Range>>
void wait(Range&&, wait_until = wait_until::all_completed, std::optional<std::chrono::nanoseconds> = std::nullopt) {
    static_assert(!detail::is_task<detail::element_of<Range>>,
        "wait takes handles: start the tasks with muster::create_task first");
}

} // namespace muster
