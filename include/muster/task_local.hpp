// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A value that belongs to the running task and is inherited by what it starts: a request id, a trace, a tenant.
/// A child gets what its creator had at that moment; what either sets later is its own. asyncio's contextvars.
///
///     muster::task_local<std::string> request_id;
///     request_id.set("42");                 // in a task
///     const auto* id = request_id.get();    // there and in its children

#include <muster/config.hpp>
#include <muster/detail/scheduler.hpp>
#include <muster/detail/task_locals.hpp>

#include <any>
#include <utility>

namespace muster {

/// The object is the key: make it static or otherwise longer-lived than the tasks that use it. `T` is copyable.
/// *Thread safety*: each thread's tasks have values of their own. *Complexity*: O(values set).
template <class T>
class task_local {
public:
    task_local() = default;
    task_local(const task_local&) = delete;
    task_local& operator=(const task_local&) = delete;

    /// *Returns* the running task's value; null if none was set, or outside a task.
    [[nodiscard]] const T* get() const noexcept {
        const auto* loop = detail::scheduler::current();
        if (loop == nullptr || loop->running() == nullptr)
            return nullptr;
        const auto* value = detail::find_local(loop->running()->locals(), this);
        return value != nullptr ? std::any_cast<T>(value) : nullptr;
    }

    /// *Errors*: invalid_state_error outside a task.
    void set(T value) {
        auto& loop = detail::scheduler::require("task_local::set");
        if (loop.running() == nullptr)
            throw invalid_state_error("task_local::set needs a running task");
        loop.running()->set_local(this, std::any(std::move(value)));
    }
};

} // namespace muster
