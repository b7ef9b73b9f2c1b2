// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The link between an object that is held by address and what refers to it: the awaitables that its functions return,
/// its guards and permits. A reference says when its object is gone, so that an awaitable which is awaited too late
/// throws instead of using freed memory.
///
///     object_owner owner_{this};                                   // in the object
///     object_ref<event> of = owner_.ref(this);                     // in the awaitable
///     event& e = of.required("event::wait");                       // when it is awaited
///
/// The memory of a link is used for links for ever: it goes to a list of free links and never back to the heap. So a
/// reference may look at the link of an object that is long gone, and sees from the link's number of owners so far that
/// it is another's by now. A reference needs no destructor for this, and may be copied bit by bit: g++ 12 does that to
/// the operands of `co_await (b ? x.wait() : y.wait())`.

#include <muster/config.hpp>
#include <muster/detail/assert.hpp>

#include <atomic>
#include <cstdint>

namespace muster::detail {

/// *Errors*: invalid_state_error; `what` is the function whose awaitable is awaited, "event::wait".
[[noreturn]] void throw_gone(const char* what);

struct object_link {
    void* object = nullptr;
    /// How many owners it has had. Atomic, without any order, because a reference that is out of date may look at it
    /// while the link serves another thread; each owner counts up on its own thread.
    std::atomic<std::uint64_t> owners_so_far{0};
    object_link* next_free = nullptr;
};

/// One thread's free links. Constant-initialised, so that reaching it costs one thread-relative load.
struct free_links {
    /// How many free links a thread keeps for itself. Further ones go to a list that all threads share, so that a
    /// thread which only destroys objects does not hoard what others have to make.
    static constexpr std::uint32_t most = 256;
    object_link* first = nullptr;
    std::uint32_t room = 0; ///< how many more may be kept; none before the first slow path, and after the thread's end
};
extern constinit thread_local free_links this_threads_links;

/// The slow paths: nothing is free, or nothing more may be kept. *Errors*: std::bad_alloc.
[[nodiscard]] object_link* more_links();
void share_link(object_link& link) noexcept;

[[nodiscard]] inline object_link* take_link() {
    auto& mine = this_threads_links;
    object_link* const link = mine.first;
    if (link == nullptr) [[unlikely]]
        return more_links();
    mine.first = link->next_free;
    ++mine.room;
    return link;
}

inline void give_link_back(object_link& link) noexcept {
    MUSTER_ASSERT(link.object != nullptr);
    link.object = nullptr;
    link.owners_so_far.store(link.owners_so_far.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    auto& mine = this_threads_links;
    if (mine.room == 0) [[unlikely]] {
        share_link(link);
        return;
    }
    link.next_free = mine.first;
    mine.first = &link;
    --mine.room;
}

/// A reference that knows whether its object still exists. *Thread safety*: the object's thread.
template <class T>
class object_ref {
public:
    /// Refers to nothing.
    object_ref() = default;
    /// `link` is that of a T, which exists.
    explicit object_ref(object_link& link) noexcept
        : link_(&link),
          number_(link.owners_so_far.load(std::memory_order_relaxed)) {}

    /// Null for an object that was destroyed, and if it is empty.
    [[nodiscard]] T* get() const noexcept {
        return link_ != nullptr && link_->owners_so_far.load(std::memory_order_relaxed) == number_
                   ? static_cast<T*>(link_->object)
                   : nullptr;
    }
    [[nodiscard]] bool empty() const noexcept { return link_ == nullptr; }
    /// The object, which exists: required() has said so, and nothing ran since.
    [[nodiscard]] T& existing() const noexcept {
        MUSTER_ASSERT(get() != nullptr);
        return *static_cast<T*>(link_->object);
    }
    /// *Errors*: invalid_state_error if the object was destroyed: "the event was destroyed before ... (event::wait)".
    [[nodiscard]] T& required(const char* what) const {
        T* const object = get();
        if (object == nullptr) [[unlikely]]
            throw_gone(what);
        return *object;
    }

private:
    object_link* link_ = nullptr;
    std::uint64_t number_ = 0;
};

/// The object's hold on its link.
class object_owner {
public:
    /// The link is taken when it is first asked for.
    object_owner() = default;
    /// The link is taken at once, so that ref() can't fail.
    explicit object_owner(void* self) : link_(take_link()) { link_->object = self; }
    object_owner(const object_owner&) = delete;
    object_owner& operator=(const object_owner&) = delete;
    ~object_owner() {
// g++ 12 says of an empty std::optional of what has an owner that this may be read before it is set.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
        if (link_ != nullptr)
            give_link_back(*link_);
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif
    }

    /// `self` is the object, always by the same type. *Errors*: std::bad_alloc if it has no link yet.
    template <class T>
    [[nodiscard]] object_ref<T> ref(T* self) {
        if (link_ == nullptr) {
            link_ = take_link();
            link_->object = self;
        }
        MUSTER_ASSERT(link_->object == static_cast<void*>(self));
        return object_ref<T>(*link_);
    }

private:
    object_link* link_ = nullptr;
};

} // namespace muster::detail
