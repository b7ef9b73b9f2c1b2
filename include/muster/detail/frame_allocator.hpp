// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Where coroutine frames live: free lists by size, one set a thread, in front of the global heap.
/// A frame may be freed on another thread than the one that made it; it then joins that thread's lists.
/// Under an address sanitizer nothing is kept, so that a dangling frame is seen at once.
///
///     void* frame = muster::detail::allocate_frame(bytes);   // nullptr if there is no memory
///     muster::detail::free_frame(frame, bytes);

#include <muster/config.hpp>

#include <cstddef>
#include <cstdint>

namespace muster::detail {

/// One thread's free frames. Constant-initialised and trivially destructible, so that reaching it costs one
/// thread-relative load; a separate object, made on the slow path, empties it when the thread ends.
struct frame_cache {
    struct node {
        node* next;
    };
    static constexpr std::size_t granularity = 16;
    /// Frames of up to 2,039 bytes are kept: one that awaits a gather has some 1,000 to 1,300.
    static constexpr std::size_t classes = 128;

    /// Frames of up to 8 bytes, 24, 40, ...: what malloc has room for beside its own 8.
    static constexpr std::size_t class_of(std::size_t bytes) noexcept { return (bytes + 7) / granularity; }
    static constexpr std::size_t bytes_of(std::size_t size_class) noexcept { return size_class * granularity + 8; }

    node* free[classes];
    std::uint32_t room[classes]; ///< how many more frames of the class may be kept
};

extern constinit thread_local frame_cache this_threads_frames;

/// The slow paths: nothing is free, or nothing more may be kept.
[[nodiscard]] void* allocate_frame_from_heap(std::size_t bytes) noexcept;
void free_frame_to_heap(void* frame, std::size_t bytes) noexcept;

/// Coroutine frames alive in the process: this thread's count and what ended threads left. Exact when the other
/// threads that made or freed frames have been joined. For tests.
[[nodiscard]] std::int64_t live_frames() noexcept;

/// Called on each allocation of a frame in its thread; returning false makes it fail. For fault tests.
/// While a hook is set nothing is recycled. nullptr takes it off.
using frame_fault_hook = bool (*)(void* context) noexcept;
void set_frame_fault_hook(frame_fault_hook hook, void* context) noexcept;

[[nodiscard]] inline void* allocate_frame(std::size_t bytes) noexcept {
    auto& cache = this_threads_frames;
    const std::size_t size_class = frame_cache::class_of(bytes);
    if (size_class < frame_cache::classes) [[likely]] {
        if (auto* node = cache.free[size_class]) [[likely]] {
            cache.free[size_class] = node->next;
            ++cache.room[size_class];
            return node;
        }
    }
    return allocate_frame_from_heap(bytes);
}

inline void free_frame(void* frame, std::size_t bytes) noexcept {
    auto& cache = this_threads_frames;
    const std::size_t size_class = frame_cache::class_of(bytes);
    if (size_class < frame_cache::classes && cache.room[size_class] != 0) [[likely]] {
        auto* node = static_cast<frame_cache::node*>(frame);
        node->next = cache.free[size_class];
        cache.free[size_class] = node;
        --cache.room[size_class];
        return;
    }
    free_frame_to_heap(frame, bytes);
}

} // namespace muster::detail
