// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// How other threads give work to a loop: a handle that any thread may hold, which calls functions on the loop's
/// thread, runs coroutines there, and keeps the loop waiting for more while it lives.
///
///     auto loop = muster::loop_handle::current();          // on the loop's thread
///     std::jthread other([loop] {
///         loop.post([] { counter += 1; });                 // runs on the loop's thread
///         auto page = loop.submit([] { return load("a"); }).get();
///     });

#include <muster/config.hpp>
#include <muster/detail/loop_call.hpp>
#include <muster/external_work_guard.hpp>
#include <muster/task.hpp>

#include <chrono>
#include <concepts>
#include <memory>
#include <source_location>
#include <string>
#include <type_traits>
#include <utility>

namespace muster {

template <class T>
class remote_task;

/// While one lives its loop waits for what it may bring, as with an external_work_guard: drop it when no more will
/// come. *Errors* of each function: invalid_state_error for a handle that was moved from. *Lifetime*: may outlive its
/// loop. *Thread safety*: any thread; made on the loop's, or as a copy.
class loop_handle {
public:
    /// *Returns* a handle to this thread's loop. *Errors*: invalid_state_error if none runs.
    static loop_handle current() { return loop_handle(external_work_guard()); }

    /// Has `f` called on the loop's thread, as an entry of its own in the ready queue, in the order of posting.
    /// *Returns* false if the loop has ended; true means that it is on its way, but a loop that ends first drops it.
    /// *Errors*: what f throws is reported (callback_failed). *Source*: asyncio's loop.call_soon_threadsafe.
    template <std::invocable F>
    bool post(F f, std::source_location site = std::source_location::current()) const {
        return detail::post_call(*guard_.inbox(), std::move(f), site);
    }

    /// Has `make` called on the loop's thread, and the task<T> that it makes run there. *Returns* what to wait on.
    /// *Source*: asyncio.run_coroutine_threadsafe.
    template <std::invocable F>
        requires detail::is_task<std::invoke_result_t<F>>
    auto submit(F make, std::string name = {}, std::source_location site = std::source_location::current()) const {
        using value = typename std::invoke_result_t<F>::value_type;
        auto state = std::make_shared<detail::remote_result<value>>(guard_.inbox(), std::move(name), site);
        remote_task<value> made(state);
        // A submission that is not taken says so itself.
        detail::post_call(*guard_.inbox(), detail::submission<value, F>(std::move(state), std::move(make)), site);
        return made;
    }

    /// False once the loop has been destroyed.
    [[nodiscard]] bool alive() const { return !guard_.inbox()->is_closed(); }

private:
    explicit loop_handle(external_work_guard guard) noexcept : guard_(std::move(guard)) {}
    external_work_guard guard_;
};

/// A coroutine that runs on a loop, as seen from another thread. Dropping it changes nothing, but that a failure
/// which nobody looked at is reported. *Thread safety*: any thread but the loop's, one at a time.
/// *Source*: what asyncio.run_coroutine_threadsafe returns.
template <class T>
class [[nodiscard("dropped, nobody hears how it ended")]] remote_task {
public:
    using value_type = T;

    /// Each function throws invalid_state_error for an object that was moved from.
    [[nodiscard]] bool done() const { return state().done(); }
    /// Blocks until it has ended. *Errors*: invalid_state_error on the loop's own thread, which would wait for itself.
    void wait() const { state().wait(); }
    /// *Returns* whether it has.
    template <class Rep, class Period>
    [[nodiscard]] bool wait_for(std::chrono::duration<Rep, Period> time) const {
        return state().wait_for(std::chrono::ceil<std::chrono::nanoseconds>(time));
    }

    /// Waits for it and moves its value out. *Errors*: throws what it failed with, as itself; cancelled_error if it
    /// was cancelled, with cancel_reason::shutdown if the loop had ended before it began; invalid_state_error the
    /// second time, and on the loop's own thread.
    T get() {
        auto& s = state();
        s.wait();
        if (s.take_once())
            throw invalid_state_error("this result was taken before: get() moves it out");
        if (!s.result().succeeded())
            s.result().rethrow();
        return s.result().take();
    }

    /// Asks it to stop, as its handle's cancel would. *Returns* false if the loop has ended.
    bool cancel(std::string message = {}) const {
        return detail::post_call(
            state().inbox(),
            [state = state_, said = std::move(message)]() mutable {
                if (state->task())
                    state->task()->cancel(detail::cancel_request(
                        cancel_reason::requested, detail::cancel_text_ptr::make(std::move(said), {})));
            },
            std::source_location::current());
    }

    /// For the library.
    explicit remote_task(std::shared_ptr<detail::remote_result<T>> state) noexcept : state_(std::move(state)) {}

private:
    [[nodiscard]] detail::remote_result<T>& state() const {
        if (state_ == nullptr) [[unlikely]]
            throw invalid_state_error("this remote_task was moved from: it refers to nothing");
        return *state_;
    }

    std::shared_ptr<detail::remote_result<T>> state_;
};

} // namespace muster
