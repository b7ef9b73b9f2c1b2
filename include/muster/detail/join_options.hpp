// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The words that say how a combinator runs its children, the same on gather, settle, map and race.
/// Each may be called once in a chain before the result is awaited.
///
///     co_await muster::map(urls, fetch).limit(100).each_within(2s).named("pages");

#include <muster/config.hpp>
#include <muster/detail/join.hpp>
#include <muster/sleep.hpp>

#include <chrono>
#include <concepts>
#include <cstddef>
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
        rule_.first_delay = checked(d, "first_delay");
        return *this;
    }
    template <class Rep, class Period>
    retry_policy& longest_delay(std::chrono::duration<Rep, Period> d) {
        rule_.longest_delay = checked(d, "longest_delay");
        return *this;
    }
    retry_policy& factor(double f) {
        if (!(f >= 1.0))
            throw std::invalid_argument("retry_policy::factor must be at least 1");
        rule_.factor = f;
        return *this;
    }
    retry_policy& jitter(double part) {
        if (!(part >= 0.0 && part <= 1.0))
            throw std::invalid_argument("retry_policy::jitter must be between 0 and 1");
        rule_.jitter = part;
        return *this;
    }
    /// Only errors for which this says true are tried again.
    retry_policy& when(std::function<bool(const std::exception_ptr&)> retries) {
        rule_.retries = std::move(retries);
        return *this;
    }
    /// Only errors that are an E or derived from it are tried again.
    template <class E>
    retry_policy& when_failed_with() {
        return when([](const std::exception_ptr& e) { return detail::is_a<E>(e); });
    }

    [[nodiscard]] const detail::retry_rule& rule() const noexcept { return rule_; }

private:
    template <class Rep, class Period>
    static detail::nanoseconds checked(std::chrono::duration<Rep, Period> d, const char* what) {
        if (d.count() < 0)
            throw std::invalid_argument(std::string("retry_policy::") + what + " must not be negative");
        return detail::clamp_to_nanoseconds(d);
    }
    detail::retry_rule rule_;
};

namespace detail {

[[noreturn]] inline void throw_bad_option(const std::string& what) {
    throw std::invalid_argument(what);
}

/// `Self` is the combinator: each word gives it back, to be continued or awaited.
template <class Self>
class join_words {
public:
    /// At most n children run at once. *Errors*: std::invalid_argument if n is 0.
    Self limit(std::size_t n) && {
        if (n == 0)
            throw_bad_option("limit(0) would start nothing: give at least 1, or leave it out for no limit");
        options_.limit = n;
        return self();
    }
    /// Each child, and each attempt of it, has this long; then it fails with timeout_error.
    template <class Rep, class Period>
    Self each_within(std::chrono::duration<Rep, Period> d) && {
        if (d.count() < 0)
            throw_bad_option("each_within: the time must not be negative");
        options_.each_within = clamp_to_nanoseconds(d);
        return self();
    }
    /// All of it has this long: what has not ended then is cancelled or not started with reason deadline. The
    /// throwing forms throw timeout_error; settle keeps what was finished.
    template <class Rep, class Period>
    Self within(std::chrono::duration<Rep, Period> d) && {
        if (d.count() < 0)
            throw_bad_option("within: the time must not be negative");
        options_.within = clamp_to_nanoseconds(d);
        return self();
    }
    /// At most n children start in any stretch of `window`.
    template <class Rep, class Period>
    Self rate(std::size_t n, std::chrono::duration<Rep, Period> window) && {
        if (n == 0)
            throw_bad_option("rate(0, ...) would start nothing: give at least 1");
        if (window.count() <= 0)
            throw_bad_option("rate: the window must be longer than zero");
        options_.rate = n;
        options_.rate_window = clamp_to_nanoseconds(window);
        return self();
    }
    /// Once k have failed no more are started, and those that run are cancelled (reason: stopped).
    Self stop_after_failures(std::size_t k) && {
        if (k == 0)
            throw_bad_option("stop_after_failures(0) would stop before the start: give at least 1");
        options_.max_failures = k;
        return self();
    }
    /// What names and reports call it; its children are "NAME[0]", "NAME[1]"...
    Self named(std::string name) && {
        options_.name = std::move(name);
        return self();
    }

protected:
    join_words(join_options options, const char* name) : options_(std::move(options)) { options_.name = name; }
    explicit join_words(join_options options) : options_(std::move(options)) {}

    join_options options_;

private:
    Self self() { return std::move(static_cast<Self&>(*this)); }
};

/// Reports a combinator that is destroyed without having been awaited, unless an exception is unwinding.
class await_guard {
public:
    await_guard() noexcept = default;
    await_guard(await_guard&& other) noexcept : armed_(std::exchange(other.armed_, false)) {}
    await_guard& operator=(await_guard&&) = delete;
    void disarm() noexcept { armed_ = false; }
    [[nodiscard]] bool armed() const noexcept { return armed_; }

private:
    bool armed_ = true;
};

void report_never_awaited(const join_options& options) noexcept;

} // namespace detail
} // namespace muster
