// SPDX-License-Identifier: MIT
// Slabs of memory for letters.
//
// A thread has one slab open and cuts pieces off it. The slab's count is made of two parts: it begins with `unopened`,
// far more than there are pieces, each piece that is freed takes one off, and closing the slab takes off what was not
// given out. So the thread that posts writes to the count once for a slab, and the count's cache line stays with the
// thread that frees. Whoever brings the count to zero frees the slab, or keeps it for the next thread that needs one.
//
//     open --full, or the thread ends--> closed --the last piece is freed--> kept --taken--> open
//                                                                            \--enough are kept--> freed
//
// In front of each piece stands the slab that it is part of; null for one from the heap.
#include <muster/detail/letter_memory.hpp>

#include <muster/detail/assert.hpp>
#include <muster/detail/mailbox.hpp>

#include <atomic>
#include <cstdint>
#include <mutex>
#include <new>
#include <utility>

namespace muster::detail {

namespace {

constexpr std::size_t slab_bytes = 4096;
constexpr std::uint32_t unopened = 1u << 30;
/// How many slabs without a piece are kept: enough for a burst of some thousand calls.
constexpr std::size_t most_kept = 64;

struct slab;

/// Stands in front of each piece, and is as large as the piece's alignment demands.
struct alignas(__STDCPP_DEFAULT_NEW_ALIGNMENT__) piece_head {
    slab* of;
};

struct slab {
    std::atomic<std::uint32_t> count{unopened};
    slab* next_kept = nullptr;
    alignas(cache_line) std::byte pieces[slab_bytes - cache_line];
};

/// Slabs that no piece is left of.
class slab_store {
public:
    [[nodiscard]] slab* take() {
        {
            const std::lock_guard own(lock_);
            if (slab* const s = first_) {
                first_ = s->next_kept;
                --kept_;
                s->count.store(unopened, std::memory_order_relaxed);
                return s;
            }
        }
        return new slab;
    }
    void give_back(slab* s) noexcept {
        {
            const std::lock_guard own(lock_);
            if (kept_ < most_kept) {
                s->next_kept = std::exchange(first_, s);
                ++kept_;
                return;
            }
        }
        delete s;
    }

private:
    std::mutex lock_;
    slab* first_ = nullptr; ///< guarded by lock_
    std::size_t kept_ = 0;  ///< guarded by lock_
};

slab_store& store() noexcept {
    // Never destroyed: letters may be freed after static objects have been.
    alignas(slab_store) static std::byte place[sizeof(slab_store)];
    static auto* the = new (place) slab_store;
    return *the;
}

void take_off(slab& s, std::uint32_t how_many) noexcept {
    if (s.count.fetch_sub(how_many, std::memory_order_acq_rel) == how_many)
        store().give_back(&s);
}

/// The slab that this thread cuts pieces off.
struct open_slab {
    slab* at = nullptr;
    std::size_t used = 0;        ///< how many of its bytes
    std::uint32_t given_out = 0; ///< how many pieces
};

/// A thread that is ending, and has closed its slab, takes from the heap.
enum class thread_stage : std::uint8_t { fresh, at_work, ending };

// These have no destructors, so they may be used until the thread has ended.
constinit thread_local open_slab current{};
constinit thread_local thread_stage stage = thread_stage::fresh;

void close_current() noexcept {
    if (current.at != nullptr)
        take_off(*current.at, unopened - current.given_out);
    current = open_slab{};
}

struct slab_owner {
    slab_owner() noexcept { stage = thread_stage::at_work; }
    ~slab_owner() {
        close_current();
        stage = thread_stage::ending;
    }
    slab_owner(const slab_owner&) = delete;
    slab_owner& operator=(const slab_owner&) = delete;
};

void adopt_this_thread() noexcept {
    thread_local slab_owner owner;
    static_cast<void>(&owner);
}

void* with_head(void* memory, slab* of) noexcept { return new (memory) piece_head{of} + 1; }

void* allocate_from_heap(std::size_t bytes) { return with_head(::operator new(bytes + sizeof(piece_head)), nullptr); }

/// A new slab is opened, or the piece comes from the heap.
[[gnu::noinline]] void* allocate_slowly(std::size_t bytes, std::size_t whole) {
    // Large ones would leave much of a slab unused. An address sanitizer must see each one freed.
    if (with_address_sanitizer || whole > sizeof(slab::pieces) / 8 || stage == thread_stage::ending)
        return allocate_from_heap(bytes);
    adopt_this_thread();
    slab* const fresh = store().take();
    close_current();
    current = open_slab{fresh, whole, 1};
    return with_head(fresh->pieces, fresh);
}

} // namespace

void* allocate_letter(std::size_t bytes) {
    constexpr std::size_t grain = alignof(piece_head);
    const std::size_t whole = sizeof(piece_head) + (bytes + grain - 1) / grain * grain;
    if (current.at == nullptr || whole > sizeof(slab::pieces) - current.used) [[unlikely]]
        return allocate_slowly(bytes, whole);
    void* const piece = current.at->pieces + current.used;
    current.used += whole;
    ++current.given_out;
    return with_head(piece, current.at);
}

void free_letter(void* place) noexcept {
    auto* const head = static_cast<piece_head*>(place) - 1;
    if (head->of != nullptr)
        take_off(*head->of, 1);
    else
        ::operator delete(head);
}

} // namespace muster::detail
