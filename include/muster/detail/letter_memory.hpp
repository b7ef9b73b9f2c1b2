// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Memory for what one thread makes and another one frees, such as a posted call. A thread that posts takes it from a
/// slab, one piece behind the other; the thread that frees the last piece of a slab frees the slab. So the heap, whose
/// lists would be shared by both threads, is asked once for some dozens of calls.
///
///     void* place = allocate_letter(bytes);      // std::bad_alloc if there is no memory
///     free_letter(place);                        // on any thread

#include <muster/config.hpp>

#include <cstddef>

namespace muster::detail {

/// Aligned as from the global operator new. A piece that is not freed keeps its slab, of 4 KB. *Thread safety*: any
/// thread.
[[nodiscard]] void* allocate_letter(std::size_t bytes);
void free_letter(void* place) noexcept;

} // namespace muster::detail
