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

#include <muster/any_handle.hpp>
#include <muster/config.hpp>
#include <muster/detail/completable.hpp>
#include <muster/detail/completion_wait.hpp>
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

namespace detail {

template <class T>
task_handle<T> spawn(scheduler& loop, task<T> t, std::source_location site);
template <class State, class T>
task_handle<T> spawn_as(scheduler& loop, task<T> t, std::source_location site);

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
    template <class State, class U>
    friend task_handle<U> detail::spawn_as(detail::scheduler&, task<U>, std::source_location);

    explicit task_handle(detail::counted<detail::completable> s) noexcept : any_handle(std::move(s)) {}
    detail::task_state<T>& result_state() const noexcept { return static_cast<detail::task_state<T>&>(state()); }
};

namespace detail {

/// A State is a task_state<T>, or more than one.
template <class State, class T>
task_handle<T> spawn_as(scheduler& loop, task<T> t, std::source_location site) {
    if (!t.valid())
        throw invalid_state_error("this task was awaited or moved from before: it can't be started again");
    auto* state = new State(loop, site);
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
/// How many requests to stop have reached this task, less uncancel().
[[nodiscard]] int cancelling();
/// Takes one request back. *Returns* what is left. *Errors*: invalid_state_error outside a task.
int uncancel();
/// Asks the running task itself to stop: the next thing it waits for ends with cancelled_error.
void cancel(std::string message = {});

} // namespace this_task

/// *Returns* handles to all tasks of this thread's loop that have not ended. *Complexity*: O(tasks).
[[nodiscard]] std::vector<any_handle> all_tasks();

} // namespace muster
