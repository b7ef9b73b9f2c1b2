// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The link between an object that is held by address and what refers to it: the awaitables that its functions return,
/// its guards and permits. The link outlives the object and then says that it is gone, so that an awaitable which is
/// awaited too late throws instead of using freed memory.
///
///     object_owner owner_{this};                                   // in the object
///     object_ref<event> of = owner_.ref(this);                     // in the awaitable
///     event& e = of.required("event::wait");                       // when it is awaited

#include <muster/config.hpp>
#include <muster/detail/assert.hpp>
#include <muster/detail/counted.hpp>

#include <cstdint>
#include <utility>

namespace muster::detail {

/// *Errors*: invalid_state_error; `what` is the function whose awaitable is awaited, "event::wait".
[[noreturn]] void throw_gone(const char* what);

/// Owned by count: by the object, and by each that refers to it. *Thread safety*: one thread.
class object_link {
public:
    /// The object is the first owner.
    explicit object_link(void* object) noexcept : object_(object) {}
    object_link(const object_link&) = delete;
    object_link& operator=(const object_link&) = delete;

    /// Null once the object was destroyed.
    [[nodiscard]] void* object() const noexcept { return object_; }
    void retain() noexcept { ++owners_; }
    void release() noexcept {
        if (--owners_ == 0)
            delete this;
    }
    void object_is_destroyed() noexcept {
        MUSTER_ASSERT(object_ != nullptr);
        object_ = nullptr;
    }

private:
    ~object_link() = default;

    void* object_;
    std::uint32_t owners_ = 1;
};

/// A reference that knows whether its object still exists. Empty if it was moved from.
template <class T>
class object_ref {
public:
    object_ref() = default;
    /// `link` is that of a T.
    explicit object_ref(object_link* link) noexcept : link_(link) {}

    /// Null for an object that was destroyed, and if it is empty.
    [[nodiscard]] T* get() const noexcept { return link_ ? static_cast<T*>(link_->object()) : nullptr; }
    [[nodiscard]] bool empty() const noexcept { return !link_; }
    /// *Errors*: invalid_state_error if the object was destroyed: "the event was destroyed before ... (event::wait)".
    [[nodiscard]] T& required(const char* what) const {
        T* const object = get();
        if (object == nullptr) [[unlikely]]
            throw_gone(what);
        return *object;
    }
    /// On a thread that is not the object's: leaves the count of owners alone, and so the link in memory.
    void leave_behind() noexcept { static_cast<void>(link_.leave()); }

private:
    counted<object_link> link_;
};

/// In place of a reference, where the object is sure to live: the library's own scopes.
template <class T>
class present_object {
public:
    explicit present_object(T& object) noexcept : object_(&object) {}
    [[nodiscard]] T& required(const char*) const noexcept { return *object_; }

private:
    T* object_;
};

/// The object's own share of its link.
class object_owner {
public:
    /// The link is made when it is first asked for.
    object_owner() = default;
    /// The link is made at once, so that ref() can't fail.
    explicit object_owner(void* self) : link_(new object_link(self)) {}
    object_owner(const object_owner&) = delete;
    object_owner& operator=(const object_owner&) = delete;
    ~object_owner() {
        if (link_ == nullptr)
            return;
        link_->object_is_destroyed();
        link_->release();
    }

    /// `self` is the object, always by the same type.
    template <class T>
    [[nodiscard]] object_ref<T> ref(T* self) {
        if (link_ == nullptr)
            link_ = new object_link(self);
        MUSTER_ASSERT(link_->object() == static_cast<void*>(self));
        return object_ref<T>(link_);
    }

private:
    object_link* link_ = nullptr;
};

} // namespace muster::detail
