// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A result that somebody sets: the bridge from callbacks to tasks. A future is read, awaited, cancelled and called
/// back as a task's handle is, by any number of readers, and set once, on its loop's thread; promise.hpp has the
/// setter for other threads.
///
///     auto reply = muster::make_future<std::string>("reply");
///     connection.on_reply([reply](std::string text) { reply.set_value(std::move(text)); });
///     auto text = co_await reply;

#include <muster/config.hpp>
#include <muster/detail/completable.hpp>
#include <muster/detail/future_state.hpp>
#include <muster/detail/scheduler.hpp>
#include <muster/error.hpp>
#include <muster/task_handle.hpp>

#include <concepts>
#include <exception>
#include <source_location>
#include <string>
#include <type_traits>
#include <utility>

namespace muster {

/// `T` may be void, a reference, or move-only. Copies refer to the same result.
/// *Lifetime*: of its own; may be read and set after its loop has ended. A failure that nobody looked at is reported
/// when the last copy is gone (never_retrieved). *Thread safety*: the loop's thread, except request_cancel().
/// *Source*: asyncio.Future.
template <class T>
class [[nodiscard("nobody else has this future yet")]] future : public any_handle {
public:
    using value_type = T;

    /// Refers to nothing.
    future() = default;

    /// Ends it with a value, made in place from `args`; for a T& from the object.
    /// *Errors*: invalid_state_error if it has ended, also by a cancellation, and on a thread that is not its loop's: a
    /// muster::promise is for any thread; what making the value throws, and it has then not ended.
    template <class... Args>
        requires detail::gives_value<T, Args...>
    void set_value(Args && ... args) const {
        detail::require_settable(state_to_set("set_value()"));
        result_state().result().emplace(std::forward<Args>(args)...);
        result_state().finish();
    }
    /// asyncio's name for set_value.
    template <class... Args>
        requires detail::gives_value<T, Args...>
    void set_result(Args && ... args) const { set_value(std::forward<Args>(args)...); }

    /// Ends it with an error. *Errors*: invalid_state_error if it has ended; std::invalid_argument for null, and for
    /// a cancelled_error: a future is cancelled by cancel().
    void set_exception(std::exception_ptr error) const {
        detail::require_error(error);
        detail::require_settable(state_to_set("set_exception()"));
        detail_outcome_access::set_error(result_state().result(), std::move(error));
        result_state().finish();
    }
    template <class E>
        requires(!std::same_as<std::remove_cvref_t<E>, std::exception_ptr> &&
                 !std::same_as<std::remove_cvref_t<E>, std::nullptr_t>)
    void set_exception(E && error) const { set_exception(std::make_exception_ptr(std::forward<E>(error))); }

    /// *Returns* the value. *Errors*: throws what it failed with, or cancelled_error; invalid_state_error if it has
    /// not ended.
    [[nodiscard]] detail::const_ref<T> result() const {
        require_value();
        if constexpr (!std::is_void_v<T>)
            return std::as_const(result_state().result()).value();
    }
    /// *Returns* how it ended, without a throw. A failure counts as looked at. *Errors*: as result(), not ended.
    [[nodiscard]] const outcome<T>& ended_as() const {
        if (!done())
            throw invalid_state_error("future '" + name() + "' has not ended: await it first");
        state().mark_retrieved();
        return result_state().result();
    }

    /// Gives const T&; `co_await std::move(f)` gives T and moves it out.
    /// *Cancellation*: cancels the future, for all who wait for it; write `co_await shield(f)` to wait without that.
    auto operator co_await() const& {
        return detail::value_wait<detail::future_state<T>, detail::const_ref<T>>(shared());
    }
    auto operator co_await()&& { return detail::value_wait<detail::future_state<T>, T>(shared()); }

    /// *Returns* a pending future of this thread's loop. *Errors*: invalid_state_error if none runs.
    static future make(std::string name = {}, std::source_location site = std::source_location::current()) {
        return make_on(detail::scheduler::require("make_future"), std::move(name), site);
    }

    /// For the library: takes over the count that a new state has.
    static future refer_to(detail::future_state<T> & state) noexcept {
        return future(detail::counted<detail::completable>::adopt(&state));
    }
    /// For the library.
    static future make_on(detail::scheduler & loop, std::string name, std::source_location site) {
        auto made = refer_to(*new detail::future_state<T>(loop.link(), site, loop.next_number()));
        if (!name.empty())
            made.set_name(std::move(name));
        return made;
    }

private:
    explicit future(detail::counted<detail::completable> s) noexcept : any_handle(std::move(s)) {}
    detail::future_state<T>& result_state() const noexcept { return static_cast<detail::future_state<T>&>(state()); }
    detail::completable& state_to_set(const char* what) const {
        return state_here(what, "set a muster::promise, which any thread may");
    }
    detail::counted<detail::completable> shared() const {
        return detail::counted<detail::completable>(valid() ? &state() : nullptr);
    }
};

/// *Returns* a pending future of this thread's loop, to be set by whoever has a copy.
/// *Errors*: invalid_state_error if no loop runs on this thread. *Source*: asyncio's loop.create_future.
template <class T>
[[nodiscard]] future<T> make_future(
    std::string name = {}, std::source_location site = std::source_location::current()) {
    return future<T>::make(std::move(name), site);
}

} // namespace muster
