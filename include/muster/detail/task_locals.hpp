// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The values that tasks carry along, as a shared, immutable list: setting one puts a node before the others, so a
/// child that shared the list at its start does not see what its parent sets later, nor the other way round.
/// The counts are plain, so a list belongs to one thread: what goes to another thread gets a copy of it.
///
///     fiber.share_locals(parent.locals());
///     const locals_scope in(copy_locals(list));   // what runs now, outside of tasks, has the values too
///
/// The values themselves are in task_local_values.hpp, which only those who set and read them include: `std::any` takes
/// its time to compile.

#include <muster/config.hpp>
#include <muster/detail/assert.hpp>

#include <cstdint>
#include <utility>

namespace muster::detail {

/// A node of the list: each is the beginning of a task_local_value.
struct task_locals {
    std::uint32_t owners;
    const void* key;
    task_locals* next;
};

inline task_locals* retain_locals(task_locals* list) noexcept {
    if (list != nullptr)
        ++list->owners;
    return list;
}

void release_locals(task_locals* list) noexcept;

/// *Returns* a list of its own with copies of the values, for another thread. *Errors*: what copying a value throws.
[[nodiscard]] task_locals* copy_locals(const task_locals* list);

/// *Returns* the list of what runs on this thread: of the innermost locals_scope, or of the running task.
[[nodiscard]] task_locals* current_locals() noexcept;

/// A share of a list.
class locals_share {
public:
    locals_share() = default;
    /// Takes the caller's share over.
    explicit locals_share(task_locals* list) noexcept : list_(list) {}
    locals_share(locals_share&& other) noexcept : list_(std::exchange(other.list_, nullptr)) {}
    locals_share& operator=(locals_share&& other) noexcept {
        std::swap(list_, other.list_);
        return *this;
    }
    ~locals_share() {
        if (list_ != nullptr)
            release_locals(list_);
    }

    /// *Returns* a share of the current list, for something that runs later on this thread.
    [[nodiscard]] static locals_share of_current() noexcept { return locals_share(retain_locals(current_locals())); }
    /// The same for something that runs on another thread.
    [[nodiscard]] static locals_share copy_of_current() {
        task_locals* const list = current_locals();
        return locals_share(list != nullptr ? copy_locals(list) : nullptr);
    }

    [[nodiscard]] task_locals* get() const noexcept { return list_; }
    [[nodiscard]] task_locals* take() noexcept { return std::exchange(list_, nullptr); }

private:
    task_locals* list_ = nullptr;
};

/// Code that runs outside of tasks (a callback, a call on a pool's thread) has these values while the scope lives.
class locals_scope {
public:
    /// Takes the share over.
    explicit locals_scope(locals_share list) noexcept
        : list_(std::move(list)),
          outer_(std::exchange(innermost_, this)) {}
    ~locals_scope() { innermost_ = outer_; }
    locals_scope(const locals_scope&) = delete;
    locals_scope& operator=(const locals_scope&) = delete;

    /// The innermost on this thread; null if there is none.
    [[nodiscard]] static locals_scope* innermost() noexcept { return innermost_; }
    /// A loop that begins to run within a scope hides it from its tasks.
    [[nodiscard]] static locals_scope* hide() noexcept { return std::exchange(innermost_, nullptr); }
    static void show(locals_scope* hidden) noexcept { innermost_ = hidden; }

    [[nodiscard]] task_locals* list() const noexcept { return list_.get(); }
    /// `longer` holds the scope's share of list() from now on, and the scope a share of `longer`.
    void lengthen(task_locals* longer) noexcept {
        MUSTER_ASSERT(longer->next == list_.get());
        static_cast<void>(list_.take());
        list_ = locals_share(longer);
    }

private:
    static constinit thread_local locals_scope* innermost_;

    locals_share list_;
    locals_scope* outer_;
};

} // namespace muster::detail
