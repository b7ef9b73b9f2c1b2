// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The rule by which a combinator tries a child again. muster::retry_policy makes it; attempts.hpp follows it.
///
///     rule.times = 2;   // two further attempts after the first

#include <muster/detail/backoff.hpp>

#include <cstddef>
#include <exception>
#include <functional>

namespace muster::detail {

struct retry_rule {
    std::size_t times = 0; ///< further attempts after the first
    backoff pauses;
    std::function<bool(const std::exception_ptr&)> retries; ///< empty: every error
};

} // namespace muster::detail
