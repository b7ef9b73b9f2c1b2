// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Random numbers for jitter and for tests that shuffle: splitmix64, which is one word and can be repeated from its
/// seed. Nothing here is fit for secrets.
///
///     random_sequence random(seed);
///     auto n = random.next();

#include <cstdint>

namespace muster::detail {

class random_sequence {
public:
    random_sequence() = default;
    explicit random_sequence(std::uint64_t seed) noexcept : state_(seed) {}

    [[nodiscard]] std::uint64_t next() noexcept {
        state_ += 0x9e3779b97f4a7c15u;
        std::uint64_t z = state_;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        return z ^ (z >> 31);
    }

private:
    std::uint64_t state_ = 0;
};

} // namespace muster::detail
