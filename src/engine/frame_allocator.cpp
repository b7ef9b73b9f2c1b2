// SPDX-License-Identifier: MIT
// The slow paths of the frame allocator, and its counts for tests.
//
// A thread keeps the frames that it frees in lists, one for each size. The lists are emptied when the thread ends.
// While a test makes allocations fail, and under an address sanitizer, nothing is kept, so that each frame comes from
// the heap.
#include <muster/detail/frame_allocator.hpp>

#include <algorithm>
#include <atomic>
#include <new>
#include <utility>

namespace muster::detail {

constinit thread_local frame_cache this_threads_frames{};

namespace {

/// How many bytes of one size class a thread may keep: enough for a burst of 100,000 frames of the usual size.
constexpr std::size_t kept_bytes_a_class = 32u << 20;
/// Of large frames only as many as fit into a cache are kept: a tree of gathers that runs depth first has few alive. If
/// thousands are, the heap's, which lie one behind the other, are faster than a list's.
constexpr std::size_t large_class = 64;
constexpr std::size_t kept_bytes_a_large_class = 256u << 10;

std::atomic<std::int64_t> frames_of_ended_threads{0};

/// How many frames this thread had from the heap, less those that it gave back. They are alive, or kept in its lists.
constinit thread_local std::int64_t from_heap = 0;
constinit thread_local bool keeping = false;

std::uint32_t most_kept(std::size_t size_class) noexcept {
    const std::size_t bytes = size_class < large_class ? kept_bytes_a_class : kept_bytes_a_large_class;
    return keeping ? static_cast<std::uint32_t>(bytes / frame_cache::bytes_of(size_class)) : 0;
}

std::int64_t live_on_this_thread() noexcept {
    std::int64_t live = from_heap;
    for (std::size_t i = 0; i != frame_cache::classes; ++i)
        live -= most_kept(i) - this_threads_frames.room[i];
    return live;
}

constinit thread_local frame_fault_hook fault_hook = nullptr;
constinit thread_local void* fault_context = nullptr;

/// Gives the kept frames back to the heap, and says whether frames are kept from now on.
void begin_keeping(bool allowed) noexcept {
    for (auto& list : this_threads_frames.free) {
        while (auto* node = list) {
            list = node->next;
            ::operator delete(node);
            --from_heap;
        }
    }
    keeping = allowed;
    for (std::size_t i = 0; i != frame_cache::classes; ++i)
        this_threads_frames.room[i] = most_kept(i);
}

struct cache_owner {
    cache_owner() noexcept { begin_keeping(!with_address_sanitizer && fault_hook == nullptr); }
    ~cache_owner() {
        begin_keeping(false);
        frames_of_ended_threads.fetch_add(std::exchange(from_heap, 0), std::memory_order_relaxed);
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
    void* frame = ::operator new(frame_cache::bytes_of(frame_cache::class_of(bytes)), std::nothrow);
    if (frame != nullptr)
        ++from_heap;
    return frame;
}

void free_frame_to_heap(void* frame, std::size_t bytes) noexcept {
    static_cast<void>(bytes);
    --from_heap;
    ::operator delete(frame);
}

std::int64_t live_frames() noexcept {
    return live_on_this_thread() + frames_of_ended_threads.load(std::memory_order_relaxed);
}

void set_frame_fault_hook(frame_fault_hook hook, void* context) noexcept {
    adopt_this_thread();
    fault_hook = hook;
    fault_context = context;
    begin_keeping(!with_address_sanitizer && hook == nullptr);
}

} // namespace muster::detail
