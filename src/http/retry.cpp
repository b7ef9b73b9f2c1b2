// SPDX-License-Identifier: MIT
// A resend_policy decides here which statuses and errors are worth another attempt, and how long to wait before it. A
// refused tunnel of a proxy is judged by its status, like a server's answer. This file knows nothing of whether a
// request may be sent twice except is_idempotent(); client.cpp puts the two together.
#include <muster/http/retry.hpp>

#include <muster/error.hpp>
#include <muster/http/error.hpp>

#include <algorithm>
#include <stdexcept>
#include <string>
#include <utility>

namespace muster::http {

namespace {

std::chrono::nanoseconds require_not_negative(std::chrono::nanoseconds d, const char* what) {
    if (d.count() < 0)
        throw std::invalid_argument(std::string("resend_policy::") + what + " must not be negative");
    return d;
}

} // namespace

resend_policy& resend_policy::first_delay(std::chrono::nanoseconds d) {
    pauses_.first = require_not_negative(d, "first_delay");
    return *this;
}

resend_policy& resend_policy::longest_delay(std::chrono::nanoseconds d) {
    pauses_.longest = require_not_negative(d, "longest_delay");
    return *this;
}

resend_policy& resend_policy::factor(double f) {
    if (!(f >= 1))
        throw std::invalid_argument("resend_policy::factor must be at least 1");
    pauses_.factor = f;
    return *this;
}

resend_policy& resend_policy::jitter(double part) {
    if (!(part >= 0 && part <= 1))
        throw std::invalid_argument("resend_policy::jitter must be between 0 and 1");
    pauses_.jitter = part;
    return *this;
}

resend_policy& resend_policy::longest_retry_after(std::chrono::seconds d) noexcept {
    longest_retry_after_ = d;
    return *this;
}

resend_policy& resend_policy::statuses(std::vector<int> which) {
    statuses_ = std::move(which);
    return *this;
}

resend_policy& resend_policy::when(std::function<bool(const std::exception_ptr&)> also) {
    should_ = std::move(also);
    return *this;
}

resend_policy& resend_policy::on_retry(
    std::function<void(std::size_t, std::chrono::nanoseconds, const std::exception_ptr&)> hook) {
    on_retry_ = std::move(hook);
    return *this;
}

bool resend_policy::worth_another(int status) const noexcept {
    return std::ranges::find(statuses_, status) != statuses_.end();
}

bool resend_policy::worth_another(const std::exception_ptr& error) const noexcept {
    if (const auto* e = muster::get_if<status_error>(error))
        return worth_another(e->status());
    // A proxy that refuses will refuse again, but for those of its statuses that are worth it.
    if (const auto* e = muster::get_if<proxy_error>(error))
        return worth_another(e->status());
    if (should_ && should_(error))
        return true;
    return muster::is_a<connect_error>(error) || muster::is_a<reset_error>(error) ||
           muster::is_a<muster::timeout_error>(error);
}

std::optional<std::chrono::nanoseconds> resend_policy::pause_after(
    std::size_t attempt, std::optional<std::chrono::seconds> retry_after, std::uint64_t random) const noexcept {
    if (retry_after && *retry_after > longest_retry_after_)
        return std::nullopt;
    return pauses_.after(attempt, random, retry_after.value_or(std::chrono::seconds(0)));
}

bool is_idempotent(std::string_view method) noexcept {
    for (const std::string_view one : {"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})
        if (method == one)
            return true;
    return method.empty();
}

} // namespace muster::http
