// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// When a request is tried again: after a failure that may be over by the next time, if it is safe to send it twice.
/// A server's Retry-After is kept to.
///
///     muster::http::client client(muster::http::client_options().retry(muster::http::resend_policy(3)));
///     auto page = co_await client.get(url);      // up to four attempts; page.attempts says how many

#include <muster/config.hpp>
#include <muster/detail/backoff.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <optional>
#include <string_view>
#include <vector>

namespace muster::http {

/// Up to `times` further attempts after a connection that could not be made or broke, after a time-out, and after
/// certain statuses (408, 429, 502, 503, 504), with pauses that grow and are random in part.
///
/// A request is sent twice only if that is safe: nothing of it was sent yet, or its method is idempotent (see
/// is_idempotent), or it has a header Idempotency-Key, or request::idempotent() says so. It is never sent twice if its
/// body can't be read a second time (request::body_from, once something was taken from it), or if its body_to was
/// given something already.
class resend_policy {
public:
    explicit resend_policy(std::size_t times) noexcept : times_(times) {}

    /// The pause before the second attempt, 200 ms unless it is set. *Errors*, of these four: std::invalid_argument.
    resend_policy& first_delay(std::chrono::nanoseconds d);
    /// No pause that this policy chooses is longer, 10 s unless it is set.
    resend_policy& longest_delay(std::chrono::nanoseconds d);
    /// How much longer each pause is than the one before, 2 unless it is set; at least 1.
    resend_policy& factor(double f);
    /// The part of a pause, 0 to 1, that is random, 0.5 unless it is set: so many callers do not come back together.
    resend_policy& jitter(double part);
    /// The longest Retry-After that is waited for, two minutes unless it is set. A server that asks for more has
    /// given its last answer: coming back sooner than it asks would not help.
    resend_policy& longest_retry_after(std::chrono::seconds d) noexcept;
    /// The statuses that are worth another attempt, instead of those above.
    resend_policy& statuses(std::vector<int> which);

    /// Errors that are worth another attempt beside those above: those for which this returns true.
    resend_policy& when(std::function<bool(const std::exception_ptr&)> also);

    /// Called before each pause, with the number of the attempt that failed (from 1), the pause, and the error; that is
    /// null if there was an answer, with a status that is worth another attempt. It must not throw.
    resend_policy& on_retry(
        std::function<void(std::size_t attempt, std::chrono::nanoseconds pause, const std::exception_ptr& error)> hook);
    void tell_retry(std::size_t attempt, std::chrono::nanoseconds pause, const std::exception_ptr& error) const {
        if (on_retry_)
            on_retry_(attempt, pause, error);
    }

    [[nodiscard]] std::size_t times() const noexcept { return times_; }
    [[nodiscard]] bool worth_another(int status) const noexcept;
    /// The same for what a request failed with: connect_error, reset_error, any muster::timeout_error, and a
    /// status_error by its status.
    [[nodiscard]] bool worth_another(const std::exception_ptr& error) const noexcept;
    /// *Returns* the pause after attempt number `attempt` (from 1), at least what the server asked for; nothing if it
    /// asks for more than longest_retry_after. `random`: any number, for the jitter.
    [[nodiscard]] std::optional<std::chrono::nanoseconds> pause_after(
        std::size_t attempt, std::optional<std::chrono::seconds> retry_after, std::uint64_t random) const noexcept;

private:
    std::size_t times_;
    muster::detail::backoff pauses_{
        .first = std::chrono::milliseconds(200), .longest = std::chrono::seconds(10), .factor = 2, .jitter = 0.5};
    std::chrono::seconds longest_retry_after_ = std::chrono::minutes(2);
    std::function<bool(const std::exception_ptr&)> should_;
    std::function<void(std::size_t, std::chrono::nanoseconds, const std::exception_ptr&)> on_retry_;
    std::vector<int> statuses_{408, 429, 502, 503, 504};
};

/// *Returns* whether sending a request of that method twice has the effect of sending it once: GET, HEAD, OPTIONS,
/// TRACE, PUT and DELETE. *Source*: RFC 9110, 9.2.2.
[[nodiscard]] bool is_idempotent(std::string_view method) noexcept;

} // namespace muster::http
