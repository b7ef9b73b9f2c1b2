// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// MUSTER_ASSERT(condition): an invariant of muster's own code, checked where MUSTER_ASSERTIONS is 1, as the debug and
/// sanitizer presets define it. Elsewhere the condition is compiled, so that it can't rot, and never evaluated. A
/// condition that a caller can break is no assertion: such a call throws an error.
///
///     MUSTER_ASSERT(phase_ == phase::running);

#ifndef MUSTER_ASSERTIONS
#define MUSTER_ASSERTIONS 0
#endif

namespace muster::detail {

/// Prints the condition and its place to standard error, and aborts the program.
[[noreturn, gnu::cold]] void assertion_failed(const char* condition, const char* file, unsigned line) noexcept;

} // namespace muster::detail

#define MUSTER_ASSERT(...)                                                                                             \
    do {                                                                                                               \
        if constexpr (MUSTER_ASSERTIONS != 0) {                                                                        \
            if (!(__VA_ARGS__)) [[unlikely]]                                                                           \
                ::muster::detail::assertion_failed(#__VA_ARGS__, __FILE__, __LINE__);                                  \
        }                                                                                                              \
    } while (false)
