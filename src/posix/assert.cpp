// SPDX-License-Identifier: MIT
// assertion_failed() prints the message of an assertion that failed, which is a fault of the library itself, and
// aborts.
#include <muster/detail/assert.hpp>

#include <cstdio>
#include <cstdlib>

namespace muster::detail {

void assertion_failed(const char* condition, const char* file, unsigned line) noexcept {
    std::fprintf(stderr, "muster: %s:%u: this does not hold, which is a fault of muster: %s\n", file, line, condition);
    std::abort();
}

} // namespace muster::detail
