// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Looking for what another thread is about to bring, for a few microseconds, before this thread sleeps for it: to
/// sleep and to be woken costs both threads more than that. The time is bounded by the clock, because what a
/// processor's `pause` takes differs between processors by a factor of ten. Private to the library.
///
///     const auto most = spin_time();                     // once
///     if (!spin_until([&] { return flag.load(); }, most)) sleep();

#include <muster/detail/timer_heap.hpp>

#include <chrono>

#include <sched.h>

namespace muster::detail {

/// *Returns* how long it is worth to look: not at all for a thread that may use one processor only, since the other
/// thread can't do anything meanwhile.
[[nodiscard]] inline nanoseconds spin_time() noexcept {
    cpu_set_t usable;
    if (::sched_getaffinity(0, sizeof usable, &usable) == 0 && CPU_COUNT(&usable) == 1)
        return nanoseconds(0);
    return std::chrono::microseconds(5);
}

/// Calls `found` until it is true, or for so long. *Returns* what it gave last.
template <class Found>
[[nodiscard]] bool spin_until(Found found, nanoseconds most) noexcept {
    if (found())
        return true;
    if (most.count() == 0)
        return false;
    const auto end = std::chrono::steady_clock::now() + most;
    do {
#if defined(__x86_64__) || defined(__i386__)
        __builtin_ia32_pause();
#endif
        if (found())
            return true;
    } while (std::chrono::steady_clock::now() < end);
    return false;
}

} // namespace muster::detail
