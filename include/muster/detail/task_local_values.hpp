// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The values in a list of task-locals: how one is put before the others, and how it is found.
///
///     task_locals* longer = with_local(list, key, std::any(42));   // takes over the share of `list`
///     const std::any* value = find_local(longer, key);

#include <muster/config.hpp>
#include <muster/detail/task_locals.hpp>

#include <any>
#include <utility>

namespace muster::detail {

struct task_local_value : task_locals {
    task_local_value(const void* whose, std::any what, task_locals* rest)
        : task_locals{1, whose, rest},
          value(std::move(what)) {}

    std::any value;
};

/// *Returns* a share of the list that has the value before what `list` has. Takes over the caller's share of `list`,
/// unless it throws. *Errors*: std::bad_alloc.
[[nodiscard]] inline task_locals* with_local(task_locals* list, const void* key, std::any value) {
    return new task_local_value(key, std::move(value), list);
}

/// *Returns* the value that was set last for `key`; null if there is none. *Complexity*: O(values set).
[[nodiscard]] inline const std::any* find_local(const task_locals* list, const void* key) noexcept {
    for (; list != nullptr; list = list->next)
        if (list->key == key)
            return &static_cast<const task_local_value*>(list)->value;
    return nullptr;
}

} // namespace muster::detail
