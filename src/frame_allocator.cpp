// SPDX-License-Identifier: MIT
#include <muster/detail/frame_allocator.hpp>

#include <algorithm>
#include <atomic>
#include <new>

namespace muster::detail {

constinit thread_local frame_cache this_threads_frames{};

namespace {

/// What one thread may keep of one size class, in bytes: enough for a burst of 100,000 frames of the usual size.
constexpr std::size_t kept_bytes_a_class = 32u << 20;

std::atomic<std::int64_t> frames_of_ended_threads{0};

constinit thread_local frame_fault_hook fault_hook = nullptr;
constinit thread_local void* fault_context = nullptr;

std::size_t rounded(std::size_t bytes) noexcept {
    return (bytes + frame_cache::granularity - 1) / frame_cache::granularity * frame_cache::granularity;
}

void release_kept_frames() noexcept {
    for (auto& list : this_threads_frames.free) {
        while (auto* node = list) {
            list = node->next;
            ::operator delete(node);
        }
    }
}

void allow_keeping(bool allowed) noexcept {
    for (std::size_t i = 0; i != frame_cache::classes; ++i) {
        const std::size_t bytes = (i + 1) * frame_cache::granularity;
        this_threads_frames.room[i] = allowed ? static_cast<std::uint32_t>(kept_bytes_a_class / bytes) : 0;
    }
}

struct cache_owner {
    cache_owner() noexcept {
        allow_keeping(!with_address_sanitizer && fault_hook == nullptr);
    }
    ~cache_owner() {
        allow_keeping(false);
        release_kept_frames();
        frames_of_ended_threads.fetch_add(this_threads_frames.live, std::memory_order_relaxed);
        this_threads_frames.live = 0;
    }
    cache_owner(const cache_owner&) = delete;
    cache_owner& operator=(const cache_owner&) = delete;
};

void adopt_this_thread() noexcept {
    thread_local cache_owner owner;
    static_cast<void>(&owner);
}

} // namespace

void* allocate_frame_from_heap(std::size_t bytes) noexcept {
    adopt_this_thread();
    if (fault_hook != nullptr && !fault_hook(fault_context))
        return nullptr;
    void* frame = ::operator new(rounded(bytes), std::nothrow);
    if (frame != nullptr)
        ++this_threads_frames.live;
    return frame;
}

void free_frame_to_heap(void* frame, std::size_t bytes) noexcept {
    static_cast<void>(bytes);
    --this_threads_frames.live;
    ::operator delete(frame);
}

std::int64_t live_frames() noexcept {
    return this_threads_frames.live + frames_of_ended_threads.load(std::memory_order_relaxed);
}

void set_frame_fault_hook(frame_fault_hook hook, void* context) noexcept {
    adopt_this_thread();
    fault_hook = hook;
    fault_context = context;
    release_kept_frames();
    allow_keeping(!with_address_sanitizer && hook == nullptr);
}

} // namespace muster::detail
