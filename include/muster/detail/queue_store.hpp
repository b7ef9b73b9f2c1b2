// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The items of a queue, in the order in which they are taken: three stores with the same two functions, insert and
/// take. The caller sees to it that no item is taken from an empty store.
///
///     muster::detail::lifo_store<int> items;
///     items.insert(1);
///     int last = items.take();

#include <muster/config.hpp>
#include <muster/detail/assert.hpp>

#include <deque>
#include <queue>
#include <utility>
#include <vector>

namespace muster::detail {

template <class T>
class fifo_store {
public:
    template <class U>
    void insert(U&& item) {
        items_.push_back(std::forward<U>(item));
    }
    T take() {
        MUSTER_ASSERT(!items_.empty());
        T item = std::move(items_.front());
        items_.pop_front();
        return item;
    }

private:
    std::deque<T> items_;
};

template <class T>
class lifo_store {
public:
    template <class U>
    void insert(U&& item) {
        items_.push_back(std::forward<U>(item));
    }
    T take() {
        MUSTER_ASSERT(!items_.empty());
        T item = std::move(items_.back());
        items_.pop_back();
        return item;
    }

private:
    std::vector<T> items_;
};

/// A heap with the smallest on top. It is a std::priority_queue because `<queue>` takes a third of the time that
/// `<algorithm>` takes to compile, and every file that includes muster.hpp would pay for the latter.
template <class T, class Compare>
class heap_store {
public:
    template <class U>
    void insert(U&& item) {
        items_.push(std::forward<U>(item));
    }
    T take() {
        MUSTER_ASSERT(!items_.empty());
        return items_.take();
    }

private:
    struct larger {
        bool operator()(const T& a, const T& b) const { return Compare()(b, a); }
    };

    /// std::priority_queue lends its first item only as const; an item that can only be moved has to leave it, too.
    class movable_heap : public std::priority_queue<T, std::vector<T>, larger> {
    public:
        T take() {
            std::pop_heap(this->c.begin(), this->c.end(), this->comp);
            T item = std::move(this->c.back());
            this->c.pop_back();
            return item;
        }
    };

    movable_heap items_;
};

} // namespace muster::detail
