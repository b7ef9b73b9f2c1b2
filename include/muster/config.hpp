// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Facts about the build that every other header may use: the version, and whether an address sanitizer runs.
///
///     static_assert(muster::version_major == 0);

#if !defined(__cplusplus) || __cplusplus < 202002L
#error "muster needs C++20: compile with -std=c++20 or later"
#endif

#if defined(__SANITIZE_ADDRESS__)
#define MUSTER_WITH_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define MUSTER_WITH_ASAN 1
#endif
#endif
#ifndef MUSTER_WITH_ASAN
#define MUSTER_WITH_ASAN 0
#endif

namespace muster {

inline constexpr int version_major = 0;
inline constexpr int version_minor = 1;
inline constexpr int version_patch = 0;

namespace detail {

/// True where an address sanitizer runs: memory is then handed back at once, so that a use after free is seen.
inline constexpr bool with_address_sanitizer = MUSTER_WITH_ASAN != 0;

} // namespace detail
} // namespace muster
