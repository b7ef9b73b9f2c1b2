// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// When connect() tries which address: the decisions of RFC 8305 ("Happy Eyeballs") without sockets, clocks and tasks.
/// The caller asks what to do at a time, does it, and says which attempts have failed.
///
///     connect_schedule plan(addresses.size(), connect_options());
///     auto next = plan.next(now);          // begin attempt 0, wait until a time, or all have failed

#include <muster/config.hpp>
#include <muster/io/address.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace muster::io {

/// Each may be set in a chain: `connect_options().address_limit(5s)`. *Errors*: std::invalid_argument.
class connect_options {
public:
    connect_options() {}

    /// How long an attempt is alone before the next address is tried beside it: 250 ms unless it is set; at least
    /// 10 ms, as RFC 8305 demands. An attempt that fails makes the next one begin at once.
    connect_options& attempt_delay(std::chrono::nanoseconds time);
    /// How long one address may take: 30 s unless it is set. It then has failed with std::errc::timed_out.
    connect_options& address_limit(std::chrono::nanoseconds time);

    [[nodiscard]] std::chrono::nanoseconds attempt_delay() const noexcept { return delay_; }
    [[nodiscard]] std::chrono::nanoseconds address_limit() const noexcept { return limit_; }

private:
    std::chrono::nanoseconds delay_ = std::chrono::milliseconds(250);
    std::chrono::nanoseconds limit_ = std::chrono::seconds(30);
};

/// Attempts begin in order, each once. Times are those of any clock that does not go backwards.
///
///     not begun --next()--> running --failed(), or next() after its limit--> failed
class connect_schedule {
public:
    using time = std::chrono::nanoseconds;
    enum class action : std::uint8_t { begin, wait, give_up };
    struct step {
        action what = action::give_up;
        std::size_t attempt = 0; ///< to begin: its number
        time until{0};           ///< to wait: not longer than until then; asking again then is enough
    };

    connect_schedule(std::size_t addresses, const connect_options& options);

    /// *Returns* the step to take now: begin an attempt, which runs from then on; wait for one of those that run; or
    /// give up, because all have failed. Attempts whose limit has passed have failed: see timed_out(). *Complexity*:
    /// O(attempts).
    [[nodiscard]] step next(time now);
    /// An attempt that runs has failed: another one may begin at once.
    void failed(std::size_t attempt) noexcept;
    [[nodiscard]] bool timed_out(std::size_t attempt) const noexcept;
    [[nodiscard]] bool runs(std::size_t attempt) const noexcept;

private:
    enum class phase : std::uint8_t { not_begun, running, failed, timed_out };
    struct attempt_state {
        phase now = phase::not_begun;
        time limit{0};
    };

    std::vector<attempt_state> attempts_;
    std::size_t begun_ = 0;
    time delay_;
    time limit_;
    time next_begin_; ///< the next attempt begins then
};

/// *Returns* the addresses in the order in which to try them: as they came, but with the families taking turns, so that
/// one family that does not work costs one delay.
[[nodiscard]] std::vector<address> with_alternating_families(std::vector<address> all);

} // namespace muster::io
