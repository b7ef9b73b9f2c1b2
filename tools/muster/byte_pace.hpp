// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// --limit-rate: so many bytes a second for all bodies together. Each piece takes the time that its bytes need, behind
/// those before it; nothing more is read until then, so that the server is slowed down.
///
///     byte_pace pace(1'000'000);
///     const auto when = pace.take(now, piece.size());

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace tool {

class byte_pace {
public:
    /// 0: no limit.
    explicit byte_pace(std::uint64_t bytes_a_second) noexcept : rate_(bytes_a_second) {}

    [[nodiscard]] bool bounds() const noexcept { return rate_ != 0; }
    /// *Returns* the time at which the bytes may all have come. A pause in which nothing came is not made up for.
    [[nodiscard]] std::chrono::nanoseconds take(std::chrono::nanoseconds now, std::size_t bytes) noexcept {
        using nanoseconds_of = std::chrono::duration<double, std::nano>;
        const auto time = std::chrono::duration_cast<std::chrono::nanoseconds>(
            nanoseconds_of(static_cast<double>(bytes) * 1e9 / static_cast<double>(rate_)));
        free_at_ = (free_at_ > now ? free_at_ : now) + time;
        return free_at_;
    }

private:
    std::uint64_t rate_;
    std::chrono::nanoseconds free_at_{0};
};

} // namespace tool
