// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// When and how often a child of map is tried again. Waits take loop time; a child that waits for its next attempt
/// leaves its place among those that run to another, and no new ones begin while four times the limit wait so.
///
///     co_await muster::map(urls, call)
///         .retry(muster::retry_policy(3).first_delay(100ms).jitter(0.5).when_failed_with<http_error>())
///         .settle();

#include <muster/config.hpp>
#include <muster/detail/join/retry_rule.hpp>
#include <muster/error.hpp>
#include <muster/sleep.hpp>

#include <chrono>
#include <cstddef>
#include <exception>
#include <functional>
#include <stdexcept>
#include <string>
#include <utility>

namespace muster {

/// How to try again: up to `times` further attempts, waiting first_delay, then factor times as long each time up to
/// longest_delay. `jitter` (0 to 1) is the part of each wait that is random, so that many callers spread out.
class retry_policy {
public:
    explicit retry_policy(std::size_t times) { rule_.times = times; }

    template <class Rep, class Period>
    retry_policy& first_delay(std::chrono::duration<Rep, Period> d) {
        rule_.pauses.first = checked(d, "first_delay");
        return *this;
    }
    template <class Rep, class Period>
    retry_policy& longest_delay(std::chrono::duration<Rep, Period> d) {
        rule_.pauses.longest = checked(d, "longest_delay");
        return *this;
    }
    retry_policy& factor(double f) {
        if (!(f >= 1.0))
            throw std::invalid_argument("retry_policy::factor must be at least 1");
        rule_.pauses.factor = f;
        return *this;
    }
    retry_policy& jitter(double part) {
        if (!(part >= 0.0 && part <= 1.0))
            throw std::invalid_argument("retry_policy::jitter must be between 0 and 1");
        rule_.pauses.jitter = part;
        return *this;
    }
    /// Only errors for which this says true are tried again. An error that it throws ends the combinator.
    retry_policy& when(std::function<bool(const std::exception_ptr&)> retries) {
        rule_.retries = std::move(retries);
        return *this;
    }
    /// Only errors that are one of Es, or derived from one, are tried again.
    template <class... Es>
    retry_policy& when_failed_with() {
        return when([](const std::exception_ptr& e) { return (detail::is_a<Es>(e) || ...); });
    }

    [[nodiscard]] const detail::retry_rule& rule() const noexcept { return rule_; }

private:
    template <class Rep, class Period>
    static detail::nanoseconds checked(std::chrono::duration<Rep, Period> d, const char* what) {
        if (d.count() < 0)
            throw std::invalid_argument(std::string("retry_policy::") + what + " must not be negative");
        return detail::clamp_to_nanoseconds(d, what);
    }
    detail::retry_rule rule_;
};

} // namespace muster
