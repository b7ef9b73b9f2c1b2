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

#include <algorithm>
#include <deque>
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

/// A heap with the smallest on top.
template <class T, class Compare>
class heap_store {
public:
    template <class U>
    void insert(U&& item) {
        items_.push_back(std::forward<U>(item));
        std::push_heap(items_.begin(), items_.end(), larger());
    }
    T take() {
        MUSTER_ASSERT(!items_.empty());
        std::pop_heap(items_.begin(), items_.end(), larger());
        T item = std::move(items_.back());
        items_.pop_back();
        return item;
    }

private:
    struct larger {
        bool operator()(const T& a, const T& b) const { return Compare()(b, a); }
    };

    std::vector<T> items_;
};

} // namespace muster::detail
