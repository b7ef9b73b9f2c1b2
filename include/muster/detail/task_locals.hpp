// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The values that tasks carry along, as a shared, immutable list: setting one puts a node before the others, so a
/// child that shared the list at its start does not see what its parent sets later, nor the other way round.
///
///     fiber.locals_ = set_local(fiber.locals_, key, value);

#include <muster/config.hpp>

#include <any>
#include <cstdint>
#include <utility>

namespace muster::detail {

struct task_locals {
    std::uint32_t owners;
    const void* key;
    std::any value;
    task_locals* next;
};

inline task_locals* retain_locals(task_locals* list) noexcept {
    if (list != nullptr)
        ++list->owners;
    return list;
}

inline void release_locals(task_locals* list) noexcept {
    while (list != nullptr && --list->owners == 0)
        delete std::exchange(list, list->next);
}

/// Takes over the caller's share of `list` and *returns* a share of the new one.
[[nodiscard]] inline task_locals* set_local(task_locals* list, const void* key, std::any value) {
    return new task_locals{1, key, std::move(value), list};
}

[[nodiscard]] inline const std::any* find_local(const task_locals* list, const void* key) noexcept {
    for (; list != nullptr; list = list->next)
        if (list->key == key)
            return &list->value;
    return nullptr;
}

} // namespace muster::detail
