// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Awaiting a handle or future.
///
///     value_wait<task_state<int>, const int&> awaiter(counted<completable>(&state));

#include <muster/config.hpp>
#include <muster/detail/completable.hpp>
#include <muster/detail/counted.hpp>
#include <muster/detail/fiber.hpp>
#include <muster/detail/watcher.hpp>

#include <concepts>
#include <coroutine>
#include <type_traits>
#include <utility>

namespace muster::detail {

/// Waits for a completable. Cancelling the waiter cancels what it waits for, as in asyncio.
class completion_wait : public library_awaitable, public suspension {
public:
    explicit completion_wait(counted<completable> c);
    /// Its frame may be destroyed while it waits: at the end of a loop the newest tasks go first.
    ~completion_wait() { watch_.unwatch(); }

    [[nodiscard]] bool await_ready() const noexcept { return on_->done(); }
    template <std::derived_from<promise_links> Promise>
    void await_suspend(std::coroutine_handle<Promise> h) noexcept {
        watch_.watch(*on_);
        h.promise().fiber_->wait(*this, h);
    }

protected:
    /// After the wait: throws the waiter's own cancellation, or what the awaited ended with.
    void finish();

    counted<completable> on_;

private:
    static cancel_effect pass_on(suspension& s, const cancel_request& request, fiber*& goes_on_to) noexcept;
    static void ended(watcher& w) noexcept;
    static void list(const suspension& s, wait_lister& lister);
    static bool waits_on(suspension& s, fiber*& task, cancel_target*& combinator) noexcept;
    static const suspension_kind kind_of;

    struct waker : watcher {
        explicit waker(completion_wait& w) noexcept;
        completion_wait& wait;
    };
    waker watch_;
};

/// `Given` is what the await gives: const T& from a handle that is kept, T from one that is moved from.
template <class State, class Given>
class value_wait final : public completion_wait {
public:
    using completion_wait::completion_wait;
    Given await_resume() {
        finish();
        auto& result = static_cast<State&>(*on_).result();
        if constexpr (std::is_void_v<Given>)
            return;
        else if constexpr (std::is_reference_v<Given>)
            return result.value(); // a reference to the value, or the reference that is the value
        else
            return result.take();
    }
};

template <class T>
using const_ref = std::conditional_t<std::is_void_v<T>, void,
    std::conditional_t<std::is_reference_v<T>, T, std::add_lvalue_reference_t<const T>>>;

} // namespace muster::detail
