// SPDX-License-Identifier: MIT
#include <muster/detail/letter_memory.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

using muster::detail::allocate_letter;
using muster::detail::free_letter;

namespace {

/// A piece of memory, filled with a number of its own.
struct piece {
    piece(std::size_t bytes, unsigned char number) : size(bytes), fill(number), at(allocate_letter(bytes)) {
        std::memset(at, fill, size);
    }
    /// *Returns* whether the memory was as it had been left.
    [[nodiscard]] bool free() const {
        const auto* bytes = static_cast<const unsigned char*>(at);
        bool whole = true;
        for (std::size_t i = 0; i != size; ++i)
            whole = whole && bytes[i] == fill;
        free_letter(at);
        return whole;
    }
    std::size_t size;
    unsigned char fill;
    void* at;
};

} // namespace

TEST(letter_memory, pieces_of_all_sizes_are_aligned_and_apart) {
    std::vector<piece> pieces;
    for (std::size_t bytes = 0; bytes < 3000; bytes += 7) {
        pieces.emplace_back(bytes, static_cast<unsigned char>(bytes % 251));
        EXPECT_EQ(reinterpret_cast<std::uintptr_t>(pieces.back().at) % alignof(std::max_align_t), 0u);
    }
    for (const auto& p : pieces)
        EXPECT_TRUE(p.free());
}

TEST(letter_memory, outlives_the_thread_that_took_it) {
    std::vector<piece> pieces;
    std::thread([&] {
        for (int i = 0; i != 1000; ++i)
            pieces.emplace_back(100, static_cast<unsigned char>(i % 251));
    }).join();
    for (const auto& p : pieces)
        EXPECT_TRUE(p.free());
}

TEST(letter_memory, can_be_taken_and_freed_while_a_thread_ends) {
    struct frees_late {
        ~frees_late() {
            free_letter(before);
            free_letter(allocate_letter(100));
        }
        void* before = nullptr;
    };
    std::thread([] {
        thread_local frees_late late; // made before the thread's slab is, so it is destroyed after that
        late.before = allocate_letter(100);
    }).join();
}

TEST(letter_memory, is_freed_by_other_threads_while_more_is_taken) {
    std::mutex lock;
    std::vector<piece> on_the_way;
    bool over = false;
    std::jthread frees([&] {
        for (bool last = false; !last;) {
            std::vector<piece> got;
            {
                const std::lock_guard own(lock);
                got.swap(on_the_way);
                last = over;
            }
            for (const auto& p : got)
                EXPECT_TRUE(p.free());
        }
    });
    std::vector<std::jthread> takers;
    for (int t = 0; t != 2; ++t)
        takers.emplace_back([&, t] {
            for (std::size_t i = 0; i != 10'000; ++i) {
                const piece made(i % 700, static_cast<unsigned char>((i + static_cast<std::size_t>(t)) % 251));
                const std::lock_guard own(lock);
                on_the_way.push_back(made);
            }
        });
    takers.clear();
    const std::lock_guard own(lock);
    over = true;
}
