// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A counted pointer to an object that counts its owners itself: one word, and no atomics where the object has none.
///
///     counted<completable> shared(&state);

#include <utility>

namespace muster::detail {

template <class C>
class counted {
public:
    counted() = default;
    explicit counted(C* c) noexcept : c_(c) {
        if (c_ != nullptr)
            c_->retain();
    }
    /// Takes over a share that the caller has.
    static counted adopt(C* c) noexcept {
        counted made;
        made.c_ = c;
        return made;
    }
    counted(const counted& other) noexcept : counted(other.c_) {}
    counted(counted&& other) noexcept : c_(std::exchange(other.c_, nullptr)) {}
    counted& operator=(counted other) noexcept {
        std::swap(c_, other.c_);
        return *this;
    }
    ~counted() {
        if (c_ != nullptr)
            c_->release();
    }
    [[nodiscard]] C* get() const noexcept { return c_; }
    C* operator->() const noexcept { return c_; }
    C& operator*() const noexcept { return *c_; }
    explicit operator bool() const noexcept { return c_ != nullptr; }

private:
    C* c_ = nullptr;
};

} // namespace muster::detail
