// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Where those children of a join that are tasks run. A slot is a fiber and what belongs to one child; when the child
/// has ended the slot is used for the next, so there are as many slots as children were alive at once.
///
///     join_slot* s = slots.take_free();
///     if (s == nullptr)
///         s = slots.make(loop, owner, most);
///     ...
///     slots.give_back(*s);   // the child has ended

#include <muster/config.hpp>
#include <muster/detail/assert.hpp>
#include <muster/detail/fiber.hpp>
#include <muster/detail/fiber_loop.hpp>
#include <muster/detail/timer_heap.hpp>
#include <muster/outcome.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <utility>
#include <vector>

namespace muster::detail {

/// One child that is a task. `out_` is where its outcome goes; null while the slot is free.
struct join_slot : fiber {
    join_slot(fiber_loop& loop, fiber_owner& owner) noexcept : fiber(loop, owner) {}
    ~join_slot() { release_locals(); }

    outcome_base* out_ = nullptr;
    std::uint64_t index_ = 0;  ///< the child's index in the input
    nanoseconds began_{0};     ///< when its first attempt did, where that is recorded
    std::uint32_t number_ = 0; ///< the slot's own number, by which others keep what belongs to it
};
static_assert(sizeof(join_slot) <= 104, "a gather has a slot for each task child that is alive");

/// Where a slot may be made that is part of another object.
struct alignas(join_slot) room_for_slot {
    std::byte bytes[sizeof(join_slot)];
};

/// The slot's task ends before it has begun: there was no memory for its frame or for its time limit.
[[gnu::cold]] void fail_for_lack_of_memory(join_slot& slot) noexcept;
/// The same for a task that was awaited or moved from before.
[[gnu::cold]] void fail_as_awaited_before(join_slot& slot) noexcept;

/// Objects that are made one after the other, stay where they are, and go together. They lie in chunks below the size
/// for which malloc asks the kernel.
template <class T>
class chunks {
public:
    chunks() noexcept = default;
    chunks(const chunks&) = delete;
    chunks& operator=(const chunks&) = delete;
    ~chunks() {
        if (first_.items != nullptr) {
            destroy_all_and_own_chunks();
            return;
        }
        for (std::size_t i = 0; i != made_; ++i)
            std::destroy_at(lent_.items + i);
    }

    /// `room`, which belongs to somebody else and lives longer, is for the first `count` objects.
    void lend(T* room, std::size_t count) noexcept {
        MUSTER_ASSERT(made_ == 0);
        use(lent_ = chunk(room, count));
    }
    [[nodiscard]] std::size_t size() const noexcept { return made_; }
    [[nodiscard]] T& operator[](std::size_t i) const noexcept {
        if (i < lent_.room)
            return lent_.items[i];
        const std::size_t own = i - lent_.room;
        return own < chunk_size ? first_.items[own] : more_[own / chunk_size - 1].items[own % chunk_size];
    }

    /// Calls `f` with each, in the order in which they were made.
    template <class F>
    void for_each(F f) const {
        std::size_t left = made_;
        const auto visit = [&](const chunk& c) {
            const std::size_t here = left < c.room ? left : c.room;
            left -= here;
            for (T* object = c.items; object != c.items + here; ++object)
                f(*object);
        };
        visit(lent_);
        visit(first_);
        for (const auto& c : more_)
            visit(c);
    }

    /// Makes another; `most` is how many may be wanted. *Returns* null without memory.
    template <class... Args>
    [[nodiscard]] T* make(std::size_t most, Args&... args) noexcept {
        if (free_room_ == end_of_room_ && !add_chunk(most - made_)) [[unlikely]]
            return nullptr;
        ++made_;
        return std::construct_at(free_room_++, args...);
    }

private:
    static constexpr std::size_t chunk_size = 1024;
    struct chunk {
        chunk() = default;
        chunk(T* where, std::size_t count) noexcept : items(where), room(count) {}
        T* items = nullptr;
        std::size_t room = 0;
    };

    [[gnu::noinline]] void destroy_all_and_own_chunks() noexcept {
        for_each([](T& object) { std::destroy_at(&object); });
        for (auto& c : more_)
            std::allocator<T>().deallocate(c.items, c.room);
        std::allocator<T>().deallocate(first_.items, first_.room);
    }

    /// Makes room for `wanted` more, or for as many as a chunk holds.
    [[gnu::noinline, gnu::cold]] bool add_chunk(std::size_t wanted) noexcept {
        const std::size_t room = wanted < chunk_size ? wanted : chunk_size;
        try {
            if (first_.items == nullptr) {
                use(first_ = chunk(std::allocator<T>().allocate(room), room));
            } else {
                more_.reserve(more_.size() + 1);
                more_.push_back(chunk(std::allocator<T>().allocate(room), room));
                use(more_.back());
            }
            return true;
        } catch (const std::bad_alloc&) {
            return false;
        }
    }
    void use(const chunk& last) noexcept {
        free_room_ = last.items;
        end_of_room_ = last.items + last.room;
    }

    chunk lent_; ///< belongs to somebody else
    chunk first_;
    std::vector<chunk> more_;
    T* free_room_ = nullptr; ///< where the next object of the last chunk is made
    T* end_of_room_ = nullptr;
    std::size_t made_ = 0;
};

class slots {
public:
    /// The room for the first `count` slots belongs to somebody else.
    void lend(join_slot* room, std::size_t count) noexcept { all_.lend(room, count); }

    /// *Returns* the slot that was given back last; null if there is none.
    [[nodiscard]] join_slot* take_free() noexcept {
        join_slot* const s = free_;
        if (s != nullptr)
            free_ = static_cast<join_slot*>(s->next_);
        return s;
    }
    /// *Returns* a new slot; null without memory. `most` is how many may be wanted at once.
    [[nodiscard]] join_slot* make(fiber_loop& loop, fiber_owner& owner, std::size_t most) noexcept;
    /// The child has ended, or there was none.
    void give_back(join_slot& s) noexcept {
        MUSTER_ASSERT(s.ended() && s.locals() == nullptr);
        s.out_ = nullptr;
        // The next child has nothing to do with a cancellation of this one.
        s.forget_cancellation();
        s.next_ = std::exchange(free_, &s);
    }

    /// How many there are, free ones too.
    [[nodiscard]] std::size_t size() const noexcept { return all_.size(); }
    [[nodiscard]] join_slot& operator[](std::size_t i) const noexcept { return all_[i]; }
    /// Calls `f` with each, free ones too.
    template <class F>
    void for_each(F f) const {
        all_.for_each(f);
    }

private:
    chunks<join_slot> all_;
    join_slot* free_ = nullptr; ///< linked by next_
};

} // namespace muster::detail
