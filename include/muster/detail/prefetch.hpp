// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Fetching memory before it is needed, where a list is walked whose entries another thread has just written: to wait
/// for one entry after the other would be most of the walk.
///
///     prefetch_along(entry, entry->next);

#include <muster/config.hpp>

#include <cstdint>

namespace muster::detail {

/// Letters, or frames, that were made one after the other usually lie at equal distances. From two neighbours of a list
/// this guesses where the entries are that come a little later, and asks for their memory. A wrong guess does no harm,
/// because nothing is read.
inline void prefetch_along(const void* one, const void* next) noexcept {
    constexpr std::uintptr_t ahead = 6;
    const auto to = reinterpret_cast<std::uintptr_t>(next);
    __builtin_prefetch(reinterpret_cast<const void*>(to + ahead * (to - reinterpret_cast<std::uintptr_t>(one))));
}

} // namespace muster::detail
