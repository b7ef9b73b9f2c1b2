// SPDX-License-Identifier: MIT
// A connect_schedule decides which address a connect() tries next and when. next() first makes each running attempt
// timed_out whose limit has passed; then it makes the next address's attempt run, if there is one, when no other runs
// or the delay since the last beginning is over. Otherwise it says until when to wait, or that all have failed.
// failed() takes an attempt from running to failed and lets the next one begin at once.
#include <muster/io/connect_schedule.hpp>

#include <muster/detail/assert.hpp>

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace muster::io {

namespace {

/// A limit of years must not overflow the clock.
constexpr std::chrono::nanoseconds longest = std::chrono::nanoseconds::max() / 2;

} // namespace

connect_options& connect_options::attempt_delay(std::chrono::nanoseconds time) {
    if (time < std::chrono::milliseconds(10))
        throw std::invalid_argument("connect_options::attempt_delay: it must be 10 ms at least (RFC 8305)");
    delay_ = std::min(time, longest);
    return *this;
}

connect_options& connect_options::address_limit(std::chrono::nanoseconds time) {
    if (time.count() <= 0)
        throw std::invalid_argument("connect_options::address_limit: it must be more than nothing");
    limit_ = std::min(time, longest);
    return *this;
}

connect_schedule::connect_schedule(std::size_t addresses, const connect_options& options)
    : attempts_(addresses),
      delay_(options.attempt_delay()),
      limit_(options.address_limit()),
      next_begin_(time::min()) {}

connect_schedule::step connect_schedule::next(time now) {
    bool any_runs = false;
    time until = time::max();
    for (std::size_t i = 0; i < begun_; ++i) {
        auto& a = attempts_[i];
        if (a.now != phase::running)
            continue;
        if (a.limit <= now) {
            failed(i);
            a.now = phase::timed_out;
        } else {
            any_runs = true;
            until = std::min(until, a.limit);
        }
    }
    step s;
    if (begun_ != attempts_.size() && (!any_runs || next_begin_ <= now)) {
        attempts_[begun_].now = phase::running;
        attempts_[begun_].limit = now + limit_;
        next_begin_ = now + delay_;
        s.what = action::begin;
        s.attempt = begun_++;
    } else if (any_runs) {
        s.what = action::wait;
        s.until = begun_ != attempts_.size() ? std::min(until, next_begin_) : until;
    }
    return s;
}

void connect_schedule::failed(std::size_t attempt) noexcept {
    MUSTER_ASSERT(runs(attempt));
    attempts_[attempt].now = phase::failed;
    next_begin_ = time::min();
}

bool connect_schedule::timed_out(std::size_t attempt) const noexcept {
    return attempts_[attempt].now == phase::timed_out;
}

bool connect_schedule::runs(std::size_t attempt) const noexcept { return attempts_[attempt].now == phase::running; }

std::vector<address> with_alternating_families(std::vector<address> all) {
    if (all.empty())
        return all;
    const int first_family = all.front().family();
    std::vector<address> first;
    std::vector<address> other;
    for (address& a : all)
        (a.family() == first_family ? first : other).push_back(a);
    std::vector<address> ordered;
    ordered.reserve(all.size());
    for (std::size_t i = 0; i != std::max(first.size(), other.size()); ++i) {
        if (i < first.size())
            ordered.push_back(first[i]);
        if (i < other.size())
            ordered.push_back(other[i]);
    }
    return ordered;
}

} // namespace muster::io
