// SPDX-License-Identifier: MIT
// Task-locals outside of tasks, and on their way to other threads.
#include <muster/detail/task_locals.hpp>

#include <muster/detail/scheduler.hpp>
#include <muster/detail/task_local_values.hpp>

#include <utility>

namespace muster::detail {

constinit thread_local locals_scope* locals_scope::innermost_ = nullptr;

void release_locals(task_locals* list) noexcept {
    while (list != nullptr && --list->owners == 0)
        delete static_cast<task_local_value*>(std::exchange(list, list->next));
}

task_locals* current_locals() noexcept {
    if (const auto* scope = locals_scope::innermost())
        return scope->list();
    const auto* loop = scheduler::current();
    return loop != nullptr && loop->running() != nullptr ? loop->running()->locals() : nullptr;
}

task_locals* copy_locals(const task_locals* list) {
    task_locals* first = nullptr;
    task_locals** end = &first;
    try {
        for (; list != nullptr; list = list->next) {
            // A value that was set again later stands before the old one, which nobody can find any more.
            if (find_local(first, list->key) != nullptr)
                continue;
            *end = new task_local_value(list->key, static_cast<const task_local_value*>(list)->value, nullptr);
            end = &(*end)->next;
        }
    } catch (...) {
        release_locals(first);
        throw;
    }
    return first;
}

} // namespace muster::detail
