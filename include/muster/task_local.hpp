// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A value that belongs to the running task and is inherited by what it starts: a request id, a trace, a tenant.
/// A child gets what its creator had at that moment; what either sets later is its own. asyncio's contextvars.
/// Calls that a task gives away have the values too: a call on an executor, what loop_handle::post and submit send, a
/// done callback, what is given to `.start(then)`. A report is made with the values of the task that it is about.
///
///     muster::task_local<std::string> request_id;
///     request_id.set("42");                 // in a task
///     const auto* id = request_id.get();    // there and in its children

#include <muster/config.hpp>
#include <muster/detail/scheduler.hpp>
#include <muster/detail/task_local_values.hpp>
#include <muster/detail/task_locals.hpp>

#include <any>
#include <utility>

namespace muster {

/// The object is the key: make it static or otherwise longer-lived than the tasks that use it. `T` is copyable; a call
/// on another thread gets a copy of its own. *Thread safety*: any thread, each has its own values.
/// *Complexity*: O(values set).
template <class T>
class task_local {
public:
    task_local() = default;
    task_local(const task_local&) = delete;
    task_local& operator=(const task_local&) = delete;

    /// *Returns* the value of the running task, or of the call that a task gave away; null if none was set there, and
    /// elsewhere.
    [[nodiscard]] const T* get() const noexcept {
        const auto* value = detail::find_local(detail::current_locals(), this);
        return value != nullptr ? std::any_cast<T>(value) : nullptr;
    }

    /// *Errors*: invalid_state_error outside of a task and of a call that one gave away.
    void set(T value) {
        if (auto* scope = detail::locals_scope::innermost()) {
            scope->lengthen(detail::with_local(scope->list(), this, std::any(std::move(value))));
            return;
        }
        auto& loop = detail::scheduler::require("task_local::set");
        auto* const running = loop.running();
        if (running == nullptr)
            throw invalid_state_error("task_local::set needs a running task");
        running->lengthen_locals(detail::with_local(running->locals(), this, std::any(std::move(value))));
    }
};

} // namespace muster
