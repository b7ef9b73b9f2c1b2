// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Every allocation of a test program goes through two functions of the test's own, which count it or refuse it. One
/// file of the program includes this header, and defines both functions; `[[gnu::noinline]]` keeps g++ from seeing
/// malloc and free where it expects new and delete.
///
///     #include "support/replaced_new.hpp"
///     void* replaced_new::take(std::size_t bytes) noexcept { ++taken; return std::malloc(bytes); }
///     void replaced_new::give_back(void* block) noexcept { std::free(block); }

#include <cstddef>
#include <new>

namespace replaced_new {

/// *Returns* null to refuse. `bytes` is at least 1.
[[gnu::noinline]] void* take(std::size_t bytes) noexcept;
/// `block` may be null.
[[gnu::noinline]] void give_back(void* block) noexcept;

} // namespace replaced_new

void* operator new(std::size_t bytes) {
    if (void* block = replaced_new::take(bytes == 0 ? 1 : bytes))
        return block;
    throw std::bad_alloc();
}
void* operator new[](std::size_t bytes) { return operator new(bytes); }
void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
    return replaced_new::take(bytes == 0 ? 1 : bytes);
}
void* operator new[](std::size_t bytes, const std::nothrow_t&) noexcept {
    return replaced_new::take(bytes == 0 ? 1 : bytes);
}
void operator delete(void* block) noexcept { replaced_new::give_back(block); }
void operator delete[](void* block) noexcept { replaced_new::give_back(block); }
void operator delete(void* block, std::size_t) noexcept { replaced_new::give_back(block); }
void operator delete[](void* block, std::size_t) noexcept { replaced_new::give_back(block); }
void operator delete(void* block, const std::nothrow_t&) noexcept { replaced_new::give_back(block); }
void operator delete[](void* block, const std::nothrow_t&) noexcept { replaced_new::give_back(block); }
