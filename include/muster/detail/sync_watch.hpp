// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Lets a test see what tasks do with mutexes, semaphores, queues, events and conditions, also where nobody waits:
/// testing/faults.hpp finds the permit that is not given back with it. Without one, which is everywhere but in such a
/// test, each act costs a comparison with null.
///
///     struct acts : sync_watch { void about_to(sync_act, const void*, reader) noexcept override { ++n; } int n = 0; };
///     const sync_watch_scope scope(acts);

#include <cstddef>
#include <cstdint>

namespace muster::detail {

/// How a primitive is at some moment.
struct sync_state {
    const char* kind;           ///< "mutex", "semaphore", "queue", "event" or "condition"
    std::ptrdiff_t value;       ///< 1 if a mutex is locked; a semaphore's permits that are left; a queue's items
    std::size_t unfinished = 0; ///< a queue's items for which task_done() was not called
    bool is_waited_for = false; ///< if it were destroyed now, a task would be woken with an error
};

/// `taken` and `given`: a lock or a permit; `tried`: taken by a try_ function. `destroyed`: by its destructor.
enum class sync_act : std::uint8_t { used, taken, tried, given, task_done, destroyed };

class sync_watch {
public:
    /// *Returns* the present state of a primitive, which must not be destroyed yet.
    using reader = sync_state (*)(const void* primitive) noexcept;

    sync_watch() = default;
    sync_watch(const sync_watch&) = delete;
    sync_watch& operator=(const sync_watch&) = delete;

    /// Called on the primitive's thread, before the act changes it.
    virtual void about_to(sync_act act, const void* primitive, reader read) noexcept = 0;

protected:
    ~sync_watch() = default;
};

inline constinit thread_local sync_watch* current_sync_watch = nullptr;

inline void about_to(sync_act act, const void* primitive, sync_watch::reader read) noexcept {
    if (current_sync_watch != nullptr) [[unlikely]]
        current_sync_watch->about_to(act, primitive, read);
}

/// While it lives, the watch sees what this thread does.
class sync_watch_scope {
public:
    explicit sync_watch_scope(sync_watch& w) noexcept : before_(current_sync_watch) { current_sync_watch = &w; }
    ~sync_watch_scope() { current_sync_watch = before_; }
    sync_watch_scope(const sync_watch_scope&) = delete;
    sync_watch_scope& operator=(const sync_watch_scope&) = delete;

private:
    sync_watch* before_;
};

} // namespace muster::detail
