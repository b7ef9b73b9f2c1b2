// SPDX-License-Identifier: MIT
// SHA-256 as FIPS 180-4 has it (6.2): blocks of 64 bytes change eight words of state, and the last block ends with the
// length in bits. The numbers are the fractions of the roots of the first primes, of the square roots for the state at
// the beginning and of the cube roots for the rounds.
#include "sha256.hpp"

#include <algorithm>
#include <bit>
#include <cstddef>

namespace tool {

namespace {

using words = std::array<std::uint32_t, 8>;

constexpr words at_the_beginning = {
    0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

constexpr std::array<std::uint32_t, 64> of_round = {0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b,
    0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe,
    0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc,
    0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1,
    0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08,
    0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814,
    0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

void take_block(words& state, const unsigned char* block) noexcept {
    std::array<std::uint32_t, 64> w{};
    for (std::size_t i = 0; i != 16; ++i) {
        for (std::size_t byte = 0; byte != 4; ++byte)
            w[i] = w[i] << 8U | block[4 * i + byte];
    }
    for (std::size_t i = 16; i != 64; ++i) {
        const auto a = w[i - 15];
        const auto b = w[i - 2];
        w[i] = w[i - 16] + (std::rotr(a, 7) ^ std::rotr(a, 18) ^ a >> 3U) + w[i - 7] +
               (std::rotr(b, 17) ^ std::rotr(b, 19) ^ b >> 10U);
    }
    auto [a, b, c, d, e, f, g, h] = state;
    for (std::size_t i = 0; i != 64; ++i) {
        const auto one =
            h + (std::rotr(e, 6) ^ std::rotr(e, 11) ^ std::rotr(e, 25)) + ((e & f) ^ (~e & g)) + of_round[i] + w[i];
        const auto two = (std::rotr(a, 2) ^ std::rotr(a, 13) ^ std::rotr(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
        h = g;
        g = f;
        f = e;
        e = d + one;
        d = c;
        c = b;
        b = a;
        a = one + two;
    }
    const words change{a, b, c, d, e, f, g, h};
    for (std::size_t i = 0; i != state.size(); ++i)
        state[i] += change[i];
}

} // namespace

std::array<unsigned char, 32> sha256(std::string_view text) noexcept {
    constexpr std::size_t block = 64;
    constexpr std::size_t length = 8;
    auto state = at_the_beginning;
    const auto* at = reinterpret_cast<const unsigned char*>(text.data());
    std::size_t left = text.size();
    for (; left >= block; left -= block, at += block)
        take_block(state, at);
    // A one, zeros, and the length: in the same block if there is room.
    std::array<unsigned char, 2 * block> end{};
    std::copy_n(at, left, end.begin());
    end[left] = 0x80;
    const std::size_t size = left + 1 + length <= block ? block : 2 * block;
    const auto bits = static_cast<std::uint64_t>(text.size()) * 8;
    for (std::size_t i = 0; i != length; ++i)
        end[size - 1 - i] = static_cast<unsigned char>(bits >> 8 * i);
    for (std::size_t i = 0; i != size; i += block)
        take_block(state, end.data() + i);
    std::array<unsigned char, 32> digest{};
    for (std::size_t i = 0; i != digest.size(); ++i)
        digest[i] = static_cast<unsigned char>(state[i / 4] >> (24 - 8 * (i % 4)));
    return digest;
}

} // namespace tool
