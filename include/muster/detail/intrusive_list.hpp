// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The one doubly linked list of objects that live elsewhere: the links are part of the object, so that entering and
/// leaving never allocates and takes O(1). An object that may be in several lists at once has a hook for each, told
/// apart by a tag. The list owns nothing; an object leaves all lists before it is destroyed.
///
///     struct waiter : list_hook<waiter> {};
///     intrusive_list<waiter> waiters;
///     waiters.push_back(w);
///     waiters.remove(w);

#include <muster/detail/assert.hpp>

#include <utility>

namespace muster::detail {

template <class T, class Tag>
class intrusive_list;

/// A base class of what a list holds.
template <class T, class Tag = void>
class list_hook {
public:
    list_hook() = default;
    list_hook(const list_hook&) = delete;
    list_hook& operator=(const list_hook&) = delete;

private:
    friend class intrusive_list<T, Tag>;
    T* before_ = nullptr;
    T* after_ = nullptr;
};

/// First in, first out. *Thread safety*: none of its own.
template <class T, class Tag = void>
class intrusive_list {
    using hook = list_hook<T, Tag>;

public:
    intrusive_list() = default;
    /// The other list is empty afterwards.
    intrusive_list(intrusive_list&& other) noexcept
        : first_(std::exchange(other.first_, nullptr)),
          last_(std::exchange(other.last_, nullptr)) {}
    intrusive_list& operator=(intrusive_list&& other) noexcept {
        intrusive_list taken(std::move(other));
        std::swap(first_, taken.first_);
        std::swap(last_, taken.last_);
        return *this;
    }

    [[nodiscard]] bool empty() const noexcept { return first_ == nullptr; }
    /// Null if it is empty.
    [[nodiscard]] T* front() const noexcept { return first_; }
    [[nodiscard]] T* back() const noexcept { return last_; }
    /// The neighbours of an element; null at the ends. Read the one after before an element is removed in a loop.
    [[nodiscard]] static T* after(const T& x) noexcept { return links(x).after_; }
    [[nodiscard]] static T* before(const T& x) noexcept { return links(x).before_; }

    /// Whether `x`, which is in no other list by this hook, is in this one.
    [[nodiscard]] bool contains(const T& x) const noexcept {
        return links(x).before_ != nullptr || links(x).after_ != nullptr || first_ == &x;
    }

    void push_back(T& x) noexcept { insert_before(nullptr, x); }
    void push_front(T& x) noexcept { insert_before(first_, x); }
    /// Puts `x` before `place`, or at the end if that is null.
    void insert_before(T* place, T& x) noexcept {
        MUSTER_ASSERT(!contains(x));
        T* const before = place != nullptr ? links(*place).before_ : last_;
        links(x).before_ = before;
        links(x).after_ = place;
        (before != nullptr ? links(*before).after_ : first_) = &x;
        (place != nullptr ? links(*place).before_ : last_) = &x;
    }
    void remove(T& x) noexcept {
        MUSTER_ASSERT(contains(x));
        hook& h = links(x);
        (h.before_ != nullptr ? links(*h.before_).after_ : first_) = h.after_;
        (h.after_ != nullptr ? links(*h.after_).before_ : last_) = h.before_;
        h.before_ = h.after_ = nullptr;
    }
    /// Takes the first out. *Returns* null if there is none.
    T* pop_front() noexcept {
        T* const x = first_;
        if (x != nullptr)
            remove(*x);
        return x;
    }

private:
    [[nodiscard]] static hook& links(T& x) noexcept { return static_cast<hook&>(x); }
    [[nodiscard]] static const hook& links(const T& x) noexcept { return static_cast<const hook&>(x); }

    T* first_ = nullptr;
    T* last_ = nullptr;
};

} // namespace muster::detail
