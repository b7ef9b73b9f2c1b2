// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A task that runs on its own: create_task gives it to the loop and gives you a handle. The handle can be copied,
/// awaited more than once, asked, cancelled, and dropped; dropping it changes nothing, except that a failure which
/// nobody looked at is then reported.
///
///     auto h = muster::create_task(load("a"), "load a");
///     h.cancel("no longer needed");
///     auto page = co_await h;              // const page&; co_await std::move(h) moves it out

#include <muster/config.hpp>
#include <muster/detail/completable.hpp>
#include <muster/detail/counted.hpp>
#include <muster/detail/no_task.hpp>
#include <muster/detail/scheduler.hpp>
#include <muster/detail/task_locals.hpp>
#include <muster/detail/task_state.hpp>
#include <muster/detail/watcher.hpp>
#include <muster/task.hpp>

#include <concepts>
#include <coroutine>
#include <cstdint>
#include <exception>
#include <functional>
#include <source_location>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace muster {

template <class T = void>
class task_handle;

/// Names a callback that was added, to remove it.
enum class callback_id : std::uint64_t {};

/// A handle whose type of value is forgotten: what sets of handles hold, and what a done callback receives.
/// Two handles are equal if they refer to the same task.
/// *Errors* of each function but valid(), id() and comparison: invalid_state_error for a handle that refers to nothing,
/// and, except of request_cancel(), on a thread that is not the loop's.
/// *Thread safety*: the loop's thread, except request_cancel(). May be used after its loop has ended.
class any_handle {
public:
    /// Refers to nothing.
    any_handle() = default;

    [[nodiscard]] bool valid() const noexcept { return static_cast<bool>(state_); }
    [[nodiscard]] bool done() const { return state_here("done()").done(); }
    /// True if it ended by a cancellation, whether or not its body had begun.
    [[nodiscard]] bool cancelled() const {
        const auto& s = state_here("cancelled()");
        return s.done() && s.ended_as().was_cancelled();
    }
    /// *Returns* its failure, null if it has none. The failure counts as looked at.
    /// *Errors*: invalid_state_error if it has not ended; cancelled_error if it was cancelled.
    [[nodiscard]] std::exception_ptr exception() const;

    /// Asks it to stop: what it waits for ends with a cancelled_error, which it may clean up on, or catch.
    /// *Returns* false if it had ended. *Source*: asyncio's Task.cancel; cancelling a future ends it at once.
    bool cancel(std::string message = {}) const;
    /// The same from any thread; carried out by the loop. This handle must live until the call returns.
    /// *Returns* false if the loop has ended, or if there is no memory for the request.
    bool request_cancel(std::string message = {}) const;
    /// How often cancel was called, less uncancel. Zero for a future.
    [[nodiscard]] int cancelling() const;
    /// Takes one request back. *Returns* what is left. As CPython 3.13: at zero an undelivered request is dropped.
    int uncancel() const;

    [[nodiscard]] std::string name() const { return state_here("name()").name(); }
    void set_name(std::string name) const { state_here("set_name()").set_name(std::move(name)); }
    /// Where it was created.
    [[nodiscard]] std::source_location site() const { return required_state().site(); }
    /// *Returns* the value of report::id for this task; null for a handle that refers to nothing.
    [[nodiscard]] const void* id() const noexcept { return state_.get(); }

    /// Called by the loop after it has ended, in a turn of its own, callbacks in the order in which they were added.
    /// *Errors*: what a callback throws is reported (callback_failed); without a loop any more nothing is called.
    callback_id add_done_callback(std::function<void(const any_handle&)> callback) const;
    /// *Returns* false if there was none, or if it has ended.
    bool remove_done_callback(callback_id id) const;

    friend bool operator==(const any_handle& a, const any_handle& b) noexcept {
        return a.state_.get() == b.state_.get();
    }

    /// For the library.
    [[nodiscard]] detail::completable& state() const noexcept {
        MUSTER_ASSERT(valid());
        return *state_;
    }
    /// The same. *Errors*: invalid_state_error for a handle that refers to nothing.
    [[nodiscard]] detail::completable& required_state() const {
        if (!valid()) [[unlikely]]
            refers_to_nothing();
        return *state_;
    }
    /// The same. *Errors*: also invalid_state_error on a thread that is not the loop's; `what` is the function.
    [[nodiscard]] detail::completable& state_here(const char* what, const char* instead = detail::post_it) const {
        auto& s = required_state();
        s.require_thread(what, instead);
        return s;
    }

protected:
    explicit any_handle(detail::counted<detail::completable> state) noexcept : state_(std::move(state)) {}

    /// The result is asked for: throws what went wrong.
    void require_value() const;

private:
    [[noreturn]] static void refers_to_nothing();

    detail::counted<detail::completable> state_;
    friend struct detail_handle_access;
};

struct detail_handle_access {
    static any_handle make(detail::completable& c) noexcept {
        return any_handle(detail::counted<detail::completable>(&c));
    }
};

namespace detail {

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

template <class T>
task_handle<T> spawn(scheduler& loop, task<T> t, std::source_location site);
template <class State, class T, class... More>
task_handle<T> spawn_as(scheduler& loop, task<T> t, std::source_location site, More&... more);

} // namespace detail

/// A handle to a task that ends with a T. *Lifetime*: of its own; the loop owns the task.
template <class T>
class task_handle : public any_handle {
public:
    using value_type = T;

    task_handle() = default;

    /// *Returns* the value. *Errors*: throws the task's failure or cancelled_error; invalid_state_error if it has
    /// not ended.
    [[nodiscard]] detail::const_ref<T> result() const {
        require_value();
        if constexpr (!std::is_void_v<T>)
            return static_cast<const outcome<T>&>(result_state().result()).value();
    }
    /// *Returns* how it ended, without a throw. A failure counts as looked at. *Errors*: as result(), not ended.
    [[nodiscard]] const outcome<T>& ended_as() const {
        if (!done())
            throw invalid_state_error("task '" + name() + "' has not ended: await it first");
        state().mark_retrieved();
        return result_state().result();
    }

    /// *Cancellation*: passed on into the task; write `co_await shield(h)` to wait without that.
    auto operator co_await() const& {
        return detail::value_wait<detail::task_state<T>, detail::const_ref<T>>(
            detail::counted<detail::completable>(&required_state()));
    }
    auto operator co_await() && {
        return detail::value_wait<detail::task_state<T>, T>(detail::counted<detail::completable>(&required_state()));
    }

private:
    template <class State, class U, class... More>
    friend task_handle<U> detail::spawn_as(detail::scheduler&, task<U>, std::source_location, More&...);

    explicit task_handle(detail::counted<detail::completable> s) noexcept : any_handle(std::move(s)) {}
    detail::task_state<T>& result_state() const noexcept { return static_cast<detail::task_state<T>&>(state()); }
};

namespace detail {

/// A State is a task_state<T>, or more than one: made with what it needs beside the loop and the site.
template <class State, class T, class... More>
task_handle<T> spawn_as(scheduler& loop, task<T> t, std::source_location site, More&... more) {
    if (!t.valid())
        throw invalid_state_error("this task was awaited or moved from before: it can't be started again");
    auto* state = new State(loop, site, more...);
    auto handle = task_handle<T>(counted<completable>(state)); // the first count is the loop's
    if (auto* locals = current_locals())
        state->share_locals(locals);
    auto frame = std::move(t).release();
    if (frame.address() == &no_memory_tag) {
        detail_outcome_access::set_error(state->result(), std::make_exception_ptr(std::bad_alloc()));
        state->end_without_running();
        return handle;
    }
    state->adopt(frame, state->result());
    state->start();
    return handle;
}

template <class T>
task_handle<T> spawn(scheduler& loop, task<T> t, std::source_location site) {
    return spawn_as<task_state<T>>(loop, std::move(t), site);
}

} // namespace detail

/// Gives the task to the loop of this thread, which runs it after what is ready now: never before the caller
/// suspends. *Returns* its handle. *Errors*: invalid_state_error if no loop runs on this thread, or for a task that
/// was awaited before. A frame that could not be made gives a task that has failed with std::bad_alloc.
/// *Source*: asyncio's create_task.
template <class T>
task_handle<T> create_task(
    task<T> t, std::string name = {}, std::source_location site = std::source_location::current()) {
    auto handle = detail::spawn(detail::scheduler::require("create_task"), std::move(t), site);
    if (!name.empty())
        handle.state().try_set_name(std::move(name));
    return handle;
}

/// Does not compile: says what to write instead.
template <detail::no_task A>
task_handle<> create_task(A&&, std::string = {}) {
    detail::refuse<A>();
    return {};
}

/// Functions of the running task.
namespace this_task {

/// *Returns* the task's name; empty outside a task. A combinator's child is "gather[3]".
[[nodiscard]] std::string name();
/// How often this task was asked to stop, less uncancel().
[[nodiscard]] int cancelling();
/// Takes one request back. *Returns* what is left. *Errors*: invalid_state_error outside a task.
int uncancel();
/// Asks the running task itself to stop: the next thing it waits for ends with cancelled_error.
void cancel(std::string message = {});

} // namespace this_task

/// *Returns* handles to all tasks of this thread's loop that have not ended. *Complexity*: O(tasks).
[[nodiscard]] std::vector<any_handle> all_tasks();

} // namespace muster
