// SPDX-License-Identifier: MIT
// This file makes the texts that the faulty server's bodies repeat, and the gzip bomb. The bomb is one deflate block
// with trees of its own, in which a copy of 258 zeros takes two zero bits. So all of its middle is zero bytes, of which
// only the number is kept, and the checksum is computed without the data.
#include "testing/faulty_server/bodies.hpp"

#include <algorithm>
#include <array>
#include <charconv>

namespace muster::testing::faulty {

const std::string& alphabet() {
    static const std::string text = [] {
        std::string letters(alphabet_bytes, '\0');
        for (std::size_t i = 0; i != letters.size(); ++i)
            letters[i] = static_cast<char>('a' + static_cast<int>(i % 26));
        return letters;
    }();
    return text;
}

std::string chunk_of(std::string_view data) {
    std::array<char, 16> size{};
    const auto end = std::to_chars(size.data(), size.data() + size.size(), data.size(), 16).ptr;
    std::string chunk(size.data(), end);
    chunk.append("\r\n").append(data).append("\r\n");
    return chunk;
}

const std::string& alphabet_chunk() {
    static const std::string chunk = chunk_of(alphabet());
    return chunk;
}

const std::string& zeros() {
    static const std::string bytes(16384, '\0');
    return bytes;
}

const std::string& header_fields() {
    static const std::string fields = [] {
        std::string text;
        for (int i = 0; i != 64; ++i)
            text.append("X-Endless: ").append(240, 'x').append("\r\n");
        return text;
    }();
    return fields;
}

namespace {

/// Writes bits as RFC 1951 wants them: numbers from their lowest bit, codes of the Huffman trees from their highest.
class bit_writer {
public:
    explicit bit_writer(std::string& out) noexcept : out_(out) {}

    void number(unsigned value, unsigned bits) {
        for (unsigned i = 0; i != bits; ++i)
            bit((value >> i) & 1U);
    }
    void code(unsigned value, unsigned bits) {
        for (unsigned i = bits; i != 0; --i)
            bit((value >> (i - 1)) & 1U);
    }
    /// Bits still free in the last byte, 0 to 7.
    [[nodiscard]] unsigned free_bits() const noexcept { return (8 - used_) % 8; }

private:
    void bit(unsigned value) {
        if (used_ == 0)
            out_.push_back('\0');
        out_.back() = static_cast<char>(static_cast<unsigned char>(out_.back()) | (value << used_));
        used_ = (used_ + 1) % 8;
    }

    std::string& out_;
    unsigned used_ = 0;
};

/// The CRC-32 of `count` zero bytes, in the logarithm of count: a zero byte multiplies the register by x^8 modulo the
/// polynomial.
[[nodiscard]] std::uint32_t crc_of_zeros(std::uint64_t count) noexcept {
    const auto times = [](std::uint32_t a, std::uint32_t b) {
        std::uint32_t product = 0;
        for (std::uint32_t bit = 0x8000'0000U; bit != 0; bit >>= 1) {
            if ((a & bit) != 0)
                product ^= b;
            b = (b & 1U) != 0 ? (b >> 1) ^ 0xedb8'8320U : b >> 1;
        }
        return product;
    };
    std::uint32_t reg = 0xffff'ffffU;
    for (std::uint32_t power = 1U << 23; count != 0; count >>= 1, power = times(power, power))
        if ((count & 1U) != 0)
            reg = times(reg, power);
    return ~reg;
}

} // namespace

gzip_bomb make_gzip_bomb(std::uint64_t megabytes) {
    const auto bytes = megabytes << 20;
    auto copies = (bytes - 1) / 258;
    const auto literals = 1 + (bytes - 1) % 258;

    gzip_bomb bomb;
    bomb.first.assign("\x1f\x8b\x08\0\0\0\0\0\x02\x03", 10);
    bit_writer head(bomb.first);
    head.number(1, 1);  // the last block
    head.number(2, 2);  // with trees of its own
    head.number(29, 5); // 286 literals and lengths
    head.number(0, 5);  // 1 distance
    head.number(14, 4); // 18 lengths of the codes that tell the other lengths: 18 has one bit, 2 and 1 have two
    for (const unsigned bits : {0U, 0U, 1U, 0U, 0U, 0U, 0U, 0U, 0U, 0U, 0U, 0U, 0U, 0U, 0U, 2U, 0U, 2U})
        head.number(bits, 3);
    const auto skip = [&](unsigned count) { // a run of symbols that have no code
        head.code(0, 1);
        head.number(count - 11, 7);
    };
    head.code(3, 2); // literal 0: two bits
    skip(138);
    skip(117);
    head.code(3, 2); // end of block: two bits
    skip(28);
    head.code(2, 2); // copy 258: one bit
    head.code(2, 2); // distance 1: one bit
    for (std::uint64_t i = 0; i != literals; ++i)
        head.code(2, 2);

    // Copies are pairs of zero bits: fill up the byte that was begun, leave the middle to whole bytes, and begin the
    // last one. A byte may end in the middle of a copy, so it is bits that are counted from here.
    auto zero_bits = 2 * copies;
    const auto fill = std::min<std::uint64_t>(head.free_bits(), zero_bits);
    head.number(0, static_cast<unsigned>(fill));
    zero_bits -= fill;
    bomb.zeros = zero_bits / 8;
    bit_writer tail(bomb.last);
    tail.number(0, static_cast<unsigned>(zero_bits % 8));
    tail.code(3, 2);
    tail.number(0, tail.free_bits());
    tail.number(crc_of_zeros(bytes), 32);
    tail.number(static_cast<std::uint32_t>(bytes), 32);
    return bomb;
}

} // namespace muster::testing::faulty
