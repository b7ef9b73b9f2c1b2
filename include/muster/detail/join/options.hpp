// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The words that say how a combinator runs its children, the same on gather, settle, map and race.
/// Each may be called once in a chain before the result is awaited.
///
///     co_await muster::map(urls, fetch).limit(100).each_within(2s).named("pages");

#include <muster/config.hpp>
#include <muster/detail/join/join.hpp>
#include <muster/retry.hpp>
#include <muster/sleep.hpp>

#include <chrono>
#include <concepts>
#include <cstddef>
#include <stdexcept>
#include <string>
#include <utility>

namespace muster {

namespace detail {

[[noreturn]] inline void throw_bad_option(const std::string& what) { throw std::invalid_argument(what); }

/// `Self` is the combinator: each word gives it back, to be continued or awaited.
template <class Self>
class join_words {
public:
    /// At most n children run at once; one that waits for its next attempt does not count. *Errors*:
    /// std::invalid_argument if n is 0.
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
        options_.rarely().each_within = clamp_to_nanoseconds(d, "each_within: the time");
        return self();
    }
    /// All of it has this long: what has not ended then is cancelled or not started with reason deadline. The
    /// throwing forms throw timeout_error; settle keeps what was finished.
    template <class Rep, class Period>
    Self within(std::chrono::duration<Rep, Period> d) && {
        if (d.count() < 0)
            throw_bad_option("within: the time must not be negative");
        options_.rarely().within = clamp_to_nanoseconds(d, "within: the time");
        return self();
    }
    /// At most n attempts, retries included, begin in any stretch of `window`.
    template <class Rep, class Period>
    Self rate(std::size_t n, std::chrono::duration<Rep, Period> window) && {
        if (n == 0)
            throw_bad_option("rate(0, ...) would start nothing: give at least 1");
        if (window.count() <= 0)
            throw_bad_option("rate: the window must be longer than zero");
        options_.rarely().rate = rate_window(n, clamp_to_nanoseconds(window, "rate: the window"));
        return self();
    }
    /// Once k have failed no more are started, and those that run are cancelled (reason: stopped).
    Self stop_after_failures(std::size_t k) && {
        if (k == 0)
            throw_bad_option("stop_after_failures(0) would stop before the start: give at least 1");
        options_.rules.max_failures = k;
        return self();
    }
    /// As nested calls: a child begins, and whatever of it is depth first, too, goes as far as it can before the next
    /// child begins. All of that, and the caller once it has its result, goes before anything else that is ready, so
    /// that of a tree of combinators one branch is alive at a time and not all of them. Nothing else runs meanwhile, no
    /// timer either, until children wait; a map with a limit lets others run after as many children. A child that has
    /// not begun when the first failure stops the others does not begin. *Errors*: std::invalid_argument for handles
    /// and for start(): their tasks run already.
    Self depth_first() && {
        options_.order = start_order::depth_first;
        return self();
    }
    /// The name that reports call it by; its children are "NAME[0]", "NAME[1]"...
    Self named(std::string name) && {
        options_.rarely().name = std::make_unique<std::string>(std::move(name));
        return self();
    }

protected:
    join_words(std::source_location site, const char* kind) noexcept : options_(site, kind) {}
    explicit join_words(join_options&& options) noexcept : options_(std::move(options)) {}

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

} // namespace detail
} // namespace muster
